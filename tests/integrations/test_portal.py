"""The public listener over real HTTP: factory callbacks, tracking links, health; and the process that serves it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from integrations.standard_webhooks import headers
from models.parcel import LINK_DAYS
from models.settings import settings
from models.timeline import EventKind, note
from tests.integrations.portal_server import (
    RECEIVER,
    SECRET,
    Portal,
    an_order_of,
    committed,
    now,
    one,
    running_portal,
    with_parcel,
    with_work_order,
)

OTHER_SECRET = "whsec_" + "QUJD" * 10
GONE = "这个链接不存在或已过期"


@pytest.fixture
def portal(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Portal]:
    with running_portal(database_url, monkeypatch) as running:
        yield running


def callback(kind: str = "completed", work_order_no: str = "SH-1001-1-1", **data: Any) -> bytes:
    told = {"work_order_no": work_order_no, "batch_no": "B-1", **data}
    message = {"type": f"work_order.{kind}", "timestamp": now().isoformat(), "data": told}
    return json.dumps(message, ensure_ascii=False).encode()


def report(
    portal: Portal, body: bytes, message_id: str | None = None, secret: str = SECRET, age: float = 0.0
) -> httpx.Response:
    signed = headers(secret, message_id or f"msg_{uuid.uuid4().hex}", int(time.time() - age), body)
    return httpx.post(f"{portal.public}/webhooks/mes", content=body, headers=signed, trust_env=False)


def work_state(number: str = "SH-1001-1-1") -> str:
    return str(one("SELECT state FROM work_order WHERE work_order_no = :no", no=number))


def reports_kept() -> int:
    return int(one("SELECT count(*) FROM production_report"))


def test_signed_report_is_taken_and_wakes_the_order(portal: Portal) -> None:
    order = an_order_of(stage="approved", waiting_on="production", ready_at=now() + timedelta(hours=2))
    with_work_order(order)
    answer = report(portal, callback())
    assert (answer.status_code, answer.json()) == (200, {"ok": True, "taken": "taken"})
    assert work_state() == "completed"
    assert one("SELECT ready_at <= now() AND wake_seq = 1 FROM fulfilment")
    assert len(order.events(EventKind.PRODUCTION_REPORTED)) == 1


def test_repeated_report_is_answered_200_and_counts_once(portal: Portal) -> None:
    order = an_order_of(stage="approved")
    with_work_order(order)
    body = callback()
    answers = [report(portal, body, "msg_1") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert [answer.json()["taken"] for answer in answers] == ["taken", "repeated", "repeated"]
    assert reports_kept() == 1
    assert len(order.events(EventKind.PRODUCTION_REPORTED)) == 1
    assert one("SELECT wake_seq FROM fulfilment") == 1


def test_late_progress_after_completion_changes_nothing(portal: Portal) -> None:
    order = an_order_of(stage="approved")
    with_work_order(order)
    assert report(portal, callback("completed")).status_code == 200
    assert report(portal, callback("progress", percent=50)).status_code == 200
    assert report(portal, callback("failed", reason="迟到")).status_code == 200
    assert work_state() == "completed"
    assert reports_kept() == 3
    assert len(order.events(EventKind.PRODUCTION_REPORTED)) == 1


@pytest.mark.parametrize("change", ["body", "id", "secret", "none", "stale", "ahead"])
def test_forged_or_stale_report_is_refused_and_nothing_is_kept(portal: Portal, change: str) -> None:
    with_work_order(an_order_of(stage="approved"))
    body = callback()
    signed = headers(OTHER_SECRET if change == "secret" else SECRET, "msg_1", int(time.time()), body)
    if change in ("stale", "ahead"):
        signed = headers(SECRET, "msg_1", int(time.time()) + (-310 if change == "stale" else 310), body)
    if change == "id":
        signed["webhook-id"] = "msg_2"
    if change == "none":
        signed = {}
    sent = body.replace(b"B-1", b"B-2") if change == "body" else body
    answer = httpx.post(f"{portal.public}/webhooks/mes", content=sent, headers=signed, trust_env=False)
    assert answer.status_code == 401
    assert answer.json()["ok"] is False
    assert reports_kept() == 0
    assert work_state() == "released"


def test_report_of_an_unknown_work_order_is_kept_and_answered_202(portal: Portal) -> None:
    answer = report(portal, callback(work_order_no="OTHER-1"))
    assert (answer.status_code, answer.json()) == (202, {"ok": True, "taken": "unknown"})
    assert reports_kept() == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{" * 5000,
        b"[" * 200_000,
        b'{"type":"work_order.lost","timestamp":"2026-11-01T08:00:00Z","data":{"work_order_no":"W"}}',
        callback(made="\x00"),
        callback(made="HALF").replace(b"HALF", b"\\ud800"),
        callback(made=float("inf")),
        callback(work_order_no="W\x00"),
        callback(work_order_no="W" * 5000),
    ],
    ids=["empty", "list", "broken", "deep", "kind", "nul", "half", "infinity", "nul-no", "long-no"],
)
def test_signed_but_unreadable_report_is_answered_400(portal: Portal, body: bytes) -> None:
    answer = report(portal, body)
    assert answer.status_code == 400
    assert answer.json()["code"] == "unreadable"
    assert reports_kept() == 0


def test_message_id_that_is_too_long_is_answered_400(portal: Portal) -> None:
    assert report(portal, callback(), "m" * 3000).status_code == 400
    assert reports_kept() == 0


def test_report_above_a_megabyte_is_refused_before_it_is_read(portal: Portal) -> None:
    answer = report(portal, callback(made="x" * 1_100_000))
    assert answer.status_code == 413
    assert reports_kept() == 0


def test_report_in_chunks_without_a_length_stops_at_a_megabyte(portal: Portal) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(20):
            yield b"x" * 65_536

    answer = httpx.post(f"{portal.public}/webhooks/mes", content=chunks(), trust_env=False)
    assert answer.status_code == 413


def test_report_without_a_database_is_answered_503_so_that_it_comes_again(
    portal: Portal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERLOOM_DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none")
    settings.cache_clear()
    answer = report(portal, callback())
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "30"
    assert httpx.get(f"{portal.public}/healthz", trust_env=False).status_code == 503


def test_portal_without_a_callback_secret_says_so(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERLOOM_MES__CALLBACK_SECRET", "")
    settings.cache_clear()
    answer = report(portal, callback())
    assert (answer.status_code, answer.json()["code"]) == (503, "not_connected")


def test_reports_are_answered_quickly(portal: Portal) -> None:
    with_work_order(an_order_of(stage="approved"))
    seconds = []
    with httpx.Client(trust_env=False) as client:
        for number in range(60):
            body = callback("progress", percent=number)
            signed = headers(SECRET, f"msg_{number}", int(time.time()), body)
            begun = time.perf_counter()
            assert client.post(f"{portal.public}/webhooks/mes", content=body, headers=signed).status_code == 200
            seconds.append(time.perf_counter() - begun)
    assert statistics.quantiles(seconds, n=20)[-1] < 0.5


def test_tracking_page_says_where_the_parcel_is_and_nothing_about_the_person(portal: Portal) -> None:
    order = an_order_of(stage="shipped", waiting_on="carrier", title="鲜食主粮 500g")
    parcel = with_parcel(order, state="in_transit")
    committed(lambda s: note(s, order.order_id, EventKind.ROUTE_REPORTED, "platform:carrier", now(),
                             order.fulfilment_id, state="picked_up"))  # fmt: skip
    page = httpx.get(f"{portal.public}/t/{parcel.token}", trust_env=False)
    assert page.status_code == 200
    for shown in (
        "运输途中",
        "顺丰速运",
        parcel.waybill_no,
        "SH-1001",
        "鲜食主粮 500g × 2",
        "快递已揽收",
        "订单已收到",
    ):
        assert shown in page.text
    for hidden in (RECEIVER.name, RECEIVER.phone, RECEIVER.detail, "科技园", "王", "5678", "南山区", "520"):
        assert hidden not in page.text
    assert page.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("stage", "state", "headline"),
    [
        ("produced", "created", "等待快递揽收"),
        ("shipped", "out_for_delivery", "正在派送"),
        ("shipped", "exception", "派送遇到问题"),
        ("shipped", "something_new", "运输途中"),
        ("delivered", "signed", "已签收"),
        ("closed", "signed", "已签收"),
    ],
)
def test_tracking_page_has_a_headline_for_every_state(portal: Portal, stage: str, state: str, headline: str) -> None:
    final: dict[str, Any] = {"ready_at": None} if stage == "closed" else {}
    parcel = with_parcel(an_order_of(stage=stage, **final), state=state)
    page = httpx.get(f"{portal.public}/t/{parcel.token}", trust_env=False)
    assert re.search(r"<h1[^>]*>([^<]+)</h1>", page.text)[1] == headline  # type: ignore[index]


def test_tracking_page_of_a_cancelled_order_says_so(portal: Portal) -> None:
    parcel = with_parcel(an_order_of(stage="cancelled", ready_at=None))
    page = httpx.get(f"{portal.public}/t/{parcel.token}", trust_env=False)
    assert "订单已取消" in page.text
    assert "已备货" not in page.text


def test_unknown_expired_and_malformed_tokens_have_the_same_page(portal: Portal) -> None:
    order = an_order_of(stage="shipped")
    expired = with_parcel(order, made_at=now() - timedelta(days=LINK_DAYS, seconds=1))
    wrong = [expired.token, "A" * 24, "x", "A" * 300, "%00" * 20, "..%2f..%2fetc", "' OR 1=1 --aaaaaaaa"]
    pages = [httpx.get(f"{portal.public}/t/{token}", trust_env=False) for token in wrong]
    assert {page.status_code for page in pages} == {404}
    assert len({page.text for page in pages if GONE in page.text}) == 1
    assert pages[0].text == pages[1].text == pages[2].text
    assert {tuple(sorted(page.headers)) for page in pages[:3]} == {tuple(sorted(pages[0].headers))}


def test_guessing_tokens_is_slowed_down_before_looking_at_ones_own_parcel_is(portal: Portal) -> None:
    parcel = with_parcel(an_order_of(stage="shipped"))
    with httpx.Client(base_url=portal.public, trust_env=False) as client:
        assert {client.get(f"/t/{parcel.token}").status_code for _ in range(30)} == {200}
        answers = [client.get(f"/t/{number:024}") for number in range(30)]
    statuses = [answer.status_code for answer in answers]
    assert statuses[0] == 404
    assert statuses[-1] == 429
    assert statuses.count(404) < 15
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert "请稍等" in answers[-1].text


def test_health_is_told(portal: Portal) -> None:
    answer = httpx.get(f"{portal.public}/healthz", trust_env=False)
    assert (answer.status_code, answer.json()) == (200, {"ok": True})


def test_staff_pages_are_not_on_the_public_listener(portal: Portal) -> None:
    for path in ("/", "/sign-in", "/orders/SH-1001", "/reviews", "/quarantine"):
        assert httpx.get(f"{portal.public}{path}", trust_env=False).status_code == 404


HOUSE = Path(__file__).parents[2]


def test_one_process_serves_both_listeners_and_stops_when_told(database_url: str, tmp_path: Path) -> None:
    ports = [_free_port(), _free_port()]
    environment = {**os.environ, "ORDERLOOM_DATABASE_URL": database_url, "ORDERLOOM_STATE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "integrations.portal", "--port", str(ports[0]), "--staff-port", str(ports[1])]
    process = subprocess.Popen(command, env=environment, cwd=HOUSE)
    try:
        assert _status(f"http://127.0.0.1:{ports[0]}/healthz", process) == 200
        assert _status(f"http://127.0.0.1:{ports[1]}/sign-in", process) == 200
        listening = [c.laddr for c in psutil.Process(process.pid).net_connections("tcp") if c.status == "LISTEN"]
        assert sorted(listening) == sorted(("127.0.0.1", port) for port in ports)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0


def test_portal_loads_neither_prefect_nor_pandas() -> None:
    looked = "import sys, integrations.portal.__main__; print({'prefect', 'pandas'} & {*sys.modules})"
    found = subprocess.run([sys.executable, "-c", looked], capture_output=True, text=True, cwd=HOUSE)
    assert found.stdout.strip() == "set()", found.stderr


def test_port_in_use_is_said_at_once(database_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [sys.executable, "-m", "integrations.portal", "--port", str(taken.getsockname()[1])]
        environment = {**os.environ, "ORDERLOOM_DATABASE_URL": database_url}
        ended = subprocess.run(command, env=environment, cwd=HOUSE, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1
    assert "换一个端口" in ended.stderr
    assert "Traceback" not in ended.stderr


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _status(url: str, process: subprocess.Popen[bytes], seconds: float = 30.0) -> int:
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up and process.poll() is None:
        try:
            return httpx.get(url, trust_env=False).status_code
        except httpx.TransportError:
            time.sleep(0.1)
    return 0
