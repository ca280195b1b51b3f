"""Pushes of a WeChat shop: crypto, verification, and what hostile bodies come to."""

from __future__ import annotations

import base64
import json
import tracemalloc
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as runs
from hypothesis import strategies as st
from pydantic import SecretStr

from integrations.channels.wechat_crypto import Undecipherable, key_of, seal, signature, unseal
from integrations.channels.wechat_push import MOST_BYTES, echo, read_push
from integrations.errors import Forged, Refused
from models.settings import WeChatShopSettings

AES_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
APP = "wx0000000000000001"
NOW = datetime(2026, 11, 1, 4, 0, 0, tzinfo=UTC)
SHOP = WeChatShopSettings(app_id=APP, push_token=SecretStr("a token"), push_aes_key=SecretStr(AES_KEY))
PAID = {
    "ToUserName": "gh_1",
    "FromUserName": "openid",
    "CreateTime": 1_793_505_600,
    "MsgType": "event",
    "Event": "channels_ec_order_pay",
    "order_info": {"order_id": 3705115058471208928, "pay_time": 1_793_505_600},
}
#: What WeCom's sample shows, and the message push page of the mini-program and the WeChat shop.
SAMPLE = WeChatShopSettings(
    app_id="wx5823bf96d3bd56c7",
    push_token=SecretStr("QDG6eK"),
    push_aes_key=SecretStr("jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"),
)
DOCUMENTED = WeChatShopSettings(
    app_id="wxba5fad812f8e6fb9", push_token=SecretStr("AAAAA"), push_aes_key=SecretStr("A" * 43)
)


def as_json(message: Any) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode()


def push(message: bytes, at: datetime = NOW, app: str = APP, token: str = "a token") -> tuple[dict[str, str], bytes]:
    """Query and body of a POST with this message in it."""
    sealed = seal(key_of(AES_KEY), message, app)
    return query_for(sealed, at, token), as_json({"ToUserName": "gh_1", "Encrypt": sealed})


def query_for(sealed: str, at: datetime = NOW, token: str = "a token") -> dict[str, str]:
    timestamp = str(int(at.timestamp()))
    signed = signature(token, timestamp, "nonce", sealed)
    return {"timestamp": timestamp, "nonce": "nonce", "encrypt_type": "aes", "msg_signature": signed}


# crypto -----------------------------------------------------------------------------------------------------


def test_sample_of_wecom_is_verified_and_decrypted() -> None:
    sealed = "P9nAzCzyDtyTWESHep1vC5X9xho/qYX3Zpb4yKa9SKld1DsH3Iyt3tP3zNdtp+4RPcs8TgAE7OaBO+FZXvnaqQ=="
    signed = "5c45ff5e21c57e6ad56bac8758b79b1d9ac89fd3"

    assert signature("QDG6eK", "1409659589", "263014780", sealed) == signed
    query = {"msg_signature": signed, "timestamp": "1409659589", "nonce": "263014780", "echostr": sealed}
    assert echo(SAMPLE, query) == "1616140317555161061"


def test_sample_of_the_message_push_page_is_read() -> None:
    sealed = (
        "+qdx1OKCy+5JPCBFWw70tm0fJGb2Jmeia4FCB7kao+/Q5c/ohsOzQHi8khUOb05JCpj0JB4RvQMkUyus8TPxLKJGQqcvZqzDpVzazhZv6JsXUn"
        "nR8XGT740XgXZUXQ7vJVnAG+tE8NUd4yFyjPy7GgiaviNrlCTj+l5kdfMuFUPpRSrfMZuMcp3Fn2Pede2IuQrKEYwKSqFIZoNqJ4M8EajAsjLY"
        "2km32IIjdf8YL/P50F7mStwntrA2cPDrM1kb6mOcfBgRtWygb3VIYnSeOBrebufAlr7F9mFUPAJGj04="
    )
    query = {
        "signature": "6c5c811b55cc85e0e1b54100749188c20beb3f5d",
        "timestamp": "1714112445",
        "nonce": "415670741",
        "msg_signature": "046e02f8204d34f8ba5fa3b1db94908f3df2e9b3",
    }
    body = as_json({"ToUserName": "gh_97417a04a28d", "Encrypt": sealed})

    [pushed] = read_push(DOCUMENTED, query, body, datetime.fromtimestamp(1714112445, UTC))

    assert (pushed.topic, pushed.channel_order_id) == ("debug_demo", "")


def test_address_is_verified_as_the_console_asks() -> None:
    query = {
        "signature": "f464b24fc39322e44b38aa78f5edd27bd1441696",
        "echostr": "4375120948345356249",
        "timestamp": "1714036504",
        "nonce": "1514711492",
    }
    assert echo(DOCUMENTED, query) == "4375120948345356249"
    for name in ("timestamp", "nonce"):
        with pytest.raises(Forged, match="signature"):
            echo(DOCUMENTED, {**query, name: "1"})
    with pytest.raises(Forged, match="signature"):
        echo(DOCUMENTED, {"echostr": "x"})


@given(message=st.binary(max_size=200), receiver=st.text(max_size=20))
def test_what_was_sealed_comes_out_again(message: bytes, receiver: str) -> None:
    key = key_of(AES_KEY)
    sealed = seal(key, message, receiver)
    assert len(base64.b64decode(sealed)) % 32 == 0
    assert unseal(key, sealed, receiver) == message


@given(place=st.integers(0, 10**6), bit=st.integers(0, 7))
@runs(max_examples=300)
def test_flipped_bit_of_a_sealed_text_is_noticed_or_stays_in_the_message(place: int, bit: int) -> None:
    # the signature guards what was sealed; the cipher alone does not, but it never leads to anything but these two
    key = key_of(AES_KEY)
    sealed = bytearray(base64.b64decode(seal(key, as_json(PAID), APP)))
    sealed[place % len(sealed)] ^= 1 << bit
    try:
        assert isinstance(unseal(key, base64.b64encode(sealed).decode(), APP), bytes)
    except Undecipherable:
        pass


@pytest.mark.parametrize(
    "sealed",
    ["", "A", "????", "AAAA", base64.b64encode(bytes(16)).decode(), base64.b64encode(bytes(31)).decode(), "名" * 8],
)
def test_what_was_never_sealed_is_undecipherable(sealed: str) -> None:
    with pytest.raises(Undecipherable):
        unseal(key_of(AES_KEY), sealed, APP)


def test_text_sealed_with_another_key_is_undecipherable() -> None:
    with pytest.raises(Undecipherable):
        unseal(key_of(AES_KEY), seal(key_of("A" * 43), b"x" * 7, "r"), "r")


# reading ----------------------------------------------------------------------------------------------------


def test_event_names_the_order_with_every_digit_of_its_number() -> None:
    [pushed] = read_push(SHOP, *push(as_json(PAID)), NOW)
    assert (pushed.topic, pushed.channel_order_id) == ("channels_ec_order_pay", "3705115058471208928")


def test_repeat_has_the_same_delivery_id_and_other_news_another() -> None:
    def delivery(**changes: Any) -> str:
        later = NOW + timedelta(seconds=5)
        [pushed] = read_push(SHOP, *push(as_json({**PAID, **changes}), later), later)
        return pushed.delivery_id

    [first] = read_push(SHOP, *push(as_json(PAID)), NOW)
    assert delivery() == first.delivery_id
    others = {
        delivery(CreateTime=1_793_505_601),
        delivery(FromUserName="another"),
        delivery(Event="channels_ec_order_cancel"),
        delivery(order_info={"order_id": 1}),
        first.delivery_id,
    }
    assert len(others) == 5


def test_two_steps_of_an_after_sale_in_one_second_are_two_deliveries() -> None:
    within = "finder_shop_aftersale_status_update"
    about = {"status": "USER_WAIT_RETURN", "after_sale_order_id": "77", "order_id": "12345"}
    message = {**PAID, "Event": "channels_ec_aftersale_update", within: about}
    del message["order_info"]
    [first] = read_push(SHOP, *push(as_json(message)), NOW)
    message[within] = {**about, "status": "MERCHANT_REFUND_SUCCESS"}
    [second] = read_push(SHOP, *push(as_json(message)), NOW)

    assert first.channel_order_id == second.channel_order_id == "12345"
    assert first.delivery_id != second.delivery_id


def test_xml_says_the_same_as_json() -> None:
    inner = (
        "<xml><ToUserName><![CDATA[gh_1]]></ToUserName><FromUserName>openid</FromUserName>"
        "<CreateTime>1793505600</CreateTime><MsgType>event</MsgType><Event><![CDATA[channels_ec_order_pay]]></Event>"
        "<order_info><order_id>3705115058471208928</order_id><pay_time>1793505600</pay_time></order_info></xml>"
    )
    sealed = seal(key_of(AES_KEY), inner.encode(), APP)
    body = f"<xml><ToUserName>gh_1</ToUserName><Encrypt><![CDATA[{sealed}]]></Encrypt></xml>".encode()

    assert read_push(SHOP, query_for(sealed), body, NOW) == read_push(SHOP, *push(as_json(PAID)), NOW)


# what is not believed ---------------------------------------------------------------------------------------


def test_push_in_plain_text_is_refused_whatever_signs_it() -> None:
    timestamp = str(int(NOW.timestamp()))
    query = {"timestamp": timestamp, "nonce": "n", "signature": signature("a token", timestamp, "n")}
    with pytest.raises(Forged, match="not_encrypted"):
        read_push(SHOP, query, as_json(PAID), NOW)


def test_push_signed_by_another_token_or_changed_after_signing_is_forged() -> None:
    query, body = push(as_json(PAID), token="another token")
    with pytest.raises(Forged, match="signature"):
        read_push(SHOP, query, body, NOW)

    query, body = push(as_json(PAID))
    _, other = push(as_json({**PAID, "Event": "channels_ec_order_cancel"}))
    for changed_query, changed in (
        (query, other),
        ({**query, "nonce": "m"}, body),
        ({**query, "timestamp": "1"}, body),
        ({**query, "msg_signature": "名"}, body),
        ({**query, "msg_signature": query["msg_signature"].upper()}, body),
        ({}, body),
    ):
        with pytest.raises(Forged, match="signature"):
            read_push(SHOP, changed_query, changed, NOW)


def test_push_for_another_app_or_sealed_with_another_key_is_forged() -> None:
    with pytest.raises(Forged, match="somebody else"):
        read_push(SHOP, *push(as_json(PAID), app="wx0000000000000002"), NOW)
    other = SHOP.model_copy(update={"push_aes_key": SecretStr("B" * 43)})
    with pytest.raises(Forged, match="undecipherable"):
        read_push(other, *push(as_json(PAID)), NOW)


@pytest.mark.parametrize(("seconds", "is_stale"), [(0, False), (3600, False), (3601, True), (-3601, True)])
def test_push_of_over_an_hour_ago_is_stale(seconds: int, is_stale: bool) -> None:
    query, body = push(as_json(PAID))
    now = NOW + timedelta(seconds=seconds)
    if is_stale:
        with pytest.raises(Forged, match="stale"):
            read_push(SHOP, query, body, now)
    else:
        assert len(read_push(SHOP, query, body, now)) == 1


@pytest.mark.parametrize("field", ["push_token", "push_aes_key"])
def test_nothing_is_believed_while_a_secret_is_missing(field: str) -> None:
    empty = SHOP.model_copy(update={field: SecretStr("")})
    query, body = push(as_json(PAID), token="" if field == "push_token" else "a token")
    with pytest.raises(ValueError, match="not set up"):
        read_push(empty, query, body, NOW)
    with pytest.raises(ValueError, match="not set up"):
        echo(empty, query)


BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]><xml><Encrypt>&c;</Encrypt></xml>'
)
HOSTILE = {
    "empty": b"",
    "no JSON": b"{",
    "a list": b"[]",
    "a number": b"1",
    "not UTF-8": b'{"Encrypt": "\xff\xfe"}',
    "endless digits": b'{"a": ' + b"9" * 10_000 + b"}",
    "deep JSON": b"[" * 100_000,
    "deep JSON object": b'{"a":' * 40_000,
    "deep XML": b"<a>" * 80_000,
    "no XML": b"<",
    "bomb": BOMB.encode(),
    "file": b'<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/hosts">]><xml><Encrypt>&f;</Encrypt></xml>',
    "outside definition": b'<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd"><xml><Encrypt>x</Encrypt></xml>',
    "unknown encoding": b'<?xml version="1.0" encoding="nonsense"?><xml/>',
    "odd encoding": b'<?xml version="1.0" encoding="utf-32"?><xml/>',
    "an object": b'{"Encrypt": {"x": 1}}',
    "huge": b'{"Encrypt": "' + b"A" * MOST_BYTES + b'"}',
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_body_is_refused_and_costs_little(body: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(Refused):
        read_push(SHOP, query_for(""), body, NOW)
    assert tracemalloc.get_traced_memory()[1] < 64 * 1024 * 1024
    tracemalloc.stop()


INSIDE = {**HOSTILE, "no event": b'{"order_info": {"order_id": 1}}', "odd id": b'{"Event":"e","o":{"order_id":[1]}}'}


@pytest.mark.parametrize("name", sorted(INSIDE.keys() - {"huge"}))
def test_signed_nonsense_is_refused(name: str) -> None:
    sealed = seal(key_of(AES_KEY), INSIDE[name][:100_000], APP)
    with pytest.raises(Refused):
        read_push(SHOP, query_for(sealed), as_json({"Encrypt": sealed}), NOW)


def test_deep_xml_that_is_closed_is_no_trouble() -> None:
    body = b"<xml><Encrypt>x</Encrypt>" + b"<a>" * 30_000 + b"</a>" * 30_000 + b"</xml>"
    with pytest.raises(Forged, match="signature"):
        read_push(SHOP, query_for("y"), body, NOW)
