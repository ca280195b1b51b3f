"""`orderloom channels` and `orderloom quarantine` on a real database, and with a Prefect server that is asked."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deployments.stack_record import StackRecord
from integrations.sandbox.credentials import settings_for_sandbox
from models import window
from models.book import take_orders
from models.database import utcnow
from models.privacy import new_key
from models.quarantine import waiting_list
from models.settings import settings
from models.window import Why
from tests.deployments.command import Run
from tests.models.build import cans, incoming, open_shop
from tests.prefect import free_port
from tests.sandbox import free_socket, serving

SHOPIFY = ("shopify", "pets")
CONNECTED = {
    f"ORDERLOOM_{name.upper()}": json.dumps(settings_for_sandbox(9, "")[name]) for name in ("shopify", "wechat_shop")
}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A key to seal with."""
    monkeypatch.setenv("ORDERLOOM_PRIVACY_KEY", new_key())
    settings.cache_clear()
    yield
    settings.cache_clear()


def read(session: Session, told: int, missing: tuple[str, ...] = (), why: Why = Why.PULL) -> None:
    """A window of the last quarter of an hour that ended a minute ago."""
    until = utcnow() - timedelta(minutes=1)
    row = window.begin(session, *SHOPIFY, until - timedelta(minutes=15), until, why, utcnow())
    window.end(session, row.id or 0, told, told - len(missing), missing, 0, {}, until)
    window.mark_read(session, *SHOPIFY, until, {}, until)
    session.commit()


def test_without_a_channel_every_one_says_what_it_needs(orderloom: Run) -> None:
    said = orderloom("channels")

    assert said.returncode == 0
    for words in ("Shopify: 未接", "wechat_shop.app_id", "douyin.app_secret", "taobao.session", "jd.access_token"):
        assert words in said.stdout
    assert "拼多多" in said.stdout


def test_a_shop_is_a_line_with_how_far_it_is_read(orderloom: Run, session: Session) -> None:
    read(session, 12)

    said = orderloom("channels", **CONNECTED)

    assert said.returncode == 0, said.stdout
    line = next(line for line in said.stdout.splitlines() if "pets" in line)
    assert line.split()[:3] == ["Shopify", "pets", "正常"]
    assert "1 分前" in line and line.split()[6:9] == ["12", "12", "0"]
    # what is connected and was never read says so, and what pushes still need
    assert "还没有读过" in said.stdout and "public_url" in said.stdout
    assert "抖店: 未接" in said.stdout and "微信小店: 未接" not in said.stdout


def test_a_gap_or_an_error_is_told_and_is_exit_code_one(orderloom: Run, session: Session) -> None:
    read(session, 12, missing=("77", "78"))
    gap = orderloom("channels", "--lang", "en")
    window.mark_failed(session, *SHOPIFY, "shopify 401: Invalid token", utcnow(), utcnow())
    session.commit()
    broken = orderloom("channels")

    assert (gap.returncode, broken.returncode) == (1, 1)
    assert "a gap" in gap.stdout and "which orders are missing" in gap.stdout
    assert "Shopify: shopify 401: Invalid token" in broken.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("channels", "backfill"), "--since"),
        (("channels", "backfill", "--since", "yesterday"), "不是时间"),
        (("channels", "backfill", "--since", "2026-11-01", "--until", "soon"), "不是时间"),
        (("channels", "backfill", "--since", "2026-11-01", "--channel", "douyin"), "没有接好渠道 douyin"),
        (("quarantine", "list", "--channel", "ebay"), "ebay"),
        (("quarantine", "list", "--fault", "bad_luck"), "没有问题 bad_luck"),
        (("quarantine", "resubmit"), "请写编号"),
        (("quarantine", "resubmit", "3", "--fault", "unknown_sku"), "写了编号"),
        (("quarantine", "resubmit", "--fault", "unknown_sku", "--who", " "), "--who"),
    ],
)
def test_what_was_written_wrongly_is_exit_code_two(orderloom: Run, arguments: tuple[str, ...], words: str) -> None:
    said = orderloom(*arguments, **CONNECTED)

    assert said.returncode == 2
    assert words in said.stderr and "Traceback" not in said.stderr


def test_a_backfill_says_when_nothing_is_connected_and_when_the_stack_is_down(orderloom: Run, tmp_path: Path) -> None:
    nothing = orderloom("channels", "backfill", "--since", "2026-11-01")
    never = orderloom("channels", "backfill", "--since", "2026-11-01", **CONNECTED)
    StackRecord("up", os.getpid(), 0.0, {"prefect": free_port()}).save(tmp_path)
    away = orderloom("channels", "backfill", "--since", "2026-11-01", **CONNECTED)

    assert nothing.returncode == 1 and "还没有接好任何渠道" in nothing.stdout
    for said in (never, away):
        assert said.returncode == 1
        assert "orderloom up" in said.stderr and "Traceback" not in said.stderr


def test_a_backfill_is_followed_to_its_end_and_its_proof_shown(
    orderloom: Run, session: Session, tmp_path: Path
) -> None:
    def reads() -> None:
        read(session, 40, why=Why.BACKFILL)

    with prefect_that(tmp_path, reads, name="新单 3") as asked:
        said = orderloom("channels", "backfill", "--since", "2026-11-01", "--channel", "shopify", **CONNECTED)

    assert said.returncode == 0, said.stdout + said.stderr
    assert asked == [{"since": "2026-11-01T00:00:00+08:00", "channels": ["shopify"]}]
    for words in ("补拉 50%", "新单 3"):
        assert words in said.stdout
    assert said.stdout.splitlines()[-1].split() == ["Shopify", "1", "40", "40", "0", "0"]


def test_a_backfill_that_leaves_a_gap_or_fails_is_exit_code_one(
    orderloom: Run, session: Session, tmp_path: Path
) -> None:
    def lacks() -> None:
        read(session, 40, missing=("77",), why=Why.BACKFILL)

    arguments = ("channels", "backfill", "--since", "2026-11-01T08:00Z", "--until", "2026-11-02")
    with prefect_that(tmp_path, lacks, name="有缺口:1 单") as asked:
        gap = orderloom(*arguments, **CONNECTED)
    with prefect_that(tmp_path, lambda: None, name="时间段不对", state="FAILED"):
        failed = orderloom(*arguments, **CONNECTED)

    assert asked[0]["since"] == "2026-11-01T08:00:00+00:00"
    assert asked[0]["until"] == "2026-11-02T00:00:00+08:00"
    assert gap.returncode == failed.returncode == 1
    assert "缺的会自动再拉" in gap.stdout
    assert "时间段不对" in failed.stdout


def test_quarantine_lists_reasons_and_no_personal_data(orderloom: Run, session: Session) -> None:
    first, second = set_aside(session)
    for said in (orderloom("quarantine"), orderloom("quarantine", "list", "--lines", "5")):
        assert said.returncode == 0
        assert "SKU 不在商品表" in said.stdout and "有表情符号" in said.stdout
        for secret in ("王小明", "13800138000", "科技园", "NO-SUCH"):
            assert secret not in said.stdout
    # and by fault, in either language's word or the code
    for name in ("emoji", "有表情符号"):
        only = orderloom("quarantine", "list", "--fault", name).stdout
        assert only.splitlines()[1].split()[0] == str(second)
        assert "NO-1" not in only
    assert f"{first}" in orderloom("quarantine", "list", "--channel", "shopify", "--lang", "en").stdout
    assert "没有隔离的订单" in orderloom("quarantine", "list", "--channel", "douyin").stdout


def test_one_of_the_quarantine_says_what_to_do(orderloom: Run, session: Session) -> None:
    first, _ = set_aside(session)
    said = orderloom("quarantine", "show", str(first))
    unknown = orderloom("quarantine", "show", "999")

    assert said.returncode == 0
    assert "unknown_sku" in said.stdout
    assert f"/quarantine/{first}" in said.stdout and f"quarantine resubmit {first}" in said.stdout
    assert "王小明" not in said.stdout
    assert unknown.returncode == 1 and "没有编号 999" in unknown.stdout


def test_orders_are_submitted_again_under_a_name(orderloom: Run, tmp_path: Path) -> None:
    with prefect_that(tmp_path, lambda: None, name="入库 2") as asked:
        by_fault = orderloom("quarantine", "resubmit", "--fault", "unknown_sku", "--who", "王敏")
        by_number = orderloom("quarantine", "resubmit", "3", "4", "--fetch-again", "--who", "王敏")

    assert by_fault.returncode == by_number.returncode == 0
    assert "入库 2" in by_fault.stdout
    assert asked == [
        {"your_name": "王敏", "fetch_again": False, "faults": ["unknown_sku"], "channels": []},
        {"your_name": "王敏", "fetch_again": True, "numbers": [3, 4]},
    ]


def set_aside(session: Session) -> tuple[int, int]:
    """Two orders that cannot enter: of an unknown SKU, and with an emoji for a name; their numbers."""
    open_shop(session)
    unknown = replace(incoming("NO-1"), lines=(replace(cans(), sku="NO-SUCH"),))
    order = incoming("NO-2")
    assert order.receiver is not None
    emoji = replace(order, receiver=replace(order.receiver, name="王小明🐶"))
    take_orders(session, [unknown], utcnow())
    take_orders(session, [emoji], utcnow())
    session.commit()
    numbers = {row.channel_order_id: row.id or 0 for row in waiting_list(session)}
    return numbers["id-NO-1"], numbers["id-NO-2"]


@contextmanager
def prefect_that(
    state_dir: Path, works: Callable[[], None], *, name: str, state: str = "COMPLETED"
) -> Iterator[list[dict[str, Any]]]:
    """A server that answers like Prefect's API: the run is half done when it is first asked about, and over then.

    `works` is what the run does. Yields the parameters of every run that was started.
    """
    started: list[dict[str, Any]] = []
    asked = {"times": 0}
    run = {"id": "r-1", "name": "a-run", "created": datetime.now(UTC).isoformat()}

    async def deployment(request: Request) -> Response:
        return JSONResponse({"id": "d-1", "name": request.path_params["name"]})

    async def start(request: Request) -> Response:
        started.append((await request.json())["parameters"])
        asked["times"] = 0
        return JSONResponse({**run, "state": {"type": "SCHEDULED", "name": "Scheduled"}})

    async def look(request: Request) -> Response:
        asked["times"] += 1
        if asked["times"] == 1:
            return JSONResponse({**run, "state": {"type": "RUNNING", "name": "Running"}})
        works()
        return JSONResponse({**run, "state": {"type": state, "name": name, "message": "核对过了"}})

    async def artifacts(request: Request) -> Response:
        return JSONResponse([{"data": 50.0 * asked["times"]}])

    app = Starlette(
        routes=[
            Route("/api/deployments/name/{flow}/{name}", deployment),
            Route("/api/deployments/d-1/create_flow_run", start, methods=["POST"]),
            Route("/api/flow_runs/r-1", look),
            Route("/api/artifacts/filter", artifacts, methods=["POST"]),
        ]
    )
    door = free_socket()
    StackRecord("up", os.getpid(), 0.0, {"prefect": door.getsockname()[1]}).save(state_dir)
    with serving(app, door):
        yield started
