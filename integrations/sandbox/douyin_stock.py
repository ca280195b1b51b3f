"""The stock calls of the played Douyin shop: `sku.detail` by code or id, `sku.syncStock` whole or by a difference.

A difference needs an `idempotent_id`, which counts once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from integrations.sandbox import shelves
from integrations.sandbox.douyin_errors import Failed
from integrations.sandbox.world import World

PLATFORM = "douyin"
DONE = "douyin.idempotent"  # idempotent_id -> what it changed


def _detail(world: World, params: dict[str, Any]) -> dict[str, Any]:
    """One SKU as the shop holds it."""
    code = str(params["code"]) if "code" in params else shelves.sku_of(world, PLATFORM, str(params["sku_id"]))
    stock = shelves.shown(world, PLATFORM, code) if code else None
    if code is None or stock is None:
        raise Failed(50002, "isv.business-failed:70101", "SKU 不存在")
    number = shelves.number(PLATFORM, code)
    return {
        "id": number,
        "product_id": _product_id(number),
        "product_id_str": str(_product_id(number)),
        "code": code,
        "out_sku_id": 0,
        "sku_type": 0,
        "stock_num": stock,
        "prehold_stock_num": 0,
    }


def _sync_stock(world: World, params: dict[str, Any]) -> dict[str, Any]:
    """Set the stock, or change it by a difference, once per `idempotent_id`."""
    number = str(params["sku_id"])
    code = shelves.sku_of(world, PLATFORM, number)
    if code is None or params["product_id"] != _product_id(int(number)):
        raise Failed(50002, "isv.business-failed:70101", "SKU 不存在")
    by_difference = params.get("incremental", False)
    key = str(params.get("idempotent_id") or "")
    if by_difference and not key:
        raise Failed(40004, "isv.parameter-invalid:70102", "增量更新时 idempotent_id 必填")
    if key and world.get(DONE, key):
        world.count(PLATFORM, "sku.syncStock", code, took_effect=False)
        return {}
    after = int(params["stock_num"]) + ((shelves.shown(world, PLATFORM, code) or 0) if by_difference else 0)
    world.count(PLATFORM, "sku.syncStock", code, took_effect=after >= 0)
    if after < 0:
        raise Failed(50002, "isv.business-failed:70103", "库存不足，不能扣减")
    shelves.put(world, PLATFORM, code, after)
    if key:
        world.put(DONE, key, {"code": code, "after": after})
    return {}


def _product_id(number: int) -> int:
    """Every SKU is a product of its own, with an id beyond 2^53 as real ones have."""
    return 3_473_000_000_000_000_000 + number


OPERATIONS: dict[str, Callable[[World, dict[str, Any]], dict[str, Any]]] = {
    "sku.detail": _detail,
    "sku.syncStock": _sync_stock,
}
