"""What Shopify pushes: who is believed, and which order a webhook names."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from integrations.channels import Pushed
from integrations.channels.shopify_push import TOPICS, read_push, verify_webhook
from integrations.errors import Forged, Refused
from models.settings import ShopifySettings
from tests.integrations.hostile import bent

SECRET, OLD_SECRET = "shpss_new", "shpss_old"
SHOP = ShopifySettings(
    shop="cat-kitchen", client_secret=SecretStr(SECRET), previous_client_secret=SecretStr(OLD_SECRET)
)
ORDER_ID = "gid://shopify/Order/820982911946154508"
ORDER = {"id": 820982911946154508, "admin_graphql_api_id": ORDER_ID, "name": "#9999"}
#: Body by topic, as far as we read them; PROTOCOLS.md §1.
BODIES: dict[str, dict[str, Any]] = {
    **dict.fromkeys(TOPICS, ORDER),
    "orders/edited": {"order_edit": {"id": 1, "order_id": 820982911946154508, "line_items": {"additions": []}}},
    "refunds/create": {
        "id": 890088186047892319,
        "admin_graphql_api_id": "gid://shopify/Refund/890088186047892319",
        "order_id": 820982911946154508,
    },
}


def signed(body: bytes, topic: str = "orders/paid", secret: str = SECRET, **changes: str) -> dict[str, str]:
    """The headers of a webhook; `changes` by name without the "X-Shopify-", an empty one is left out."""
    signature = base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)).decode()
    named = {
        "Topic": topic,
        "Hmac-Sha256": signature,
        "Shop-Domain": "cat-kitchen.myshopify.com",
        "API-Version": "2026-10",
        "Webhook-Id": "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
        "Event-Id": "98880550-7158-44d4-b7cd-2c97c8a091b5",
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    return {f"X-Shopify-{name}": value for name, value in named.items() if value}


def body_of(message: Any) -> bytes:
    return json.dumps(message).encode()


def test_published_webhook_signature_is_accepted() -> None:
    # Shopify/shopify-api-php tests/Webhooks/RegistryTest.php
    secret, signature = "7008c5f4da4718b9b45d26d3fcbbb157", "+R9TwYM4mbLTk3hEAOBkpA7zW2lc9vNFmVKs2u2jtyY="
    verify_webhook([secret], b'{"foo":"bar"}', signature)
    verify_webhook(["the new secret", secret], b'{"foo":"bar"}', signature)


@pytest.mark.parametrize(
    ("secrets", "body", "signature"),
    [
        (["another"], b'{"foo":"bar"}', "+R9TwYM4mbLTk3hEAOBkpA7zW2lc9vNFmVKs2u2jtyY="),
        (["7008c5f4da4718b9b45d26d3fcbbb157"], b'{"foo": "bar"}', "+R9TwYM4mbLTk3hEAOBkpA7zW2lc9vNFmVKs2u2jtyY="),
        (["7008c5f4da4718b9b45d26d3fcbbb157"], b'{"foo":"bar"}', "签名\ud800"),
        ([""], b"", "thNnmggU2ex3L5XXeMNfxf8Wl8STcVZTxscSFEKSxa0="),
        ([], b"", ""),
    ],
)
def test_forged_webhook_is_refused(secrets: list[str], body: bytes, signature: str) -> None:
    with pytest.raises(Forged):
        verify_webhook(secrets, body, signature)


@pytest.mark.parametrize("topic", TOPICS)
@pytest.mark.parametrize("secret", [SECRET, OLD_SECRET])
def test_webhook_of_every_topic_names_its_order(topic: str, secret: str) -> None:
    body = body_of(BODIES[topic])
    wanted = Pushed(
        delivery_id="b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
        topic=topic,
        channel_order_id=ORDER_ID,
        event_id="98880550-7158-44d4-b7cd-2c97c8a091b5",
    )
    assert read_push(SHOP, signed(body, topic, secret), body) == [wanted]


def test_headers_of_the_events_preview_and_in_any_case_are_understood() -> None:
    body = body_of(ORDER)
    preview = {name.removeprefix("X-"): value for name, value in signed(body).items()}
    small = {name.lower(): value for name, value in signed(body).items()}
    assert read_push(SHOP, preview, body) == read_push(SHOP, small, body) == read_push(SHOP, signed(body), body)


def test_topic_that_is_not_ours_to_hear_is_no_hint() -> None:
    body = body_of({"id": 1})
    assert read_push(SHOP, signed(body, "products/update"), body) == []


def test_event_id_may_be_missing() -> None:
    body = body_of(ORDER)
    [pushed] = read_push(SHOP, signed(body, Event_Id=""), body)
    assert (pushed.channel_order_id, pushed.event_id) == (ORDER_ID, "")


def test_base_url_of_the_shop_is_its_domain_too() -> None:
    own = SHOP.model_copy(update={"base_url": "https://admin.cat-kitchen.example/shop"})
    body = body_of(ORDER)
    assert len(read_push(own, signed(body, Shop_Domain="ADMIN.cat-kitchen.example"), body)) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"secret": "shpss_of_somebody_else"},
        {"Hmac_Sha256": ""},
        {"Hmac_Sha256": "not base64"},
        {"Shop_Domain": "dog-kitchen.myshopify.com"},
        {"Shop_Domain": "cat-kitchen.myshopify.com.example"},
        {"Shop_Domain": ""},
    ],
)
def test_webhook_of_somebody_else_is_forged(changes: dict[str, str]) -> None:
    body = body_of(ORDER)
    with pytest.raises(Forged):
        read_push(SHOP, signed(body, **changes), body)


def test_changed_body_is_forged_and_nobody_is_believed_without_a_secret() -> None:
    body = body_of(ORDER)
    with pytest.raises(Forged):
        read_push(SHOP, signed(body), body + b" ")
    with pytest.raises(Forged):
        read_push(ShopifySettings(shop="cat-kitchen"), signed(body, secret=""), body)


@pytest.mark.parametrize(
    ("topic", "body"),
    [
        ("orders/paid", b""),
        ("orders/paid", b"not json"),
        ("orders/paid", b"\xff\xfe"),
        ("orders/paid", b"[" * 100_000),
        ("orders/paid", b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
        ("orders/paid", b"[]"),
        ("orders/paid", b"null"),
        ("orders/paid", b"{}"),
        ("orders/paid", body_of({"id": 820982911946154508})),
        ("orders/paid", body_of({"admin_graphql_api_id": "gid://shopify/Refund/1"})),
        ("orders/paid", body_of({"admin_graphql_api_id": "gid://shopify/Order/1'; DROP"})),
        ("orders/paid", body_of({"admin_graphql_api_id": f"gid://shopify/Order/{'1' * 400}"})),
        ("orders/paid", body_of({"admin_graphql_api_id": {"gid": 1}})),
        ("refunds/create", body_of(ORDER)),
        ("refunds/create", b'{"order_id":' + b"9" * 5000 + b"}"),
        ("refunds/create", b'{"order_id":8.2e17}'),
        ("refunds/create", b'{"order_id":1e999}'),
        ("refunds/create", b'{"order_id":-5}'),
        ("refunds/create", b'{"order_id":true}'),
        ("refunds/create", b'{"order_id":"\xd9\xa1"}'),  # an Arabic digit
        ("orders/edited", b'{"order_edit":{"order_id":null}}'),
        ("orders/edited", b'{"order_edit":[]}'),
    ],
)
def test_signed_body_that_names_no_order_is_unreadable(topic: str, body: bytes) -> None:
    with pytest.raises(Refused) as caught:
        read_push(SHOP, signed(body, topic), body)
    assert caught.value.code == "unreadable"


@pytest.mark.parametrize("delivery", ["", "a b", "编号", "x" * 201])
def test_webhook_without_a_delivery_id_is_unreadable(delivery: str) -> None:
    body = body_of(ORDER)
    with pytest.raises(Refused, match="unreadable"):
        read_push(SHOP, signed(body, Webhook_Id=delivery), body)


@given(topic=st.sampled_from(TOPICS), data=st.data())
@settings(max_examples=300, deadline=None)
def test_bent_webhook_is_a_hint_or_unreadable_and_never_an_error(topic: str, data: st.DataObject) -> None:
    try:
        body = body_of(data.draw(bent(BODIES[topic])))
    except (ValueError, RecursionError):  # bent beyond what JSON can say
        reject()
    try:
        [pushed] = read_push(SHOP, signed(body, topic), body)
    except Refused as refused:
        assert refused.code == "unreadable"
    else:
        assert pushed.channel_order_id.startswith("gid://shopify/Order/")
