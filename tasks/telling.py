"""Telling the outside world once: the effect ledger around one outward call.

Record the intent with the exact bytes → commit → call → record the outcome and the transition that follows in one
transaction. Run twice, at once, or killed anywhere, the other side takes effect once (`models/effect.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from sqlmodel import Session

from integrations.errors import Later, Refused, Unclear
from models import effect, faults
from models.database import in_transaction, utcnow
from models.effect import Attempt, EffectKind, EffectState, Once, Settled
from models.fulfilment import Claim, ClaimLost, hold_on
from models.order import lock_order
from models.privacy import seal, unseal
from models.settings import settings
from tasks.outside import platforms
from tasks.shadow import assumed, demand_same_book

Answer = dict[str, Any]


async def tell_once(
    claim: Claim | None,
    kind: EffectKind,
    key: str,
    prepare: Callable[[Session], bytes],
    call: Callable[[bytes], Awaitable[Answer]],
    settle: Callable[[Session, Answer | None], None],
    ask: Callable[[bytes], Awaitable[Answer | None]] | None = None,
    *,
    order_id: int | None = None,
    fulfilment_id: int | None = None,
    lock: Callable[[Session], None] | None = None,
) -> None:
    """Tell `key` once, and `settle` what follows from the answer (None: given up) under the claim's fence.

    Without a claim (a refund after the order is over) the effect's own lease and fence are all there is; then say
    which order and fulfilment it belongs to, and let `settle` stand being called twice. What concerns several orders
    at once belongs to none of them: then `lock` locks them all, before anything else is.

    `prepare` builds the bytes in the intent's transaction. Raises `ClaimLost`, `EffectBusy`, and the platform's
    `Later`, `Refused` and `Unclear`; each leaves the ledger saying what is known.

    In shadow mode nobody is called: intent, assumed answer and what follows from it are one transaction.
    """

    def intend(session: Session) -> Attempt | Settled:
        demand_same_book(session)
        _hold_on(session, claim, order_id, lock)
        begun = effect.begin(
            session,
            kind,
            key,
            seal(prepare(session).decode()),
            utcnow(),
            order_id=claim.order_id if claim else order_id,
            fulfilment_id=claim.fulfilment_id if claim else fulfilment_id,
        )
        if isinstance(begun, Settled):
            settle(session, begun.response)
        return begun

    def pretend(session: Session) -> None:
        begun = intend(session)
        if isinstance(begun, Attempt):
            answer = assumed(session, known, kind, key, utcnow())
            effect.on_paper(session, begun, answer, utcnow())
            settle(session, answer)

    if settings().shadow:
        known = platforms()
        await in_transaction(pretend)
        return
    faults.point(f"before_intent:{kind.name}")
    begun = await in_transaction(intend)
    if isinstance(begun, Settled):
        return
    faults.point(f"intended:{kind.name}")
    answer = await _call(begun, call, ask)
    faults.point(f"called:{kind.name}")
    lost = await in_transaction(lambda session: _record(session, claim, order_id, lock, begun, answer, settle))
    faults.point(f"recorded:{kind.name}")
    if lost:
        raise ClaimLost(f"{key} 已完成,但订单在此期间有了变化")


async def _call(
    attempt: Attempt,
    call: Callable[[bytes], Awaitable[Answer]],
    ask: Callable[[bytes], Awaitable[Answer | None]] | None,
) -> Answer:
    request = unseal(attempt.request).encode()
    # a repeat that has not been asked about may have happened already, whatever this call says
    may_have_happened = attempt.ask_first
    left = (attempt.deadline - utcnow()).total_seconds()
    try:
        async with asyncio.timeout(left):  # past its deadline a call would act beside its successor's
            if attempt.ask_first and attempt.kind.once is Once.ASKABLE:
                assert ask is not None, f"{attempt.kind.name} must say how to ask"
                known = await _asked(ask, request)
                if known is not None:
                    return known
                may_have_happened = False
            return await call(request)
    except TimeoutError as error:
        unclear = Unclear(attempt.kind.name, "deadline", "在期限内没有结果,稍后先问再做")
        await _failed(attempt, EffectState.UNCLEAR, unclear)
        raise unclear from error
    except Refused as error:
        await _failed(attempt, EffectState.REFUSED, error)
        raise
    except Later as error:
        await _failed(attempt, EffectState.UNCLEAR if may_have_happened else EffectState.INTENDED, error)
        raise
    except Exception as error:  # a time-out, or an answer nobody foresaw
        await _failed(attempt, EffectState.UNCLEAR, error)
        raise


async def _asked(ask: Callable[[bytes], Awaitable[Answer | None]], request: bytes) -> Answer | None:
    """What the platform knows of this. That it will not say is no answer: it may still have happened."""
    try:
        return await ask(request)
    except Refused as error:
        raise Unclear(error.platform, error.code, f"问不到结果:{error.message}") from error


async def _failed(attempt: Attempt, state: EffectState, error: Exception) -> None:
    await in_transaction(lambda session: effect.failed(session, attempt, state, str(error), utcnow()))


def _record(
    session: Session,
    claim: Claim | None,
    order_id: int | None,
    lock: Callable[[Session], None] | None,
    attempt: Attempt,
    answer: Answer,
    settle: Callable[[Session, Answer | None], None],
) -> bool:
    """Record the outcome whoever owns the claim now; settle only under our own fence. True: the claim is lost."""
    lost = False
    try:
        _hold_on(session, claim, order_id, lock)  # locks the rows, whether or not they are still ours
    except ClaimLost:
        lost = True
    effect.done(session, attempt, answer, utcnow())
    if not lost:
        settle(session, answer)
    return lost


def _hold_on(
    session: Session, claim: Claim | None, order_id: int | None, lock: Callable[[Session], None] | None
) -> None:
    """Lock the order's fulfilments, before any effect: under the claim's fence where there is a claim."""
    if lock is not None:
        lock(session)
    if claim is not None:
        hold_on(session, claim)
    elif order_id is not None:
        lock_order(session, order_id)
