"""After-sales of the played WeChat shop (`aftersale/…`): a buyer applies, or the seller begins; money follows.

Accepting pays a refund-only application; so does the buyer's agreement to what the seller began. An order takes one
refund a minute. What all after-sales of an order pay never exceeds what was paid for it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from integrations.sandbox.channel_pushes import announce, are_on
from integrations.sandbox.credentials import Credentials
from integrations.sandbox.jobs import Handler, Post
from integrations.sandbox.wechat_errors import Failed
from integrations.sandbox.wechat_shop_orders import (
    CANCELLED,
    ORDER,
    REFUNDED,
    UNPAID,
    count_after_sale,
    key_of,
    save,
)
from integrations.sandbox.wechat_shop_pushes import news_of_after_sale
from integrations.sandbox.world import Job, World

PLATFORM = "wechat_shop"
AFTER_SALE = "wechat_shop.after_sale"
REQUEST = "wechat_shop.after_sale_request"  # request_id -> {"id"}
#: `{"status": …}` when refunds shall end otherwise than paid.
OUTCOME = "wechat_shop.after_sale_outcome"
MOVES = "wechat_shop.after_sale_moves"
FIRST_ID = 2_082_648_273_412_000_000
AGREES_AFTER, PAYS_AFTER, A_MINUTE = 20.0, 10.0, 60.0  # sandbox seconds
REASONS = {"10000014", "10000002", "10000000", "10000001", "10000006", "10000021", "10000007", "10000015", "10000008"}

APPLIED, ASKED, REFUNDING, PAID = (
    "MERCHANT_PROCESSING",
    "USER_WAIT_HANDLE_MERCHANT_AFTER_SALE",
    "PLATFORM_REFUNDING",
    "MERCHANT_REFUND_SUCCESS",
)
EXCHANGED = "MERCHANT_EXCHANGE_SUCCESS"


def apply_for_refund(
    world: World, order_id: str, at: datetime, *, count: int | None = None, fen: int | None = None, kind: str = "REFUND"
) -> list[str]:
    """The buyer applies for every product of the order (or `count` pieces of each, `fen` each); the after-sales' ids.

    `kind` is REFUND (money only) or RETURN. Raises `KeyError` for an unknown order.
    """
    order = world.get(ORDER, order_id)
    if order is None:
        raise KeyError(f"wechat_shop has no order {order_id}")
    ids = []
    for product in order["order_detail"]["product_infos"]:
        pieces = product["sku_cnt"] if count is None else count
        amount = product["real_price"] * pieces // product["sku_cnt"] if fen is None else fen
        ids.append(_begun(world, order, product, pieces, amount, kind, APPLIED, "不想要了", at))
    save(world, order, at)
    return ids


def refund_part(
    world: World,
    order_id: str,
    line_id: str,
    at: datetime,
    *,
    quantity: int | None = None,
    fen: int | None = None,
    kind: str = "REFUND",
) -> str:
    """Pieces of a line ("product:sku") go through an after-sale, applied for, accepted and over at once; its id.

    By default all pieces that are in none, for their share of what the line cost. `kind` is REFUND, RETURN, or
    EXCHANGE, which pays nothing. Raises `KeyError` for an unknown order, `ValueError` for an unknown line.
    """
    order = world.get(ORDER, order_id)
    if order is None:
        raise KeyError(f"wechat_shop has no order {order_id}")
    product = next((one for one in order["order_detail"]["product_infos"] if key_of(one) == line_id), None)
    if product is None:
        raise ValueError(f"order {order_id} has no line {line_id}")
    free = product["sku_cnt"] - product["on_aftersale_sku_cnt"] - product["finish_aftersale_sku_cnt"]
    pieces = free if quantity is None else quantity
    amount = product["real_price"] * pieces // product["sku_cnt"] if fen is None else fen
    amount, over = (0, EXCHANGED) if kind == "EXCHANGE" else (amount, PAID)
    after_sale_id = _begun(world, order, product, pieces, amount, kind, over, "不想要了", at)
    count_after_sale(order, _known(world, {"after_sale_order_id": after_sale_id}), -pieces, pieces)
    save(world, order, at)
    return after_sale_id


def jobs(credentials: Credentials, portal_url: str) -> dict[str, Handler]:
    """Buyers agree, and money arrives."""
    return {MOVES: _move}


async def _move(job: Job, world: World, post: Post) -> float | None:
    with world.transaction():
        after_sale = world.get(AFTER_SALE, job.body["id"])
        if after_sale is None or after_sale["status"] not in (ASKED, REFUNDING):
            return None
        if after_sale["status"] == ASKED:
            _pay_soon(world, after_sale)
            return None
        order = world.get(ORDER, after_sale["order_id"])
        assert order is not None, "an after-sale is written with its order"
        now = world.now()
        after_sale["status"] = (world.get(OUTCOME, "") or {"status": PAID})["status"]
        pieces = after_sale["product_info"]["count"]
        count_after_sale(order, after_sale, -pieces, pieces if after_sale["status"] == PAID else 0)
        _write(world, after_sale, now)
        save(world, order, now)
    return None


def _begun(
    world: World,
    order: dict[str, Any],
    product: dict[str, Any],
    count: int,
    fen: int,
    kind: str,
    status: str,
    desc: str,
    at: datetime,
) -> str:
    """Write a new after-sale; the caller saves the order."""
    after_sale_id = str(FIRST_ID + world.size(AFTER_SALE))
    after_sale = {
        "after_sale_order_id": after_sale_id,
        "status": status,
        "openid": order["openid"],
        "unionid": "",
        "order_id": order["order_id"],
        "product_info": {"product_id": product["product_id"], "sku_id": product["sku_id"], "count": count},
        "details": {"desc": desc, "receive_product": 0, "cancel_time": 0},
        "refund_info": {"amount": fen, "refund_reason": 3},
        "refund_resp": {"code": "", "ret": 0, "message": ""},
        "create_time": int(at.timestamp()),
        "reason": "10000014",
        "type": kind,
    }
    count_after_sale(order, after_sale, count, 0)
    order["aftersale_detail"]["aftersale_order_list"].append({"aftersale_order_id": int(after_sale_id)})
    _write(world, after_sale, at)
    return after_sale_id


def _write(world: World, after_sale: dict[str, Any], at: datetime) -> None:
    after_sale["update_time"] = int(at.timestamp())
    world.put(AFTER_SALE, after_sale["after_sale_order_id"], after_sale, at)
    if are_on(world, PLATFORM):
        announce(world, PLATFORM, news_of_after_sale(after_sale))


def _pay_soon(world: World, after_sale: dict[str, Any]) -> None:
    after_sale["status"] = REFUNDING
    _write(world, after_sale, world.now())
    world.later(PAYS_AFTER, MOVES, {"id": after_sale["after_sale_order_id"]})


def _get(world: World, asked: dict[str, Any]) -> dict[str, Any]:
    return {"after_sale_order": _known(world, asked)}


def _known(world: World, asked: dict[str, Any]) -> dict[str, Any]:
    after_sale = world.get(AFTER_SALE, str(asked["after_sale_order_id"]))
    if after_sale is None:
        raise Failed(10021050, "after sale order not exist")
    return after_sale


def _accept(world: World, asked: dict[str, Any]) -> dict[str, Any]:
    after_sale = _known(world, asked)
    order = world.get(ORDER, after_sale["order_id"])
    assert order is not None, "an after-sale is written with its order"
    now = world.now()
    failed = None
    if after_sale["status"] != APPLIED:
        failed = Failed(10020001, "after sale order status is invalid")
    elif after_sale["type"] == "RETURN" and not asked.get("address_id"):
        failed = Failed(10021060, "address_id is needed")
    elif (now.timestamp() - order.get("_refunded_at", 0.0)) * world.speed < A_MINUTE:
        failed = Failed(10021059, "refund request of the order is too frequent")
    world.count(PLATFORM, "refund", after_sale["after_sale_order_id"], took_effect=failed is None)
    if failed:
        raise failed
    if after_sale["type"] == "RETURN":
        after_sale["status"] = "USER_WAIT_RETURN"
        _write(world, after_sale, now)
        return {}
    order["_refunded_at"] = now.timestamp()
    save(world, order, now)
    _pay_soon(world, after_sale)
    return {}


def _generate(world: World, asked: dict[str, Any]) -> dict[str, Any]:
    request_id = str(asked["request_id"])
    order = world.get(ORDER, str(asked["order_id"]))
    failed = _objection(world, order, asked, request_id)
    world.count(PLATFORM, "refund", request_id, took_effect=failed is None)
    if failed or order is None:
        raise failed or Failed(10021085, "order not found")
    now = world.now()
    product = next(product for product in order["order_detail"]["product_infos"] if _is(product, asked))
    desc = str(asked.get("desc", ""))
    made = _begun(world, order, product, asked["count"], asked["amount"], asked["type"], ASKED, desc, now)
    world.put(REQUEST, request_id, {"id": made})
    save(world, order, now)
    world.later(AGREES_AFTER, MOVES, {"id": made})
    return {"after_sale_order_id": made}


def _is(product: dict[str, Any], asked: dict[str, Any]) -> bool:
    return bool((product["product_id"], product["sku_id"]) == (asked["product_id"], asked["sku_id"]))


def _objection(world: World, order: dict[str, Any] | None, asked: dict[str, Any], request_id: str) -> Failed | None:
    if not 0 < len(request_id) <= 128:
        return Failed(10021083, "request id is invalid")
    if world.get(REQUEST, request_id) is not None:
        return Failed(10021089, "after sale order of this request_id exists")
    if asked["reason"] not in REASONS:
        return Failed(10021084, "reason is invalid")
    if order is None:
        return Failed(10021085, "order not found")
    if order["status"] in (UNPAID, REFUNDED, CANCELLED) or order.get("_no_seller_after_sale"):
        return Failed(10021088, "order does not support after sale by the merchant")
    product = next((product for product in order["order_detail"]["product_infos"] if _is(product, asked)), None)
    if product is None:
        return Failed(9700224, "invalid args: product")
    free = product["sku_cnt"] - product["on_aftersale_sku_cnt"] - product["finish_aftersale_sku_cnt"]
    others = [_known(world, {"after_sale_order_id": one["aftersale_order_id"]}) for one in _listed(order)]
    taken = sum(one["refund_info"]["amount"] for one in others if one["status"] in (APPLIED, ASKED, REFUNDING, PAID))
    if not 0 < asked["count"] <= free:
        return Failed(10020001, "count is more than is free of after sales")
    if not 0 < asked["amount"] <= order["order_detail"]["price_info"]["order_price"] - taken:
        return Failed(9700224, "invalid args: amount is more than is left")
    return None


def _listed(order: dict[str, Any]) -> list[dict[str, Any]]:
    return list(order["aftersale_detail"]["aftersale_order_list"])


#: By the path behind `/channels/ec/`.
OPERATIONS: dict[str, Callable[[World, dict[str, Any]], dict[str, Any]]] = {
    "aftersale/getaftersaleorder": _get,
    "aftersale/acceptapply": _accept,
    "aftersale/genaftersaleorder": _generate,
}
