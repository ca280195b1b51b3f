"""What of a WeChat shop order was paid back: by the order's counters and, where some are over, its after-sales.

`finish_aftersale_sku_cnt` counts the pieces of a line whose after-sale is over, refunded or exchanged; only the
after-sale itself (`aftersale/getaftersaleorder`) tells which, and holds the money (`refund_info.amount`): an order's
`aftersale_detail` names after-sales and nothing more. [U] that `count` of a finished refund is what the order counts;
[U] that a finished after-sale moves the order's `update_time`; [U] that `sub_type` is the name of the field that says
REFUND_PRICE_DIFF, a refund of which the goods are still to be delivered.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from integrations.channels.payload import identity, integer, mapping, mappings, text

_PAID = {"MERCHANT_REFUND_SUCCESS", "MERCHANT_RETURN_SUCCESS"}
_GOODS_INSTEAD = {"EXCHANGE", "RESHIP"}
_PRICE_DIFFERENCE = "REFUND_PRICE_DIFF"


@dataclass(frozen=True)
class AfterSale:
    """One after-sale. `paid_fen` is what it has paid back so far; `keeps_goods`: the pieces stay to be delivered."""

    product_id: str
    sku_id: str
    count: int
    paid_fen: int
    keeps_goods: bool


def finished_after_sales(order: dict[str, Any]) -> list[str]:
    """The ids of the after-sales that are worth asking for: of an order in which some are over. Raises `Unparsable`."""
    products = mappings(mapping(order.get("order_detail"), "order_detail").get("product_infos"), "product_infos")
    if not any(_finished(product) for product in products):
        return []
    listed = mapping(order.get("aftersale_detail") or {}, "aftersale_detail").get("aftersale_order_list")
    found = mappings(listed, "aftersale_order_list")
    return [identity(one.get("aftersale_order_id"), "aftersale_order_id") for one in found]


def read_after_sale(payload: Any) -> AfterSale:
    """The `after_sale_order` of `aftersale/getaftersaleorder`. Raises `Unparsable`."""
    after_sale = mapping(payload, "after_sale_order")
    product = mapping(after_sale.get("product_info"), "product_info")
    kind = text(after_sale.get("type"), "type")
    is_paid = text(after_sale.get("status"), "status") in _PAID and kind not in _GOODS_INSTEAD
    refund = mapping(after_sale.get("refund_info") or {}, "refund_info")
    return AfterSale(
        product_id=text(product.get("product_id"), "product_id"),
        sku_id=text(product.get("sku_id"), "sku_id"),
        count=max(0, integer(product.get("count"), "count", 0)),
        paid_fen=max(0, integer(refund.get("amount"), "amount", 0)) if is_paid else 0,
        keeps_goods=kind in _GOODS_INSTEAD or after_sale.get("sub_type") == _PRICE_DIFFERENCE,
    )


def paid_back(products: list[dict[str, Any]], after_sales: Sequence[AfterSale]) -> tuple[list[int], int]:
    """How many pieces of each product were paid back, and the sum (fen) that was.

    Finished pieces that no after-sale explains count as paid back, with their share of what the line cost.
    """
    fen = sum(after_sale.paid_fen for after_sale in after_sales)
    refunds, kept = _pieces(after_sales, keeps_goods=False), _pieces(after_sales, keeps_goods=True)
    cancelled = []
    for product in products:
        key = (text(product.get("product_id"), "product_id"), text(product.get("sku_id"), "sku_id"))
        finished = _finished(product)
        explained = min(finished, refunds.get(key, 0))
        stay = min(finished - explained, kept.get(key, 0))
        # the same product may be in several lines
        refunds[key] = refunds.get(key, 0) - explained
        kept[key] = kept.get(key, 0) - stay
        cancelled.append(finished - stay)
        if unexplained := finished - stay - explained:
            cost = integer(product.get("real_price"), "real_price")
            fen += max(0, cost) * unexplained // integer(product.get("sku_cnt"), "sku_cnt")
    return cancelled, fen


def _finished(product: dict[str, Any]) -> int:
    """Pieces whose after-sale is over, never more than were bought."""
    finished = integer(product.get("finish_aftersale_sku_cnt"), "finish_aftersale_sku_cnt", 0)
    return max(0, min(finished, integer(product.get("sku_cnt"), "sku_cnt")))


def _pieces(after_sales: Sequence[AfterSale], *, keeps_goods: bool) -> dict[tuple[str, str], int]:
    """Pieces by product: in after-sales that keep the goods, or in those that have paid for them."""
    pieces: dict[tuple[str, str], int] = {}
    for one in after_sales:
        if one.keeps_goods == keeps_goods and (keeps_goods or one.paid_fen):
            key = (one.product_id, one.sku_id)
            pieces[key] = pieces.get(key, 0) + one.count
    return pieces
