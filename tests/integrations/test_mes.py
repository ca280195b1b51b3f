"""The MES: the Standard Webhooks vector, releases against the sandbox, and callbacks that are not lost."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from integrations import http
from integrations.errors import Forged, Later, Refused, Unclear
from integrations.production import Batch, ProductionEvent, ProductionEventKind, WorkOrder
from integrations.production.mes import Mes
from integrations.standard_webhooks import headers, sign
from models.settings import MesSettings
from tests.sandbox import Sandbox, free_socket, running_sandbox, serving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CALLBACK = (
    b'{"type":"work_order.completed","timestamp":"2026-11-01T08:00:00+00:00",'
    b'"data":{"work_order_no":"W-1","batch_no":"B-1","made":2}}'
)
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def work_order(number: str = "W-1") -> WorkOrder:
    return WorkOrder(number, "OL-1", "chicken-adult@3", "FRESH-500", 2, {"chicken": 700, "pumpkin": 300}, NOON)


def batch(*orders: WorkOrder) -> Batch:
    return Batch("PB261101-0001", 3, orders or (work_order(),))


@dataclass
class Portal:
    """Something that takes callbacks and answers with `status`."""

    status: int = 200
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def app(self) -> Starlette:
        async def webhook(request: Request) -> Response:
            self.taken.append((dict(request.headers), await request.body()))
            return Response(status_code=self.status)

        return Starlette(routes=[Route("/webhooks/mes", webhook, methods=["POST"])])

    def ids(self) -> list[str]:
        return [received["webhook-id"] for received, _ in self.taken]


def wait_for(condition: Callable[[], object], seconds: float = 10.0) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.02)


@contextmanager
def factory(directory: Path, portal: Portal, speed: float = 100.0) -> Iterator[Sandbox]:
    """A sandbox whose callbacks go to this portal."""
    with (
        serving(portal.app(), free_socket()) as url,
        running_sandbox(directory, portal_url=url, speed=speed) as running,
    ):
        yield running


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path) as running:
        yield running


@pytest.fixture
async def mes(sandbox: Sandbox) -> AsyncIterator[Mes]:
    async with http.client() as client:
        yield Mes(sandbox.settings.mes, client, timeout=5)


def receiving(secret: str = SECRET) -> Mes:
    return Mes(MesSettings.model_validate({"callback_secret": secret}), httpx.AsyncClient())


def test_signature_equals_the_published_vector() -> None:
    signature = sign(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("secret", ["whsec_c2hvcnQ=", "whsec_***", "whsec_" + "QUFB" * 30])
def test_secret_of_another_shape_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match=r"24 to 64|Base64"):
        sign(secret, "msg_1", 1, b"")


def test_signed_callback_is_read() -> None:
    signed = {name.title(): value for name, value in headers(SECRET, "msg_1", int(NOON.timestamp()), CALLBACK).items()}
    event = receiving().verify(signed, CALLBACK, NOON)
    assert event == ProductionEvent(
        id="msg_1",
        kind=ProductionEventKind.COMPLETED,
        at=datetime(2026, 11, 1, 8, tzinfo=UTC),
        work_order_no="W-1",
        batch_no="B-1",
        data={"work_order_no": "W-1", "batch_no": "B-1", "made": 2},
    )


def test_any_of_several_signatures_passes_so_that_keys_can_rotate() -> None:
    now = int(NOON.timestamp())
    signed = headers(SECRET, "msg_1", now, CALLBACK)
    other = sign("whsec_" + "QUJD" * 8, "msg_1", now, CALLBACK)
    signed["webhook-signature"] = f"{other} v1a,abc {signed['webhook-signature']}"
    assert receiving().verify(signed, CALLBACK, NOON).id == "msg_1"


@pytest.mark.parametrize("seconds", [-301, 301])
def test_callback_more_than_five_minutes_off_is_forged(seconds: int) -> None:
    signed = headers(SECRET, "msg_1", int(NOON.timestamp()) + seconds, CALLBACK)
    with pytest.raises(Forged, match="stale"):
        receiving().verify(signed, CALLBACK, NOON)


def test_changed_body_id_or_time_is_forged() -> None:
    now = int(NOON.timestamp())
    signed = headers(SECRET, "msg_1", now, CALLBACK)
    for changed, body in [
        (signed, CALLBACK.replace(b"W-1", b"W-2")),
        (signed | {"webhook-id": "msg_2"}, CALLBACK),
        (signed | {"webhook-timestamp": str(now + 1)}, CALLBACK),
        (signed | {"webhook-signature": "v1,AAAA v1,签名"}, CALLBACK),
    ]:
        with pytest.raises(Forged, match="signature"):
            receiving().verify(changed, body, NOON)


def test_missing_headers_are_forged() -> None:
    with pytest.raises(Forged, match="missing"):
        receiving().verify({"webhook-id": "msg_1"}, CALLBACK, NOON)


@pytest.mark.parametrize(
    "body", [b"[]", b"{", b'{"type":"work_order.lost","timestamp":"2026-11-01T08:00:00Z","data":{}}']
)
def test_signed_but_unreadable_callback_is_refused(body: bytes) -> None:
    with pytest.raises(Refused, match="unreadable"):
        receiving().verify(headers(SECRET, "msg_1", int(NOON.timestamp()), body), body, NOON)


async def test_repeated_release_has_the_same_answer_and_makes_nothing_twice(mes: Mes, sandbox: Sandbox) -> None:
    request = mes.release_request(batch(work_order("W-1"), work_order("W-2")))
    first, second = await mes.release("release/1", request), await mes.release("release/1", request)
    assert first == second
    assert first.expected_at > datetime.now(UTC)
    assert sandbox.world.effects("mes", "release") == {"W-1": 1, "W-2": 1}


async def test_every_batch_has_its_own_number(mes: Mes) -> None:
    one = await mes.release("release/1", mes.release_request(batch(work_order("W-1"))))
    two = await mes.release("release/2", mes.release_request(batch(work_order("W-2"))))
    assert one.batch_no != two.batch_no


async def test_release_whose_answer_was_lost_is_taken_once(sandbox: Sandbox) -> None:
    sandbox.world.set_fault("mes", "release", "timeout_after", detail={"seconds": 30})
    async with http.client() as client:
        mes = Mes(sandbox.settings.mes, client, timeout=0.5)
        request = mes.release_request(batch())
        with pytest.raises(Unclear, match="timeout"):
            await mes.release("release/1", request)
        await mes.release("release/1", request)
    assert sandbox.world.effects("mes", "release") == {"W-1": 1}


@pytest.mark.parametrize(
    "odd",
    [
        {"expected_at": None}, {"expected_at": 1_793_520_000}, {"expected_at": "2026-11-01T20:00:00"},
        {"expected_at": "soon"}, {"expected_at": ["2026-11-01T20:00:00+08:00"]}, {"expected_at": ""},
        {"expected_at": "9999-12-31T23:59:59+00:00"}, {"batch_no": None}, {"batch_no": 7}, {"batch_no": " "},
        {"batch_no": "B\u0000"},
    ],
    ids=str,
)  # fmt: skip
async def test_an_answer_without_a_batch_or_a_time_that_can_be_is_unclear(odd: dict[str, object]) -> None:
    # given a factory that takes the batch, and answers oddly
    answer = {"batch_no": "B-1", "expected_at": "2026-11-01T20:00:00+08:00"} | odd

    async def messages(request: Request) -> Response:
        return JSONResponse({"data": answer})

    app = Starlette(routes=[Route("/messages", messages, methods=["POST"])])
    with serving(app, free_socket()) as url:
        async with http.client() as client:
            settings = MesSettings.model_validate({"url": url, "secret": SECRET})
            mes = Mes(settings, client, clock=NOON.timestamp, timeout=5)
            # then it is asked again, rather than waited for till a time that nobody meant
            with pytest.raises(Unclear, match="expected_at like"):
                await mes.release("release/1", mes.release_request(batch()))


async def test_busy_mes_says_when_to_come_back(mes: Mes, sandbox: Sandbox) -> None:
    sandbox.world.set_fault("mes", "release", "http_429", detail={"retry_after": 7})
    with pytest.raises(Later) as later:
        await mes.release("release/1", mes.release_request(batch()))
    assert later.value.retry_after == 7.0
    assert sandbox.world.effects("mes", "release") == {}


async def test_used_key_around_another_message_is_refused(mes: Mes, sandbox: Sandbox) -> None:
    await mes.release("release/1", mes.release_request(batch(work_order("W-1"))))
    with pytest.raises(Refused, match="409"):
        await mes.release("release/1", mes.release_request(batch(work_order("W-2"))))
    assert sandbox.world.effects("mes", "release") == {"W-1": 1}


async def test_wrong_secret_is_refused(sandbox: Sandbox) -> None:
    wrong = sandbox.settings.mes.model_copy(update={"secret": sandbox.settings.mes.callback_secret})
    async with http.client() as client:
        mes = Mes(wrong, client)
        with pytest.raises(Refused, match="401"):
            await mes.release("release/1", mes.release_request(batch()))
    assert sandbox.world.counts() == []


async def test_work_order_called_back_in_time_is_not_made(tmp_path: Path) -> None:
    portal = Portal()
    with factory(tmp_path, portal, speed=40) as running:
        async with http.client() as client:
            mes = Mes(running.settings.mes, client)
            await mes.release("release/1", mes.release_request(batch()))
            assert await mes.cancel("cancel/1", mes.cancel_request("W-1", "refunded")) is True
            await mes.release("release/2", mes.release_request(batch(work_order("W-2"))))
        wait_for(lambda: len(portal.taken) == 2)
    assert all(b"W-2" in body for _, body in portal.taken)


async def test_made_work_order_cannot_be_called_back(tmp_path: Path) -> None:
    portal = Portal()
    with factory(tmp_path, portal) as running:
        async with http.client() as client:
            mes = Mes(running.settings.mes, client)
            await mes.release("release/1", mes.release_request(batch()))
            wait_for(lambda: len(portal.taken) == 2)
            assert await mes.cancel("cancel/1", mes.cancel_request("W-1", "refunded")) is False


async def test_release_after_its_cancel_is_refused(mes: Mes) -> None:
    assert await mes.cancel("cancel/1", mes.cancel_request("W-1", "refunded")) is True
    with pytest.raises(Refused, match="called back"):
        await mes.release("release/1", mes.release_request(batch()))


async def test_factory_reports_progress_and_completion_signed(tmp_path: Path) -> None:
    portal = Portal()
    with factory(tmp_path, portal) as running:
        async with http.client() as client:
            mes = Mes(running.settings.mes, client)
            accepted = await mes.release("release/1", mes.release_request(batch()))
            wait_for(lambda: len(portal.taken) == 2)
            now = datetime.now(UTC)
            events = [mes.verify(received, body, now) for received, body in portal.taken]
    assert [event.kind for event in events] == [ProductionEventKind.PROGRESS, ProductionEventKind.COMPLETED]
    assert {event.batch_no for event in events} == {accepted.batch_no}
    assert {event.work_order_no for event in events} == {"W-1"}


async def test_failed_batch_is_reported(tmp_path: Path) -> None:
    portal = Portal()
    with factory(tmp_path, portal) as running:
        running.world.set_fault("mes", "release", "fail")
        async with http.client() as client:
            mes = Mes(running.settings.mes, client)
            await mes.release("release/1", mes.release_request(batch()))
            wait_for(lambda: len(portal.taken) == 2)
            last = mes.verify(*portal.taken[-1], datetime.now(UTC))
    assert last.kind is ProductionEventKind.FAILED


async def test_refused_callback_comes_again_with_the_same_id_until_it_is_taken(tmp_path: Path) -> None:
    portal = Portal(status=503)
    with factory(tmp_path, portal) as running:
        async with http.client() as client:
            mes = Mes(running.settings.mes, client)
            await mes.release("release/1", mes.release_request(batch()))
        wait_for(lambda: len(portal.taken) >= 4)
        portal.status = 200
        wait_for(lambda: sum(running.world.effects("mes", "callback").values()) == 2)
    assert len(set(portal.ids())) == 2


async def test_repeated_forged_and_stale_callbacks_are_told_apart(tmp_path: Path) -> None:
    portal = Portal()
    with factory(tmp_path, portal) as running:
        for kind in ("repeat_callback", "forged_callback"):
            running.world.set_fault("mes", "callback", kind)
        async with http.client() as client:
            mes = Mes(running.settings.mes, client)
            await mes.release("release/1", mes.release_request(batch()))
            wait_for(lambda: len(portal.taken) == 4)
            running.world.set_fault("mes", "callback", "stale_callback", times=2)
            await mes.release("release/2", mes.release_request(batch(work_order("W-2"))))
            wait_for(lambda: len(portal.taken) == 8)
            forged, good = 0, []
            for received, body in portal.taken:
                try:
                    good.append(mes.verify(received, body, datetime.now(UTC)).id)
                except Forged:
                    forged += 1
    assert forged == 3
    assert len(good) == 5
    assert len(set(good)) == 4


async def test_callbacks_survive_a_stopped_sandbox(tmp_path: Path) -> None:
    with running_sandbox(tmp_path, speed=10) as running:
        async with http.client() as client:
            mes = Mes(running.settings.mes, client)
            await mes.release("release/1", mes.release_request(batch()))
    portal = Portal()
    with factory(tmp_path, portal):
        wait_for(lambda: len(portal.taken) == 2)
    assert len(set(portal.ids())) == 2
