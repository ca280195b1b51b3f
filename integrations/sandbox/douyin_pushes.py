"""What the played Douyin shop pushes: many messages in one signed array, to be answered `{"code":0}`.

Tags and fields as in the platform's SDK: 100 created, 101 paid, 102 shipped, 105 new address, 106 cancelled, 206
refunded [U]; `data` is a JSON text in the JSON.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import httpx

from integrations.channels.douyin_push import event_sign
from integrations.sandbox.channel_pushes import Message, Tell, jobs_of
from integrations.sandbox.credentials import Credentials
from integrations.sandbox.jobs import Handler

PLATFORM = "douyin"
CREATED, PAID, SHIPPED, NEW_ADDRESS, CANCELLED, REFUNDED = "100", "101", "102", "105", "106", "206"
_CANCELLED, _REFUNDED = 4, 3


def news_of_order(before: dict[str, Any] | None, order: dict[str, Any]) -> list[Message]:
    """What writing the order over what it was before is worth telling."""
    at, lines = order["update_time"], order["sku_order_list"]
    told: list[tuple[str, dict[str, Any]]] = []
    if before is None:
        told.append((CREATED, {"create_time": order["create_time"]}))
    if order["pay_time"] and not (before and before["pay_time"]):
        told.append((PAID, {"pay_time": order["pay_time"], "pay_amount": order["pay_amount"]}))
    if before is not None:
        parcels = order["logistics_info"]
        if len(parcels) > len(before["logistics_info"]):
            told.append((SHIPPED, {"logistics_msg": parcels[-1]}))
        if order["post_addr"] != before["post_addr"]:
            told.append((NEW_ADDRESS, {"receiver_msg": {"addr": order["mask_post_addr"]}}))
        if order["order_status"] == _CANCELLED != before["order_status"]:
            told.append((CANCELLED, {"cancel_time": at}))
        was_refunded = {line["order_id"] for line in before["sku_order_list"] if _is_refunded(line)}
        for line in lines:
            if _is_refunded(line) and line["order_id"] not in was_refunded:
                money = {"refund_amount": line["pay_amount"], "success_time": at}
                told.append((REFUNDED, {"s_id": int(line["order_id"]), **money}))
    common = {
        "p_id": int(order["order_id"]),
        "s_ids": [int(line["order_id"]) for line in lines],
        "order_status": order["order_status"],
        "order_type": 0,
        "biz": 4,
    }
    return [{"id": _number(order, tag, details), "tag": tag, "data": common | details} for tag, details in told]


def jobs(credentials: Credentials, portal_url: str) -> dict[str, Handler]:
    """Pushes that are due."""
    return jobs_of(PLATFORM, _teller(credentials, f"{portal_url}/webhooks/douyin"))


def _teller(credentials: Credentials, address: str) -> Tell:
    async def tell(client: httpx.AsyncClient, messages: list[Message], forged: bool) -> set[str] | None:
        shop = {"shop_id": int(credentials.douyin_shop)}
        array = [
            {"tag": one["tag"], "msg_id": one["id"], "data": json.dumps(shop | one["data"], ensure_ascii=False)}
            for one in messages
        ]
        body = json.dumps(array, ensure_ascii=False, separators=(",", ":")).encode()
        secret = "somebody else's secret" if forged else credentials.douyin_app_secret
        headers = {
            "content-type": "application/json",
            "app-id": credentials.douyin_app_key,
            "event-sign": event_sign(credentials.douyin_app_key, secret, body),
        }
        try:
            answer = await client.post(address, content=body, headers=headers)
        except httpx.HTTPError:
            return None
        return {one["id"] for one in messages} if _is_success(answer) else set()

    return tell


def _is_success(answer: httpx.Response) -> bool:
    try:
        said = answer.json()
    except ValueError:
        return False
    return answer.status_code == 200 and isinstance(said, dict) and said.get("code") == 0


def _is_refunded(line: dict[str, Any]) -> bool:
    return bool(line["after_sale_info"]["refund_status"] == _REFUNDED)


def _number(order: dict[str, Any], tag: str, details: dict[str, Any]) -> str:
    """A number of this message, the same when it is made again."""
    said = json.dumps([order["order_id"], tag, details, order["update_time"]], sort_keys=True)
    return str(int(hashlib.sha256(said.encode()).hexdigest()[:15], 16))
