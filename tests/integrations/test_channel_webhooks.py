"""What channels push to the portal: kept once before it is answered, and nothing of what is not theirs."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlmodel import select

from integrations.channels import wechat_crypto
from integrations.channels.douyin_push import event_sign, event_sign_hmac
from integrations.sandbox.credentials import Credentials, settings_for_sandbox
from models.hint import Hint, heard, put_off
from models.privacy import unseal
from models.settings import settings
from tests.integrations.portal_server import Portal, committed, now, running_portal

MADE_UP = Credentials()
ORDER = "gid://shopify/Order/820982911946154508"


@dataclass(frozen=True)
class Push:
    """A request as a platform makes it, and what it answers to once it is kept."""

    path: str
    body: bytes
    headers: dict[str, str]
    params: dict[str, str]
    answer: str


@pytest.fixture
def portal(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Portal]:
    """A portal that is connected to the three shops."""
    sections = settings_for_sandbox(9, "")
    for name in ("shopify", "wechat_shop", "douyin"):
        monkeypatch.setenv(f"ORDERLOOM_{name.upper()}", json.dumps(sections[name]))
    with running_portal(database_url, monkeypatch) as running:
        yield running


def shopify(number: str = "1", *, secret: str = MADE_UP.shopify_client_secret, topic: str = "orders/paid") -> Push:
    """A webhook about one order."""
    body = json.dumps({"id": 820982911946154508, "admin_graphql_api_id": ORDER}).encode()
    headers = {
        "x-shopify-topic": topic,
        "x-shopify-hmac-sha256": base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)).decode(),
        "x-shopify-shop-domain": f"{MADE_UP.shopify_shop}.myshopify.com",
        "x-shopify-webhook-id": f"delivery-{number}",
        "x-shopify-event-id": "event-1",
    }
    return Push("/webhooks/shopify", body, headers, {}, '"ok":true')


def wechat_shop(number: str = "1", *, token: str = "") -> Push:
    """An encrypted push about one order; `number` is the order's last digit."""
    own = settings().wechat_shop
    message = {
        "ToUserName": "gh_1",
        "FromUserName": "o1",
        "CreateTime": int(now().timestamp()),
        "MsgType": "event",
        "Event": "channels_ec_order_pay",
        "order_info": {"order_id": int(f"370511505847120892{number}")},
    }
    key = wechat_crypto.key_of(own.push_aes_key.get_secret_value())
    sealed = wechat_crypto.seal(key, json.dumps(message).encode(), own.app_id)
    stamp, nonce = str(int(now().timestamp())), "n1"
    signed = wechat_crypto.signature(token or own.push_token.get_secret_value(), stamp, nonce, sealed)
    body = json.dumps({"ToUserName": "gh_1", "Encrypt": sealed}).encode()
    params = {"msg_signature": signed, "timestamp": stamp, "nonce": nonce}
    return Push("/webhooks/wechat-shop", body, {}, params, "success")


def douyin(
    number: str = "1", *, secret: str = MADE_UP.douyin_app_secret, sign: Callable[..., str] = event_sign
) -> Push:
    """A batch of two messages about one order."""
    data = {"p_id": 4781320682406083640, "shop_id": int(MADE_UP.douyin_shop), "s_ids": [4781320682406083640]}
    told = [{"tag": tag, "msg_id": f"m{tag}-{number}", "data": json.dumps(data)} for tag in ("100", "101")]
    body = json.dumps(told).encode()
    headers = {"app-id": MADE_UP.douyin_app_key, "event-sign": sign(MADE_UP.douyin_app_key, secret, body)}
    return Push("/webhooks/douyin", body, headers, {}, '{"code":0,"msg":"success"}')


PLATFORMS = pytest.mark.parametrize("push", [shopify, wechat_shop, douyin])


@PLATFORMS
def test_a_push_is_kept_before_it_is_answered_and_a_repeat_changes_nothing(portal: Portal, push: Any) -> None:
    sent = push()
    answers = [send(portal, sent) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert all(sent.answer in answer.text.replace(" ", "") for answer in answers)
    kept = hints()
    assert len(kept) == (2 if push is douyin else 1)
    assert {hint.state for hint in kept} == {"kept"}
    assert all(hint.channel_order_id for hint in kept)
    assert all(b"order" not in bytes(hint.body) for hint in kept)  # sealed: payloads hold addresses


@PLATFORMS
def test_the_same_delivery_many_times_at_once_is_one_hint(portal: Portal, push: Any) -> None:
    sent = push()
    codes: list[int] = []
    threads = [threading.Thread(target=lambda: codes.append(send(portal, sent).status_code)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [200] * 8
    assert len(hints()) == (2 if push is douyin else 1)


@pytest.mark.parametrize(
    "forged",
    [
        lambda: shopify(secret="guessed"),
        lambda: wechat_shop(token="guessed"),
        lambda: douyin(secret="guessed"),
        lambda: changed(shopify()),
        lambda: changed(douyin()),
        lambda: unsigned(shopify()),
        lambda: unsigned(douyin()),
    ],
    ids=["shopify", "wechat", "douyin", "shopify body", "douyin body", "shopify unsigned", "douyin unsigned"],
)
def test_what_is_forged_is_refused_and_leaves_no_trace(portal: Portal, forged: Callable[[], Push]) -> None:
    answer = send(portal, forged())
    assert answer.status_code == 401
    assert hints() == []


def test_an_old_secret_signs_for_a_while(portal: Portal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERLOOM_SHOPIFY__PREVIOUS_CLIENT_SECRET", "the-old-one")
    settings.cache_clear()
    assert send(portal, shopify(secret="the-old-one")).status_code == 200
    assert len(hints()) == 1


def test_both_signatures_of_douyin_are_taken(portal: Portal) -> None:
    assert send(portal, douyin("1")).status_code == 200
    assert send(portal, douyin("2", sign=event_sign_hmac)).status_code == 200
    assert len(hints()) == 4


def test_the_address_of_the_wechat_push_proves_itself(portal: Portal) -> None:
    token, stamp = settings().wechat_shop.push_token.get_secret_value(), str(int(now().timestamp()))
    asked = {"timestamp": stamp, "nonce": "n", "echostr": "4711"}
    signed = asked | {"signature": wechat_crypto.signature(token, stamp, "n")}
    assert httpx.get(f"{portal.public}/webhooks/wechat-shop", params=signed).text == "4711"
    assert httpx.get(f"{portal.public}/webhooks/wechat-shop", params=asked | {"signature": "0" * 40}).status_code == 401


def test_a_body_without_end_is_not_read(portal: Portal) -> None:
    huge = Push("/webhooks/shopify", b"x" * (2 * 1024 * 1024), shopify().headers, {}, "")
    assert send(portal, huge).status_code == 413
    assert hints() == []


@pytest.mark.parametrize("path", ["/webhooks/shopify", "/webhooks/wechat-shop", "/webhooks/douyin"])
def test_a_channel_that_is_not_connected_says_so(database_url: str, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    with running_portal(database_url, monkeypatch) as running:
        answer = httpx.post(running.public + path, content=b"{}")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "300"


def send(portal: Portal, push: Push) -> httpx.Response:
    """POST it as the platform would."""
    return httpx.post(portal.public + push.path, content=push.body, headers=push.headers, params=push.params)


def changed(push: Push) -> Push:
    """The same signature over another body."""
    return Push(push.path, push.body.replace(b"8", b"9", 1), push.headers, push.params, push.answer)


def unsigned(push: Push) -> Push:
    """The same body with no signature at all."""
    without = {name: value for name, value in push.headers.items() if "hmac" not in name and "sign" not in name}
    return Push(push.path, push.body, without, push.params, push.answer)


def hints() -> list[Hint]:
    """Everything that was kept."""
    return committed(lambda s: list(s.exec(select(Hint).order_by(Hint.id))))  # type: ignore[arg-type]


@PLATFORMS
def test_once_heard_or_given_up_only_the_digest_of_a_body_is_kept(portal: Portal, push: Any) -> None:
    # given pushes that are kept: a digest, and behind it what came
    sent = push()
    send(portal, sent)
    digest = hashlib.sha256(sent.body).digest()
    kept = hints()
    for hint in kept:
        body = bytes(hint.body)
        assert body[:32] == digest and base64.b64decode(unseal(body[32:])) == sent.body
    ids = [hint.id or 0 for hint in kept]
    # when fetching fails for a while
    committed(lambda s: put_off(s, ids, "busy", now(), timedelta(seconds=5)))
    assert all(len(bytes(hint.body)) > 32 for hint in hints())
    # and then is given up, or they are heard
    committed(lambda s: s.connection().execute(text("UPDATE hint SET attempts = 12 WHERE id = :id"), {"id": ids[0]}))
    committed(lambda s: put_off(s, ids[:1], "busy", now(), timedelta(seconds=5)))
    committed(lambda s: heard(s, ids[1:], "fetched", now()))
    # then nothing but the digest is left, and a repeat is still known
    assert {(hint.state, bytes(hint.body)) for hint in hints()} <= {("given_up", digest), ("heard", digest)}
    send(portal, sent)
    assert len(hints()) == len(kept)
