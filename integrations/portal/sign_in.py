"""Signing in and out. Guessing passwords is slowed down by address and by account; both count failures only."""

from __future__ import annotations

import asyncio
import logging
import secrets

from sqlmodel import Session
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from integrations.portal.bodies import read_form
from integrations.portal.buckets import Buckets, client_of
from integrations.portal.people import COOKIE, Visit, check_form, forget, form_token, local_path, page, remember
from integrations.portal.rendering import html
from models import staff
from models.database import in_transaction, utcnow
from models.quality import plain

#: The cookie behind the token of the sign-in form, where there is no sign-in yet.
FORM_COOKIE = "orderloom_form"
LONGEST_NAME, LONGEST_PASSWORD = 64, 256
log = logging.getLogger(__name__)


class SignIn:
    """`GET` and `POST /sign-in`."""

    def __init__(self) -> None:
        self._by_address = Buckets(burst=20, per_second=1 / 6)
        self._by_account = Buckets(burst=5, per_second=1 / 15)
        self._hashing = asyncio.Semaphore(2)  # one digest takes 16 MB and a good part of a core

    async def show(self, request: Request) -> Response:
        """The form; or straight on, for somebody who is signed in."""
        wanted = local_path(request.query_params.get("next", "/"))
        cookie = request.cookies.get(COOKIE, "")
        person = await in_transaction(lambda session: staff.who(session, cookie, utcnow())) if cookie else None
        if person is not None:
            return RedirectResponse(wanted, 303)
        return _form(request, wanted, "")

    async def take(self, request: Request) -> Response:
        """Sign in: 303 onwards, 401 for a wrong name or password, 429 after too many of them."""
        form = await read_form(request)
        check_form(request, form, form_token(request.cookies.get(FORM_COOKIE, "")))
        name, password = form.get("name", "").strip(), form.get("password", "")
        wanted = local_path(form.get("next", "/"))
        address, account = client_of(request), name.lower()[:LONGEST_NAME]
        wait = self._by_address.take(address) or self._by_account.take(account)
        if wait:
            log.warning("sign-in of %r from %s is slowed down", account, address)
            sentence = f"试错的次数太多,请 {int(wait) + 1} 秒后再试;忘记密码请找管理员重设。"
            raise HTTPException(429, sentence, {"Retry-After": str(int(wait) + 1)})
        cookie = await self._check(name, password)
        if cookie is None:
            log.warning("sign-in of %r from %s failed", account, address)
            return _form(request, wanted, "账号或密码不对,或账号已停用。", name[:LONGEST_NAME], 401)
        self._by_address.give_back(address)
        self._by_account.give_back(account)
        response = RedirectResponse(wanted, 303)
        remember(response, cookie)
        response.delete_cookie(FORM_COOKIE, httponly=True, samesite="strict")
        return response

    async def _check(self, name: str, password: str) -> str | None:
        if not plain(name) or len(name) > LONGEST_NAME or len(password) > LONGEST_PASSWORD:
            return None
        async with self._hashing:
            return await in_transaction(lambda session: staff.sign_in(session, name, password, utcnow()))


@page
def sign_out(visit: Visit, session: Session) -> Response:
    """`POST /sign-out`: end this sign-in."""
    staff.sign_out(session, visit.request.cookies[COOKIE])
    response = RedirectResponse("/sign-in", 303)
    forget(response)
    return response


def _form(request: Request, wanted: str, sentence: str, name: str = "", status: int = 200) -> Response:
    secret = request.cookies.get(FORM_COOKIE) or secrets.token_urlsafe(24)
    values = {"csrf": form_token(secret), "next": wanted, "sentence": sentence, "name": name}
    response = html("sign_in.html", values, status)
    response.set_cookie(FORM_COOKIE, secret, httponly=True, samesite="strict")
    return response
