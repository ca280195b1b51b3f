"""The WeChat shop platform 微信小店, played for one shop (PROTOCOLS.md §2).

Stable tokens that are shared, live two hours and are replaced; ids in pages whose key belongs to its filter; masked
receivers with a decode quota. `delivery/send` has no key: what is left of an order can be shipped again, and the
journal shows it; an order with nothing left refuses.

Faults of its own: `token_expired` (42001), `token_invalid` (40001, once, the token stays), `busy` (-1),
`busy_after`, `minute_quota` (45011), `day_quota` (45009), `wrong_key` (606006); on `order/list/get` those of `paging`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from integrations.sandbox import wechat_after_sales, wechat_stock
from integrations.sandbox.channel_pushes import serve
from integrations.sandbox.credentials import Credentials
from integrations.sandbox.faults import play
from integrations.sandbox.listing_lag import hidden
from integrations.sandbox.paging import Position, behind, behind_another
from integrations.sandbox.wechat_errors import Failed as Failed
from integrations.sandbox.wechat_shop_orders import (
    ORDER,
    PART_SHIPPED,
    TO_SHIP,
    UNPAID,
    remaining,
    save,
    seen,
    ship,
)
from integrations.sandbox.world import Fault, World

PLATFORM = "wechat_shop"
TOKEN = "wechat_shop.token"  # "" -> {"token", "until", "forced": times of the forced renewals}
DECODED = "wechat_shop.decoded"
#: `{"decode": orders a day}` when a test wants another quota.
LIMITS = "wechat_shop.limits"
DECODE_A_DAY = 10_000
TOKEN_SECONDS = 7200
RENEW_BEFORE = 300
LONGEST_WINDOW = 7 * 86_400
COMPANIES = {"SF": "顺丰速运", "ZTO": "中通快递", "YTO": "圆通速递", "YD": "韵达快递", "EMS": "EMS", "OTHER": "其他"}

Operation = Callable[[World, dict[str, Any]], dict[str, Any]]


#: What the platform's own faults answer before acting.
FAULTS = {
    "busy": (-1, "system error"),
    "token_invalid": (40001, "invalid credential, access_token is invalid or not latest"),
    "minute_quota": (45011, "api minute-quota reach limit"),
    "day_quota": (45009, "reach max api daily quota limit"),
    "wrong_key": (606006, "next_key does not match the filter"),
}


def routes(world: World, credentials: Credentials) -> list[BaseRoute]:
    """`/cgi-bin/stable_token` and `/channels/ec/…`."""
    serve(world, PLATFORM)

    async def stable_token(request: Request) -> Response:
        asked = await _object(request)

        def act() -> Response:
            if (asked.get("appid"), asked.get("secret")) != (
                credentials.wechat_app_id,
                credentials.wechat_app_secret,
            ):
                return _failure(Failed(40125, "invalid appsecret"))
            if asked.get("grant_type") != "client_credential":
                return _failure(Failed(40002, "invalid grant_type"))
            try:
                with world.transaction():
                    return JSONResponse(_granted(world, force=asked.get("force_refresh") is True))
            except Failed as failed:
                return _failure(failed)

        return await play(request, world.fault(PLATFORM, "stable_token"), act)

    async def shop(request: Request) -> Response:
        operation = request.path_params["operation"]
        asked = await _object(request)
        fault = world.fault(PLATFORM, operation)
        token = request.query_params.get("access_token", "")
        return await play(request, fault, lambda: _acted(world, operation, asked, token, fault))

    return [
        Route("/cgi-bin/stable_token", stable_token, methods=["POST"]),
        Route("/channels/ec/{operation:path}", shop, methods=["POST"]),
    ]


async def _object(request: Request) -> dict[str, Any]:
    """The body as an object; what is none is an empty one, and lacks every parameter."""
    try:
        asked = json.loads(await request.body())
    except (ValueError, RecursionError):
        return {}
    return asked if isinstance(asked, dict) else {}


def _acted(world: World, operation: str, asked: dict[str, Any], token: str, fault: Fault | None) -> Response:
    kind = fault.kind if fault else ""
    try:
        if kind in FAULTS:
            raise Failed(*FAULTS[kind])
        with world.transaction():
            known = world.get(TOKEN, "")
            if kind == "token_expired" and known:
                known["until"] = 0
                world.put(TOKEN, "", known)
        if known is None or token not in (known["token"], known["before"]):
            raise Failed(40014 if not token else 40001, "invalid credential, access_token is invalid or not latest")
        if known["until"] <= world.now().timestamp():
            raise Failed(42001, "access_token expired")
        if operation not in OPERATIONS:
            raise Failed(48001, "api unauthorized")
        with world.transaction():
            try:
                if operation == "order/list/get":
                    asked = behind_another(kind, asked, "next_key", partial(_next, world))
                answer: dict[str, Any] | Failed = OPERATIONS[operation](world, asked)
            except Failed as failed:  # a refusal is journalled too
                answer = failed
        if isinstance(answer, Failed):
            raise answer
        if kind == "busy_after":
            raise Failed(*FAULTS["busy"])
        return JSONResponse({"errcode": 0, "errmsg": "ok", **answer})
    except Failed as failed:
        return _failure(failed)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return _failure(Failed(47001, f"data format error: {error!r}"))


def _next(world: World, asked: dict[str, Any]) -> str | None:
    """The key of the page behind the one that is asked for."""
    page = _list(world, asked)
    return str(page["next_key"]) if page["has_more"] else None


def _failure(failed: Failed) -> Response:
    return JSONResponse({"errcode": failed.errcode, "errmsg": f"{failed} rid: {secrets.token_hex(8)}"})


def _granted(world: World, *, force: bool) -> dict[str, Any]:
    """The token everybody shares, or a new one near its end; forced renewals are rare and kill the old one."""
    now = world.now().timestamp()
    known = world.get(TOKEN, "") or {"token": "", "before": "", "until": 0.0, "forced": []}
    today = [at for at in known["forced"] if at > now - 86_400]
    if force and (len(today) >= 20 or (today and today[-1] > now - 30)):
        raise Failed(45009, "reach max api daily quota limit")
    if force or known["until"] - now < RENEW_BEFORE:
        # until its own end the old token works beside the new one, unless it was killed
        before = "" if force or known["until"] <= now else known["token"]
        forced = [*today, now] if force else today
        fresh = secrets.token_urlsafe(48)
        known = {"token": fresh, "before": before, "until": now + TOKEN_SECONDS, "forced": forced}
        world.put(TOKEN, "", known)
    return {"access_token": known["token"], "expires_in": int(known["until"] - now)}


# orders -----------------------------------------------------------------------------------------------------


def _list(world: World, asked: dict[str, Any]) -> dict[str, Any]:
    by = next((name for name in ("update_time_range", "create_time_range") if name in asked), None)
    size = int(asked["page_size"])
    if by is None or not 0 < size <= 100:
        raise Failed(40097, "invalid args: a time range and a page_size up to 100 are needed")
    start, end = int(asked[by]["start_time"]), int(asked[by]["end_time"])
    if not start <= end <= start + LONGEST_WINDOW:
        raise Failed(40097, "invalid args: the time range is over 7 days")
    status = asked.get("status")
    mark = hashlib.sha256(json.dumps([by, start, end, status]).encode()).hexdigest()[:12]
    last = _position(asked.get("next_key") or "", mark)
    # both ends of the range are part of it
    lowest, highest = (start, end + 1) if by == "update_time_range" else (0, 10**11)
    unlisted = hidden(world, ORDER)
    fit = (
        order
        for order in behind(world, ORDER, lowest, highest, last, _updated)
        if (by == "update_time_range" or start <= order["create_time"] <= end)
        and status in (None, order["status"])
        and order["order_id"] not in unlisted
    )
    found = list(islice(fit, size + 1))
    page = found[:size]
    key = _key(mark, page[-1]) if page else ""
    return {"order_id_list": [order["order_id"] for order in page], "next_key": key, "has_more": len(found) > size}


def _updated(order: dict[str, Any]) -> Position:
    return order["update_time"], order["order_id"]


def _key(mark: str, last: dict[str, Any]) -> str:
    return base64.b64encode(json.dumps([mark, *_updated(last)]).encode()).decode()


def _position(key: str, mark: str) -> Position | None:
    """Behind which order the page begins."""
    if not key:
        return None
    try:
        of, updated, order_id = json.loads(base64.b64decode(key))
    except ValueError as error:
        raise Failed(*FAULTS["wrong_key"]) from error
    if of != mark:
        raise Failed(*FAULTS["wrong_key"])
    return float(updated), str(order_id)


def _known(world: World, asked: dict[str, Any]) -> dict[str, Any]:
    order = world.get(ORDER, str(asked["order_id"]))
    if order is None:
        raise Failed(40097, "invalid args: order not found")
    return order


def _get(world: World, asked: dict[str, Any]) -> dict[str, Any]:
    return {"order": seen(_known(world, asked))}


def _decode(world: World, asked: dict[str, Any]) -> dict[str, Any]:
    order = _known(world, asked)
    if order["status"] == UNPAID:
        raise Failed(48001, "api unauthorized: the order is not paid")
    if world.get(DECODED, order["order_id"]) is None:  # an order counts once
        limit = (world.get(LIMITS, "") or {"decode": DECODE_A_DAY})["decode"]
        if world.size(DECODED, since=world.now().timestamp() - 86_400) >= limit:
            raise Failed(*FAULTS["day_quota"])
        world.put(DECODED, order["order_id"], {})
    return {"address_info": order["_clear"], "virtual_number_info": {}}


def _companies(world: World, asked: dict[str, Any]) -> dict[str, Any]:
    known = [{"delivery_id": key, "delivery_name": name} for key, name in COMPANIES.items()]
    return {"company_list": known}


def _send(world: World, asked: dict[str, Any]) -> dict[str, Any]:
    order = _known(world, asked)
    now = world.now()
    for delivery in asked["delivery_list"]:
        failed = _objection(order, delivery)
        key = f"{order['order_id']}:{delivery['waybill_id']}"
        world.count(PLATFORM, "order/delivery/send", key, took_effect=failed is None)
        if failed:
            raise failed
        ship(order, delivery, now)
    save(world, order, now)
    return {}


def _objection(order: dict[str, Any], delivery: dict[str, Any]) -> Failed | None:
    # the codes are the older shop component's (109000, 109001); this platform's own are not documented
    if order["status"] not in (TO_SHIP, PART_SHIPPED):
        return Failed(109001, "order has been delivered or cannot be")
    if delivery["deliver_type"] != 1 or delivery["delivery_id"] not in COMPANIES or not delivery["waybill_id"]:
        return Failed(40097, "invalid args: delivery_list")
    left = remaining(order)
    for product in delivery["product_infos"]:
        key, quantity = f"{product['product_id']}:{product['sku_id']}", product["product_cnt"]
        if not 0 < quantity <= left.get(key, 0):
            return Failed(109000, "delivery failed: product_cnt is more than is left")
        left[key] -= quantity
    return None if delivery["product_infos"] else Failed(40097, "invalid args: product_infos")


OPERATIONS: dict[str, Operation] = {
    "order/list/get": _list,
    "order/get": _get,
    "order/sensitiveinfo/decode": _decode,
    "order/deliverycompanylist/get": _companies,
    "order/delivery/send": _send,
    **wechat_after_sales.OPERATIONS,
    **wechat_stock.OPERATIONS,
}
