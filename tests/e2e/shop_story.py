"""A story of one shop: a sequence of things that happen there, that go wrong on the way, and that we do about it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import text

from integrations.sandbox import channel_pushes
from integrations.sandbox.baskets import Flaw
from models.database import transact
from tasks.hearing import hear
from tasks.intake import pull_channel
from tests.e2e.played_shop import LISTING, ONE, PlayedShop
from tests.e2e.reconciled import differences, open_hints, received_otherwise_than_once
from tests.e2e.shop_events import EVENTS, happens

#: One thing: its name, and two numbers to choose by.
Step = tuple[str, int, int]

#: What happens there, and what we do; the more often it stands here, the more often it comes.
HAPPENINGS = ("place", "place", "flaw", "happens", "happens", "happens", "happens", "hide", "fault", "push_fault")
DOINGS = ("pull", "pull", "pull_twice", "pull_meanwhile", "pull_and_hear", "hear", "passes", "passes")

FAULTS = ("throttled", "service_failed", "http_500", "http_503", "drop", "token_expired", "skip_page", "repeat_page")
TIMES = (1, 2, 60)  # the last one is more than anybody tries
_SHOP_PUSHES = ("push", ("lost_push", "repeat_push", "late_push", "forged_push"))
PUSH_FAULTS = {
    "shopify": ("webhook", ("repeat_webhooks", "shuffle_webhooks")),
    "wechat_shop": _SHOP_PUSHES,
    "douyin": _SHOP_PUSHES,
}
#: Flaws that the platform's own documents show (a mask may hide the others).
FLAWS: tuple[Flaw, ...] = ("unknown_sku", "negative_quantity", "money_does_not_add_up", "missing_address")
#: How long an index lags at most: less than the hour after which a window is looked at again.
LONGEST_LAG = timedelta(minutes=40)
PUSHED_WITHIN, LOOK_EVERY = 20.0, 0.01  # seconds


@dataclass
class Story:
    """What has happened so far to one shop. `hidden` are orders that no listing has yet, and since when."""

    shop: PlayedShop
    hidden: dict[str, datetime] = field(default_factory=dict)

    async def play(self, steps: list[Step]) -> None:
        """Have these things happen, in their order."""
        for what, number, pick in steps:
            await getattr(self, f"_{what}")(number, pick)

    async def problems(self) -> list[str]:
        """What is wrong once all is quiet: faults are over, every push was heard, and hours have passed."""
        shop, found = self.shop, []
        shop.home.sandbox.world.clear_faults()
        self._show_all()
        await self._pushes_arrive()
        await self._hear_all()
        shop.clock.passes(timedelta(hours=1))
        try:
            await shop.until_proved()
        except AssertionError as error:
            found.append(str(error))
        found += differences(shop.home, shop.channel, but=shop.before)
        found += received_otherwise_than_once(shop.channel)
        return found + [f"{open_hints(shop.channel)} hints are open"] * bool(open_hints(shop.channel))

    # what happens there -----------------------------------------------------------------------------------------

    async def _place(self, number: int, pick: int) -> None:
        self.shop.place(1 + number % 4, paid=pick % 4 != 0)

    async def _flaw(self, number: int, pick: int) -> None:
        self.shop.place(flaw=FLAWS[number % len(FLAWS)])

    async def _happens(self, number: int, pick: int) -> None:
        happens(self.shop, self._event(number), pick)

    async def _hide(self, number: int, pick: int) -> None:
        """A new order that the index has late; the platform counts it, or not even that."""
        (order_id,) = self.shop.place(paid=number % 2 == 0)
        self.shop.hide(order_id, is_counted=pick % 2 == 0)
        self.hidden[order_id] = self.shop.clock()

    async def _fault(self, number: int, pick: int) -> None:
        operation = ONE[self.shop.channel] if pick % 5 == 0 else LISTING[self.shop.channel]
        kind, times = FAULTS[number % len(FAULTS)], TIMES[pick % len(TIMES)]
        self.shop.fault(kind, after=number % 3, times=times, operation=operation)

    async def _push_fault(self, number: int, pick: int) -> None:
        if self.shop.channel in PUSH_FAULTS:
            operation, kinds = PUSH_FAULTS[self.shop.channel]
            self.shop.fault(kinds[number % len(kinds)], operation=operation, times=1 + pick % 3, seconds=20.0)

    # what we do -------------------------------------------------------------------------------------------------

    async def _pull(self, number: int, pick: int) -> None:
        await self.shop.catch_up()

    async def _pull_twice(self, number: int, pick: int) -> None:
        """Two readings at once, of the same window."""
        self.shop.clock.passes()
        await asyncio.gather(pull_channel.fn(self.shop.channel), pull_channel.fn(self.shop.channel))

    async def _pull_meanwhile(self, number: int, pick: int) -> None:
        """Before one of our calls something happens there."""
        calls = 0

        def before(operation: str, times: int) -> None:
            nonlocal calls
            calls += 1
            if calls == 2 + pick % 4:
                happens(self.shop, self._event(number), pick)

        async with self.shop.watched(before):
            await self.shop.pull()

    async def _pull_and_hear(self, number: int, pick: int) -> None:
        self.shop.clock.passes()
        await asyncio.gather(hear.fn(), pull_channel.fn(self.shop.channel), hear.fn())

    async def _hear(self, number: int, pick: int) -> None:
        await self._pushes_arrive()
        await hear.fn()

    async def _passes(self, number: int, pick: int) -> None:
        """Up to 40 minutes go by; an index catches up within so many."""
        now = self.shop.clock.passes(timedelta(minutes=number % 40))
        for order_id, since in list(self.hidden.items()):
            if now - since > LONGEST_LAG or pick % 3 == 0:
                self.shop.show(order_id)
                del self.hidden[order_id]

    def _event(self, number: int) -> str:
        names = sorted(EVENTS[self.shop.channel])
        return names[number % len(names)]

    def _show_all(self) -> None:
        for order_id in self.hidden:
            self.shop.show(order_id)
        self.hidden.clear()

    async def _pushes_arrive(self) -> None:
        """Wait until the platform has told all that it will tell."""
        world, channel = self.shop.home.sandbox.world, self.shop.channel
        if not channel_pushes.are_on(world, channel) and channel != "shopify":
            return
        pattern = "shopify.webhook" if channel == "shopify" else f"{channel}.push%"
        for _ in range(int(PUSHED_WITHIN / LOOK_EVERY)):
            if not world.waiting(pattern):
                return
            await asyncio.sleep(LOOK_EVERY)
        raise AssertionError(f"{channel} has not told all that it had to tell within {PUSHED_WITHIN:g} s")

    async def _hear_all(self) -> None:
        """Hear until no push is open; what was put off is due at once."""
        for _ in range(20):
            transact(lambda session: session.connection().execute(text("UPDATE hint SET ready_at = now()")))
            if not (await hear.fn()).hints:
                return
