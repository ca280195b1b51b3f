"""Working on a claimed fulfilment: whatever stops a step, the fulfilment is parked with a reason and a time.

A step stops by raising `MustWait`; platforms stop it with their own errors; an event from outside stops it with
`ClaimLost`. All of them end here, so that no step and no flow needs to think about them.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from prefect.states import Completed, State
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from integrations.errors import Later, Refused, Unclear
from integrations.platforms import NotConnected
from models import faults, hold
from models.database import in_transaction, utcnow
from models.effect import EffectBusy
from models.fulfilment import Claim, ClaimLost, Stage, WaitingOn, park
from models.settings import settings
from models.wording import STAGE_WORDS, WAITING_WORDS, say

#: Failures in a row after which a person is asked, while retries go on.
PATIENCE = 6
#: How long a fulfilment that waits for a person lies before it is looked at again by itself.
PERSON_LOOK_AGAIN = timedelta(hours=6)
#: How long a fulfilment lies at least whose run Prefect would not start.
NOT_STARTED = timedelta(seconds=5)


class MustWait(Exception):
    """The step cannot go on now: what it waits for, why in the reader's words, and when to look again."""

    def __init__(self, on: WaitingOn, why: str, until: datetime) -> None:
        super().__init__(why)
        self.on = on
        self.why = why
        self.until = until


@dataclass
class Outcome:
    """How the work ended; `state` is the flow run's final state, named for the operator."""

    claim: Claim
    waits: WaitingOn | None = None
    why: str = ""
    lost: bool = False

    @property
    def state(self) -> State:
        """Completed, under a name that says where the order is or what it waits for."""
        language = settings().language
        if self.lost:
            return Completed(name="已交接" if language == "zh" else "Handed over", message=self.why)
        shipped = self.claim.stage in (Stage.SHIPPED, Stage.DELIVERED) and self.waits is not WaitingOn.RETRY
        if self.waits is None or shipped:
            said = self.why or self.claim.ended_because
            return Completed(name=say(STAGE_WORDS, self.claim.stage.value, language).capitalize(), message=said)
        waits = say(WAITING_WORDS, self.waits.value, language)
        return Completed(name=waits if language == "zh" else f"Waiting: {waits}", message=self.why)


@asynccontextmanager
async def working_on(claim: Claim) -> AsyncIterator[Outcome]:
    """Work on a claim inside this block. On any stop the fulfilment is parked, and the block ends quietly.

    Only an error nobody foresaw goes on up, after the fulfilment is parked for a retry: its run shows as failed.
    """
    outcome = Outcome(claim)
    faults.point("claimed")
    try:
        yield outcome
    except MustWait as stop:
        await _park(outcome, stop.on, stop.why, stop.until)
    except EffectBusy as stop:
        await _park(outcome, WaitingOn.RETRY, "上一次调用还没有结果", stop.until)
    except (Later, Unclear) as error:
        await _try_again(outcome, str(error), getattr(error, "retry_after", 0.0))
    except (Refused, NotConnected) as error:
        await _ask_a_person(outcome, error)
    except ClaimLost as lost:
        outcome.lost, outcome.why = True, str(lost)
    except Exception as error:
        await _try_again(outcome, f"{type(error).__name__}: {error}", 0.0)
        raise


async def _park(outcome: Outcome, on: WaitingOn, why: str, until: datetime, attempts: int = 0) -> None:
    claim = outcome.claim
    outcome.waits, outcome.why = on, why

    def work(session: Session) -> None:
        park(session, claim, on, why, until, attempts=attempts)

    faults.point("parking")
    try:
        await in_transaction(work)
        faults.point("parked")
    except ClaimLost as lost:
        outcome.lost, outcome.why = True, str(lost)


async def _try_again(outcome: Outcome, why: str, at_least: float) -> None:
    claim = outcome.claim
    attempts = claim.attempts + 1
    seconds = max(at_least, min(2.0 ** min(attempts, 9), 300.0)) * random.uniform(1.0, 1.3)  # no overflow after days
    if attempts == PATIENCE:
        await _place_hold(claim, "keeps_failing", f"连续 {attempts} 次没有成功:{why[:300]}", blocking=False)
    await _park(outcome, WaitingOn.RETRY, why, utcnow() + timedelta(seconds=seconds), attempts)


async def give_back(claim: Claim, why: str) -> None:
    """Let go of a claim whose run could not start or end as it should; a claim let go of already stays as it is."""
    until = utcnow() + NOT_STARTED * random.uniform(1.0, 2.0)

    def work(session: Session) -> None:
        park(session, claim, WaitingOn.RETRY, why, until, attempts=claim.attempts)

    with contextlib.suppress(ClaimLost, DBAPIError):  # without a database the claim runs out by itself
        await in_transaction(work)


async def _ask_a_person(outcome: Outcome, error: Exception) -> None:
    code = f"refused_{error.platform}" if isinstance(error, Refused) else "not_connected"
    await _place_hold(outcome.claim, code, str(error)[:500], blocking=True)
    await _park(outcome, WaitingOn.PERSON, str(error), utcnow() + PERSON_LOOK_AGAIN)


async def _place_hold(claim: Claim, code: str, reason: str, *, blocking: bool) -> None:
    how = f"查明原因后运行 `orderloom rerun {claim.order_no} --reason …`"

    def work(session: Session) -> None:
        hold.place(session, claim.order_id, code, reason, "客服主管", how, "fulfil-order", utcnow(), blocking=blocking)

    await in_transaction(work)
