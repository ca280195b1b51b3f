"""Douyin's shop platform 抖店, played for one shop (PROTOCOLS.md §3).

Sign v2 is checked over the raw body, tokens live and die, pages count from 0 under a ceiling, receivers are masked
and decrypted for a price. `order.logisticsAddMultiPack` knows its `request_id`; `order.logisticsAdd` has no key but
refuses an order that is shipped.

Faults of its own: `token_expired`, `service_error` (20000), `service_error_after`, `rate_limited` (60000);
on `order.searchList` those of `paging`.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from integrations.channels.douyin_api import sign
from integrations.sandbox import douyin_after_sales, douyin_stock
from integrations.sandbox.channel_pushes import serve
from integrations.sandbox.credentials import Credentials
from integrations.sandbox.douyin_errors import Failed as Failed
from integrations.sandbox.douyin_orders import ORDER, PART_SHIPPED, TO_SHIP, remaining, save, seen, ship
from integrations.sandbox.faults import play
from integrations.sandbox.listing_lag import hidden
from integrations.sandbox.paging import another_number
from integrations.sandbox.world import Fault, World

PLATFORM = "douyin"
TOKEN = "douyin.token"
REQUEST = "douyin.request"
DECRYPTED = "douyin.decrypted"  # order id -> how many texts were decrypted
#: `{"ceiling": n}` when a test wants another one.
LIMITS = "douyin.limits"
CEILING = 50_000
ACCESS_SECONDS = 7 * 86_400
REFRESH_SECONDS = 14 * 86_400
CLOCK_SECONDS = 600
COMPANIES = {"shunfeng", "zhongtong", "yuantong", "yunda", "jd", "youzhengguonei"}

Operation = Callable[[World, dict[str, Any]], dict[str, Any]]


def routes(world: World, credentials: Credentials) -> list[BaseRoute]:
    """`/{group}/{call}`, the method `group.call`."""
    serve(world, PLATFORM)

    async def answered(request: Request) -> Response:
        method = f"{request.path_params['group']}.{request.path_params['call']}"
        body = await request.body()
        try:
            params = _checked(world, request, credentials, method, body)
        except Failed as failed:
            return _failure(failed)
        fault = world.fault(PLATFORM, method)

        def act() -> Response:
            return _acted(world, credentials, method, params, request.query_params.get("access_token", ""), fault)

        return await play(request, fault, act)

    return [Route("/{group}/{call}", answered, methods=["POST"])]


def _checked(world: World, request: Request, credentials: Credentials, method: str, body: bytes) -> dict[str, Any]:
    """The parameters of a call that is signed by the app, now."""
    query = request.query_params
    for name in ("app_key", "method", "timestamp", "v", "sign"):
        if not query.get(name):
            raise Failed(40001, "isv.missing-parameter", f"缺少参数 {name}")
    if query["method"] != method or query["v"] != "2" or query.get("sign_method") != "hmac-sha256":
        raise Failed(40003, "isv.parameter-invalid:10001", "method, v, sign_method 不合法")
    try:
        wanted = sign(
            credentials.douyin_app_key, credentials.douyin_app_secret, method, body.decode(), query["timestamp"]
        )
        if query["app_key"] != credentials.douyin_app_key or not hmac.compare_digest(wanted, query["sign"]):
            raise Failed(40003, "isv.signature-invalid", "签名校验失败")
        if abs(world.now().timestamp() - int(query["timestamp"])) > CLOCK_SECONDS:
            raise Failed(40003, "isv.timestamp-invalid", "时间戳不在有效范围内")
        params = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Failed(40003, "isv.parameter-invalid:10002", "请求不可解析") from error
    if not isinstance(params, dict):
        raise Failed(40003, "isv.parameter-invalid:10003", "param_json 不是对象")
    return params


def _acted(
    world: World, credentials: Credentials, method: str, params: dict[str, Any], token: str, fault: Fault | None
) -> Response:
    kind = fault.kind if fault else ""
    try:
        if kind == "rate_limited":
            raise Failed(60000, "isp.rate-limited", "请求过于频繁")
        if kind == "service_error":
            raise Failed(20000, "isp.service-error:70011", "发货失败，请稍后重试")
        with world.transaction():
            if method in TOKENS:
                return _success(TOKENS[method](world, credentials, params))
            if kind == "token_expired":
                world.put(TOKEN, token, {**(world.get(TOKEN, token) or {}), "until": 0})
            known = world.get(TOKEN, token)
            if known is None:
                raise Failed(40003, "isv.access-token-no-existed", "access_token 不存在")
        if known["until"] <= world.now().timestamp():
            raise Failed(40003, "isv.access-token-expired", "access_token 已过期")
        if method not in OPERATIONS:
            raise Failed(40003, "isv.method-invalid", f"没有方法 {method}")
        with world.transaction():
            try:
                if method == "order.searchList":
                    params = another_number(kind, params, "page", 0)
                data: dict[str, Any] | Failed = OPERATIONS[method](world, params)
            except Failed as failed:  # a refusal is journalled too
                data = failed
        if isinstance(data, Failed):
            raise data
        if kind == "service_error_after":
            raise Failed(20000, "isp.service-error:70011", "发货失败，请稍后重试")
        return _success(data)
    except Failed as failed:
        return _failure(failed)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return _failure(Failed(40004, "isv.parameter-invalid:10004", f"参数不合法 {error!r}"))


def _success(data: dict[str, Any]) -> Response:
    return _json({"code": 10000, "msg": "success", "sub_code": "", "sub_msg": "", "data": data})


def _failure(failed: Failed) -> Response:
    said = {20000: "系统错误", 40004: "非法的参数", 50002: "业务处理失败"}.get(failed.code, "请求失败")
    return _json({"code": failed.code, "msg": said, "sub_code": failed.sub_code, "sub_msg": str(failed), "data": None})


def _json(answer: dict[str, Any]) -> Response:
    return JSONResponse({**answer, "log_id": secrets.token_hex(16)})


# tokens -----------------------------------------------------------------------------------------------------


def _token_create(world: World, credentials: Credentials, params: dict[str, Any]) -> dict[str, Any]:
    if params.get("grant_type") != "authorization_self" or params.get("shop_id") != credentials.douyin_shop:
        raise Failed(50001, "isv.token-generate-failed", "店铺未授权")
    return _granted(world, credentials)


def _token_refresh(world: World, credentials: Credentials, params: dict[str, Any]) -> dict[str, Any]:
    refresh = str(params.get("refresh_token", ""))
    known = world.get(TOKEN, refresh)
    if (
        params.get("grant_type") != "refresh_token"
        or known is None
        or known.get("refresh_until", 0) <= world.now().timestamp()
    ):
        raise Failed(50001, "isv.refresh-token-expired", "refresh_token 已过期")
    world.put(TOKEN, refresh, {"until": 0, "refresh_until": 0})
    return _granted(world, credentials)


def _granted(world: World, credentials: Credentials) -> dict[str, Any]:
    access, refresh = secrets.token_hex(18), secrets.token_hex(18)
    world.put(TOKEN, access, {"until": world.now().timestamp() + ACCESS_SECONDS})
    world.put(TOKEN, refresh, {"until": 0, "refresh_until": world.now().timestamp() + REFRESH_SECONDS})
    shop = {"shop_id": int(credentials.douyin_shop), "shop_name": "毛孩厨房"}
    return {"access_token": access, "expires_in": ACCESS_SECONDS, "refresh_token": refresh, **shop}


# orders -----------------------------------------------------------------------------------------------------


def _search(world: World, params: dict[str, Any]) -> dict[str, Any]:
    page, size = int(params["page"]), int(params["size"])
    limits = world.get(LIMITS, "") or {"ceiling": CEILING}
    if not 0 < size <= 100 or page < 0 or (page + 1) * size > max(limits["ceiling"], size):
        raise Failed(40004, "isv.parameter-invalid:60001", "page, size 不合法或超出查询上限")
    by = params.get("order_by", "create_time")
    if by not in ("create_time", "update_time"):
        raise Failed(40004, "isv.parameter-invalid:60002", "order_by 不合法")
    statuses = {int(status["order_status"]) for status in params.get("combine_status") or []}
    # both ends of a time range are part of it
    since, until = float(params.get("update_time_start", 0)), float(params.get("update_time_end", 1e11)) + 1
    created = (int(params.get("create_time_start", 0)), int(params.get("create_time_end", 10**11)))
    ascending = bool(params.get("order_asc", False))
    if by == "update_time" and not statuses and created == (0, 10**11):
        total = world.size(ORDER, since, until)
        offset = page * size if ascending else total - (page + 1) * size
        found = world.window(ORDER, since, until, max(0, offset), max(0, size + min(0, offset)))
        found = found if ascending else found[::-1]
    else:
        fit = [
            order
            for order in world.window(ORDER, since, until)
            if created[0] <= order["create_time"] <= created[1] and (not statuses or order["order_status"] in statuses)
        ]
        fit.sort(key=lambda order: (order[by], order["order_id"]), reverse=not ascending)
        total, found = len(fit), fit[page * size : (page + 1) * size]
    unlisted = hidden(world, ORDER)
    for order_id, is_counted in unlisted.items():
        late = world.get(ORDER, order_id)
        total -= not is_counted and late is not None and since <= late["update_time"] < until
    shown = [seen(order) for order in found if order["order_id"] not in unlisted]
    return {"page": page, "size": size, "total": total, "shop_order_list": shown}


def _known(world: World, order_id: Any) -> dict[str, Any]:
    order = world.get(ORDER, str(order_id))
    if order is None:
        raise Failed(50002, "isv.business-failed:60010", "订单不存在")
    return order


def _detail(world: World, params: dict[str, Any]) -> dict[str, Any]:
    return {"shop_order_detail": seen(_known(world, params["shop_order_id"]))}


def _decrypt(world: World, params: dict[str, Any]) -> dict[str, Any]:
    asked = params["cipher_infos"]
    if not 0 < len(asked) <= 50:
        raise Failed(40004, "isv.parameter-invalid:60003", "cipher_infos 数量不合法")
    infos = []
    for item in asked:
        order_id, cipher = str(item["auth_id"]), str(item["cipher_text"])
        clear = _known(world, order_id)["_clear"].get(cipher)
        counted = (world.get(DECRYPTED, order_id) or {"texts": 0})["texts"]
        world.put(DECRYPTED, order_id, {"texts": counted + 1})
        problem = {"err_no": 0, "err_msg": ""} if clear is not None else {"err_no": 300002, "err_msg": "密文不合法"}
        infos.append({"auth_id": order_id, "cipher_text": cipher, "decrypt_text": clear or "", **problem})
    return {"decrypt_infos": infos, "custom_err": {"err_code": 0, "err_msg": ""}}


# shipping ---------------------------------------------------------------------------------------------------


def _logistics_add(world: World, params: dict[str, Any]) -> dict[str, Any]:
    order = _known(world, params["order_id"])
    _ship(world, "order.logisticsAdd", order, remaining(order), params)
    return {"pack_id": int(order["logistics_info"][-1]["delivery_id"])}


def _logistics_add_packs(world: World, params: dict[str, Any]) -> dict[str, Any]:
    method = "order.logisticsAddMultiPack"
    order = _known(world, params["order_id"])
    request_id = str(params["request_id"])
    if done := world.get(REQUEST, request_id):
        for pack in params["pack_list"]:
            world.count(PLATFORM, method, f"{order['order_id']}:{pack['logistics_code']}", took_effect=False)
        return done
    for pack in params["pack_list"]:
        taken = {str(item["shipped_order_id"]): int(item["shipped_num"]) for item in pack["shipped_order_info"]}
        _ship(world, method, order, taken, pack)
    done = {"pack_list": params["pack_list"]}
    world.put(REQUEST, request_id, done)
    return done


def _ship(world: World, method: str, order: dict[str, Any], taken: dict[str, int], pack: dict[str, Any]) -> None:
    """One parcel leaves, or the refusal is journalled and raised."""
    left = remaining(order)
    failed = None
    if order["order_status"] not in (TO_SHIP, PART_SHIPPED):
        failed = Failed(50002, "isv.business-failed:60021", "该订单的订单状态不允许发货")
    elif pack["company_code"] not in COMPANIES or not pack["logistics_code"]:
        failed = Failed(40004, "isv.parameter-invalid:60022", "物流公司或运单号不合法")
    elif not taken or any(not 0 < quantity <= left.get(line, 0) for line, quantity in taken.items()):
        failed = Failed(50002, "isv.business-failed:60023", "发货数量超出可发数量")
    key = f"{order['order_id']}:{pack['logistics_code']}"
    world.count(PLATFORM, method, key, took_effect=failed is None)
    if failed:
        raise failed
    now = world.now()
    ship(order, taken, pack["company_code"], pack["logistics_code"], now)
    save(world, order, now)


TOKENS: dict[str, Callable[[World, Credentials, dict[str, Any]], dict[str, Any]]] = {
    "token.create": _token_create,
    "token.refresh": _token_refresh,
}
OPERATIONS: dict[str, Operation] = {
    "order.searchList": _search,
    "order.orderDetail": _detail,
    "order.batchDecrypt": _decrypt,
    "order.logisticsAdd": _logistics_add,
    "order.logisticsAddMultiPack": _logistics_add_packs,
    **douyin_after_sales.OPERATIONS,
    **douyin_stock.OPERATIONS,
}
