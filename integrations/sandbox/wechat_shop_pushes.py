"""What the played WeChat shop pushes: encrypted JSON, one event a POST, to be answered `success` within 5 s.

Events as in the platform's docs (store/shop/notify): order ids are numbers there, after-sales and their orders texts.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from typing import Any

import httpx

from integrations.channels.wechat_crypto import key_of, seal, signature
from integrations.sandbox.channel_pushes import Message, Tell, jobs_of
from integrations.sandbox.credentials import Credentials
from integrations.sandbox.jobs import Handler

PLATFORM = "wechat_shop"
OURS = "gh_sandbox0001"
AT_ONCE = 8
UNPAID, REFUNDED, CANCELLED = 10, 200, 250
_BY_BUYER, _BY_AFTER_SALES = 1, 3


def news_of_order(before: dict[str, Any] | None, order: dict[str, Any]) -> list[Message]:
    """What writing the order over what it was before is worth telling: new, paid, shipped, cancelled."""
    old = before or {"status": UNPAID, "order_detail": {}}
    paid, was_paid = (_paid_at(one) for one in (order, old))
    parcels, had = (len(_delivery(one).get("delivery_product_info", [])) for one in (order, old))
    events: list[tuple[str, dict[str, Any]]] = []
    if before is None:
        events.append(("new", {}))
    if paid and not was_paid:
        events.append(("pay", {"pay_time": paid}))
    if parcels > had:
        events.append(("deliver", {"finish_delivery": int(order["status"] not in (20, 21))}))
    if order["status"] != old["status"] and order["status"] in (REFUNDED, CANCELLED):
        why = _BY_AFTER_SALES if order["status"] == REFUNDED else _BY_BUYER
        events.append(("cancel", {"cancel_type": why}))
    return [
        _message(
            order["openid"],
            order["update_time"],
            f"channels_ec_order_{name}",
            "order_info",
            {"order_id": int(order["order_id"]), **details},
            f"{order['order_id']}:{parcels}",
        )
        for name, details in events
    ]


def news_of_after_sale(after_sale: dict[str, Any]) -> list[Message]:
    """An after-sale is at another step."""
    about = {name: after_sale[name] for name in ("status", "after_sale_order_id", "order_id")}
    event, within = "channels_ec_aftersale_update", "finder_shop_aftersale_status_update"
    key = f"{about['after_sale_order_id']}:{about['status']}"
    return [_message(after_sale["openid"], after_sale["update_time"], event, within, about, key)]


def jobs(credentials: Credentials, portal_url: str) -> dict[str, Handler]:
    """Pushes that are due."""
    return jobs_of(PLATFORM, _teller(credentials, f"{portal_url}/webhooks/wechat-shop"))


def _teller(credentials: Credentials, address: str) -> Tell:
    key = key_of(credentials.wechat_push_aes_key)

    async def tell(client: httpx.AsyncClient, messages: list[Message], forged: bool) -> set[str] | None:
        token = "somebody else's token" if forged else credentials.wechat_push_token
        taken: set[str] = set()
        answers = 0
        for start in range(0, len(messages), AT_ONCE):
            some = messages[start : start + AT_ONCE]
            said = await asyncio.gather(*(_post(client, message, token) for message in some))
            answers += sum(one is not None for one in said)
            taken |= {message["id"] for message, one in zip(some, said, strict=True) if one == "success"}
            if not answers:
                return None
        return taken

    async def _post(client: httpx.AsyncClient, message: Message, token: str) -> str | None:
        """The text of the answer; empty when it was a refusal, None when there was none."""
        event = message["event"]
        sealed = seal(key, json.dumps(event, ensure_ascii=False).encode(), credentials.wechat_app_id)
        timestamp, nonce = str(int(time.time())), str(secrets.randbelow(10**9))
        query = {
            "signature": signature(token, timestamp, nonce),
            "timestamp": timestamp,
            "nonce": nonce,
            "openid": event["FromUserName"],
            "encrypt_type": "aes",
            "msg_signature": signature(token, timestamp, nonce, sealed),
        }
        body = json.dumps({"ToUserName": OURS, "Encrypt": sealed}).encode()
        try:
            answer = await client.post(
                address, params=query, content=body, headers={"content-type": "application/json"}
            )
        except httpx.HTTPError:
            return None
        return answer.text.strip() if answer.status_code == 200 else ""

    return tell


def _message(openid: str, at: int, event: str, within: str, about: dict[str, Any], key: str) -> Message:
    said = {"ToUserName": OURS, "FromUserName": openid, "CreateTime": at, "MsgType": "event", "Event": event}
    return {"id": f"{event}:{key}:{at}", "event": {**said, within: about}}


def _paid_at(order: dict[str, Any]) -> int:
    return int(order["order_detail"].get("pay_info", {}).get("pay_time", 0))


def _delivery(order: dict[str, Any]) -> dict[str, Any]:
    return dict(order["order_detail"].get("delivery_info", {}))
