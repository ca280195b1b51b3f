"""`orderloom demo`: the whole stack on sandbox platforms, with real baskets that are ordered, made and shipped.

The customers are the sandbox's replay of a year of baskets; the platforms push what is new. The demo does what people
would: it has the shops read without waiting for the quarter of an hour where something is not here yet or not proved,
and approves reviews, but for a few that it leaves for the newcomer.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx
import psutil
from rich.console import Console
from sqlalchemy.exc import DBAPIError

from deployments.completeness import ShopProof, prove, seconds_to_book
from deployments.demo_book import PEOPLE, RealShop, has_real_orders, make_accounts
from deployments.demo_people import DemoPeople
from deployments.demo_platforms import DemoPlatforms
from deployments.language import in_english, tell
from deployments.live import View
from deployments.prefect_calls import PrefectCalls
from deployments.stack import SANDBOX_SPEED, Stack
from deployments.stop_signals import StopSignals
from deployments.summary import Baseline, Progress, is_good, last_order_id, read_progress, summarise
from integrations.sandbox.opening import open_book
from models.database import transact, utcnow
from models.settings import Settings, settings

Result = TypeVar("Result")

#: Afterwards one more order every so many seconds, so that there is life to watch.
TRICKLE_SECONDS = 20.0
SETTLED_FOR = 4.0  # seconds without change before a demo counts as done
LOOK_EVERY = 1.0
#: The warehouse of the demo looks for so many sandbox seconds, and does not find every so-manyth order's goods.
LOOKS_FOR, MISSES = 8.0, 40
RATE_OVER = 30.0  # seconds
#: Seconds within which a push should have brought an order; after that somebody has the shops read.
PUSHED_WITHIN = 12.0


@dataclass(frozen=True)
class DemoOptions:
    """`seconds` is how long the customers take to order; `leave_reviews` are left for the newcomer."""

    orders: int = 120
    seconds: float = 60.0
    leave_reviews: int = 3
    exit: bool = False
    summary: Path | None = None
    trickle: bool = True

    @property
    def limit(self) -> float:
        """Seconds after which a demo that is to end by itself gives up."""
        return 240.0 + self.seconds + 4.0 * self.orders


def run_demo(state_dir: Path, config: Settings, options: DemoOptions, console: Console) -> int:
    """Bring everything up, have the orders placed and fulfilled, show it; 0 unless an `exit` demo went wrong."""
    began = psutil.Process().create_time()
    with StopSignals() as signals, Stack(state_dir, config, "demo", move_ports=True) as stack:
        signals.again = stack.supervisor.hurry
        stack.supervisor.start()
        demo = Demo(stack, options, console, signals, began)
        code = demo.run()
        console.print(tell("正在停止(再按一次 Ctrl-C 不再等待)…", "Stopping (Ctrl-C again to wait no longer) …"))
    console.print(tell(f"已全部停止,数据留在 {state_dir}。", f"Everything has stopped; the data are in {state_dir}."))
    return code


class Demo:
    """One demo on a stack that is starting."""

    def __init__(
        self, stack: Stack, options: DemoOptions, console: Console, signals: StopSignals, began: float
    ) -> None:
        self.stack, self.options, self.console = stack, options, console
        self.stopping = signals.asked
        self.first_shipped: float | None = None
        self._began = began
        self._platforms = DemoPlatforms(stack.ports["sandbox"])
        self._prefect = PrefectCalls(stack.prefect_url, stack.secrets.prefect_auth)
        self._since = Baseline(0, 0, 0)
        self._placed = 0
        self._progress: Progress | None = None
        self._shops: list[ShopProof] = []
        self._behind_since: float | None = None
        self._was_settled = False
        self._ready_at = utcnow()
        self._shipped_at: deque[tuple[float, int]] = deque()

    def run(self) -> int:
        """The whole demo; its exit code."""
        with ExitStack() as closing:
            closing.callback(self._platforms.close)
            closing.callback(self._prefect.close)
            view = closing.enter_context(View(self.console))
            view.say(
                tell("Orderloom 演示:第一次启动约需半分钟。", "Orderloom demo: the first start takes half a minute.")
            )
            if not self._wait_for(view, ["migrate", "sandbox"]):
                return 0
            patiently(self._furnish)
            patiently(self._begin)
            if not self._wait_for(view, list(self.stack.supervisor.watched)):
                return 0
            self._ready_at = utcnow()
            people = DemoPeople(self._prefect, self._wants_reading, self.options.leave_reviews)
            closing.callback(people.stop)
            people.start()
            self._print_where(view)
            return self._watch(view, people)

    def _wait_for(self, view: View, names: Sequence[str]) -> bool:
        """Until these services are ready; False when asked to stop. Raises `StackFailed`."""
        while not self.stack.supervisor.are_ready(names):
            view.show_start(self.stack.supervisor.watched)
            if self.stopping.wait(0.25):
                return False
        view.show_start(self.stack.supervisor.watched)
        return True

    def _furnish(self) -> None:
        """Furnish an empty book and make the accounts. Raises `RealShop`."""
        os.environ.update(self.stack.settings_environment())
        settings.cache_clear()
        if transact(has_real_orders):
            raise RealShop(self.stack.state_dir)
        transact(lambda session: open_book(session, utcnow()))
        passwords = {name: self.stack.secrets.password_for(name)[0] for name in PEOPLE}
        self.stack.secrets.save(self.stack.state_dir)
        transact(lambda session: make_accounts(session, passwords))

    def _begin(self) -> None:
        """From here on orders are this demo's; the customers begin."""
        self._since = Baseline(transact(last_order_id), self._count_placed(), self._platforms.count_twice())
        self._platforms.furnish_warehouse(LOOKS_FOR, MISSES)
        self._place(self.options.orders, self.options.seconds)

    def _watch(self, view: View, people: DemoPeople) -> int:
        quiet_since = next_order = None
        deadline = time.time() + self.options.limit
        while not self.stopping.wait(LOOK_EVERY):
            progress = self._look()
            if progress is not None:
                rate, placed = self._per_second(progress.shipped), self._placed - self._since.placed
                view.show(progress, placed, rate, self._shops, self._where(), self._starting_again())
            done = self._is_done()
            quiet_since = (quiet_since or time.monotonic()) if done else None
            settled = quiet_since is not None and time.monotonic() - quiet_since > SETTLED_FOR
            if self.options.exit and (settled or time.time() > deadline):
                break
            self._was_settled = self._was_settled or settled
            if settled and self.options.trickle:
                people.keep_these()
                if next_order is None or time.monotonic() > next_order:
                    next_order = time.monotonic() + TRICKLE_SECONDS
                    with suppress(httpx.HTTPError):  # a sandbox that comes up again gets the next one
                        self._place(1, 0.0)
        return self._finish(view) if self.options.exit or self.options.summary else 0

    def _look(self) -> Progress | None:
        """Read how far things are; None while database or sandbox are away."""
        try:
            listed = self._platforms.orders()
            self._placed = sum(there.count for there in listed.values())
            self._progress = transact(lambda session: read_progress(session, self._since))
            self._shops = transact(lambda session: prove(session, listed))
        except (DBAPIError, httpx.HTTPError):
            return None
        if self.first_shipped is None and self._progress.shipped:
            self.first_shipped = time.time() - self._began
        return self._progress

    def _starting_again(self) -> list[str]:
        return [name for name, one in self.stack.supervisor.watched.items() if not one.ready]

    def _wants_reading(self) -> bool:
        """Whether a person would have the shops read now: at first, when pushes do not come, and to prove the rest."""
        shops, now = self._shops, time.monotonic()
        behind = any(shop.missing for shop in shops)
        self._behind_since = (self._behind_since or now) if behind else None
        if not all(shop.windows for shop in shops):
            return True
        if self._behind_since is not None:
            return now - self._behind_since > PUSHED_WITHIN
        return self._are_placed() and not self._was_settled and not all(shop.proven for shop in shops)

    def _are_placed(self) -> bool:
        return self._placed - self._since.placed >= self.options.orders

    def _is_done(self) -> bool:
        progress = self._progress
        if progress is None or not self._are_placed() or any(shop.missing for shop in self._shops):
            return False
        proven = self._was_settled or all(shop.proven for shop in self._shops)
        return proven and progress.settled and progress.waiting.get("review", 0) <= self.options.leave_reviews

    def _per_second(self, shipped: int) -> float:
        """Orders shipped per second, over the last `RATE_OVER` seconds."""
        now = time.monotonic()
        self._shipped_at.append((now, shipped))
        while self._shipped_at[0][0] < now - RATE_OVER:
            self._shipped_at.popleft()
        then, before = self._shipped_at[0]
        return (shipped - before) / max(1.0, now - then)

    def _finish(self, view: View) -> int:
        """Write the summary; 0 when everything is as promised."""
        view.end()
        language = "en" if in_english() else "zh"
        seconds = time.time() - self._began
        placed, twice = patiently(self._count_placed), patiently(self._platforms.count_twice)
        listed = patiently(self._platforms.orders)
        shops = patiently(lambda: transact(lambda session: prove(session, listed)))
        summary = patiently(
            lambda: transact(lambda session: summarise(session, self._since, placed, twice, seconds, shops, language))
        )
        summary["seconds_to_book"] = patiently(
            lambda: transact(lambda session: seconds_to_book(session, self._since.last_order_id, self._ready_at))
        )
        watched = self.stack.supervisor.watched
        summary["first_shipped_seconds"] = round(self.first_shipped, 1) if self.first_shipped else None
        summary["start_seconds"] = {name: round(one.seconds_to_ready or 0, 1) for name, one in watched.items()}
        summary["restarts"] = {name: one.starts - 1 for name, one in watched.items() if one.starts > 1}
        good = is_good(summary, self.options.orders)
        text_of_it = json.dumps(summary, ensure_ascii=False, indent=2)
        if self.options.summary:
            self.options.summary.write_text(text_of_it + "\n", encoding="utf-8")
        else:
            self.console.print_json(text_of_it)
        view.show_proof(shops)
        for order in summary["waiting_orders"]:
            view.say(f"{order['order_no']}: {order['why'] or order['reason']} → {order['what_to_do']}")
        view.say(
            tell(
                f"{summary['ingested']} 单,发货 {summary['shipped']},通知 {summary['notified']},"
                f"退款了结 {summary['paid_back']},等待 {len(summary['waiting_orders'])},"
                f"重复 {summary['duplicates']},用时 {summary['seconds']} 秒",
                f"{summary['ingested']} orders, {summary['shipped']} shipped, {summary['notified']} notified, "
                f"{summary['paid_back']} paid back, {len(summary['waiting_orders'])} wait, "
                f"{summary['duplicates']} twice, {summary['seconds']} s",
            )
        )
        return 0 if good or not self.options.exit else 1

    def _place(self, orders: int, seconds: float) -> None:
        self._platforms.place(orders, seconds * SANDBOX_SPEED)

    def _count_placed(self) -> int:
        return sum(there.count for there in self._platforms.orders().values())

    def _print_where(self, view: View) -> None:
        if not self.console.is_terminal:
            for name, words in self._where():
                view.say(f"{name}: {words}")

    def _where(self) -> list[tuple[str, str]]:
        ports, secrets = self.stack.ports, self.stack.secrets
        staff = f"http://127.0.0.1:{ports['staff']}"
        accounts = "  ".join(f"{name} / {secrets.staff[name]}" for name in PEOPLE)
        where = [
            (tell("Prefect 界面", "Prefect UI"), self.stack.prefect_url),
            (tell("  登录串", "  auth string"), secrets.prefect_auth),
            (tell("员工页面", "staff pages"), staff),
            (tell("  账号", "  accounts"), accounts),
        ]
        if self._progress is not None and self._progress.first:
            first, token = self._progress.first, self._progress.link
            where.append((tell("跟一个订单", "follow one order"), f"{staff}/orders/{first}"))
            if token:
                where.append((tell("  客户看到的", "  as the customer"), f"{self.stack.portal_url}/t/{token}"))
        reviews = tell("在 Prefect 界面打开带 stage:review 的运行,按 Resume", "open a run tagged stage:review, Resume")
        where.append((tell("留给你审核的", "left for you to review"), reviews))
        where.append((tell("停止", "stop"), tell("Ctrl-C,数据保留", "Ctrl-C, the data stay")))
        return where


def patiently(work: Callable[[], Result], seconds: float = 90.0) -> Result:
    """What `work` returns, tried again while database or sandbox are away: both may just be starting again."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return work()
        except (DBAPIError, httpx.HTTPError):
            if time.monotonic() > deadline:
                raise
            time.sleep(1.0)
