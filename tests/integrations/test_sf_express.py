"""SF Express: the digest's vectors, and the client against the sandbox over real HTTP."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from integrations import http
from integrations.carriers import NotDeliverable, ParcelState, Shipment
from integrations.carriers.sf_express import SfExpress, digest
from integrations.carriers.sf_routes import parcel_state
from integrations.errors import Later, Refused, Unclear
from integrations.sandbox.credentials import Credentials
from models.intake import Receiver
from tests.sandbox import Sandbox, running_sandbox

MESSAGE = '{"language":"zh-CN","orderId":"QIAO-20200618-004"}'
RECEIVER = Receiver("王敏", "13912345678", "广东省", "广州市", "海珠区", "滨江西路 1 号 *~'&+%")


def shipment(number: str = "OL-1-1") -> Shipment:
    return Shipment(number, RECEIVER, (("鸡肉冻干", 2),), weight_g=1250)


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path) as running:
        yield running


@pytest.fixture
async def sf(sandbox: Sandbox) -> AsyncIterator[SfExpress]:
    async with http.client() as client:
        yield SfExpress(sandbox.settings.sf_express, client, timeout=5)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("standard", "IIKJtuLVzoFTu4kHI8M8vA=="),
        ("simple", "OwYXm3XG9fjHK7A+/t7Ckw=="),
        ("sm3", "b05d21124eb6aedb3c6c99b1a37f9fc9a23a9898cb6a4b5df00d4402bda9081f"),
    ],
)
def test_digest_equals_the_published_vector(mode: str, expected: str) -> None:
    assert digest(mode, MESSAGE, "12312334453453", "fjcg5PGKaNpPSHFAZ4QsCOkV71R3zVci") == expected


@pytest.mark.parametrize("mode", ["standard", "simple", "sm3"])
async def test_every_digest_mode_is_accepted_over_http(tmp_path: Path, mode: str) -> None:
    credentials = replace(Credentials(), sf_digest=mode)  # type: ignore[arg-type]
    with running_sandbox(tmp_path, credentials=credentials) as running:
        async with http.client() as client:
            sf = SfExpress(running.settings.sf_express, client)
            assert (await sf.create_waybill(sf.waybill_request(shipment()))).shipment_no == "OL-1-1"


async def test_wrong_check_word_is_refused_and_creates_nothing(sandbox: Sandbox) -> None:
    wrong = sandbox.settings.sf_express.model_copy(update={"digest": "sm3"})
    async with http.client() as client:
        sf = SfExpress(wrong, client)
        with pytest.raises(Refused) as refused:
            await sf.create_waybill(sf.waybill_request(shipment()))
    assert refused.value.code == "A1006"
    assert "digest mode" in str(refused.value)
    assert sandbox.world.counts() == []


async def test_stale_clock_is_refused_with_a_hint(sandbox: Sandbox) -> None:
    async with http.client() as client:
        sf = SfExpress(sandbox.settings.sf_express, client, clock=lambda: 1_700_000_000.0)
        with pytest.raises(Refused, match=r"A1002.*clock"):
            await sf.find_waybill("OL-1-1")


async def test_same_bytes_twice_give_the_same_waybill(sf: SfExpress, sandbox: Sandbox) -> None:
    request = sf.waybill_request(shipment())
    first, second = await sf.create_waybill(request), await sf.create_waybill(request)
    assert first == second
    assert re.fullmatch(r"SF\d{13}", first.waybill_no)
    assert sandbox.world.effects("sf", "create_waybill") == {"OL-1-1": 1}


async def test_two_shipments_have_two_numbers(sf: SfExpress) -> None:
    one = await sf.create_waybill(sf.waybill_request(shipment("OL-1-1")))
    two = await sf.create_waybill(sf.waybill_request(shipment("OL-1-2")))
    assert one.waybill_no != two.waybill_no


async def test_waybill_made_before_a_time_out_is_found_by_asking(sandbox: Sandbox) -> None:
    sandbox.world.set_fault("sf", "create_waybill", "timeout_after", detail={"seconds": 30})
    async with http.client() as client:
        sf = SfExpress(sandbox.settings.sf_express, client, timeout=0.5)
        request = sf.waybill_request(shipment())
        with pytest.raises(Unclear, match="timeout"):
            await sf.create_waybill(request)
        found = await sf.find_waybill("OL-1-1")
        again = await sf.create_waybill(request)
    assert found == again
    assert sandbox.world.effects("sf", "create_waybill") == {"OL-1-1": 1}


async def test_time_out_before_acting_leaves_nothing_to_find(sandbox: Sandbox) -> None:
    sandbox.world.set_fault("sf", "create_waybill", "timeout_before", detail={"seconds": 30})
    async with http.client() as client:
        sf = SfExpress(sandbox.settings.sf_express, client, timeout=0.5)
        with pytest.raises(Unclear):
            await sf.create_waybill(sf.waybill_request(shipment()))
        assert await sf.find_waybill("OL-1-1") is None
    assert sandbox.world.effects("sf", "create_waybill") == {}


@pytest.mark.parametrize("kind", ["drop", "http_500_after"])
async def test_answer_lost_after_acting_is_unclear_and_then_adopted(sf: SfExpress, sandbox: Sandbox, kind: str) -> None:
    sandbox.world.set_fault("sf", "create_waybill", kind)
    request = sf.waybill_request(shipment())
    with pytest.raises(Unclear):
        await sf.create_waybill(request)
    assert (await sf.create_waybill(request)).shipment_no == "OL-1-1"
    assert sandbox.world.effects("sf", "create_waybill") == {"OL-1-1": 1}


async def test_duplicate_answer_to_a_first_call_is_adopted(sf: SfExpress, sandbox: Sandbox) -> None:
    sandbox.world.set_fault("sf", "create_waybill", "8016")
    assert (await sf.create_waybill(sf.waybill_request(shipment()))).shipment_no == "OL-1-1"
    assert sandbox.world.effects("sf", "create_waybill") == {"OL-1-1": 1}


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("A1005", Later),
        ("A1007", Later),
        ("A1001", Refused),
        ("A1003", Refused),
        ("A1006", Refused),
        ("A1099", Unclear),
    ],
)
async def test_gateway_codes_fall_into_their_classes(
    sf: SfExpress, sandbox: Sandbox, code: str, error: type[Exception]
) -> None:
    sandbox.world.set_fault("sf", "create_waybill", code)
    with pytest.raises(error, match=code):
        await sf.create_waybill(sf.waybill_request(shipment()))
    assert sandbox.world.effects("sf", "create_waybill") == {}


async def test_unserved_address_stays_not_deliverable(sf: SfExpress, sandbox: Sandbox) -> None:
    sandbox.world.set_fault("sf", "create_waybill", "filter_3")
    request = sf.waybill_request(shipment())
    for _ in range(2):
        with pytest.raises(NotDeliverable):
            await sf.create_waybill(request)


async def test_address_under_manual_check_is_unclear(sf: SfExpress, sandbox: Sandbox) -> None:
    sandbox.world.set_fault("sf", "create_waybill", "filter_1")
    with pytest.raises(Unclear, match="by hand"):
        await sf.create_waybill(sf.waybill_request(shipment()))


async def test_masked_receiver_is_refused_before_anything_is_sent(sf: SfExpress) -> None:
    masked = replace(shipment(), receiver=replace(RECEIVER, masked=True))
    with pytest.raises(Refused, match="decrypt"):
        sf.waybill_request(masked)


async def test_cancelled_twice_is_cancelled_and_a_new_order_needs_a_new_number(sf: SfExpress, sandbox: Sandbox) -> None:
    request = sf.waybill_request(shipment())
    await sf.create_waybill(request)
    assert await sf.cancel_waybill("OL-1-1") is True
    assert await sf.cancel_waybill("OL-1-1") is True
    assert await sf.find_waybill("OL-1-1") is None
    with pytest.raises(Refused, match="new shipment number"):
        await sf.create_waybill(request)
    assert sandbox.world.effects("sf", "cancel_waybill") == {"OL-1-1": 1}


async def test_cancelling_what_sf_never_had_is_true(sf: SfExpress) -> None:
    assert await sf.cancel_waybill("OL-404") is True


async def test_parcel_in_sf_hands_cannot_be_cancelled(tmp_path: Path) -> None:
    with running_sandbox(tmp_path, speed=10_000) as running:
        async with http.client() as client:
            sf = SfExpress(running.settings.sf_express, client)
            waybill = await sf.create_waybill(sf.waybill_request(shipment()))
            while not (await sf.routes([waybill.waybill_no]))[waybill.waybill_no]:
                pass
            assert await sf.cancel_waybill("OL-1-1") is False
        assert running.world.effects("sf", "cancel_waybill") == {"OL-1-1": 0}


async def test_route_grows_to_the_signature_in_order(tmp_path: Path) -> None:
    with running_sandbox(tmp_path, speed=100_000) as running:
        async with http.client() as client:
            sf = SfExpress(running.settings.sf_express, client)
            number = (await sf.create_waybill(sf.waybill_request(shipment()))).waybill_no
            while len(route := (await sf.routes([number, "SF0000000000000"]))[number]) < 7:
                pass
            unknown = (await sf.routes(["SF0000000000000"]))["SF0000000000000"]
    assert [event.state for event in route] == [
        ParcelState.PICKED_UP,
        ParcelState.IN_TRANSIT,
        ParcelState.IN_TRANSIT,
        ParcelState.IN_TRANSIT,
        ParcelState.OUT_FOR_DELIVERY,
        ParcelState.SIGNED,
        ParcelState.UNKNOWN,
    ]
    assert len({event.id for event in route}) == 7
    assert unknown == []


async def test_returned_parcel_says_so(tmp_path: Path) -> None:
    with running_sandbox(tmp_path, speed=100_000) as running:
        running.world.set_fault("sf", "parcel", "return")
        async with http.client() as client:
            sf = SfExpress(running.settings.sf_express, client)
            number = (await sf.create_waybill(sf.waybill_request(shipment()))).waybill_no
            while len(route := (await sf.routes([number]))[number]) < 7:
                pass
    assert [event.state for event in route][-2:] == [ParcelState.EXCEPTION, ParcelState.RETURNING]


@pytest.mark.parametrize(
    ("route", "state"),
    [
        ({"opCode": "204"}, ParcelState.OUT_FOR_DELIVERY),
        ({"opCode": "50", "firstStatusCode": "2", "secondaryStatusCode": "201"}, ParcelState.IN_TRANSIT),
        ({"opCode": 80, "firstStatusCode": None}, ParcelState.SIGNED),
        ({"opCode": "607"}, ParcelState.SIGNED),
        ({"opCode": "8000", "firstStatusCode": "4"}, ParcelState.UNKNOWN),
        ({"opCode": "44", "firstStatusCode": "3"}, ParcelState.IN_TRANSIT),
        ({"opCode": "648"}, ParcelState.RETURNING),
        ({"opCode": "7777"}, ParcelState.UNKNOWN),
    ],
)
def test_status_code_is_believed_before_the_op_code(route: dict[str, object], state: ParcelState) -> None:
    assert parcel_state(route) is state


async def test_label_is_a_pdf_whose_table_points_at_its_objects(sf: SfExpress) -> None:
    waybill = await sf.create_waybill(sf.waybill_request(shipment()))
    label = await sf.label(waybill.waybill_no)
    table = int(label.rsplit(b"startxref\n", 1)[1].split()[0])
    starts = [int(row.split()[0]) for row in label[table:].splitlines()[3:11]]
    assert label.startswith(b"%PDF-1.4\n")
    assert label[table:].startswith(b"xref\n0 9\n")
    assert all(label[start:].startswith(b"%d 0 obj" % number) for number, start in enumerate(starts, 1))
    assert waybill.waybill_no.encode() in label


async def test_label_needs_its_token(sf: SfExpress, sandbox: Sandbox) -> None:
    waybill = await sf.create_waybill(sf.waybill_request(shipment()))
    url = f"{sandbox.url}/sf/label/{waybill.waybill_no}.pdf"
    async with http.client() as client:
        assert (await client.get(url, headers={"X-Auth-token": "guess"})).status_code == 401


async def test_label_of_an_unknown_waybill_is_refused(sf: SfExpress) -> None:
    with pytest.raises(Refused, match="不存在"):
        await sf.label("SF0000000000000")


async def test_more_than_ten_waybills_at_once_is_a_mistake_of_ours(sf: SfExpress) -> None:
    with pytest.raises(ValueError, match="10"):
        await sf.routes([f"SF{number:013d}" for number in range(11)])
