"""Time that passes between two workers, without waiting for it."""

from __future__ import annotations

import time
from collections.abc import Iterable

import httpx
from sqlalchemy import text
from sqlmodel import Session

from models.database import transact
from tests.house import House

_ON = ("retry", "refund")


def let_time_pass(*, people_looked: bool = False) -> None:
    """What is under way at the platforms comes to its end; then leases, claims, retries and questions are due.

    `people_looked`: what waits for a person is looked at again too.
    """
    time.sleep(0.1)
    waits: Iterable[str] = (*_ON, "person") if people_looked else _ON

    def work(session: Session) -> None:
        for statement in (
            "UPDATE effect SET lease_until = now() WHERE lease_until IS NOT NULL",
            "UPDATE fulfilment SET claim_until = now() WHERE claimed_by IS NOT NULL",
            "UPDATE fulfilment SET ready_at = now() WHERE ready_at IS NOT NULL AND waiting_on = ANY(:waits)",
            "UPDATE refund SET look_again_at = now() WHERE state IN ('due', 'processing')",
            "UPDATE warehouse SET asked_at = NULL",
        ):
            session.connection().execute(text(statement), {"waits": list(waits)} if ":waits" in statement else {})

    transact(work)


def set_speed(home: House, speed: float) -> None:
    """The platforms' own time: slow, so that nothing is made, paid or picked up meanwhile."""
    httpx.post(f"{home.sandbox.url}/control/speed", json={"speed": speed}, trust_env=False).raise_for_status()
