"""Money that WeChat shop 微信小店 collected: paid back through after-sales, one for each product of the refund.

An open application of the buyer for the very same goods and sum is accepted (`acceptapply`: for "refund only" that
pays at once); without one the seller begins it (`genaftersaleorder`, with our number in `request_id`, which makes a
repeat harmless), and the buyer has to agree. Docs: store/shop/API/channels-shop-aftersale.

An accepted application cannot carry our number: one of the same goods, count and sum that names no other counts as
ours, so that a second refund just like it (one more piece of the same line) is a person's. [U] that `desc` comes back
as `details.desc`; [U] how long a `request_id` may be, and whether the freight may ride on a product's amount.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from integrations.channels.payload import decimal_of_fen, identity, integer, mapping, mappings, text, understood
from integrations.channels.wechat_api import NAME, body_of
from integrations.channels.wechat_shop import WeChatShop
from integrations.errors import Refused, Unclear
from integrations.payments import PaymentRecord, RefundAnswer, RefundState, RefundWish, Trade
from integrations.payments.after_sales import shares, together
from integrations.payments.channel_record import check_wish, mark_of, marked, payment_in

AGREED_BETWEEN_BOTH = "10000014"  # 双方协商一致退款

_OPEN = "MERCHANT_PROCESSING"
_PAID = {"MERCHANT_REFUND_SUCCESS", "MERCHANT_RETURN_SUCCESS"}
_ABNORMAL = {"PLATFORM_REFUND_FAIL", "MERCHANT_REFUND_RETRY_FAIL"}
_CLOSED = {"USER_CANCELD", "MERCHANT_REJECT_REFUND", "MERCHANT_REJECT_RETURN", "RETURN_CLOSED", "MERCHANT_FAIL"}
#: By call, the refusals that say "done before": no longer to be accepted, or begun under this number. What became of
#: it is asked next.
_DONE_BEFORE = {"acceptapply": {"10020001", "10021041"}, "genaftersaleorder": {"10021089"}}
_NOT_BY_US = "10021088"

_Item = dict[str, Any]


class WeChatShopMoney:
    """The money of one WeChat shop; see `integrations.payments.Payments` for what each method promises."""

    name = NAME

    def __init__(self, shop: WeChatShop) -> None:
        self._shop = shop

    async def payment(self, trade: Trade) -> PaymentRecord:
        """What the order says of its money."""
        return payment_in(await self._shop.order(trade.channel_order_id))

    def refund_request(self, wish: RefundWish) -> bytes:
        """The after-sales that the refund consists of, as bodies of `genaftersaleorder`. Raises `Refused`."""
        check_wish(self.name, wish)
        products = wish.handles.get("products", {})
        items: list[_Item] = []
        for line, count, fen in shares(self.name, wish):
            if line not in products:
                raise Refused(NAME, "unknown_line", f"订单 {wish.trade.channel_order_id} 没有商品行 {line}:请核对订单")
            items.append({**products[line], "count": count, "amount": fen})
        for number, item in enumerate(items, start=1):
            item |= {
                "request_id": wish.refund_no if len(items) == 1 else f"{wish.refund_no}-{number}",
                "order_id": wish.trade.channel_order_id,
                "reason": AGREED_BETWEEN_BOTH,
                "type": "REFUND",
                "desc": marked(wish.reason, wish.refund_no),
            }
        return body_of({"items": items})

    async def refund(self, request: bytes) -> RefundAnswer:
        """Accept or begin every after-sale of the refund that is not on its way yet.

        Raises `Refused` before anything is changed when the buyer applied for something else (`after_sale_differs`);
        and when the order takes none from the seller (`no_after_sale`).
        """
        items: list[_Item] = json.loads(request)["items"]
        known = await self._after_sales(items[0]["order_id"])
        found = _matched(items, known)
        for item, after_sale in zip(items, found, strict=True):
            if after_sale is None:
                _check_no_other(item, known)
        for item, after_sale in zip(items, found, strict=True):
            if after_sale is None:
                await self._do("genaftersaleorder", item)
            elif after_sale["status"] == _OPEN:
                await self._do("acceptapply", {"after_sale_order_id": after_sale["id"]})
        answer = await self.find_refund(request)
        if answer is None:
            raise Unclear(NAME, "not_seen_yet", "the after-sales were taken but are not listed with the order yet")
        return answer

    async def find_refund(self, request: bytes) -> RefundAnswer | None:
        """What became of the after-sales; None while one of them is not begun, or is the buyer's and not accepted."""
        items: list[_Item] = json.loads(request)["items"]
        found = _matched(items, await self._after_sales(items[0]["order_id"]))
        begun = [after_sale for after_sale in found if after_sale and after_sale["status"] != _OPEN]
        if len(begun) < len(items):
            return None
        return together([(_state(one["status"]), one["id"], one["fen"], one["status"]) for one in begun])

    async def _do(self, call: str, body: dict[str, Any]) -> None:
        try:
            await self._shop.api.ask(f"/channels/ec/aftersale/{call}", body_of(body))
        except Refused as refused:
            if refused.code == _NOT_BY_US:
                said = "这个订单不支持商家代发起售后:请在微信小店后台主动退款,或请买家申请售后后再同意"
                raise Refused(NAME, "no_after_sale", said) from refused
            if refused.code not in _DONE_BEFORE[call]:
                raise

    async def _after_sales(self, order_id: str) -> list[_Item]:
        """Every after-sale of the order, read."""
        answered = await self._shop.api.ask("/channels/ec/order/get", body_of({"order_id": order_id}))
        with understood(NAME):
            order = mapping(answered.get("order"), "order")
            listed = mapping(order.get("aftersale_detail") or {}, "aftersale_detail").get("aftersale_order_list")
            ids = [identity(one.get("aftersale_order_id"), "id") for one in mappings(listed, "aftersale_order_list")]
        return list(await asyncio.gather(*(self._after_sale(after_sale_id) for after_sale_id in ids)))

    async def _after_sale(self, after_sale_id: str) -> _Item:
        body = body_of({"after_sale_order_id": after_sale_id})
        answered = await self._shop.api.ask("/channels/ec/aftersale/getaftersaleorder", body)
        with understood(NAME):
            one = mapping(answered.get("after_sale_order"), "after_sale_order")
            product = mapping(one.get("product_info"), "product_info")
            details = mapping(one.get("details") or {}, "details")
            return {
                "id": after_sale_id,
                "status": text(one.get("status"), "status"),
                "type": text(one.get("type"), "type"),
                "product_id": text(product.get("product_id"), "product_id"),
                "sku_id": text(product.get("sku_id"), "sku_id"),
                "count": integer(product.get("count"), "count"),
                "fen": integer(mapping(one.get("refund_info"), "refund_info").get("amount"), "amount"),
                "refund_no": mark_of(text(details.get("desc"), "desc")),
            }


def _matched(items: list[_Item], known: list[_Item]) -> list[_Item | None]:
    """For each item its after-sale: one that names our number, else one of the same goods and sum that names none.

    Of those that name none, what is closed without paying is over and does not count.
    """
    free = list(known)
    found: list[_Item | None] = []
    for item in items:
        refund_no = mark_of(item["desc"])
        same = [one for one in free if one["type"] == "REFUND" and _same_goods(one, item)]
        ours = [one for one in same if one["refund_no"] == refund_no]
        exact = [one for one in same if (one["count"], one["fen"]) == (item["count"], item["amount"])]
        theirs = [one for one in exact if not one["refund_no"] and one["status"] not in _CLOSED]
        chosen = next(iter([*ours, *theirs]), None)
        if chosen is not None:
            free.remove(chosen)
        found.append(chosen)
    return found


def _same_goods(after_sale: _Item, item: _Item) -> bool:
    return all(after_sale[name] == item[name] for name in ("product_id", "sku_id"))


def _check_no_other(item: _Item, known: list[_Item]) -> None:
    """Raise `Refused` when the buyer has an open application of another kind or sum for the same goods."""
    for one in known:
        if one["status"] == _OPEN and _same_goods(one, item):
            theirs, ours = decimal_of_fen(one["fen"]), decimal_of_fen(item["amount"])
            said = f"买家已为同一商品申请售后 {one['id']}({one['count']} 件,{theirs} 元),与要退的 {ours} 元不一致"
            raise Refused(NAME, "after_sale_differs", f"{said}:请在微信小店后台与买家协商后处理这张售后单")


def _state(status: str) -> RefundState:
    if status in _PAID:
        return RefundState.PAID
    if status in _ABNORMAL:
        return RefundState.ABNORMAL
    return RefundState.CLOSED if status in _CLOSED else RefundState.PROCESSING
