"""`POST /webhooks/warehouse`: what the warehouse's own system says to a stock check, signed by Standard Webhooks.

    {"type": "stock_check.answered", "timestamp": "…",
     "data": {"check": "SC-118", "there": false, "skus": ["A"], "who": "…", "remark": "…"}}

Repeats and late messages need no list of ids: a check is answered once, and only "not there" may still follow
"there", so that every order of arrival comes to the same end.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from integrations import standard_webhooks
from integrations.errors import Forged
from integrations.portal.bodies import read_body
from models.compensation import Limits
from models.database import in_transaction, utcnow
from models.quality import plain
from models.settings import settings
from models.stock_check import StockCheck
from models.stock_check import answer as take_answer

PLATFORM = "warehouse"
BODY_BYTES = 64 * 1024
KIND = "stock_check.answered"
LONGEST_NAME, LONGEST_REMARK, MOST_SKUS = 60, 1000, 300
#: A check's number; its digits stay within a bigint.
NUMBER = re.compile(r"SC-([1-9][0-9]{0,17})")


@dataclass(frozen=True)
class Answer:
    """One answer. `missing` empty: of all that the check is about."""

    check_id: int
    there: bool
    missing: tuple[str, ...]
    who: str
    remark: str

    @property
    def actor(self) -> str:
        """Whose name is in the timeline."""
        return f"{PLATFORM}:{self.who}" if self.who else PLATFORM


async def take_stock_check(request: Request) -> Response:
    """200 taken or repeated (`sentence` says which), 404 unknown check, 401 forged or stale, 400 unreadable."""
    body = await read_body(request, BODY_BYTES)
    secret = settings().warehouse.callback_secret.get_secret_value()
    try:
        standard_webhooks.verify(PLATFORM, secret, request.headers, body, utcnow().timestamp())
    except Forged as error:
        return _no(401, error.code, error.message)
    except ValueError:  # no secret, or one of another shape
        return _no(503, "not_connected", "the callback secret of the warehouse is not set up here")
    try:
        told = read_answer(body)
    except (ValueError, RecursionError) as error:
        return _no(400, "unreadable", str(error)[:300])
    return await in_transaction(lambda session: _enter(session, told))


def read_answer(body: bytes) -> Answer:
    """The answer in a message. Raises `ValueError` with what is wrong with it, `RecursionError` for deep nesting."""
    message = json.loads(body)
    data = message.get("data") if isinstance(message, dict) else None
    if not isinstance(data, dict) or message.get("type") != KIND:
        raise ValueError(f"no message of type {KIND} with data")
    number = NUMBER.fullmatch(_text(data, "check", LONGEST_NAME).strip().upper())
    if number is None:
        raise ValueError("data.check is no number of a stock check, such as SC-118")
    if not isinstance(data.get("there"), bool):
        raise ValueError("data.there is neither true nor false")
    skus = data.get("skus") or []
    if not isinstance(skus, list) or len(skus) > MOST_SKUS or not all(isinstance(sku, str) for sku in skus):
        raise ValueError(f"data.skus is no list of at most {MOST_SKUS} SKUs")
    who, remark = _text(data, "who", LONGEST_NAME), _text(data, "remark", LONGEST_REMARK)
    return Answer(int(number[1]), data["there"], tuple(skus), who.strip(), remark.strip())


def _text(data: dict[str, Any], name: str, longest: int) -> str:
    value = data.get(name) or ""
    if not isinstance(value, str) or len(value) > longest or not plain(value):
        raise ValueError(f"data.{name} is no text of at most {longest} characters")
    return value


def _enter(session: Session, told: Answer) -> Response:
    check = session.get(StockCheck, told.check_id)
    if check is None:
        return _no(404, "unknown_check", f"没有核对单 SC-{told.check_id}:请核对号码。没有任何改变。")
    # a SKU that is none of the check's would be read as "all of it", and all of it would come off the ledger
    foreign = [sku for sku in told.missing if sku not in check.skus]
    if foreign and not told.there:
        return _no(400, "unknown_sku", f"{check.number} 里没有这些 SKU:请从 {check.skus} 里选。没有任何改变。")
    limits = Limits.of(settings().policy)
    taken, sentence = take_answer(
        session, told.check_id, told.there, told.actor, utcnow(), limits, missing=told.missing, remark=told.remark
    )
    return JSONResponse({"ok": True, "taken": taken, "sentence": sentence})


def _no(status: int, code: str, message: str) -> Response:
    answer: dict[str, Any] = {"ok": False, "code": code, "error": message}
    return JSONResponse(answer, status, {"Retry-After": "30"} if status == 503 else None)
