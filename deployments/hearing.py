"""The ear of a lane process: waits for hints of the channels, and has them heard a few seconds after they came."""

from __future__ import annotations

import asyncio
import logging

from sqlalchemy.exc import DBAPIError

from flows.hear_channels import hear_channels
from models.hint import NOTIFY_CHANNEL
from tasks.doorbell import Doorbell, first_of
from tasks.hearing import forget_old_hints, next_hint_in
from tasks.intake import forget_old_readings
from tasks.subscribing import keep_subscribed

#: Seconds between two hearings: what comes meanwhile is heard together, in one visible run.
GATHER = 2.0
#: Seconds after which is looked without being woken.
SCAN = 20.0
#: Seconds between two clean-ups of what was heard and read long ago.
CLEAN = 6 * 3600.0

log = logging.getLogger(__name__)


async def keep_hearing(stop: asyncio.Event) -> None:
    """Hear hints until `stop` is set. An error is logged, and hearing goes on: pulling misses nothing meanwhile.

    Before the first, what is pushed only when it is ordered is ordered: while we were away it may have lapsed.
    """
    bell, cleaned, subscribed = Doorbell(NOTIFY_CHANNEL), 0.0, False
    loop = asyncio.get_running_loop()
    try:
        while not stop.is_set():
            try:
                await bell.listen()
                if not subscribed:
                    subscribed = True  # only tried here: each reading of the channels sees to it again
                    await keep_subscribed()
                bell.rang.clear()
                due = await next_hint_in()
                if due is not None and due <= 0:
                    await hear_channels(return_state=True)
                    await first_of(GATHER, stop)
                    continue
                if loop.time() - cleaned > CLEAN:
                    cleaned = loop.time()
                    await forget_old_hints()
                    await forget_old_readings()
                await first_of(SCAN if due is None else min(SCAN, due + 0.01), bell.rang, stop)
            except Exception as error:
                log.warning("hints are not heard for a moment: %s: %s", type(error).__name__, str(error)[:300])
                if isinstance(error, DBAPIError):
                    bell.hang_up()
                await first_of(5.0, stop)
    finally:
        bell.hang_up()
