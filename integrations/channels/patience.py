"""Reading again: a page within a window is repeated here, because a listing cannot be resumed from outside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import stamina

from integrations.errors import Later, Unclear

T = TypeVar("T")

ATTEMPTS = 6
LONGEST_WAIT = 30.0  # seconds; who is told to wait longer is told to come back with the next pull
TOTAL_WAIT = 120.0  # seconds


async def patiently(read: Callable[[], Awaitable[T]]) -> T:
    """The result of a read without side effects, repeated after `Later` (as long as it says) and `Unclear`.

    Raises the last error after 6 attempts, after two minutes, or when the platform asks for over 30 s.
    """

    def waits(error: Exception) -> bool | float:
        if isinstance(error, Later):
            return error.retry_after if error.retry_after <= LONGEST_WAIT else False
        return isinstance(error, Unclear)

    async for attempt in stamina.retry_context(
        on=waits, attempts=ATTEMPTS, timeout=TOTAL_WAIT, wait_initial=0.2, wait_max=5.0, wait_jitter=0.2
    ):
        with attempt:
            return await read()
    raise AssertionError("unreachable: the last attempt returns or raises")
