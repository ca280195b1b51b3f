"""What channels push about orders, made and signed before it is sent: the same bytes that the platforms would send.

Every order is told of four times, as created, paid and twice changed, with other orders' news in between; some
deliveries come a second time, byte for byte, and some once more from somebody who does not know the secret.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from integrations.channels.douyin_push import event_sign
from integrations.channels.wechat_crypto import key_of, seal, signature
from integrations.sandbox.credentials import Credentials
from integrations.sandbox.shopify_rest import order_payload

TIMES = 4
REPEATED, FORGED = 0.05, 0.01
#: A delivery follows the one before it of the same order by so many others, at most.
SPREAD = 40

#: An order as the sandbox keeps it.
Document = dict[str, Any]


@dataclass(frozen=True)
class Push:
    """One request, ready to be sent: path with its query, headers, body. A forged one must be answered 401."""

    path: str
    headers: dict[str, str]
    body: bytes
    forged: bool = False


def orders_for(count: int) -> int:
    """How many orders so many pushes are about."""
    return -(-_genuine(count) // TIMES)


def pushes(orders: list[tuple[str, Document]], count: int, seed: int = 7) -> list[Push]:
    """`count` pushes about these orders (kind of the sandbox's document, document), in the order of their sending."""
    rng, genuine = random.Random(seed), _genuine(count)
    told = sorted(
        (place * TIMES + sum(rng.uniform(1, SPREAD) for _ in range(number)), place, number)
        for place in range(len(orders))
        for number in range(TIMES)
    )[:genuine]
    made = [_made(orders[place], number) for _, place, number in told]
    forged = [_made(rng.choice(orders), number, forged=True) for number in range(round(count * FORGED))]
    for place in sorted(rng.sample(range(genuine), count - genuine - len(forged)), reverse=True):
        made.insert(place + 1 + rng.randrange(SPREAD), made[place])  # behind the last place this appends
    for push in forged:
        made.insert(rng.randrange(len(made)), push)
    return made


def _genuine(count: int) -> int:
    return count - round(count * REPEATED) - round(count * FORGED)


def _made(order: tuple[str, Document], number: int, *, forged: bool = False) -> Push:
    kind, document = order
    return _MAKERS[kind](document, number, forged)


def _shopify(order: Document, number: int, forged: bool) -> Push:
    known, topics = Credentials(), ("orders/create", "orders/paid", "orders/updated")
    body = json.dumps(order_payload(order)).encode()
    secret = b"somebody else's" if forged else known.shopify_client_secret.encode()
    headers = {
        "Content-Type": "application/json",
        "X-Shopify-Topic": topics[min(number, 2)],
        "X-Shopify-Hmac-Sha256": base64.b64encode(hmac.digest(secret, body, hashlib.sha256)).decode(),
        "X-Shopify-Shop-Domain": f"{known.shopify_shop}.myshopify.com",
        "X-Shopify-Webhook-Id": f"{order['legacyResourceId']}-{number}",
        "X-Shopify-Event-Id": f"event-{order['legacyResourceId']}-{number}",
    }
    return Push("/webhooks/shopify", headers, body, forged)


def _wechat_shop(order: Document, number: int, forged: bool) -> Push:
    known, events = Credentials(), ("new", "pay", "ext_info_update")
    message = {
        "ToUserName": "gh_benchmark",
        "FromUserName": order["openid"],
        "CreateTime": order["update_time"] + number,
        "MsgType": "event",
        "Event": f"channels_ec_order_{events[min(number, 2)]}",
        "order_info": {"order_id": int(order["order_id"])},
    }
    sealed = seal(key_of(known.wechat_push_aes_key), json.dumps(message).encode(), known.wechat_app_id)
    timestamp, nonce = str(int(time.time())), str(number)
    token = "somebody else's" if forged else known.wechat_push_token
    query = {
        "timestamp": timestamp,
        "nonce": nonce,
        "encrypt_type": "aes",
        "msg_signature": signature(token, timestamp, nonce, sealed),
    }
    body = json.dumps({"ToUserName": "gh_benchmark", "Encrypt": sealed}).encode()
    return Push(f"/webhooks/wechat-shop?{urlencode(query)}", {"Content-Type": "application/json"}, body, forged)


def _douyin(order: Document, number: int, forged: bool) -> Push:
    known, tags = Credentials(), ("100", "101", "105")
    lines = [int(line["order_id"]) for line in order["sku_order_list"]]
    data = {"shop_id": int(known.douyin_shop), "p_id": int(order["order_id"]), "s_ids": lines, "biz": 4}
    message = {"tag": tags[min(number, 2)], "msg_id": f"{order['order_id']}{number}", "data": json.dumps(data)}
    body = json.dumps([message]).encode()
    secret = "somebody else's" if forged else known.douyin_app_secret
    headers = {
        "Content-Type": "application/json",
        "app-id": known.douyin_app_key,
        "event-sign": event_sign(known.douyin_app_key, secret, body),
    }
    return Push("/webhooks/douyin", headers, body, forged)


#: By the kind of the sandbox's document.
_MAKERS: dict[str, Callable[[Document, int, bool], Push]] = {
    "shopify.order": _shopify,
    "wechat_shop.order": _wechat_shop,
    "douyin.order": _douyin,
}
KINDS = tuple(_MAKERS)
