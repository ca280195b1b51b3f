"""Steps: a role is told of its reviews, reminded before their time is over, and another role is brought in after it.

One message for many cases, because the robot takes 20 a minute for everybody. Whoever dies in between: the message is
written down in the transaction that takes its cases, and sent from there by whoever looks next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import quote

from prefect.settings import PREFECT_UI_URL
from sqlmodel import Session

from integrations.errors import PlatformError
from models import review_duty
from models.database import in_transaction, utcnow
from models.effect import STAFF_MESSAGE, EffectBusy
from models.privacy import unseal
from models.review_duty import Chased, Step, due, left_untold, role_word, take, written_down
from models.review_sight import quietly
from models.settings import settings
from models.wording import local, yuan
from tasks.outside import platforms
from tasks.step import outward
from tasks.telling import tell_once

#: Cases that a message names; of the others it says how many there are.
NAMED = 10
#: What a reason may take of a message, in characters.
LONGEST_REASON = 40
#: WeCom's Markdown knows no escapes: in full width these signs look the same, and mean nothing.
_MEANS_NOTHING = {ord(sign): chr(ord(sign) + 0xFEE0) for sign in "\\`*_~[]<>|&@/#"}


class _TakenByOthers(Exception):
    """Nothing is left to be told: somebody was quicker, and tells it."""


async def chase() -> dict[Step, int]:
    """Tell, remind and escalate whatever is due; how many cases each. Twice: each is told once."""
    if platforms().staff is not None:
        await send_left_behind()
    return {step: await chase_step(step) for step in Step}


async def chase_step(step: Step) -> int:
    """Do one of the three for every role that has cases due; how many cases. A robot that fails stops nothing."""
    policy, staff = settings().policy, platforms().staff
    if staff is None and step is not Step.ESCALATE:
        return 0
    onward = policy.review_escalates_to
    percent = policy.review_remind_percent
    waiting = await in_transaction(lambda session: due(session, step, percent, onward, utcnow()))
    done = 0
    for role, ids in waiting.items():
        next_role = onward.get(role, "") if step is Step.ESCALATE else ""
        if staff is None:
            taken = await in_transaction(lambda s, ids=ids, to=next_role: take(s, step, ids, utcnow(), to))  # type: ignore[misc]
            done += len(taken)
            continue
        try:
            done += await send_cases(step, role, ids, next_role)
        except (PlatformError, EffectBusy):
            done += len(ids)  # it is written down, and sent when the robot answers again
    return done


@outward("通知审核人")
async def send_cases(step: Step, role: str, ids: Sequence[int], onward: str = "") -> int:
    """Take these cases for this step and send one message about them; how many. Twice: nothing the second time."""
    staff = platforms().staff
    assert staff is not None
    taken: list[Chased] = []

    def prepare(session: Session) -> bytes:
        taken[:] = take(session, step, ids, utcnow(), onward)
        if not taken:
            raise _TakenByOthers
        return staff.request(message(step, role, taken, onward))

    try:
        await _tell(f"{review_duty.KEYS}{step.value}-{ids[0]}", prepare)
    except _TakenByOthers:
        return 0
    return len(taken)


@outward("补发审核通知")
async def send_left_behind() -> int:
    """Send what was written down and of which nobody knows that it was sent; how many messages."""
    sent = 0
    for key in await in_transaction(lambda session: left_untold(session, utcnow())):
        try:
            await _tell(key, lambda session, key=key: unseal(written_down(session, key)).encode())  # type: ignore[misc]
            sent += 1
        except (PlatformError, EffectBusy):
            continue  # the next look tries again
    return sent


async def _tell(key: str, prepare: Callable[[Session], bytes]) -> None:
    staff = platforms().staff
    assert staff is not None

    async def call(request: bytes) -> dict[str, Any]:
        await staff.send(request)
        return {"sent": key}

    await tell_once(None, STAFF_MESSAGE, key, prepare, call, lambda session, _: None)


def message(step: Step, role: str, cases: Sequence[Chased], onward: str = "") -> str:
    """The Markdown that the role reads: whose turn it is, what, why, until when, and the link to each."""
    count, who = len(cases), role_word(role)
    head = {
        Step.TELL: f"**待审核** {count} 单,请 **{who}** 决定",
        Step.REMIND: f"**审核快到时限** {count} 单,请 **{who}** 尽快决定",
        Step.ESCALATE: f"**审核已超时** {count} 单:**{who}** 还没有决定,请 **{role_word(onward)}** 决定",
    }[step]
    rows = [_row(one) for one in cases[:NAMED]]
    more = [f"> 另有 {count - NAMED} 单"] if count > NAMED else []
    return "\n".join([head, *rows, *more, f"[全部待审核]({settings().staff_url()}/reviews)"])


def _row(one: Chased) -> str:
    case = one.case
    until = f'<font color="warning">{local(case.due_at)}</font>'
    reason = _shown(";".join(str(reason) for reason in case.reasons))
    return f"> [{one.order_no}]({run_link(case.run_id)}) {yuan(one.total_fen)},{until} 前:{reason}"


def _shown(reason: str) -> str:
    """A reason on one line, as it was said: customers' words may be in it, but no link, no mention and no number."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in quietly(reason)).split())
    return (line if len(line) <= LONGEST_REASON else line[: LONGEST_REASON - 1] + "…").translate(_MEANS_NOTHING)


def run_link(run_id: str | None) -> str:
    """Where the suspended run of a case is in the Prefect UI; the staff page while there is none."""
    if not run_id:
        return f"{settings().staff_url()}/reviews"
    base = (PREFECT_UI_URL.value() or f"http://127.0.0.1:{settings().ports.prefect}").rstrip("/")
    return f"{base}/runs/flow-run/{quote(run_id, safe='')}"
