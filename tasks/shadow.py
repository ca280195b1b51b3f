"""Everything that shadow mode assumes, in one place, each in a sentence for the report.

Nothing leaves the house (`integrations/http.py` sees to that), yet orders go on, on paper: what would have been told
is answered as assumed here, and what comes from outside later is taken to come at its expected time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session, select

from integrations.carriers import ParcelState, RouteEvent
from integrations.payments import RefundState
from integrations.platforms import Platforms
from models import effect
from models.database import in_transaction, utcnow
from models.effect import EffectKind
from models.fulfilment import Claim, Stage, advance
from models.parcel import Parcel
from models.production import FINAL, WorkOrder, WorkState, take_report
from models.refund import Refund
from models.review import Verdict, cases_of, decide
from models.settings import settings
from models.shadow import ACTOR, BookMixed, is_shadow_book, people_shipped_at
from models.timeline import EventKind, note

Answer = dict[str, Any]

#: From the release to the completion of a batch, and from the waybill to the signature.
MADE_IN = timedelta(hours=4)
SIGNED_IN = timedelta(hours=48)


class NothingAssumed(Exception):
    """A kind of effect has no assumed answer: shadow mode cannot go on with it."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"影子模式不知道该怎么假设「{kind}」的答复:请在 tasks/shadow.py 里补上。")


@dataclass(frozen=True)
class Assumption:
    """What is assumed of one kind of effect: the answer (session, platforms, key, now), and how the report says it."""

    sentence: str
    answer: Callable[[Session, Platforms, str, datetime], Answer]


def _of_refund(session: Session, known: Platforms, key: str, now: datetime) -> Answer:
    number = key.removeprefix("refund-")
    owed = session.exec(select(Refund).where(Refund.refund_no == number)).one()
    paid = {"state": RefundState.PAID.value, "refund_id": f"SHADOW-{key}"}
    return paid | {"refunded_fen": owed.amount_fen, "reason": ""}


ASSUMPTIONS: dict[str, Assumption] = {
    effect.WAYBILL.name: Assumption(
        "快递接受每个运单请求,运单号记作 SHADOW-…;不检查地址是否派送。",
        lambda session, known, key, now: {"waybill_no": f"SHADOW-{key}", "carrier": known.carrier().name},
    ),
    effect.WAYBILL_CANCEL.name: Assumption("运单都取消得了。", lambda *_: {"cancelled": True}),
    effect.RELEASE.name: Assumption(
        f"工厂接受每个工单,批次号记作 SHADOW-…,{MADE_IN.total_seconds() / 3600:.0f} 小时后按时完工,没有失败。",
        lambda session, known, key, now: {
            "batch_no": f"SHADOW-{key}",
            "expected_at": (now + MADE_IN).isoformat(),
        },
    ),
    effect.RELEASE_CANCEL.name: Assumption("还没有完工的生产都撤得回。", lambda *_: {"stopped": True}),
    effect.SHIP_NOTICE.name: Assumption(
        "平台接受每次发货回传;回传的时刻就是我们的发货时刻。",
        lambda session, known, key, now: {"id": f"SHADOW-{key}"},
    ),
    effect.SMS.name: Assumption(
        "每条短信都发得到;收件信息只有平台掩码时,用掩码代替(不消耗解密额度)。",
        lambda session, known, key, now: {"message_id": f"SHADOW-{key}"},
    ),
    effect.REFUND.name: Assumption("每笔退款立即全额到账,不需要买家先申请。", _of_refund),
    effect.COUPON.name: Assumption("渠道接受每张优惠券。", lambda session, known, key, now: {"id": f"SHADOW-{key}"}),
    effect.STAFF_MESSAGE.name: Assumption(
        "企业微信消息都送到。", lambda session, known, key, now: {"id": f"SHADOW-{key}"}
    ),
}

#: What is assumed beside the answers.
FURTHER = (
    "库存核对:仓库到时没有答复即视为有货;在影子的员工页面上答复的,以答复为准。",
    f"物流:发货 {SIGNED_IN.total_seconds() / 3600:.0f} 小时后签收。",
    "库存:在影子自己的数据库里照常预留和扣减,以载入的期初数为准;渠道上的可售数一个也不改。",
    "还没有接好的快递、工厂、短信,按已经接好计算。",
    "渠道上在读到之前就已发货的订单不进入比较。",
)
REVIEWS_WAIT = "审核:不作假设,没有人决定就一直等着(在影子的员工页面或 Prefect 里决定,等于演练)。"
REVIEWS_PASS = "审核:到期没有人决定的,视为批准(policy.shadow_reviews = approve)。"

_compared: set[tuple[str, bool]] = set()


def demand_same_book(session: Session) -> None:
    """Before anything is told: the book is a shadow if this process is, and only then. Asked once per database.

    Raises `BookMixed`.
    """
    shadow, url = settings().shadow, settings().database_url
    book = (url.get_secret_value() if url else "", shadow)
    if book not in _compared:
        known = is_shadow_book(session)
        if known != shadow:
            raise BookMixed(known)
        _compared.add(book)


def assumed(session: Session, known: Platforms, kind: EffectKind, key: str, now: datetime) -> Answer:
    """The answer that is assumed to telling `key`. Raises `NothingAssumed`."""
    if kind.name not in ASSUMPTIONS:
        raise NothingAssumed(kind.name)
    return ASSUMPTIONS[kind.name].answer(session, known, key, now)


def sentences() -> list[str]:
    """Everything that is assumed, for the report."""
    reviews = REVIEWS_PASS if settings().policy.shadow_reviews == "approve" else REVIEWS_WAIT
    return [reviews, *(one.sentence for one in ASSUMPTIONS.values()), *FURTHER]


def complete_on_paper(session: Session, works: list[WorkOrder], now: datetime) -> None:
    """In shadow: batches whose time has come are made, as their callbacks would have said. Twice: nothing changes."""
    if not settings().shadow:
        return
    for work in works:
        due = work.batch_no and work.expected_at is not None and work.expected_at <= now
        if due and WorkState(work.state) not in FINAL:
            assert work.expected_at is not None
            take_report(
                session, f"SHADOW-{work.work_order_no}", work.work_order_no, "work_order.completed",
                work.expected_at, {"batch_no": work.batch_no}, now,
            )  # fmt: skip


def decide_on_paper(session: Session, order_id: int, now: datetime) -> None:
    """In shadow, if the policy has it so: reviews whose time is over are approved. By default they stay open."""
    if not settings().shadow or settings().policy.shadow_reviews != "approve":
        return
    for case in cases_of(session, order_id):
        if case.is_open and case.due_at <= now:
            assert case.id is not None
            decide(session, case.id, Verdict.APPROVE, "影子模式", "到期没有人决定,假设批准", now)


def route_on_paper(parcel: Parcel, now: datetime) -> list[RouteEvent]:
    """In shadow: the route of a parcel that was never sent; signed for when it would have been."""
    at = parcel.created_at + SIGNED_IN
    if at > now:
        return []
    return [RouteEvent(f"SHADOW-{parcel.waybill_no}", parcel.waybill_no, at, "", "假设签收", "", ParcelState.SIGNED)]


async def close_if_people_shipped(claim: Claim) -> None:
    """In shadow: what people have shipped, and we now too on paper, is over. Twice: it is over."""
    if settings().shadow and claim.stage is Stage.SHIPPED:
        await in_transaction(lambda session: _close(session, claim))


def _close(session: Session, claim: Claim) -> None:
    if people_shipped_at(session, claim.order_id) is None:
        return
    now = utcnow()
    advance(session, claim, Stage.CLOSED, now)
    for kind in (EventKind.DELIVERED, EventKind.CLOSED):
        note(session, claim.order_id, kind, ACTOR, now, claim.fulfilment_id)
