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
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console
from sqlmodel import Session

from deployments.demo_book import has_real_orders
from deployments.live import View
from deployments.stack_record import StackRecord
from deployments.stop_signals import StopSignals
from deployments.summary import Baseline, Progress, is_good, keys_twice, last_order_id, read_progress, summarise
from integrations.sandbox.credentials import Credentials
from models.fulfilment import Stage, WaitingOn
from models.notification import Node, Notification, NotificationState
from models.timeline import EventKind, note
from tests.models.factories import a_fulfilment, an_order
from tests.prefect import free_port

NOON = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)
START = Baseline(0, 0, 0)


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

    told = summarise(session, START, placed=3, twice=0, seconds=42.04)

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
    good = summarise(session, START, placed=1, twice=0, seconds=1.0)
    one = {"order_no": "SH-2", "reason": "review", "why": "", "what_to_do": ""}

    assert is_good(good, 1)
    assert not is_good(good, 2)
    assert not is_good({**good, "duplicates": 1}, 1)
    assert is_good({**good, "ingested": 6, "waiting_orders": [one] * 5}, 6)
    assert not is_good({**good, "ingested": 7, "waiting_orders": [one] * 6}, 7)
    assert not is_good({**good, "ingested": 2, "waiting_orders": [{**one, "reason": "moving"}]}, 2)
    assert not is_good({**good, "ingested": 2, "waiting_orders": [{**one, "reason": "notification"}]}, 2)


def test_only_what_must_be_once_counts_as_doubled() -> None:
    counts = [
        {"platform": "wecom", "operation": "send", "keys_twice": 4},
        {"platform": "sf", "operation": "create_waybill", "keys_twice": 1},
    ]

    assert keys_twice(counts) == 1


def test_a_real_shops_orders_are_noticed(session: Session) -> None:
    an_order(session, NOON, "SH-1", shop=Credentials().shopify_shop)
    assert not has_real_orders(session)

    an_order(session, NOON, "SH-2", shop="my-real-shop")
    assert has_real_orders(session)


def test_without_a_terminal_the_view_is_plain_lines(session: Session) -> None:
    said = io.StringIO()
    progress = Progress(3, {"shopify": 3}, {"shipped": 2, "reserved": 1}, {"review": 1}, 2, 2, 0, "SH-1", None)

    with View(Console(file=said, width=40)) as view:
        view.show(progress, 5, 0.5, [])
        view.show(progress, 5, 0.5, [])

    assert said.getvalue().splitlines() == ["订单 3/5 已发货 2 已通知 2 | 已发货 2 已锁库存 1 | 等待营养师审核 1"]


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
    assert "王敏" in done.stdout and "Prefect" in done.stdout
    record = StackRecord.load(state_dir)
    assert record is not None and record.living_children() == {}
    assert not psutil.pid_exists(record.pid)
