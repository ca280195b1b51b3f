"""SF Express 丰桥 as PROTOCOLS.md §7 has it: signed forms in, a JSON string in JSON out, orders held by their id.

Faults by operation (`create_waybill`, `find_waybill`, `cancel_waybill`, `routes`, `label`): the generic ones, any
gateway code `A1001` … `A1099` (nothing is done), `8016` (done, and answered as a duplicate), `filter_1` and
`filter_3` (the address is checked by hand, is not served), and for `parcel`, asked once per new waybill,
`exception` and `return` (the parcel's route goes that way).
"""

from __future__ import annotations

import hmac
import json
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from integrations.carriers.sf_express import digest
from integrations.carriers.sf_routes import BEIJING
from integrations.sandbox.credentials import Credentials
from integrations.sandbox.faults import play
from integrations.sandbox.label import label_pdf
from integrations.sandbox.limit import SlidingLimit
from integrations.sandbox.world import Fault, World

PLATFORM = "sf"
ORDER, WAYBILL, SEQUENCE = "sf_order", "sf_waybill", "sf_sequence"
CALLS_A_SECOND = 30  # per interface
CLOCK_SKEW = 3600.0  # seconds
FIRST_NUMBER = 7_444_000_000_000

#: (sandbox seconds after the order, place, remark, opCode, first status, secondary status)
WAY = (
    (8, "origin", "顺丰速运 已收取快件", "50", "1", "101"),
    (16, "origin", "快件在【转运中心】完成分拣,准备发往下一站", "30", "2", "201"),
    (24, "origin", "快件已发车", "36", "2", "201"),
    (36, "destination", "快件到达【营业点】", "31", "2", "201"),
    (48, "destination", "快件交给快递员,正在派送途中", "204", "3", "301"),
)
SIGNED = (
    (60, "destination", "您的快件已签收", "80", "4", "401"),
    (62, "destination", "在官网可查看签收人信息", "8000", "4", ""),
)
HELD = ((54, "destination", "快件派送不成功,待进一步处理", "70", "13", "1301"),)
RETURNED = (*HELD, (58, "destination", "应客户要求,快件正在退回", "99", "5", ""))


def routes(world: World, credentials: Credentials) -> list[BaseRoute]:
    """`POST /std/service` for every service, and the label files."""
    limits = {service: SlidingLimit(CALLS_A_SECOND) for service in SERVICES}

    async def service(request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        refused = _gateway_refusal(form, credentials)
        if refused:
            return _gateway(*refused)
        operation, act = SERVICES[form["serviceCode"]]
        if not limits[form["serviceCode"]].take(1.0):
            return _gateway("A1005", "流量受控")
        fault = world.fault(PLATFORM, operation)
        if fault and fault.kind.startswith("A1"):
            return _gateway(fault.kind, "故障演练")
        asked = json.loads(form["msgData"])
        base = str(request.url).removesuffix("std/service")

        def answer() -> Response:
            with world.transaction():
                return _gateway("A1000", "", act(world, asked, fault, base))

        return await play(request, fault, answer)

    async def label(request: Request) -> Response:
        number = request.path_params["number"]
        found = world.get(WAYBILL, number)
        if found is None:
            return PlainTextResponse("not found", 404)
        if request.headers.get("x-auth-token") != found["token"]:
            return PlainTextResponse("unauthorized", 401)
        order = world.get(ORDER, found["orderId"]) or {}
        to, cargo = _contact(order, 2), order.get("cargo", [])
        lines = [
            f"{order['originCode']} → {order['destCode']}",
            f"{to['contact'][:1]}** {to['mobile'][:3]}****{to['mobile'][-4:]}",
            f"{to['province']}{to['city']}{to['county']}",
            *(f"{item['name']} x {item['count']}" for item in cargo[:6]),
        ]
        return Response(label_pdf(number, lines), media_type="application/pdf")

    return [
        Route("/std/service", service, methods=["POST"]),
        Route("/label/{number}.pdf", label),
    ]


def _gateway_refusal(form: dict[str, str], credentials: Credentials) -> tuple[str, str] | None:
    """What the gateway finds wrong before it looks at the business, if anything."""
    needed = ("partnerID", "requestID", "serviceCode", "timestamp", "msgDigest", "msgData")
    if not all(form.get(name) for name in needed):
        return "A1001", "必传参数不可为空"
    if form["partnerID"] != credentials.sf_partner_id or form["serviceCode"] not in SERVICES:
        return "A1004", "无对应服务权限"
    try:
        skew = abs(int(form["timestamp"]) / 1000 - time.time())
    except ValueError:
        skew = CLOCK_SKEW * 2
    if skew > CLOCK_SKEW:
        return "A1002", "请求时效已过期"
    good = digest(credentials.sf_digest, form["msgData"], form["timestamp"], credentials.sf_check_word)
    if not hmac.compare_digest(good, form["msgDigest"]):
        return "A1006", "数字签名无效"
    return None


def _gateway(code: str, message: str, answer: str | None = None) -> Response:
    """The outer answer, always HTTP 200; the service's own answer is a JSON string in it."""
    return JSONResponse(
        {
            "apiErrorMsg": message,
            "apiResponseID": uuid.uuid4().hex.upper(),
            "apiResultCode": code,
            "apiResultData": answer,
        }
    )


def _inner(success: bool, code: str = "S0000", message: str = "", data: dict[str, Any] | None = None) -> str:
    answer = {"success": success, "errorCode": code, "errorMsg": message or None, "msgData": data}
    return json.dumps(answer, ensure_ascii=False)


def _create(world: World, asked: dict[str, Any], fault: Fault | None, base: str) -> str:
    order_id = str(asked.get("orderId") or "")
    if not 0 < len(order_id) <= 64:
        return _inner(False, "6118", "订单号不能为空")
    if _invalid_contacts(asked):
        return _inner(False, "8039", "寄方地址错误" if _invalid_contacts(asked) == 1 else "到方地址错误")
    if asked.get("payMethod") == 1 and not asked.get("monthlyCard"):
        return _inner(False, "8119", "月结卡号不存在或无效")
    if world.get(ORDER, order_id):
        world.count(PLATFORM, "create_waybill", order_id, took_effect=False)
        return _inner(False, "8016", "重复下单")
    order = _new_order(world, asked, fault.kind if fault else "")
    world.put(ORDER, order_id, order)
    world.count(PLATFORM, "create_waybill", order_id, took_effect=True)
    if fault and fault.kind == "8016":
        return _inner(False, "8016", "重复下单")
    return _inner(True, data=_told(order))


def _invalid_contacts(asked: dict[str, Any]) -> int:
    """1 if the sender is incomplete, 2 if the receiver is, 0 if both are fine."""
    contacts = {contact.get("contactType"): contact for contact in asked.get("contactInfoList") or []}
    for kind in (1, 2):
        if not all(contacts.get(kind, {}).get(name) for name in ("contact", "mobile", "province", "city", "address")):
            return kind
    return 0


def _new_order(world: World, asked: dict[str, Any], fault: str) -> dict[str, Any]:
    """An order with its waybill number and its parcel's whole way ahead of it."""
    filter_result = {"filter_1": 1, "filter_3": 3}.get(fault, 2)
    order: dict[str, Any] = {
        "orderId": asked["orderId"],
        "contacts": asked["contactInfoList"],
        "cargo": asked.get("cargoDetails") or [],
        "filterResult": filter_result,
        "originCode": "755",
        "destCode": "020",
        "cancelled": False,
        "waybillNo": None,
        "way": [],
    }
    if filter_result == 2:
        count = (world.get(SEQUENCE, "waybill") or {"last": 0})["last"] + 1
        world.put(SEQUENCE, "waybill", {"last": count})
        number = f"SF{FIRST_NUMBER + count:013d}"
        world.put(WAYBILL, number, {"orderId": asked["orderId"], "token": uuid.uuid4().hex})
        order |= {"waybillNo": number, "way": _way(world, order)}
    return order


def _way(world: World, order: dict[str, Any]) -> list[dict[str, Any]]:
    """Every route entry the parcel will have, with the epoch second from which it is shown."""
    fault = world.fault(PLATFORM, "parcel")
    steps = WAY + {"exception": HELD + SIGNED, "return": RETURNED}.get(fault.kind if fault else "", SIGNED)
    places = {"origin": _contact(order, 1)["city"], "destination": _contact(order, 2)["city"]}
    now = time.time()
    return [
        {
            "at": now + seconds / world.speed,
            "acceptAddress": places[place],
            "remark": remark,
            "opCode": op_code,
            "firstStatusCode": first,
            "secondaryStatusCode": secondary,
        }
        for seconds, place, remark, op_code, first, secondary in steps
    ]


def _contact(order: dict[str, Any], kind: int) -> dict[str, Any]:
    return next(contact for contact in order["contacts"] if contact["contactType"] == kind)


def _told(order: dict[str, Any]) -> dict[str, Any]:
    """An order as create and search answer it."""
    number = order["waybillNo"]
    return {
        "orderId": order["orderId"],
        "waybillNoInfoList": [{"waybillType": 1, "waybillNo": number}] if number else [],
        "filterResult": order["filterResult"],
        "originCode": order["originCode"],
        "destCode": order["destCode"],
        "routeLabelInfo": [],
    }


def _find(world: World, asked: dict[str, Any], fault: Fault | None, base: str) -> str:
    order = world.get(ORDER, str(asked.get("orderId")))
    if order is None:
        return _inner(False, "6150", "找不到该订单")
    if order["cancelled"]:
        return _inner(False, "8037", "已消单")
    return _inner(True, data=_told(order))


def _cancel(world: World, asked: dict[str, Any], fault: Fault | None, base: str) -> str:
    order_id = str(asked.get("orderId"))
    order = world.get(ORDER, order_id)
    if asked.get("dealType") != 2:
        return _inner(False, "8252", "订单已确认")  # orders here are confirmed as they are made
    took_effect = order is not None and not order["cancelled"] and not _shown(order)
    world.count(PLATFORM, "cancel_waybill", order_id, took_effect=took_effect)
    if order is None:
        return _inner(False, "8018", "未获取到订单信息")
    if order["cancelled"]:
        return _inner(False, "8037", "已消单")
    if not took_effect:
        return _inner(False, "8044", "此订单已经处理中，无法接收订单修改请求")
    world.put(ORDER, order_id, order | {"cancelled": True, "way": []})
    return _inner(True, data={"orderId": order_id, "waybillNoInfoList": [], "resStatus": 2})


def _shown(order: dict[str, Any]) -> list[dict[str, Any]]:
    """The route entries that have happened."""
    now = time.time()
    return [entry for entry in order["way"] if entry["at"] <= now]


def _routes(world: World, asked: dict[str, Any], fault: Fault | None, base: str) -> str:
    numbers = asked.get("trackingNumber") or []
    if len(numbers) > 10:
        return _inner(False, "8003", "查询单号过多")
    answers = []
    for number in numbers:
        found = world.get(WAYBILL, number)
        order = world.get(ORDER, found["orderId"]) if found else None
        answers.append({"mailNo": number, "routes": [_entry(entry) for entry in _shown(order)] if order else []})
    return _inner(True, data={"routeResps": answers})


def _entry(entry: dict[str, Any]) -> dict[str, Any]:
    at = datetime.fromtimestamp(entry["at"], UTC).astimezone(BEIJING)
    return {**{name: entry[name] for name in entry if name != "at"}, "acceptTime": f"{at:%Y-%m-%d %H:%M:%S}"}


def _label(world: World, asked: dict[str, Any], fault: Fault | None, base: str) -> str:
    """Cloud print answers in a shape of its own: `obj` instead of `msgData`."""
    numbers = [document.get("masterWaybillNo") for document in asked.get("documents") or []]
    files = []
    for page, number in enumerate(numbers, start=1):
        found = world.get(WAYBILL, str(number))
        if found is None:
            missing = {"success": False, "errorCode": "8114", "errorMessage": f"运单号 {number} 不存在"}
            return json.dumps(missing, ensure_ascii=False)
        place = f"{base}label/{number}.pdf"
        files.append({"url": place, "token": found["token"], "waybillNo": number, "areaNo": 1, "pageNo": page})
    return json.dumps({"success": True, "requestId": uuid.uuid4().hex, "obj": {"files": files}})


SERVICES: dict[str, tuple[str, Callable[[World, dict[str, Any], Fault | None, str], str]]] = {
    "EXP_RECE_CREATE_ORDER": ("create_waybill", _create),
    "EXP_RECE_SEARCH_ORDER_RESP": ("find_waybill", _find),
    "EXP_RECE_UPDATE_ORDER": ("cancel_waybill", _cancel),
    "EXP_RECE_SEARCH_ROUTES": ("routes", _routes),
    "COM_RECE_CLOUD_PRINT_WAYBILLS": ("label", _label),
}
