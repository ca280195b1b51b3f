"""What Shopify pushes: webhooks, verified and read as hints to fetch an order again (PROTOCOLS.md §1).

The signature covers the body and nothing else: topic, shop and delivery id stand in headers that nobody signed. Who
replays a body of ours under another topic or id gains one more look at an order that exists, and no more.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from integrations.channels import Pushed
from integrations.channels.shopify_graphql import NAME
from integrations.errors import Forged, Refused
from models.settings import ShopifySettings

#: What is subscribed to, and read. `orders/updated` says everything that the others say, and more.
TOPICS = ("orders/create", "orders/paid", "orders/cancelled", "orders/updated", "orders/edited", "refunds/create")

_ORDER = "gid://shopify/Order/"
_ORDER_ID = re.compile(rf"{_ORDER}[1-9][0-9]{{0,19}}")
_NUMBER = re.compile(r"[1-9][0-9]{0,19}")
_HEADER = re.compile(r"[\x21-\x7e]{1,200}")


def read_push(settings: ShopifySettings, headers: Mapping[str, str], body: bytes) -> list[Pushed]:
    """The one hint in a webhook; none when its topic is not ours to hear.

    `Forged` when the body is not signed by the app's secret (or the one before it), or names another shop: answer
    401. `Refused` ("unreadable") when it is signed and yet names no order or delivery: answer 400.
    """
    # the Events preview has the same headers without the "X-"
    given = {name.lower().removeprefix("x-"): value for name, value in headers.items()}
    secrets = (settings.client_secret.get_secret_value(), settings.previous_client_secret.get_secret_value())
    verify_webhook(secrets, body, given.get("shopify-hmac-sha256", ""))
    shop = given.get("shopify-shop-domain", "").lower()
    if shop not in (f"{settings.shop}.myshopify.com".lower(), urlsplit(settings.base_url).hostname):
        raise Forged(NAME, "shop", f"the webhook is of the shop {shop[:100]!r}, not of {settings.shop}: answer 401")
    topic, delivery = given.get("shopify-topic", ""), given.get("shopify-webhook-id", "")
    if topic not in TOPICS:
        return []
    if _HEADER.fullmatch(delivery) is None:
        raise Refused(NAME, "unreadable", "the webhook has no X-Shopify-Webhook-Id")
    event = given.get("shopify-event-id", "")
    return [Pushed(delivery, topic, _order_id(topic, body), event if _HEADER.fullmatch(event) else "")]


def verify_webhook(secrets: Iterable[str], body: bytes, signature: str) -> None:
    """Check `X-Shopify-Hmac-Sha256` over the raw body; several secrets, because an old one signs for an hour.

    Raises `Forged` unless one of them made the signature (shopify.dev, "verify deliveries").
    """
    for secret in secrets:
        wanted = base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256))
        if secret and hmac.compare_digest(wanted, signature.encode("utf-8", "replace")):
            return
    raise Forged(NAME, "signature", "the webhook's signature is not ours: answer 401")


def _order_id(topic: str, body: bytes) -> str:
    """The id of the order that the body is about, as GraphQL has it."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(NAME, "unreadable", f"the webhook's body is no JSON: {error}"[:300]) from error
    if isinstance(message, dict):
        if topic == "refunds/create":
            found = _of_number(message.get("order_id"))
        elif isinstance(edit := message.get("order_edit"), dict):  # [U]: as public receivers of orders/edited read it
            found = _of_number(edit.get("order_id"))
        else:
            found = str(message.get("admin_graphql_api_id"))[:100]
        if _ORDER_ID.fullmatch(found):
            return found
    raise Refused(NAME, "unreadable", f"the body of {topic} names no order")


def _of_number(number: Any) -> str:
    """The gid of a legacy id: a JSON integer (beyond 2^53, so never a float) or its digits."""
    if isinstance(number, int) and not isinstance(number, bool) and 0 < number < 10**20:
        return f"{_ORDER}{number}"
    return f"{_ORDER}{number}" if isinstance(number, str) and _NUMBER.fullmatch(number) else ""
