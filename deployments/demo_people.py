"""Who does what people do in a demo: somebody asks for the orders, somebody answers reviews, in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from deployments.language import tell
from deployments.prefect_calls import PrefectAway, PrefectCalls, Run

INGEST = "ingest-orders/every-15-minutes"
BOARD = "show-orders/every-5-minutes"
REVIEW_TAG = "stage:review"
#: Seconds between two requests to read the channels, and between two looks at the reviews.
ASK_EVERY, LOOK_EVERY = 8.0, 2.0
#: Seconds between two order matrices: a demo is too short to wait for the schedule.
SHOW_EVERY = 45.0


class DemoPeople(threading.Thread):
    """Has the channels read while `wanted()` says so, and approves reviews through the public resume.

    The newest `leave` reviews are left for the newcomer; from `keep_these()` on, those that are open then.
    """

    def __init__(self, prefect: PrefectCalls, wanted: Callable[[], bool], leave: int) -> None:
        super().__init__(name="demo people", daemon=True)
        self.answered: set[str] = set()
        self._prefect, self._wanted, self._leave = prefect, wanted, leave
        self._all_in = False
        self._kept: set[str] | None = None
        self._asked: Run | None = None
        self._asked_at = 0.0
        self._shown_at = time.monotonic() - SHOW_EVERY / 2
        self._done = threading.Event()

    def run(self) -> None:
        """Work until `stop`; a server that is away is waited for."""
        while not self._done.is_set():
            with suppress(PrefectAway):
                self._ask_for_orders()
                self._answer_reviews()
                self._show_board()
            self._done.wait(LOOK_EVERY)

    def stop(self) -> None:
        """Go home."""
        self._done.set()

    def keep_these(self) -> None:
        """From now on, leave exactly the reviews that are open now."""
        self._all_in = True

    def _ask_for_orders(self) -> None:
        if self._asked is not None and not self._asked.ended:
            self._asked = self._prefect.read_run(self._asked.id)
            if not self._asked.ended and time.monotonic() - self._asked_at < 60.0:
                return
        if self._wanted() and time.monotonic() - self._asked_at > ASK_EVERY:
            self._asked = self._prefect.start_run(INGEST)
            self._asked_at = time.monotonic()

    def _show_board(self) -> None:
        if time.monotonic() - self._shown_at > SHOW_EVERY:
            self._prefect.start_run(BOARD)
            self._shown_at = time.monotonic()

    def _answer_reviews(self) -> None:
        waiting = [run for run in self._prefect.suspended_runs(REVIEW_TAG) if run.id not in self.answered]
        if self._all_in and self._kept is None:
            self._kept = {run.id for run in waiting}
        if self._kept is None:
            to_answer = waiting[: -self._leave] if self._leave else waiting
        else:
            to_answer = [run for run in waiting if run.id not in self._kept]
        answer = {"verdict": "批准", "reviewer": tell("王敏(演示)", "Wang Min (demo)"), "note": ""}
        for run in to_answer:
            self._prefect.resume(run.id, answer)
            self.answered.add(run.id)
