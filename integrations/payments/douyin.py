"""Money that Douyin shop 抖店 collected: paid back by accepting the buyer's after-sales, one for each line.

The open platform has no call by which a seller begins a refund (zsmhub/doudian-sdk `api/afterSale_*`): without an
application of the buyer a person refunds in the console. Our number is written as the seller's remark on the
application before it is accepted, and found there again.

[U] the numbers of `afterSale.operate`: 201 accepts "refund only" after shipping (renhonghai/doudian-sdk), 211 before
shipping; [U] that a remark made by `afterSale.addOrderRemark` comes back in `after_sale_shop_remarks`.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from integrations.channels.douyin import Douyin
from integrations.channels.douyin_api import NAME, param_json
from integrations.channels.payload import decimal_of_fen, identity, integer, mapping, mappings, text, understood
from integrations.errors import Refused, Unclear
from integrations.payments import PaymentRecord, RefundAnswer, RefundState, RefundWish, Trade
from integrations.payments.after_sales import together
from integrations.payments.channel_record import check_wish, mark_of, marked, payment_in

AFTER_SALES_ASKED = 100

#: How an application is accepted, by its type: 1 refund only after shipping, 2 before it. Goods that come back (0) and
#: exchanges (3) are a person's.
_ACCEPT = {1: 201, 2: 211}
_APPLIED = 6
_CLOSED = {27, 28, 29, 51}
_REFUND_PAID, _REFUND_FAILED = 3, 4
_NO_LONGER_OPEN = "20309541"

_AfterSale = dict[str, Any]


class DouyinMoney:
    """The money of one Douyin shop; see `integrations.payments.Payments` for what each method promises."""

    name = NAME

    def __init__(self, shop: Douyin) -> None:
        self._shop = shop

    async def payment(self, trade: Trade) -> PaymentRecord:
        """What the order says of its money."""
        return payment_in(await self._shop.order(trade.channel_order_id))

    def refund_request(self, wish: RefundWish) -> bytes:
        """Order, lines, sum and number of the refund. Raises `Refused` for a wish that names no line of the order."""
        check_wish(self.name, wish)
        lines = sorted({line for line, _ in wish.lines})
        if not lines:
            raise Refused(NAME, "no_lines", "抖店按商品单退款:退款要写明商品行,或者请在抖店后台主动退款")
        if unknown := [line for line in lines if line not in wish.handles.get("lines", {})]:
            raise Refused(
                NAME, "unknown_line", f"订单 {wish.trade.channel_order_id} 没有商品单 {unknown[0]}:请核对订单"
            )
        wanted = {
            "order_id": wish.trade.channel_order_id,
            "lines": lines,
            "amount": wish.amount_fen,
            "remark": marked(wish.reason, wish.refund_no),
        }
        return param_json(wanted).encode()

    async def refund(self, request: bytes) -> RefundAnswer:
        """Accept the buyer's applications for these lines, when together they ask for exactly this sum.

        Raises `Refused` before anything is changed: `no_after_sale`, `after_sale_differs` (another sum or kind), or
        `refunded_elsewhere` (a line was refunded, not by us).
        """
        wanted = json.loads(request)
        known = await self._after_sales(wanted["order_id"])
        chosen = [_chosen(line, wanted, known) for line in wanted["lines"]]
        if (asked := sum(one["fen"] for one in chosen)) != wanted["amount"]:
            said = f"买家申请退 {decimal_of_fen(asked)} 元,与要退的 {decimal_of_fen(wanted['amount'])} 元不一致"
            raise Refused(NAME, "after_sale_differs", f"{said}:请在抖店后台与买家协商后处理")
        for one in chosen:
            if one["status"] == _APPLIED:
                await self._accept(one, wanted["remark"])
        answer = await self.find_refund(request)
        if answer is None:
            raise Unclear(NAME, "not_seen_yet", "the applications were accepted but are not told so yet")
        return answer

    async def find_refund(self, request: bytes) -> RefundAnswer | None:
        """What became of the after-sales that carry our number; None while a line has none that was accepted."""
        wanted = json.loads(request)
        refund_no = mark_of(wanted["remark"])
        known = await self._after_sales(wanted["order_id"])
        found = [
            next((one for one in known if one["line"] == line and refund_no in one["refund_nos"]), None)
            for line in wanted["lines"]
        ]
        accepted = [one for one in found if one and one["status"] != _APPLIED]
        if len(accepted) < len(found):
            return None
        return together([(_state(one), one["id"], one["fen"], one["said"]) for one in accepted])

    async def _accept(self, after_sale: _AfterSale, remark: str) -> None:
        """Put our number on it, read it once more, and accept exactly that version."""
        if mark_of(remark) not in after_sale["refund_nos"]:
            note = {"after_sale_id": after_sale["id"], "remark": remark}
            await self._shop.api.ask("afterSale.addOrderRemark", note)
        now = await self._after_sale(after_sale["id"])
        if any(now[name] != after_sale[name] for name in ("status", "type", "fen")):
            said = f"售后单 {after_sale['id']} 刚刚被买家改动:请重新核对后再退款"
            raise Refused(NAME, "after_sale_differs", said)
        item = {"aftersale_id": after_sale["id"], "update_time": now["update_time"]}
        try:
            await self._shop.api.ask("afterSale.operate", {"type": _ACCEPT[now["type"]], "items": [item]})
        except Refused as refused:
            if _NO_LONGER_OPEN not in refused.code:  # what became of it is asked next
                raise

    async def _after_sales(self, order_id: str) -> list[_AfterSale]:
        """Every after-sale of the order, read."""
        data = await self._shop.api.ask("afterSale.List", {"order_id": order_id, "page": 0, "size": AFTER_SALES_ASKED})
        with understood(NAME):
            infos = [
                mapping(item.get("aftersale_info"), "aftersale_info") for item in mappings(data.get("items"), "items")
            ]
            ids = [identity(info.get("aftersale_id"), "aftersale_id") for info in infos]
        return list(await asyncio.gather(*(self._after_sale(after_sale_id) for after_sale_id in ids)))

    async def _after_sale(self, after_sale_id: str) -> _AfterSale:
        data = await self._shop.api.ask("afterSale.Detail", {"after_sale_id": after_sale_id})
        with understood(NAME):
            process = mapping(data.get("process_info"), "process_info")
            info = mapping(process.get("after_sale_info"), "after_sale_info")
            order = mapping(data.get("order_info"), "order_info")
            lines = mappings(order.get("sku_order_infos"), "sku_order_infos")
            remarks = mappings(process.get("after_sale_shop_remarks"), "after_sale_shop_remarks")
            return {
                "id": after_sale_id,
                "line": text(lines[0].get("sku_order_id"), "sku_order_id") if lines else "",
                "type": integer(info.get("after_sale_type"), "after_sale_type"),
                "status": integer(info.get("after_sale_status"), "after_sale_status"),
                "refund": integer(info.get("refund_status"), "refund_status", 0),
                "fen": integer(info.get("refund_total_amount"), "refund_total_amount"),
                "update_time": integer(info.get("update_time"), "update_time"),
                "said": text(info.get("refund_fail_reason"), "refund_fail_reason")
                or text(info.get("after_sale_status_desc"), "after_sale_status_desc"),
                # the order's own remarks come along
                "refund_nos": {
                    mark_of(text(remark.get("remark"), "remark"))
                    for remark in remarks
                    if text(remark.get("after_sale_id"), "after_sale_id") == after_sale_id
                },
            }


def _chosen(line: str, wanted: dict[str, Any], known: list[_AfterSale]) -> _AfterSale:
    """The after-sale that this line is refunded by: the one that carries our number, else an open application."""
    refund_no = mark_of(wanted["remark"])
    of_line = [one for one in known if one["line"] == line]
    ours = [one for one in of_line if refund_no in one["refund_nos"]]
    unclaimed = [one for one in of_line if not any(one["refund_nos"])]
    applied = [one for one in unclaimed if one["status"] == _APPLIED]
    if chosen := next((one for one in [*ours, *applied] if one["type"] in _ACCEPT), None):
        return chosen
    if applied:
        said = f"买家为商品单 {line} 申请的是退货或换货(售后单 {applied[0]['id']}):请在抖店后台处理"
        raise Refused(NAME, "after_sale_differs", said)
    if paid := [one for one in unclaimed if one["refund"] == _REFUND_PAID]:
        said = f"商品单 {line} 已在抖店退过 {decimal_of_fen(paid[0]['fen'])} 元(售后单 {paid[0]['id']})"
        raise Refused(NAME, "refunded_elsewhere", f"{said}:请核对后在本系统登记")
    said = f"商品单 {line} 没有买家的售后申请,抖店也没有商家主动退款的接口"
    raise Refused(NAME, "no_after_sale", f"{said}:请在抖店后台主动退款,或请买家申请售后后再退")


def _state(after_sale: _AfterSale) -> RefundState:
    if after_sale["refund"] == _REFUND_PAID:
        return RefundState.PAID
    if after_sale["refund"] == _REFUND_FAILED:
        return RefundState.ABNORMAL
    return RefundState.CLOSED if after_sale["status"] in _CLOSED else RefundState.PROCESSING
