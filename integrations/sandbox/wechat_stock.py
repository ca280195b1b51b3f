"""The goods of the played WeChat shop: one product per SKU on the shelf, its stock read and changed (`product/…`).

`product/stock/update` has no key: every call counts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from integrations.sandbox import shelves
from integrations.sandbox.wechat_errors import Failed
from integrations.sandbox.world import World

PLATFORM = "wechat_shop"
ADD, SUBTRACT, SET = 1, 2, 3
ON_SALE = 5


def _product_list(world: World, asked: dict[str, Any]) -> dict[str, Any]:
    """Product ids in pages of up to 30."""
    size = int(asked.get("page_size", 10))
    if not 0 < size <= 30:
        raise Failed(40097, "invalid args: page_size")
    goods = world.window(shelves.kind(PLATFORM)) if asked.get("status") in (None, ON_SALE) else []
    numbers = sorted(shelves.number(PLATFORM, found["sku"]) for found in goods)
    last = int(asked.get("next_key") or 0)
    page = [str(number) for number in numbers if number > last][:size]
    return {"product_ids": page, "next_key": page[-1] if page else "", "total_num": len(numbers)}


def _product_get(world: World, asked: dict[str, Any]) -> dict[str, Any]:
    """One product with its only SKU."""
    product = str(asked["product_id"])
    code = _code(world, product)
    sku = {"sku_id": _sku_id(product), "out_sku_id": "", "sku_code": code, "stock_num": _stock(world, code)}
    return {"product": {"product_id": product, "title": code, "status": ON_SALE, "skus": [sku]}}


def _stock_batchget(world: World, asked: dict[str, Any]) -> dict[str, Any]:
    """The stock of up to 50 products."""
    if not 0 < len(asked["product_id"]) <= 50:
        raise Failed(40097, "invalid args: product_id")
    found = []
    for product in map(str, asked["product_id"]):
        stock = _stock(world, _code(world, product))
        numbers = {"normal_stock_num": stock, "limited_discount_stock_num": 0, "total_stock_num": stock}
        sku = {"sku_id": _sku_id(product), **numbers, "warehouse_stocks": [], "finder_total_num": 0}
        found.append({"product_id": product, "sku_stock": [sku]})
    return {"data": {"spu_stock_list": found}}


def _stock_update(world: World, asked: dict[str, Any]) -> dict[str, Any]:
    """Add, subtract (not below 0) or set."""
    product, kind, quantity = str(asked["product_id"]), asked["diff_type"], asked["num"]
    code = _code(world, product)
    by = {ADD: quantity, SUBTRACT: -quantity, SET: quantity - _stock(world, code)}.get(kind)
    after = None if by is None else _stock(world, code) + by
    sound = after is not None and after >= 0 and quantity >= 0 and str(asked["sku_id"]) == _sku_id(product)
    world.count(PLATFORM, "product/stock/update", code, took_effect=sound)
    if after is None or not sound:
        raise Failed(40097, "invalid args: stock not enough or sku not found")
    shelves.put(world, PLATFORM, code, after)
    return {}


def _code(world: World, product: str) -> str:
    code = shelves.sku_of(world, PLATFORM, product)
    if code is None:
        raise Failed(40097, "invalid args: product not found")
    return code


def _sku_id(product: str) -> str:
    return str(int(product) + 7)


def _stock(world: World, code: str) -> int:
    return shelves.shown(world, PLATFORM, code) or 0


#: By the path behind `/channels/ec/`.
OPERATIONS: dict[str, Callable[[World, dict[str, Any]], dict[str, Any]]] = {
    "product/list/get": _product_list,
    "product/get": _product_get,
    "product/stock/batchget": _stock_batchget,
    "product/stock/update": _stock_update,
}
