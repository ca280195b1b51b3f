"""One shop on a played platform, seen from both sides: what happens there, and how we read it, at moments of a test's.

    shop = PlayedShop(home, "douyin", clock)
    shop.place(3)
    await shop.until_proved()

Pages hold few orders, so that a handful of orders are several pages; nothing waits before it asks again.
"""

from __future__ import annotations

import importlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
import stamina
from sqlalchemy import func, text
from sqlmodel import Session, select

from integrations.channels import Channel
from integrations.http import client
from integrations.sandbox import listing_lag, replay, shopify_index
from integrations.sandbox.baskets import Flaw
from integrations.sandbox.history import customers, orders
from models import window
from models.database import transact, utcnow
from models.settings import settings
from models.window import PullWindow
from tasks.intake import Pulled, gaps_of, look_again, pull_again, pull_channel
from tasks.outside import platforms
from tests.database import TemporaryServer
from tests.e2e.platform_books import told_orders
from tests.e2e.reconciled import unproved
from tests.house import House, house

CHANNELS = ("shopify", "wechat_shop", "douyin", "taobao", "jd", "pinduoduo")
#: What each platform calls its listing of orders, and the call that gives one order.
LISTING = {
    "shopify": "orders",
    "wechat_shop": "order/list/get",
    "douyin": "order.searchList",
    "taobao": "taobao.trades.sold.increment.get",
    "jd": "jingdong.pop.order.search",
    "pinduoduo": "pdd.order.number.list.increment.get",
}
ONE = {
    "shopify": "order",
    "wechat_shop": "order/get",
    "douyin": "order.orderDetail",
    "taobao": "taobao.trade.fullinfo.get",
    "jd": "jingdong.pop.order.get",
    "pinduoduo": "pdd.order.information.get",
}
#: What platforms call it when too many calls came, when their service failed, and when our token is over.
FAULT_NAMES = {
    "throttled": {"wechat_shop": "minute_quota", "douyin": "rate_limited"},
    "service_failed": dict.fromkeys(CHANNELS, "busy") | {"shopify": "internal_error", "douyin": "service_error"},
    "token_expired": dict.fromkeys(("taobao", "jd", "pinduoduo"), "session_expired"),
}
#: Where the sizes of the channels' pages stand, and how many orders they hold in these tests.
PAGE_SIZES = {
    "shopify_queries.ORDERS_A_PAGE": 4,
    "shopify_queries.IDS_A_PAGE": 3,
    "wechat_shop.PAGE_SIZE": 4,
    "douyin.PAGE_SIZE": 4,
    **{f"{channel}.PAGE_SIZE": 4 for channel in ("taobao", "jd", "pinduoduo")},
    **{f"{channel}.CENSUS_PAGE_SIZE": 3 for channel in ("taobao", "jd", "pinduoduo")},
}
#: How often a shop is read, as the catalogue has it; and when it is looked at again, by the policy.
PULLED_EVERY = timedelta(minutes=15)
MOST_PULLS = 8


@dataclass
class Clock:
    """The moment in which we and the platforms are, moved by hand, in whole seconds."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now

    def passes(self, by: timedelta = timedelta(seconds=1)) -> datetime:
        """Some time later."""
        self.now += by
        return self.now


@contextmanager
def selling_everywhere(server: TemporaryServer, directory: Path) -> Iterator[House]:
    """A house that is connected to every channel, and judges orders by the row rules alone."""
    policy = {"stock_check_minutes": 0, "judge_batches": False}
    with house(server, directory, overrides={"policy": policy}, more_channels=True) as furnished:
        yield furnished


@contextmanager
def short_pages_and_a_clock() -> Iterator[Clock]:
    """While it is open, pages are short, nothing is waited for, and reading happens by the clock that is yielded."""
    clock = Clock((utcnow() - timedelta(days=400)).replace(microsecond=0))
    with pytest.MonkeyPatch.context() as patch, stamina.set_testing(True, attempts=6):
        for name, size in PAGE_SIZES.items():
            module, _, constant = name.partition(".")
            patch.setattr(importlib.import_module(f"integrations.channels.{module}"), constant, size)
        patch.setattr("tasks.intake.utcnow", clock)
        yield clock


@dataclass
class PlayedShop:
    """One shop. `ahead`: how many seconds its platform's clock is ahead of ours; `before`: orders of other stories."""

    home: House
    channel: str
    clock: Clock
    ahead: float = 0.0
    before: frozenset[str] = frozenset()
    window_before: int = 0
    baskets: Iterator[int] = field(default_factory=lambda: cycle(range(0, len(orders()), 7)))

    def there(self) -> datetime:
        """The platform's clock: a second later each time, so that no two things happen at once."""
        return self.clock.passes() + timedelta(seconds=self.ahead)

    def begin(self) -> None:
        """An hour later the shop has been read up to now, and how it was read is forgotten. Another story begins."""
        shop, now = platforms().channel(self.channel).shop, self.clock.passes(timedelta(hours=1))

        def work(session: Session) -> None:
            forget = text(
                "UPDATE pull_window SET looked_again_at = :now, look_again_at = NULL,"
                " state = CASE state WHEN 'gap' THEN 'failed' ELSE state END WHERE channel = :channel"
            )
            session.connection().execute(forget, {"now": now, "channel": self.channel})
            newest = session.exec(select(func.max(PullWindow.id)).where(PullWindow.channel == self.channel)).one()
            self.window_before = newest or 0
            window.mark_read(session, self.channel, shop, now, {}, now)

        transact(work)
        self.before = frozenset(told_orders(self.home.sandbox.world, self.channel))

    def place(
        self, count: int = 1, *, paid: bool = True, flaw: Flaw | None = None, at: datetime | None = None
    ) -> list[str]:
        """The next baskets of the history are placed here; their ids on the platform."""
        world = self.home.sandbox.world
        with world.transaction():
            chosen = [orders()[next(self.baskets)] for _ in range(count)]
            return [
                replay.place(
                    world, self.channel, order, customers()[order.customer_id], at or self.there(), paid=paid, flaw=flaw
                )
                for order in chosen
            ]

    def fault(self, kind: str, *, after: int = 0, times: int = 1, operation: str = "", **detail: float) -> None:
        """Play a fault on the platform's listing (or another operation) after so many calls that go well.

        `kind` as the platform names it, or "throttled", "service_failed", "token_expired" for what each of them has.
        """
        kind = FAULT_NAMES.get(kind, {}).get(self.channel, kind)
        world, wanted = self.home.sandbox.world, operation or LISTING[self.channel]
        if after:
            world.set_fault(self.channel, wanted, "none_yet", times=after)
        world.set_fault(self.channel, wanted, kind, times=times, detail=detail)

    def hide(self, order_id: str, *, is_counted: bool) -> None:
        """Leave an order out of every listing until `show`; it can be read by its id."""
        self._hide(order_id, 10_000_000.0, is_counted)

    def show(self, order_id: str) -> None:
        """The listings have it from now on."""
        self._hide(order_id, 0.0, True)

    def _hide(self, order_id: str, seconds: float, is_counted: bool) -> None:
        world = self.home.sandbox.world
        if self.channel == "shopify":
            shopify_index.hide(world, order_id, seconds, counted=is_counted)
        else:
            listing_lag.hide(world, f"{self.channel}.order", order_id, seconds, is_counted=is_counted)

    async def pull(self) -> Pulled:
        """Read the next window, a moment later."""
        self.clock.passes()
        pulled: Pulled = await pull_channel.fn(self.channel)
        return pulled

    async def catch_up(self) -> list[Pulled]:
        """Read the next window, open gaps and what is due for a second look, as `flows/ingest_orders.py` does."""
        read = [await self.pull()]
        if not read[0].error:
            read += [await pull_again.fn(self.channel, id) for id in await gaps_of(self.channel)]
            again = await look_again.fn(self.channel)
            read += [again] if again is not None else []
        return read

    def unproved(self) -> list[str]:
        """The windows of this story that are not whole, a sentence each."""
        return unproved(self.channel, after=self.window_before)

    async def until_proved(self, most: int = MOST_PULLS) -> int:
        """Catch up, a quarter of an hour later each time, until every window is whole and nothing new came; how often.

        The test fails after `most` times.
        """
        for times in range(1, most + 1):
            self.clock.passes(PULLED_EVERY)
            read = await self.catch_up()
            is_quiet = not any(p.error or p.counts.get("new") or p.counts.get("changed") for p in read)
            if is_quiet and not self.unproved():
                return times
        raise AssertionError(f"{self.channel} is not quiet after {most} pulls: {self.unproved() or read}")

    @asynccontextmanager
    async def watched(
        self,
        before: Callable[[str, int], object] | None = None,
        *,
        timeout: float = 15.0,
        wrong: Mapping[str, object] | None = None,
    ) -> AsyncIterator[Counter[str]]:
        """While it is open, our calls are counted by operation, and `before(operation, n-th)` is done before each.

        `timeout` is the total one of each call; `wrong` settings of the channel replace the right ones.
        """
        calls: Counter[str] = Counter()

        async def seen(request: httpx.Request) -> None:
            operation = _operation(self.channel, request)
            calls[operation] += 1
            if before is not None:
                before(operation, calls[operation])

        own = getattr(settings(), self.channel).model_copy(update=dict(wrong or {}))
        async with client(event_hooks={"request": [seen]}, trust_env=False) as outward:
            kind: Any = type(platforms().channel(self.channel))
            other: Channel = kind(own, outward, timeout=timeout)
            with pytest.MonkeyPatch.context() as patch:
                patch.setitem(platforms().channels, self.channel, other)
                yield calls


def _operation(channel: str, request: httpx.Request) -> str:
    """What an outward call is, as the played platform calls it."""
    if channel == "shopify":
        is_graphql = request.url.path.endswith("graphql.json")
        return str(json.loads(request.content)["operationName"]) if is_graphql else "access_token"
    if channel == "wechat_shop":
        return request.url.path.partition("/channels/ec/")[2] or "stable_token"
    if channel == "douyin":
        return request.url.path.removeprefix("/douyin/").replace("/", ".")
    form = parse_qs(request.content.decode())
    return (form.get("method") or form["type"])[0]
