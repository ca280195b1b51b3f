"""`/quarantine`: orders that could not enter the book, with every reason; corrected here, and submitted again.

The list shows no payload. Who may correct sees what the order says, because a wrong address cannot be mended unseen.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from decimal import Decimal
from typing import Any

from sqlmodel import Session
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from integrations.portal import labels
from integrations.portal.bodies import read_form
from integrations.portal.people import Visit, check_form, page
from integrations.portal.streamed_uploads import signed_in
from models import correction, resubmission
from models.book import Taken
from models.correction import NotCorrectable
from models.database import in_transaction, utcnow
from models.intake import IncomingLine, IncomingOrder
from models.quarantine import Quarantined, waiting_list
from models.unforeseen import in_short

LIST = "/quarantine"
MOST_SHOWN = 200
MOST_LINES = 30  # that the form shows; those that are at fault first
LONGEST = 600
CHANGED_MEANWHILE = "平台刚刚又送来了这一单,内容和您打开时不同。没有任何改变:请核对下面的新内容,再改。"
#: Fields of the form, in its order: path in the order, what people call it.
RECEIVER = {
    "receiver.name": "收件人姓名",
    "receiver.phone": "电话",
    "receiver.province": "省",
    "receiver.city": "市",
    "receiver.district": "区县",
    "receiver.detail": "详细地址",
}
MONEY = {"total_fen": "订单总额(元)", "paid_fen": "实付(元)", "freight_fen": "运费(元)", "discount_fen": "优惠(元)"}
LINE = {"sku": "SKU", "title": "商品名", "quantity": "数量", "unit_price_fen": "单价(元)", "paid_fen": "本行实付(元)"}
log = logging.getLogger(__name__)
_YUAN = re.compile(r"-?\d{1,9}(\.\d{1,2})?")
_WHOLE = re.compile(r"-?\d{1,9}")


@page
def listing(visit: Visit, session: Session) -> Response:
    """`GET /quarantine`: what is set aside, newest first; `?fault=` only what has that fault."""
    rows = waiting_list(session, MOST_SHOWN)
    faults = Counter(fault["code"] for row in rows for fault in {f["code"]: f for f in row.faults}.values())
    wanted = visit.request.query_params.get("fault", "")
    shown = [row for row in rows if not wanted or any(fault["code"] == wanted for fault in row.faults)]
    values = {"rows": shown, "most": MOST_SHOWN, "faults": faults.most_common(), "fault": wanted, "labels": labels}
    return visit.render(session, "quarantine.html", values)


async def submit_all(request: Request) -> Response:
    """`POST /quarantine`: submit everything with one fault again as it was read, e.g. once the product is there.

    Each is committed by itself, so that one that cannot be submitted takes nothing of the others back.
    """
    visit = await signed_in(request, await read_form(request))
    if isinstance(visit, Response):
        return visit
    check_form(request, visit.form, visit.csrf)
    visit.must_be_allowed("correct")
    fault = visit.text("fault", 60)
    waiting = await in_transaction(lambda session: resubmission.waiting_with(session, [fault])) if fault else []
    ids = waiting[:MOST_SHOWN]
    entered = sum([await _submit(id, visit.name) for id in ids])
    said = f"提交了 {len(ids)} 件,{entered} 件已不在隔离区,其余仍在,原因见各件。"
    if more := len(waiting) - len(ids):
        said += f"还有 {more} 件没有提交:请运行 `orderloom quarantine resubmit --fault {fault}`,进度在 Prefect 界面。"
    return visit.go(LIST, said)


async def _submit(id: int, actor: str) -> bool:
    """Submit one again; whether it has left the quarantine."""
    try:
        done = await in_transaction(lambda session: resubmission.resubmit(session, id, {}, actor, utcnow()))
    except Exception as error:  # what nobody foresaw of one
        log.warning("quarantined %d cannot be submitted again: %s", id, in_short(error))
        return False
    return done is not None and done.taken not in (None, Taken.QUARANTINED)


@page
def order(visit: Visit, session: Session) -> Response:
    """`GET /quarantine/{id}`: one order that is set aside, as a form."""
    row = _row(visit, session)
    return _form(visit, session, row, {}, "")


@page
def correct(visit: Visit, session: Session) -> Response:
    """`POST /quarantine/{id}`: submit it with what was changed. Still wrong: the form again, with what is wrong now."""
    visit.must_be_allowed("correct")
    row = _row(visit, session, locked=True)
    reading = correction.thaw(row.reading)
    if reading is None:
        raise HTTPException(
            409, "这一件没有读成订单的内容,不能在这里改:请在渠道后台改正,下一次拉单会再读。没有任何改变。"
        )
    if visit.text("seen", 64) not in ("", correction.fingerprint(reading)):
        return _form(visit, session, row, {}, CHANGED_MEANWHILE)
    new, typed = _new_values(visit, reading)
    try:
        done = resubmission.resubmit(session, row.id or 0, new, visit.name, visit.now)
    except NotCorrectable as error:
        raise HTTPException(400, f"{error}没有任何改变。") from error
    if done is None:
        return visit.go(LIST, "这一件已经处理过了,没有任何改变。")
    if done.taken is Taken.QUARANTINED:
        session.refresh(row)
        return _form(visit, session, row, typed, done.sentence)
    return visit.go(f"/orders/{done.order_no}" if done.order_no else LIST, done.sentence)


def _row(visit: Visit, session: Session, *, locked: bool = False) -> Quarantined:
    id = visit.request.path_params["id"]
    row = session.get(Quarantined, id, with_for_update=locked) if id < 2**63 else None
    if row is None:
        raise HTTPException(404, "隔离区里没有这一件:请回到列表再点一次。")
    if row.resolved_at is not None:
        raise HTTPException(410, "这一件已经处理完,不在隔离区了。")
    return row


def _form(visit: Visit, session: Session, row: Quarantined, typed: dict[str, str], sentence: str) -> Response:
    reading = correction.thaw(row.reading) if visit.may("correct") else None
    values: dict[str, Any] = {"row": row, "readable": reading is not None, "sentence": sentence, "longest": LONGEST}
    if reading is not None:
        receiver = reading.receiver
        values["receiver"] = [
            (path, words, typed.get(path, getattr(receiver, path.split(".")[1]) if receiver else ""))
            for path, words in RECEIVER.items()
        ]
        values["money"] = [(p, words, typed.get(p, _shown(p, getattr(reading, p)))) for p, words in MONEY.items()]
        values["note"] = typed.get("note", reading.note)
        values["lines"] = [(number + 1, _line_fields(number, line, typed)) for number, line in _shown_lines(reading)]
        values["line_count"] = len(reading.lines)
        values["seen"] = correction.fingerprint(reading)
    return visit.render(session, "quarantine_order.html", values)


def _line_fields(number: int, line: IncomingLine, typed: dict[str, str]) -> list[tuple[str, str, str]]:
    """Name, words and value of each field of a line."""
    names = {field: f"line.{number}.{field}" for field in LINE}
    return [(names[f], words, typed.get(names[f], _shown(f, getattr(line, f)))) for f, words in LINE.items()]


def _shown_lines(reading: IncomingOrder) -> list[tuple[int, IncomingLine]]:
    """The lines that the form shows, by their place: odd-looking ones first where there are too many."""
    lines = list(enumerate(reading.lines))
    if len(lines) > MOST_LINES:
        lines.sort(key=lambda pair: (pair[1].quantity > 0 and pair[1].paid_fen >= 0 and bool(pair[1].sku), pair[0]))
    return sorted(lines[:MOST_LINES])


def _new_values(visit: Visit, reading: IncomingOrder) -> tuple[dict[str, Any], dict[str, str]]:
    """What the form says, by path of the order; and as it was typed, by field of the form."""
    new: dict[str, Any] = {}
    typed: dict[str, str] = {}
    names = [*RECEIVER, *MONEY, "note"]
    names += [f"line.{number}.{field}" for number, _ in _shown_lines(reading) for field in LINE]
    for name in names:
        if name not in visit.form:
            continue
        value = typed[name] = visit.text(name, LONGEST) if name != "note" else visit.text(name, 2_000)
        was = _was(reading, name)
        if _flat(value) == _flat(_shown(name, was)):
            continue  # untouched
        new[_path(reading, name)] = _parsed(name, value.replace("\r\n", "\n"))
    return new, typed


def _path(reading: IncomingOrder, name: str) -> str:
    if not name.startswith("line."):
        return name
    _, number, field = name.split(".")
    return f"lines.{reading.lines[int(number)].channel_line_id}.{field}"


def _was(reading: IncomingOrder, name: str) -> Any:
    if name.startswith("line."):
        _, number, field = name.split(".")
        return getattr(reading.lines[int(number)], field)
    if name.startswith("receiver."):
        return "" if reading.receiver is None else getattr(reading.receiver, name.split(".")[1])
    return getattr(reading, name)


def _shown(name: str, value: Any) -> str:
    """A value as the form shows it: money in yuan."""
    if name.endswith("_fen"):
        return f"{Decimal(value) / 100:.2f}"
    return str(value)


def _flat(value: str) -> str:
    """A text as browsers send it back from any field: one of one line loses its line ends, a larger one gets others."""
    return value.replace("\r", "").replace("\n", "").strip()


def _parsed(name: str, value: str) -> Any:
    if name.endswith("_fen"):
        plain = value.replace(",", "").replace("¥", "").strip()
        if not _YUAN.fullmatch(plain):
            raise HTTPException(400, f"「{value[:40]}」不是金额:请写成 12.50 这样的元。没有任何改变。")
        return int(Decimal(plain) * 100)
    if name.endswith(".quantity"):
        if not _WHOLE.fullmatch(value):
            raise HTTPException(400, f"「{value[:40]}」不是数量:请写整数。没有任何改变。")
        return int(value)
    return value


ROUTES = [
    Route("/quarantine", listing, methods=["GET"]),
    Route("/quarantine", submit_all, methods=["POST"]),
    Route("/quarantine/{id:int}", order, methods=["GET"]),
    Route("/quarantine/{id:int}", correct, methods=["POST"]),
]
