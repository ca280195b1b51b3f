"""Forms with a large file in them: streamed to the disk, never held in memory, and only for people who may send one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, replace

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from integrations.portal.people import COOKIE, Visit, check_form, form_token, to_sign_in
from integrations.portal.uploads import FIELDS, FIELDS_BYTES
from integrations.spreadsheets.kept_sheets import PART, Keeper
from models import staff
from models.database import in_transaction, utcnow

MOST_BYTES = 200 * 1024 * 1024
#: An office line of 5 Mbit/s takes five minutes for the largest.
UPLOAD_SECONDS = 900.0
#: More at once would fill the disk with what nobody has confirmed.
_at_once = asyncio.Semaphore(2)


@dataclass(frozen=True)
class Kept:
    """The one file of a form, sealed on disk under `stored`: whoever is handed it names it in a row, or drops it."""

    name: str
    stored: str
    digest: str
    size: int


Work = Callable[[Visit, Kept], Awaitable[Response]]


def streamed_upload_page(what: str, work: Work) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that keeps the file of a form for a person who may do `what`, and hands both to `work`.

    Nobody signed in: to the sign-in page; not allowed: 403; neither is the file read. A form that is not ours: 403.
    """

    async def endpoint(request: Request) -> Response:
        visit = await signed_in(request)
        if isinstance(visit, Response):
            return visit
        visit.must_be_allowed(what)
        async with _at_once:
            form, file = await _received(request)
            try:
                check_form(request, form, visit.csrf)
                if file is None:
                    raise HTTPException(400, "没有选文件,请返回上一页选择后再提交。")
                kept = await asyncio.to_thread(_keep, file)
            finally:
                if file is not None:
                    await asyncio.shield(file.close())
        return await work(replace(visit, form=form, now=utcnow()), kept)

    return endpoint


async def signed_in(request: Request, form: dict[str, str] | None = None) -> Visit | Response:
    """The visit of whoever is signed in, with this form; else the way to the sign-in page."""
    cookie = request.cookies.get(COOKIE, "")
    person = await in_transaction(lambda session: staff.who(session, cookie, utcnow())) if cookie else None
    if person is None:
        return to_sign_in(request)
    return Visit(request, person.name, person.role, form_token(cookie), form or {}, utcnow())


async def _received(request: Request) -> tuple[dict[str, str], UploadFile | None]:
    limit, announced = MOST_BYTES + FIELDS_BYTES, request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise _too_large()
    parser = MultiPartParser(
        request.headers, _bounded(request, limit), max_files=1, max_fields=FIELDS, max_part_size=FIELDS_BYTES
    )
    try:
        async with asyncio.timeout(UPLOAD_SECONDS):
            form = await parser.parse()
    except (TimeoutError, ClientDisconnect) as error:
        raise HTTPException(408, "文件没有传完,请再试一次。", {"Connection": "close"}) from error
    except (MultiPartException, KeyError, ValueError, AssertionError) as error:
        raise HTTPException(400, "表单读不懂,请返回上一页重新选择文件再提交。", {"Connection": "close"}) from error
    fields = {name: value for name, value in form.items() if isinstance(value, str)}
    file = form.get("file")
    if isinstance(file, UploadFile) and file.filename:
        return fields, file
    await form.close()
    return fields, None


async def _bounded(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large()
        yield chunk


def _keep(file: UploadFile) -> Kept:
    with Keeper() as keeper:
        while part := file.file.read(PART):
            keeper.write(part)
        digest = keeper.finish()
    name = (file.filename or "").replace("\\", "/").rpartition("/")[2]
    return Kept(name[:200], keeper.name, digest, keeper.size)


def _too_large() -> HTTPException:
    # the rest of the body is not read, so the connection cannot be used again
    most = MOST_BYTES // 1024 // 1024
    return HTTPException(413, f"文件超过 {most} MB:请分成几个文件,或用命令行导入。", {"Connection": "close"})
