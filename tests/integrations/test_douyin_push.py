"""Pushes of Douyin: both signatures, arrays of messages, and what hostile bodies come to."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from pydantic import SecretStr

from integrations.channels import Pushed
from integrations.channels.douyin_push import MOST_BYTES, event_sign, event_sign_hmac, read_push
from integrations.errors import Forged, Refused
from models.settings import DouyinSettings

SHOP = DouyinSettings(shop="4463798", app_key="7089614287562294791", app_secret=SecretStr("a secret"))


def body_of(*messages: Any) -> bytes:
    return json.dumps(messages, ensure_ascii=False).encode()


def message(tag: str = "101", msg_id: str = "m-1", **data: Any) -> dict[str, Any]:
    told = {"shop_id": 4463798, "p_id": 4781320682406083640, "s_ids": [4781320682406083640], "order_status": 2}
    return {"tag": tag, "msg_id": msg_id, "data": json.dumps(told | data)}


def headers_for(body: bytes, **changes: str) -> dict[str, str]:
    headers = {"app-id": SHOP.app_key, "event-sign": event_sign(SHOP.app_key, "a secret", body)}
    return headers | {name.replace("_", "-"): value for name, value in changes.items()}


def read(*messages: Any) -> list[Pushed]:
    body = body_of(*messages)
    return read_push(SHOP, headers_for(body), body)


def test_order_is_named_with_every_digit_of_its_number() -> None:
    assert read(message()) == [Pushed("m-1", "101", "4781320682406083640")]


def test_many_messages_of_one_push_are_told_in_their_order() -> None:
    pushed = read(*(message(msg_id=f"m-{n}", p_id=n) for n in range(1, 60)))
    assert [(one.delivery_id, one.channel_order_id) for one in pushed] == [(f"m-{n}", str(n)) for n in range(1, 60)]


@pytest.mark.parametrize(
    ("data", "order_id"),
    [
        ('{"p_id": "12"}', "12"),
        ({"p_id": 12}, "12"),
        ('{"shop_order_id": 13}', "13"),
        ('{"order_id": 14}', "14"),
        ("2026-11-01T10:00:00+08:00", ""),
        ("", ""),
        (None, ""),
        ("[" * 100_000, ""),
        ('{"p_id": [1]}', ""),
        ('{"p_id": 1e400}', ""),
        ('{"p_id": "\\ud800"}', "\ufffd"),
    ],
)
def test_data_in_any_shape_names_an_order_or_none(data: Any, order_id: str) -> None:
    [pushed] = read({"tag": 206, "msg_id": 7, "data": data})
    assert (pushed.delivery_id, pushed.topic, pushed.channel_order_id) == ("7", "206", order_id)


def test_trial_of_the_address_and_news_of_another_shop_are_left_out() -> None:
    trial = {"tag": "0", "msg_id": "0", "data": "2026-11-01T10:00:00+08:00"}
    assert read(trial) == []
    assert [one.delivery_id for one in read(trial, message(), message(msg_id="m-2", shop_id=1))] == ["m-1"]
    assert [one.delivery_id for one in read(message(shop_id="4463798"))] == ["m-1"]


def test_both_variants_of_the_signature_are_known_by_their_length() -> None:
    body = body_of(message())
    plain = hashlib.md5(b"7089614287562294791" + body + b"a secret").hexdigest()
    keyed = event_sign_hmac(SHOP.app_key, "a secret", body)
    assert (len(plain), len(keyed)) == (32, 64)
    for signed in (plain, plain.upper(), keyed):
        assert len(read_push(SHOP, headers_for(body, event_sign=signed), body)) == 1
        assert len(read_push(SHOP, {"App-Id": SHOP.app_key, "Event-Sign": signed}, body)) == 1


def test_push_that_is_not_signed_with_our_secret_is_forged() -> None:
    body = body_of(message())
    for signed in (
        "",
        "0" * 32,
        "0" * 64,
        "名" * 32,
        event_sign(SHOP.app_key, "another", body),
        event_sign_hmac(SHOP.app_key, "another", body),
        event_sign(SHOP.app_key, "a secret", body)[:31],
    ):
        with pytest.raises(Forged, match="signature"):
            read_push(SHOP, headers_for(body, event_sign=signed), body)
    with pytest.raises(Forged, match="signature"):
        read_push(SHOP, headers_for(body), body.replace(b"101", b"106"))


def test_push_for_another_app_or_without_headers_is_forged() -> None:
    body = body_of(message())
    with pytest.raises(Forged, match="app"):
        read_push(SHOP, headers_for(body, app_id="1"), body)
    with pytest.raises(Forged, match="app"):
        read_push(SHOP, {}, body)


@pytest.mark.parametrize("field", ["app_key", "app_secret"])
def test_nothing_is_believed_while_a_secret_is_missing(field: str) -> None:
    empty = SHOP.model_copy(update={field: "" if field == "app_key" else SecretStr("")})
    body = body_of(message())
    headers = {"app-id": empty.app_key, "event-sign": event_sign(empty.app_key, "", body)}
    with pytest.raises(ValueError, match="not set up"):
        read_push(empty, headers, body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{}",
        b"1",
        b"[1]",
        b'[{"tag": "101"}]',
        b'[{"msg_id": "1"}]',
        b'[{"tag": {}, "msg_id": "1"}]',
        b"[" * 100_000,
        b"\xff\xfe\x00",
        b"[" + b"9" * 10_000 + b"]",
        b'["' + b"A" * MOST_BYTES + b'"]',
    ],
)
def test_signed_nonsense_is_refused(body: bytes) -> None:
    with pytest.raises(Refused):
        read_push(SHOP, headers_for(body), body)


def test_unsigned_nonsense_is_forged_before_it_is_parsed() -> None:
    with pytest.raises(Forged):
        read_push(SHOP, headers_for(b"[]"), b"[" * 100_000)
