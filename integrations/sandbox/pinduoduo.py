"""Pinduoduo's open platform, played for one shop (PROTOCOLS.md §4).

The increment listing takes half an hour at most and counts pages from 1; receivers are ciphertext with masks until the
order is shipped; `pdd.logistics.online.send` has no key, but refuses an order that is shipped. Faults: `gate`.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

from starlette.routing import BaseRoute

from integrations.sandbox.credentials import Credentials
from integrations.sandbox.gate import Failed, Gate, Refusals, listed, seen
from integrations.sandbox.pinduoduo_orders import ORDER, TO_SHIP, save, ship
from integrations.sandbox.world import World

PLATFORM = "pinduoduo"
DECRYPTED = "pinduoduo.decrypted"  # order_sn -> how many texts were decrypted
HALF_AN_HOUR = 1_800
COMPANIES = {"44", "115", "85", "121", "1", "118"}
ANSWERS = {
    "pdd.order.number.list.increment.get": "order_sn_increment_get_response",
    "pdd.order.information.get": "order_info_get_response",
    "pdd.open.decrypt.batch": "open_decrypt_batch_response",
    "pdd.logistics.online.send": "logistics_online_send_response",
}

REFUSALS = Refusals(
    missing=Failed(10001, "10001", "公共参数错误"),
    app=Failed(10002, "10002", "client_id 不存在"),
    signature=Failed(20004, "20004", "签名校验失败"),
    clock=Failed(10000, "10000", "timestamp 不在有效范围内"),
    token=Failed(10019, "10019", "access_token 已过期"),
    method=Failed(10001, "10001", "公共参数错误:type"),
    params=Failed(10000, "10000", "参数错误"),
    throttled=Failed(70031, "70031", "调用过于频繁,请调整调用频率"),
    busy=Failed(52001, "", "系统内部错误"),
    forbidden=Failed(20031, "20031", "应用不包含此接口的权限包"),
)


def routes(world: World, credentials: Credentials) -> list[BaseRoute]:
    """`/api/router`."""
    gate = Gate(
        platform=PLATFORM,
        path="/api/router",
        names=("type", "client_id", "access_token"),
        known=(credentials.pinduoduo_client_id, credentials.pinduoduo_access_token),
        secret=credentials.pinduoduo_client_secret,
        clock=float,
        clock_seconds=600,
        refusals=REFUSALS,
        business=dict,
        operations=OPERATIONS,
        page="page",
        answered=lambda method, data: {ANSWERS[method]: {**data, "request_id": secrets.token_hex(8)}},
        refused=_refused,
    )
    return gate.routes(world)


def _refused(method: str, failed: Failed) -> dict[str, Any]:
    said = {"error_code": failed.code, "error_msg": str(failed), "sub_code": failed.sub_code, "sub_msg": ""}
    return {"error_response": {**said, "request_id": secrets.token_hex(8)}}


def _increment(world: World, params: dict[str, Any]) -> dict[str, Any]:
    since, until = int(params["start_updated_at"]), int(params["end_updated_at"])
    page, size = int(params.get("page", 1)), int(params.get("page_size", 100))
    if not 0 < until - since <= HALF_AN_HOUR or not 0 < size <= 100 or page < 1:
        raise Failed(50001, "40001", "开始时间结束时间间距不超过 30 分钟,每页最多 100 条")
    # both ends of the range are part of it; what is not paid is not listed
    found = [order for order in world.window(ORDER, since, until + 1) if order["confirm_status"]]
    rows, total = listed(world, ORDER, found, "order_sn", page, size)
    return {"total_count": total, "order_sn_list": [seen(row) for row in rows]}


def _information(world: World, params: dict[str, Any]) -> dict[str, Any]:
    return {"order_info": seen(_known(world, params["order_sn"]))}


def _decrypt(world: World, params: dict[str, Any]) -> dict[str, Any]:
    found = []
    for item in json.loads(params["data_list"]):
        order_sn, cipher = item["data_tag"], item["encrypted_data"]
        clear = _known(world, order_sn)["_clear"].get(cipher)
        counted = (world.get(DECRYPTED, order_sn) or {"texts": 0})["texts"]
        world.put(DECRYPTED, order_sn, {"texts": counted + 1})
        problem = {"error_code": 0, "error_msg": ""} if clear else {"error_code": 30002, "error_msg": "密文不合法"}
        found.append({"data_tag": order_sn, "encrypted_data": cipher, "decrypted_data": clear or "", **problem})
    return {"data_decrypt_list": found}


def _send(world: World, params: dict[str, Any]) -> dict[str, Any]:
    order = _known(world, params["order_sn"])
    failed = None
    if order["order_status"] != TO_SHIP or not order["pay_time"]:
        failed = Failed(50001, "60021", "订单状态不允许发货")
    elif params["logistics_id"] not in COMPANIES or not params["tracking_number"]:
        failed = Failed(50001, "60022", "快递公司或运单号不合法")
    key = f"{order['order_sn']}:{params['tracking_number']}"
    world.count(PLATFORM, "pdd.logistics.online.send", key, took_effect=failed is None)
    if failed:
        raise failed
    now = world.now()
    ship(order, int(params["logistics_id"]), params["tracking_number"], now)
    save(world, order, now)
    return {"is_success": True}


def _known(world: World, order_sn: Any) -> dict[str, Any]:
    order = world.get(ORDER, str(order_sn))
    if order is None:
        raise Failed(50001, "40002", "订单不存在")
    return order


OPERATIONS = {
    "pdd.order.number.list.increment.get": _increment,
    "pdd.order.information.get": _information,
    "pdd.open.decrypt.batch": _decrypt,
    "pdd.logistics.online.send": _send,
}
