"""The demo: what its summary counts, what makes it good, and one whole run from nothing to shipped."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console
from sqlmodel import Session

from deployments.completeness import Listed, ShopProof, as_document, proof_table, prove, seconds_to_book
from deployments.demo_book import has_real_orders
from deployments.live import View
from deployments.stack_record import StackRecord
from deployments.stop_signals import StopSignals
from deployments.summary import Baseline, Progress, is_good, keys_twice, last_order_id, read_progress, summarise
from integrations.sandbox.credentials import Credentials
from models import quarantine, window
from models.fulfilment import Stage, WaitingOn
from models.notification import Node, Notification, NotificationState
from models.privacy import new_key
from models.timeline import EventKind, note
from tests.house import living_in
from tests.models.factories import a_fulfilment, an_order
from tests.prefect import free_port

NOON = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
START = Baseline(0, 0, 0)
PROVEN = ShopProof("shopify", 3, 3, 0, (), 1, 0, True)


def shipped(session: Session, order_no: str, after: float = 10.0, told: bool = True, **order: Any) -> None:
    """An order that was shipped so many seconds after noon, and told to the customer or not."""
    row = an_order(session, NOON, order_no, **order)
    part = a_fulfilment(session, row, NOON, stage=Stage.SHIPPED.value, waiting_on=WaitingOn.CARRIER.value)
    assert row.id is not None and part.id is not None
    note(session, row.id, EventKind.SHIPPED, "test", NOON + timedelta(seconds=after), part.id)
    if told:
        state = NotificationState.SENT.value
        session.add(
            Notification(
                order_id=row.id, fulfilment_id=part.id, node=Node.SHIPPED.value, via="sms", state=state, at=NOON
            )
        )
    session.flush()


def waiting(
    session: Session, order_no: str, on: WaitingOn | None, why: str = "", stage: Stage = Stage.RESERVED
) -> None:
    """An order that is not shipped yet."""
    value = on.value if on else None
    a_fulfilment(session, an_order(session, NOON, order_no), NOON, stage=stage.value, waiting_on=value, waiting_why=why)


def test_progress_counts_orders_by_channel_stage_and_reason(session: Session) -> None:
    shipped(session, "SH-1")
    shipped(session, "DY-2", channel="douyin", told=False)
    waiting(session, "SH-3", WaitingOn.REVIEW)
    waiting(session, "SH-4", None, stage=Stage.RECEIVED)

    progress = read_progress(session, START)

    assert progress.ingested == 4
    assert progress.by_channel == {"shopify": 3, "douyin": 1}
    assert progress.by_stage == {"received": 1, "reserved": 1, "shipped": 2}
    assert progress.waiting == {"review": 1, "moving": 1}
    assert (progress.shipped, progress.notified) == (2, 1)
    assert not progress.settled


def test_only_orders_of_this_demo_count(session: Session) -> None:
    shipped(session, "SH-1")
    since = Baseline(last_order_id(session), 1, 0)
    shipped(session, "SH-2")

    progress = read_progress(session, since)

    assert (progress.ingested, progress.first) == (1, "SH-2")


def test_a_demo_is_settled_when_all_are_told_or_wait_for_somebody(session: Session) -> None:
    shipped(session, "SH-1")
    waiting(session, "SH-2", WaitingOn.REVIEW)
    assert read_progress(session, START).settled

    waiting(session, "SH-3", WaitingOn.PRODUCTION)
    assert not read_progress(session, START).settled


def test_the_summary_names_every_order_that_waits_and_what_to_do(session: Session) -> None:
    shipped(session, "SH-1", after=5)
    shipped(session, "SH-2", after=20)
    waiting(session, "SH-3", WaitingOn.REVIEW, "金额 612.00 元,超过 500 元")

    told = summarise(session, START, placed=3, twice=0, seconds=42.04, shops=[PROVEN])

    assert {name: told[name] for name in ("orders", "ingested", "shipped", "notified", "duplicates", "seconds")} == {
        "orders": 3,
        "ingested": 3,
        "shipped": 2,
        "notified": 2,
        "duplicates": 0,
        "seconds": 42.0,
    }
    assert told["orders_per_second"] == 0.1
    assert told["waiting"] == {"review": 1}
    assert told["waiting_orders"][0]["order_no"] == "SH-3"
    assert "Resume" in told["waiting_orders"][0]["what_to_do"]
    assert is_good(told, 3)


def test_a_demo_with_missing_moving_doubled_or_too_many_waiting_orders_is_not_good(session: Session) -> None:
    shipped(session, "SH-1")
    good = summarise(session, START, placed=1, twice=0, seconds=1.0, shops=[PROVEN])
    one = {"order_no": "SH-2", "reason": "review", "why": "", "what_to_do": ""}

    assert is_good(good, 1)
    assert not is_good(good, 2)
    assert not is_good({**good, "duplicates": 1}, 1)
    for change in ({"missing": ("4",)}, {"lacking": 1}, {"read_past": False}):
        assert not is_good({**good, "completeness": as_document([replace(PROVEN, **change)])}, 1)
    assert is_good({**good, "ingested": 6, "waiting_orders": [one] * 5}, 6)
    assert not is_good({**good, "ingested": 7, "waiting_orders": [one] * 6}, 7)
    assert not is_good({**good, "ingested": 2, "waiting_orders": [{**one, "reason": "moving"}]}, 2)
    assert not is_good({**good, "ingested": 2, "waiting_orders": [{**one, "reason": "notification"}]}, 2)


def a_window(session: Session, told: int, missing: tuple[str, ...] = (), channel: str = "shopify") -> None:
    """A reading up to noon in which the platform counted so many."""
    row = window.begin(session, channel, "shop", NOON - timedelta(hours=1), NOON, window.Why.PULL, NOON)
    window.end(session, row.id or 0, told, told - len(missing), missing, 0, {}, NOON)
    window.mark_read(session, channel, "shop", NOON, {}, NOON)
    session.flush()


def test_what_is_in_the_book_or_set_aside_is_not_missing(session: Session) -> None:
    earlier = NOON - timedelta(minutes=1)
    an_order(session, earlier, "SH-1", channel_order_id="1")
    with living_in({"ORDERLOOM_PRIVACY_KEY": new_key()}):
        quarantine.set_aside(session, "shopify", "shop", "2", [], {}, NOON)
    a_window(session, 2)

    listed = {"shopify": Listed(frozenset({"1", "2", "3"}), over=frozenset({"4"})), "douyin": Listed(frozenset())}
    shopify, douyin = prove(session, listed)

    assert (shopify.placed, shopify.held, shopify.quarantined, shopify.missing) == (4, 1, 1, ("3",))
    assert not shopify.proven
    assert (douyin.placed, douyin.windows, douyin.proven) == (0, 0, False)  # never read, so nothing is proved
    assert prove(session, {"shopify": Listed(frozenset({"1", "2"}))})[0].proven


def test_all_is_proven_once_it_is_read_past_the_newest_order_and_no_window_lacks_any(session: Session) -> None:
    listed = {"shopify": Listed(frozenset({"1"}))}
    an_order(session, NOON + timedelta(seconds=1), "SH-1", channel_order_id="1")
    a_window(session, 0)
    assert not prove(session, listed)[0].proven

    window.mark_read(session, "shopify", "shop", NOON + timedelta(minutes=1), {}, NOON)
    assert prove(session, listed)[0].proven

    a_window(session, 1, missing=("2",))
    (shop,) = prove(session, listed)
    assert (shop.missing, shop.lacking, shop.proven) == ((), 1, False)


def test_the_completeness_table_is_one_line_per_channel() -> None:
    said = io.StringIO()
    Console(file=said, width=80).print(proof_table([PROVEN, replace(PROVEN, channel="douyin", missing=("9",))]))

    lines = [line.split() for line in said.getvalue().splitlines()]

    assert lines[1] == ["渠道", "平台计数", "我们的订单", "隔离", "差", "核对过的窗口"]
    assert lines[2:] == [["Shopify", "3", "3", "0", "0", "1"], ["抖店", "3", "3", "0", "1", "1"]]


def test_seconds_from_placed_to_in_the_book_are_of_orders_placed_since(session: Session) -> None:
    an_order(session, NOON, "SH-1", received_at=NOON + timedelta(minutes=9))
    for number in range(2, 5):
        then = NOON + timedelta(seconds=number)
        an_order(session, then, f"SH-{number}", received_at=then + timedelta(seconds=number))

    assert seconds_to_book(session, 0, NOON + timedelta(seconds=1)) == {"orders": 3, "p50": 3.0, "p95": 3.9}
    assert seconds_to_book(session, 0, NOON + timedelta(hours=1)) is None


def test_only_what_must_be_once_counts_as_doubled() -> None:
    counts = [
        {"platform": "wecom", "operation": "send", "keys_twice": 4},
        {"platform": "sf", "operation": "create_waybill", "keys_twice": 1},
    ]

    assert keys_twice(counts) == 1


def test_a_real_shops_orders_are_noticed(session: Session) -> None:
    an_order(session, NOON, "SH-1", shop=Credentials().shopify_shop)
    assert not has_real_orders(session)
    # a sheet that somebody tries in a demo makes it no real shop's
    an_order(session, NOON, "XL-1", channel="spreadsheet", shop="企业团购")
    assert not has_real_orders(session)

    an_order(session, NOON, "SH-2", shop="my-real-shop")
    assert has_real_orders(session)


def test_a_book_of_nothing_but_sheets_is_a_real_shops(session: Session) -> None:
    an_order(session, NOON, "XL-1", channel="spreadsheet", shop="企业团购")
    assert has_real_orders(session)


def test_without_a_terminal_the_view_is_plain_lines(session: Session) -> None:
    said = io.StringIO()
    progress = Progress(3, {"shopify": 3}, {"shipped": 2, "reserved": 1}, {"review": 1}, 2, 2, 0, "SH-1", None)

    with View(Console(file=said, width=40)) as view:
        view.show(progress, 5, 0.5, [PROVEN], [])
        view.show(progress, 5, 0.5, [PROVEN], [])

    assert said.getvalue().splitlines() == ["订单 3/5 已发货 2 已通知 2 | 已发货 2 已锁库存 1 | 等待审核 1"]


def test_asking_twice_to_stop_makes_it_hurry() -> None:
    again = threading.Event()
    with StopSignals() as signals:
        signals.again = again.set
        signal.raise_signal(signal.SIGTERM)
        assert signals.asked.is_set() and not again.is_set()

        signal.raise_signal(signal.SIGINT)

    assert again.is_set()


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """A directory that the database's own account can enter; gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="orderloom-test-demo-"))
    directory.chmod(0o711)
    yield directory / "state"
    shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.slow
def test_a_demo_carries_real_baskets_from_the_platforms_to_the_customer(state_dir: Path, tmp_path: Path) -> None:
    names = ("prefect", "portal", "staff", "sandbox", "postgres")
    ports = {f"ORDERLOOM_PORTS__{name.upper()}": str(free_port()) for name in names}
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("ORDERLOOM", "DATABASE_URL"))}
    command = [sys.executable, "-m", "deployments.cli", "demo", "--orders", "30", "--seconds", "10", "--exit"]
    command += ["--leave-reviews", "1", "--summary", str(tmp_path / "summary.json"), "--state-dir", str(state_dir)]

    done = subprocess.run(command, env={**ours, **ports}, capture_output=True, text=True, timeout=400, check=False)

    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    told = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert told["orders"] == told["ingested"] == 30
    assert set(told["by_channel"]) == {"shopify", "wechat_shop", "douyin"}
    assert told["waiting"] == {"review": 1}
    assert told["shipped"] == told["notified"] == 29
    assert told["duplicates"] == 0
    assert sum(shop["platform"] for shop in told["completeness"].values()) == 30
    assert all(shop["missing"] == 0 and shop["windows"] > 0 for shop in told["completeness"].values())
    assert "渠道订单核对" in done.stdout
    assert "王敏" in done.stdout and "Prefect" in done.stdout
    record = StackRecord.load(state_dir)
    assert record is not None and record.living_children() == {}
    assert not psutil.pid_exists(record.pid)
