"""JD's open platform 京东 POP behind routerjson, played for one shop (PROTOCOLS.md §4).

The clock may be 6 minutes off (JD's error table). `jingdong.pop.order.search` takes a month at most, sorts either way
and counts pages from 1; `jingdong.pop.order.shipment` has no key, but refuses an order that is shipped. Faults: `gate`.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from starlette.routing import BaseRoute

from integrations.channels.beijing_time import beijing
from integrations.sandbox.credentials import Credentials
from integrations.sandbox.gate import Failed, Gate, Refusals, listed, seen
from integrations.sandbox.jd_orders import ORDER, TO_SHIP, save, ship
from integrations.sandbox.world import World

PLATFORM = "jd"
MONTH = 31 * 86_400
COMPANIES = {"467", "1499", "463", "1327", "470", "465", "2087"}
#: Codes from here on are the operation's, told inside a successful answer.
BUSINESS = 10_000_000
RESULTS = {
    "jingdong.pop.order.search": "searchorderinfo_result",
    "jingdong.pop.order.get": "orderDetailInfo",
    "jingdong.pop.order.shipment": "sopjosshipment_result",
}

REFUSALS = Refusals(
    missing=Failed(11, "", "缺少签名参数"),
    app=Failed(10, "", "无效的 app_key"),
    signature=Failed(12, "", "无效签名"),
    clock=Failed(8, "", "非法的时间戳参数"),
    token=Failed(19, "", "token 已过期或者不存在"),
    method=Failed(15, "", "不存在的方法名"),
    params=Failed(BUSINESS + 100_021, "", "参数不合法"),
    throttled=Failed(2, "", "限制时间内调用失败次数"),
    busy=Failed(66, "", "平台连接后端服务失败"),
)


def routes(world: World, credentials: Credentials) -> list[BaseRoute]:
    """`/routerjson`."""
    gate = Gate(
        platform=PLATFORM,
        path="/routerjson",
        names=("method", "app_key", "access_token"),
        known=(credentials.jd_app_key, credentials.jd_access_token),
        secret=credentials.jd_app_secret,
        clock=_clock,
        clock_seconds=360,
        refusals=REFUSALS,
        business=lambda form: dict(json.loads(form["360buy_param_json"])),
        operations=OPERATIONS,
        page="page",
        answered=_answered,
        refused=_refused,
    )
    return gate.routes(world)


def _clock(told: str) -> float:
    if len(told) == 19:
        return beijing(told, "timestamp").timestamp()
    return datetime.strptime(told, "%Y-%m-%d %H:%M:%S.%f%z").timestamp()


def _answered(method: str, data: dict[str, Any]) -> dict[str, Any]:
    return {f"{method.replace('.', '_')}_responce": {"code": "0", RESULTS[method]: data}}


def _refused(method: str, failed: Failed) -> dict[str, Any]:
    if failed.code < BUSINESS or method not in RESULTS:
        return {"error_response": {"code": str(failed.code), "zh_desc": str(failed), "en_desc": "refused"}}
    if method == "jingdong.pop.order.shipment":
        return _answered(method, {"success": False, "errorCode": str(failed.code), "chineseErrCode": str(failed)})
    return _answered(
        method, {"apiResult": {"success": False, "numberCode": failed.code, "chineseErrCode": str(failed)}}
    )


def _search(world: World, params: dict[str, Any]) -> dict[str, Any]:
    since, until = (beijing(params[name], name).timestamp() for name in ("start_date", "end_date"))
    page, size = int(params["page"]), int(params["page_size"])
    if not 0 < until - since <= MONTH or not 0 < size <= 100 or page < 1 or int(params.get("dateType", 0)) == 1:
        raise REFUSALS.params
    states = set(params["order_state"].split(","))
    # both ends of the range are part of it
    found = [order for order in world.window(ORDER, since, until + 1) if order["orderState"] in states]
    if int(params.get("sortType", 0)) == 1:
        found.reverse()
    rows, total = listed(world, ORDER, found, "orderId", page, size)
    return {**_OK, "orderTotal": total, "orderInfoList": [_fields(row, params) for row in rows]}


def _get(world: World, params: dict[str, Any]) -> dict[str, Any]:
    return {**_OK, "orderInfo": _fields(_known(world, params["order_id"]), params)}


def _shipment(world: World, params: dict[str, Any]) -> dict[str, Any]:
    order = _known(world, params["orderId"])
    failed = None
    if order["orderState"] != TO_SHIP:
        failed = Failed(BUSINESS + 400_001, "", "订单状态不允许出库")
    elif params["logiCoprId"] not in COMPANIES or not params["logiNo"]:
        failed = Failed(BUSINESS + 400_002, "", "物流公司或运单号不合法")
    key = f"{order['orderId']}:{params['logiNo']}"
    world.count(PLATFORM, "jingdong.pop.order.shipment", key, took_effect=failed is None)
    if failed:
        raise failed
    ship(order, params["logiCoprId"], params["logiNo"])
    save(world, order, world.now())
    return {"success": True, "errorCode": "", "chineseErrCode": "成功"}


def _known(world: World, order_id: Any) -> dict[str, Any]:
    order = world.get(ORDER, str(order_id))
    if order is None:
        raise Failed(BUSINESS + 100_001, "", "订单不存在")
    return order


def _fields(order: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    names = set(params["optional_fields"].split(","))
    return {name: value for name, value in seen(order).items() if name in names}


_OK: dict[str, Any] = {"apiResult": {"success": True, "numberCode": 0, "chineseErrCode": "成功"}}

OPERATIONS = {
    "jingdong.pop.order.search": _search,
    "jingdong.pop.order.get": _get,
    "jingdong.pop.order.shipment": _shipment,
}
