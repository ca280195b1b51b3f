"""`POST /webhooks/mes`: what the factory reports. Answered 200 only after it is committed, so nothing is lost."""

from __future__ import annotations

from typing import Any

import httpx
from sqlalchemy.exc import DataError
from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from integrations.errors import Forged, Refused
from integrations.portal.bodies import read_body
from integrations.production import ProductionEvent
from integrations.production.mes import Mes
from models.database import in_transaction, utcnow
from models.production import take_report
from models.quality import plain
from models.settings import settings

MES_BYTES = 1024 * 1024
LONGEST_NAME = 200  # characters of an id or number that we keep


class MesWebhook:
    """The factory's callbacks. `client` is only what a `Mes` is made with; nothing is called here."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def take(self, request: Request) -> Response:
        """200 taken or repeated, 202 kept for a work order we do not know, 401 forged or stale, 400 unreadable."""
        body = await read_body(request, MES_BYTES)
        try:
            event = Mes(settings().mes, self._client).verify(request.headers, body, utcnow())
        except Forged as error:
            return _no(401, error.code, error.message)
        except Refused as error:
            return _no(400, error.code, error.message[:300])
        except RecursionError:
            return _no(400, "unreadable", "a signed callback that is nested too deeply")
        except ValueError:  # no secret, or one of another shape
            return _no(503, "not_connected", "the callback secret of the MES is not set up here")
        if not _can_be_kept(event):
            return _no(400, "unreadable", "an id or a number that is too long or holds control characters")

        def work(session: Session) -> str:
            return take_report(session, event.id, event.work_order_no, event.kind.value, event.at, event.data, utcnow())

        try:
            taken = await in_transaction(work)
        except (DataError, UnicodeError):  # JSON that PostgreSQL cannot hold: NUL, infinity, half a character
            return _no(400, "unreadable", "values that cannot be stored")
        return JSONResponse({"ok": True, "taken": taken}, 202 if taken == "unknown" else 200)


def _can_be_kept(event: ProductionEvent) -> bool:
    return all(0 < len(name) <= LONGEST_NAME and plain(name) for name in (event.id, event.work_order_no))


def _no(status: int, code: str, message: str) -> Response:
    answer: dict[str, Any] = {"ok": False, "code": code, "error": message}
    return JSONResponse(answer, status, {"Retry-After": "30"} if status == 503 else None)
