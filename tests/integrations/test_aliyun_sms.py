"""Aliyun SMS: the signature's vector, and the client against the sandbox over real HTTP."""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from integrations import http
from integrations.errors import Later, Refused, Unclear
from integrations.messaging import Delivery, Receipt
from integrations.messaging.aliyun_sms import AliyunSms, authorization, canonical_query
from tests.sandbox import Sandbox, running_sandbox

PHONE = "13912345678"


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path) as running:
        yield running


@pytest.fixture
async def sms(sandbox: Sandbox) -> AsyncIterator[AliyunSms]:
    async with http.client() as client:
        yield AliyunSms(sandbox.settings.aliyun_sms, client, timeout=5)


def shipped(sms: AliyunSms, out_id: str = "OL-1/shipped", phone: str = PHONE) -> bytes:
    return sms.request(phone, "shipped", {"order": "OL-1", "waybill": "SF 7*~'&+%"}, out_id)


async def found_beyond_sent(sms: AliyunSms, request: bytes) -> Receipt | None:
    """The receipt once the phone has answered."""
    async with asyncio.timeout(10):
        while (found := await sms.find(request, datetime.now(UTC))) == Receipt("OL-1/shipped", Delivery.SENT):
            pass
    return found


def test_signature_equals_the_published_vector() -> None:
    query = canonical_query(
        {"ImageId": "win2019_1809_x64_dtc_zh-cn_40G_alibase_20230811.vhd", "RegionId": "cn-shanghai"}
    )
    headers = {
        "host": "ecs.cn-shanghai.aliyuncs.com",
        "x-acs-action": "RunInstances",
        "x-acs-version": "2014-05-26",
        "x-acs-date": "2023-10-26T10:22:32Z",
        "x-acs-signature-nonce": "3156853299f313e23d1673dc12e1703d",
        "x-acs-content-sha256": hashlib.sha256(b"").hexdigest(),
    }
    assert authorization("POST", query, headers, "YourAccessKeyId", "YourAccessKeySecret") == (
        "ACS3-HMAC-SHA256 Credential=YourAccessKeyId,"
        "SignedHeaders=host;x-acs-action;x-acs-content-sha256;x-acs-date;x-acs-signature-nonce;x-acs-version,"
        "Signature=06563a9e1b43f5dfe96b81484da74bceab24a1d853912eee15083a6f0f3283c0"
    )


def test_query_is_encoded_as_rfc_3986_has_it() -> None:
    assert canonical_query({"b": "空 *~+/", "a": ""}) == "a=&b=%E7%A9%BA%20%2A~%2B%2F"


def test_node_without_a_template_is_refused_before_anything_is_sent(sms: AliyunSms) -> None:
    with pytest.raises(Refused, match="templates"):
        sms.request(PHONE, "birthday", {}, "OL-1/birthday")


async def test_message_is_sent_and_later_found_as_delivered(tmp_path: Path) -> None:
    with running_sandbox(tmp_path, speed=100) as running:
        async with http.client() as client:
            sms = AliyunSms(running.settings.aliyun_sms, client)
            request = shipped(sms)
            sent = await sms.send(request)
            found = await found_beyond_sent(sms, request)
    assert sent.delivery is Delivery.SENT
    assert sent.message_id
    assert found == Receipt("OL-1/shipped", Delivery.DELIVERED)


async def test_message_to_a_dead_number_is_found_as_failed(tmp_path: Path) -> None:
    with running_sandbox(tmp_path, speed=100) as running:
        async with http.client() as client:
            sms = AliyunSms(running.settings.aliyun_sms, client)
            request = shipped(sms, phone="19999912345")
            await sms.send(request)
            found = await found_beyond_sent(sms, request)
    assert found == Receipt("OL-1/shipped", Delivery.FAILED, "MOBILE_NOT_ON_SERVICE")


async def test_aliyun_sends_twice_what_it_is_told_twice(sms: AliyunSms, sandbox: Sandbox) -> None:
    for _ in range(2):
        await sms.send(shipped(sms))
    assert sandbox.world.effects("aliyun", "SendSms") == {"OL-1/shipped": 2}


async def test_message_sent_before_a_time_out_is_found_by_asking(sandbox: Sandbox) -> None:
    sandbox.world.set_fault("aliyun", "SendSms", "timeout_after", detail={"seconds": 30})
    async with http.client() as client:
        sms = AliyunSms(sandbox.settings.aliyun_sms, client, timeout=0.5)
        with pytest.raises(Unclear, match="timeout"):
            await sms.send(shipped(sms))
        assert await sms.find(shipped(sms), datetime.now(UTC)) == Receipt("OL-1/shipped", Delivery.SENT)
    assert sandbox.world.effects("aliyun", "SendSms") == {"OL-1/shipped": 1}


async def test_message_never_sent_is_not_found(sandbox: Sandbox) -> None:
    sandbox.world.set_fault("aliyun", "SendSms", "timeout_before", detail={"seconds": 30})
    async with http.client() as client:
        sms = AliyunSms(sandbox.settings.aliyun_sms, client, timeout=0.5)
        with pytest.raises(Unclear):
            await sms.send(shipped(sms))
        await sms.send(shipped(sms, "OL-1/delivered"))
        assert await sms.find(shipped(sms), datetime.now(UTC)) is None
    assert sandbox.world.effects("aliyun", "SendSms") == {"OL-1/delivered": 1}


async def test_first_of_fifty_messages_is_found_and_the_fifty_first_refused(sms: AliyunSms, sandbox: Sandbox) -> None:
    for number in range(50):
        await sms.send(shipped(sms, f"OL-{number}/shipped"))
    with pytest.raises(Refused, match="BUSINESS_LIMIT_CONTROL"):
        await sms.send(shipped(sms, "OL-50/shipped"))
    assert await sms.find(shipped(sms, "OL-0/shipped"), datetime.now(UTC)) is not None
    assert len(sandbox.world.effects("aliyun", "SendSms")) == 50


async def test_message_sent_just_before_midnight_is_found_just_after(sms: AliyunSms, sandbox: Sandbox) -> None:
    yesterday = {"OutId": "OL-1/shipped", "PhoneNum": PHONE, "received_at": 0.0}
    sandbox.world.put(f"sms/{PHONE}/20261101", "1^0", yesterday)
    just_after = datetime(2026, 11, 1, 16, 5, tzinfo=UTC)  # 00:05 on the 2nd in Beijing
    later = datetime(2026, 11, 1, 18, tzinfo=UTC)
    assert await sms.find(shipped(sms), just_after) == Receipt("OL-1/shipped", Delivery.DELIVERED)
    assert await sms.find(shipped(sms), later) is None


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("isv.BUSINESS_LIMIT_CONTROL", Refused),
        ("isv.AMOUNT_NOT_ENOUGH", Refused),
        ("isp.SYSTEM_ERROR", Unclear),
        ("Throttling.User", Later),
        ("http_429", Later),
        ("http_500", Unclear),
    ],
)
async def test_codes_fall_into_their_classes(
    sms: AliyunSms, sandbox: Sandbox, code: str, error: type[Exception]
) -> None:
    sandbox.world.set_fault("aliyun", "SendSms", code)
    with pytest.raises(error):
        await sms.send(shipped(sms))
    assert sandbox.world.effects("aliyun", "SendSms") == {}


async def test_wrong_phone_number_is_refused(sms: AliyunSms) -> None:
    with pytest.raises(Refused, match="ask the customer"):
        await sms.send(shipped(sms, phone="123"))


async def test_wrong_secret_is_refused_with_a_hint(sandbox: Sandbox) -> None:
    other = sandbox.settings.wecom.robot_key
    async with http.client() as client:
        sms = AliyunSms(sandbox.settings.aliyun_sms.model_copy(update={"access_key_secret": other}), client)
        with pytest.raises(Refused, match="access key secret"):
            await sms.send(shipped(sms))
    assert sandbox.world.counts() == []


async def test_slow_clock_is_refused_with_a_hint(sandbox: Sandbox) -> None:
    async with http.client() as client:
        sms = AliyunSms(sandbox.settings.aliyun_sms, client, clock=lambda: time.time() - 1000)
        with pytest.raises(Refused, match="clock"):
            await sms.send(shipped(sms))


async def test_same_inputs_give_the_same_bytes(sms: AliyunSms) -> None:
    assert shipped(sms) == shipped(sms)
    assert json.loads(shipped(sms))["OutId"] == "OL-1/shipped"
