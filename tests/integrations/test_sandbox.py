"""The sandbox itself: faults, jobs that never stop each other, the control API, and a process that can be killed."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from integrations import http
from integrations.carriers import Shipment
from integrations.carriers.sf_express import SfExpress
from integrations.errors import Later, Unclear
from integrations.messaging.aliyun_sms import AliyunSms
from integrations.sandbox.credentials import NODES, Credentials, settings_for_sandbox
from integrations.sandbox.jobs import Post, keep_doing
from integrations.sandbox.label import CODE_39
from integrations.sandbox.world import Job, World
from models.intake import Receiver
from models.settings import Settings
from tests.sandbox import Sandbox, free_socket, running_sandbox

RECEIVER = Receiver("王敏", "13912345678", "广东省", "广州市", "海珠区", "滨江西路 1 号")


def shipment(number: str) -> Shipment:
    return Shipment(number, RECEIVER, (("鸡肉冻干", 1),), weight_g=500)


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path) as running:
        yield running


@contextmanager
def process(state: Path, port: int, parent: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """The sandbox as a process of its own, up and answering; killed at the end if it still runs."""
    command = [sys.executable, "-m", "integrations.sandbox", "--port", str(port), "--state", str(state)]
    if parent:
        command += ["--parent-pid", str(parent)]
    started = subprocess.Popen(command)
    try:
        give_up = time.monotonic() + 30
        while time.monotonic() < give_up:
            try:
                httpx.get(f"http://127.0.0.1:{port}/control/counts", trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield started
    finally:
        started.kill()
        started.wait()


def unused_port() -> int:
    with free_socket() as bound:
        return int(bound.getsockname()[1])


async def test_control_tells_counts_and_effects(sandbox: Sandbox) -> None:
    async with http.client() as client:
        sf = SfExpress(sandbox.settings.sf_express, client)
        for number in ("OL-1", "OL-1", "OL-2"):
            await sf.create_waybill(sf.waybill_request(shipment(number)))
        counts = (await client.get(f"{sandbox.url}/control/counts")).json()
        asked = {"platform": "sf", "operation": "create_waybill"}
        effects = (await client.get(f"{sandbox.url}/control/effects", params=asked)).json()
    assert counts == [
        {
            "platform": "sf",
            "operation": "create_waybill",
            "deliveries": 3,
            "effects": 2,
            "keys": 2,
            "keys_twice": 0,
        }
    ]
    assert effects == {"OL-1": 1, "OL-2": 1}


async def test_fault_set_over_http_is_played_as_often_as_told_and_can_be_cleared(sandbox: Sandbox) -> None:
    async with http.client() as client:
        sf = SfExpress(sandbox.settings.sf_express, client)
        faults = f"{sandbox.url}/control/faults"
        twice = {"platform": "sf", "operation": "*", "kind": "http_503", "times": 2}
        await client.post(faults, json=twice)
        for _ in range(2):
            with pytest.raises(Later):
                await sf.find_waybill("OL-1")
        assert await sf.find_waybill("OL-1") is None
        await client.post(faults, json=twice)
        await client.delete(faults)
        assert await sf.find_waybill("OL-1") is None
        assert (await client.post(faults, json={"platform": "sf"})).status_code == 400


async def test_hanging_fault_ends_with_a_broken_connection(sandbox: Sandbox) -> None:
    sandbox.world.set_fault("sf", "create_waybill", "timeout_after", detail={"seconds": 0.1})
    async with http.client() as client:
        sf = SfExpress(sandbox.settings.sf_express, client)
        with pytest.raises(Unclear, match="broken"):
            await sf.create_waybill(sf.waybill_request(shipment("OL-1")))
        assert await sf.find_waybill("OL-1") is not None


async def placed(client: httpx.AsyncClient, sandbox: Sandbox, orders: int) -> dict[str, dict[str, int]]:
    """The orders of every channel once so many are there."""
    async with asyncio.timeout(20):
        while True:
            state = (await client.get(f"{sandbox.url}/control/state")).json()
            if sum(each["placed"] for each in state["orders"].values()) >= orders:
                return dict(state["orders"])


async def test_replay_places_as_many_orders_as_told_on_the_channel_told(sandbox: Sandbox) -> None:
    async with http.client() as client:
        replay = f"{sandbox.url}/control/replay"
        await client.post(replay, json={"orders": 12, "seconds": 0.2, "channel": "douyin", "unpaid_every": 4})
        orders = await placed(client, sandbox, 12)
        assert (await client.post(replay, json={"orders": 1, "channel": "ebay"})).status_code == 400
        assert (await client.post(replay, json={"orders": 0})).status_code == 400
    assert orders["douyin"] == {"placed": 12, "paid": 9, "cancelled": 0, "shipped": 0}
    assert orders["shopify"]["placed"] == orders["wechat_shop"]["placed"] == 0


async def test_one_bad_order_of_every_kind_is_placed(sandbox: Sandbox) -> None:
    async with http.client() as client:
        told = (await client.post(f"{sandbox.url}/control/place_bad")).json()
        orders = await placed(client, sandbox, len(told["flaws"]))
    assert sum(each["placed"] for each in orders.values()) == len(told["flaws"]) == 7


async def test_state_counts_messages_waybills_and_work_orders(sandbox: Sandbox) -> None:
    async with http.client() as client:
        sf = SfExpress(sandbox.settings.sf_express, client)
        sms = AliyunSms(sandbox.settings.aliyun_sms, client)
        await sf.create_waybill(sf.waybill_request(shipment("OL-1")))
        for number in range(2):
            await sms.send(sms.request(RECEIVER.phone, "shipped", {}, f"OL-{number}/shipped"))
        state = (await client.get(f"{sandbox.url}/control/state")).json()
    assert state["sms"] == {"shipped": 2}
    assert (state["waybills"], state["work_orders"]) == (1, 0)


async def test_speed_can_be_changed_while_running(sandbox: Sandbox) -> None:
    async with http.client() as client:
        assert (await client.post(f"{sandbox.url}/control/speed", json={"speed": 60})).json() == {"speed": 60.0}
        assert (await client.post(f"{sandbox.url}/control/speed", json={"speed": 0})).status_code == 400


async def test_failing_job_is_tried_again_and_stops_no_other(tmp_path: Path) -> None:
    world = World(tmp_path / "sandbox.sqlite")
    done: list[str] = []

    async def good(job: Job, world: World, post: Post) -> None:
        done.append(job.body["name"])

    async def bad(job: Job, world: World, post: Post) -> None:
        raise RuntimeError("on purpose")

    for name, kind in [("a", "bad"), ("b", "good"), ("c", "unknown"), ("d", "good")]:
        world.later(0, kind, {"name": name})
    doing = asyncio.create_task(keep_doing(world, {"good": good, "bad": bad}))
    async with asyncio.timeout(5):
        while len(done) < 2:  # noqa: ASYNC110 - the loop under test has no event to wait for
            await asyncio.sleep(0.01)
    doing.cancel()
    await asyncio.gather(doing, return_exceptions=True)
    left = sorted(body for (body,) in world._db.execute("SELECT body FROM job"))
    world.close()
    assert sorted(done) == ["b", "d"]
    assert [json.loads(body)["name"] for body in left] == ["a", "c"]


async def test_slow_job_holds_up_no_other(tmp_path: Path) -> None:
    world = World(tmp_path / "sandbox.sqlite")
    done = asyncio.Event()

    async def slow(job: Job, world: World, post: Post) -> None:
        await asyncio.Event().wait()

    async def quick(job: Job, world: World, post: Post) -> None:
        done.set()

    world.later(0, "slow", {})
    world.later(0, "quick", {})
    doing = asyncio.create_task(keep_doing(world, {"slow": slow, "quick": quick}))
    await asyncio.wait_for(done.wait(), 5)
    doing.cancel()
    await asyncio.gather(doing, return_exceptions=True)
    assert len(world.due()) == 1
    world.close()


def test_killed_sandbox_remembers_everything(tmp_path: Path) -> None:
    state, port = tmp_path / "sandbox.sqlite", unused_port()
    settings = Settings(state_dir=tmp_path, **settings_for_sandbox(port, "http://127.0.0.1:9"))

    async def create() -> str:
        async with http.client() as client:
            sf = SfExpress(settings.sf_express, client)
            return (await sf.create_waybill(sf.waybill_request(shipment("OL-1")))).waybill_no

    with process(state, port):
        before = asyncio.run(create())
    with process(state, port):
        after = asyncio.run(create())
    assert before == after


def test_sandbox_ends_with_the_process_it_was_started_for(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with process(tmp_path / "sandbox.sqlite", unused_port(), parent.pid) as sandbox:
        assert sandbox.poll() is None
        parent.kill()
        parent.wait()
        assert sandbox.wait(10) == 0


def test_settings_name_every_platform_and_hold_no_real_address(tmp_path: Path) -> None:
    told = settings_for_sandbox(1234, "http://127.0.0.1:9")
    assert {"shopify", "wechat_shop", "douyin", "sf_express", "aliyun_sms", "wecom", "mes"} < set(told)
    assert {"alipay", "wechat_pay", "warehouse"} < set(told)
    assert set(told["aliyun_sms"]["templates"]) == set(NODES)
    called = [part for name, part in told.items() if isinstance(part, dict) and name != "warehouse"]
    addresses = [str(part.get("base_url") or part["url"]) for part in called]
    assert all(address.startswith("http://127.0.0.1:1234/") for address in addresses)
    assert Credentials() == Credentials()


def test_bar_code_letters_have_three_wide_elements_of_nine() -> None:
    assert all(len(code) == 9 and code.count("w") == 3 for code in CODE_39.values())
    assert len(set(CODE_39.values())) == len(CODE_39)
