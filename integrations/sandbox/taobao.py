"""Taobao's open platform TOP, played for one shop (PROTOCOLS.md §4).

The increment listing takes a day at most, newest first, pages from 1. Receivers are masked and decrypted by their oaid.
`taobao.logistics.offline.send` has no key, but refuses lines that are shipped. Faults: `gate`.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

from starlette.routing import BaseRoute

from integrations.channels.beijing_time import beijing
from integrations.sandbox.credentials import Credentials
from integrations.sandbox.gate import Failed, Gate, Refusals, listed, seen
from integrations.sandbox.taobao_orders import ORDER, TO_SHIP, save, ship
from integrations.sandbox.world import World

PLATFORM = "taobao"
DECRYPTED = "taobao.decrypted"  # tid -> how often its receiver was decrypted
DAY = 86_400
COMPANIES = {"SF", "ZTO", "YTO", "YUNDA", "STO", "EMS"}

REFUSALS = Refusals(
    missing=Failed(40, "isv.missing-parameter", "Missing Required Arguments"),
    app=Failed(29, "isv.appkey-not-exists", "Invalid App Key"),
    signature=Failed(25, "", "Invalid Signature"),
    clock=Failed(31, "", "Invalid Timestamp"),
    token=Failed(27, "invalid-sessionkey", "Invalid Session"),
    method=Failed(22, "", "Invalid Method"),
    params=Failed(41, "isv.invalid-parameter", "Invalid Arguments"),
    throttled=Failed(
        7, "accesscontrol.limited-by-api-access-count", "App Call Limited This ban will last for 1 more seconds"
    ),
    busy=Failed(15, "isp.top-remote-connection-timeout", "Remote service error"),
    forbidden=Failed(11, "isv.permission-api-package-limit", "Insufficient ISV Permissions"),
)


def routes(world: World, credentials: Credentials) -> list[BaseRoute]:
    """`/router/rest`."""
    gate = Gate(
        platform=PLATFORM,
        path="/router/rest",
        names=("method", "app_key", "session"),
        known=(credentials.taobao_app_key, credentials.taobao_session),
        secret=credentials.taobao_app_secret,
        clock=lambda told: beijing(told, "timestamp").timestamp(),
        clock_seconds=600,
        refusals=REFUSALS,
        business=dict,
        operations=OPERATIONS,
        page="page_no",
        answered=_answered,
        refused=_refused,
    )
    return gate.routes(world)


def _answered(method: str, data: dict[str, Any]) -> dict[str, Any]:
    name = method.removeprefix("taobao.").replace(".", "_") + "_response"
    return {name: {**data, "request_id": secrets.token_hex(6)}}


def _refused(method: str, failed: Failed) -> dict[str, Any]:
    said = {"code": failed.code, "msg": str(failed), "sub_code": failed.sub_code, "sub_msg": str(failed)}
    return {"error_response": {**said, "request_id": secrets.token_hex(6)}}


def _increment(world: World, params: dict[str, Any]) -> dict[str, Any]:
    since, until = (beijing(params[name], name).timestamp() for name in ("start_modified", "end_modified"))
    page, size = int(params.get("page_no", 1)), int(params.get("page_size", 40))
    if not 0 < until - since <= DAY or not 0 < size <= 100 or page < 1:
        raise Failed(41, "isv.invalid-parameter", "时间跨度不能大于一天,每页最多 100 条")
    newest_first = world.window(ORDER, since, until + 1)[::-1]  # both ends of the range are part of it
    rows, total = listed(world, ORDER, newest_first, "tid", page, size)
    names = params["fields"].split(",")
    trades = [{name: row[name] for name in names if name in row} for row in rows]
    return {"total_results": total, **({"trades": {"trade": trades}} if trades else {})}


def _known(world: World, tid: Any) -> dict[str, Any]:
    trade = world.get(ORDER, str(tid))
    if trade is None:
        raise Failed(50, "isv.trade-not-exist", "交易订单不存在")
    return trade


def _fullinfo(world: World, params: dict[str, Any]) -> dict[str, Any]:
    trade, names = seen(_known(world, params["tid"])), params["fields"].split(",")
    return {"trade": {name: trade[name] for name in names if name in trade}}


def _decrypt(world: World, params: dict[str, Any]) -> dict[str, Any]:
    receivers = []
    for query in json.loads(params["query_list"]):
        trade = _known(world, query["tid"])
        if not query["oaid"] or query["oaid"] != trade["oaid"] or not query["scene"]:
            raise Failed(50, "isv.oaid-invalid", "oaid 与订单不一致")
        counted = (world.get(DECRYPTED, query["tid"]) or {"times": 0})["times"]
        world.put(DECRYPTED, query["tid"], {"times": counted + 1})
        receivers.append({"tid": query["tid"], "oaid": query["oaid"], "matched": True, **trade["_clear"]})
    return {"receiver_list": {"receiver": receivers}}


def _send(world: World, params: dict[str, Any]) -> dict[str, Any]:
    trade = _known(world, params["tid"])
    lines = {str(line["oid"]): line for line in trade["orders"]["order"]}
    wanted = set(params["sub_tid"].split(",")) if params.get("is_split") == "1" else set(lines)
    failed = None
    if not wanted <= set(lines) or any(lines[oid]["status"] != TO_SHIP for oid in wanted):
        failed = Failed(50, "isv.logistics-offline-service-error:B04", "订单状态不允许发货")
    elif params["company_code"] not in COMPANIES or not params["out_sid"]:
        failed = Failed(50, "isv.logistics-offline-service-error:B60", "物流公司或运单号不合法")
    world.count(
        PLATFORM, "taobao.logistics.offline.send", f"{trade['tid']}:{params['out_sid']}", took_effect=not failed
    )
    if failed:
        raise failed
    now = world.now()
    ship(trade, wanted, params["company_code"], params["out_sid"], now)
    save(world, trade, now)
    return {"shipping": {"is_success": True}}


OPERATIONS = {
    "taobao.trades.sold.increment.get": _increment,
    "taobao.trade.fullinfo.get": _fullinfo,
    "taobao.top.oaid.decrypt": _decrypt,
    "taobao.logistics.offline.send": _send,
}
