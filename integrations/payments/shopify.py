"""Money that Shopify collected (Shopify Payments and other gateways of its own): refunds by `refundCreate`."""

from __future__ import annotations

import json
from typing import Any

from integrations.channels import shopify_queries as queries
from integrations.channels.payload import decimal_of_fen, fen_of_decimal, identity, mapping, mappings, text, understood
from integrations.channels.shopify import Shopify
from integrations.channels.shopify_graphql import NAME, request_body
from integrations.errors import Refused
from integrations.payments import PaymentRecord, RefundAnswer, RefundState, RefundWish, Trade
from integrations.payments.channel_record import check_wish, mark_of, marked, payment_in

#: More refunds than this one order will not have; they are asked for in one call.
REFUNDS_ASKED = 100

_WAITING = {"PENDING", "AWAITING_RESPONSE", "UNKNOWN"}


class ShopifyMoney:
    """The money of one Shopify shop; see `integrations.payments.Payments` for what each method promises.

    `refund_no` is the `@idempotent` key, which Shopify keeps for about a day [U], and stands in the refund's note,
    by which it is found for good.
    """

    name = NAME

    def __init__(self, shop: Shopify) -> None:
        self._shop = shop

    async def payment(self, trade: Trade) -> PaymentRecord:
        """What the order says of its money."""
        return payment_in(await self._shop.order(trade.channel_order_id))

    def refund_request(self, wish: RefundWish) -> bytes:
        """The body of a `refundCreate`. What is not shipped is cancelled there too, so that nobody ships it.

        Raises `Refused` when the order's known payments do not cover the amount.
        """
        check_wish(self.name, wish)
        order_id = wish.trade.channel_order_id
        wanted = {
            "orderId": order_id,
            "note": marked(wish.reason, wish.refund_no),
            "notify": False,  # customers hear from us, not from Shopify as well
            "refundLineItems": _lines(wish),
            "transactions": [{"orderId": order_id, "kind": "REFUND", **part} for part in _parts(wish)],
        }
        return request_body(queries.REFUND_CREATE, "refundCreate", {"input": wanted, "key": wish.refund_no})

    async def refund(self, request: bytes) -> RefundAnswer:
        """Make the refund; a repeat of the same bytes answers with the one that was made."""
        data = await self._shop.graphql.send(request)
        with understood(NAME):
            result = mapping(data.get("refundCreate"), "refundCreate")
            if errors := mappings(result.get("userErrors"), "userErrors"):
                said = "; ".join(text(error.get("message"), "message") for error in errors)
                raise Refused(NAME, "user_error", f"Shopify 拒绝退款:{said}。请在 Shopify 后台核对这个订单")
            return _answer(mapping(result.get("refund"), "refund"))

    async def find_refund(self, request: bytes) -> RefundAnswer | None:
        """The order's refund whose note ends with our number, or None."""
        asked = json.loads(request)["variables"]
        variables = {"id": asked["input"]["orderId"], "first": REFUNDS_ASKED}
        data = await self._shop.graphql.send(request_body(queries.REFUNDS, "refunds", variables))
        with understood(NAME):
            order = mapping(data.get("order") or {}, "order")
            for refund in mappings(order.get("refunds"), "refunds"):
                if mark_of(text(refund.get("note"), "note")) == asked["key"]:
                    return _answer(refund)
        return None


def _parts(wish: RefundWish) -> list[dict[str, str]]:
    """The payments that are taken back, the first as far as it goes, then the next."""
    left = wish.amount_fen
    parts = []
    for payment in wish.handles.get("payments", []):
        if taken := min(left, payment["fen"]):
            parts.append({"parentId": payment["id"], "gateway": payment["gateway"], "amount": decimal_of_fen(taken)})
            left -= taken
    if left:
        said = f"这个订单在 Shopify 记下的付款不足以退 {decimal_of_fen(wish.amount_fen)} 元:请在 Shopify 后台退款"
        raise Refused(NAME, "no_payment", said)
    return parts


def _lines(wish: RefundWish) -> list[dict[str, Any]]:
    """Each line: what is still to be shipped is cancelled at its location, the rest refunded without restocking.

    What an edit or an earlier refund has taken out of a line is no line of this refund: only its money goes back.
    """
    there = wish.handles.get("current_quantities", {})
    refunded: dict[str, int] = {}
    for line, quantity in wish.lines:
        refunded[line] = refunded.get(line, 0) + quantity
    lines: list[dict[str, Any]] = []
    for line, quantity in refunded.items():
        left = min(quantity, there.get(line, quantity))
        for part in wish.handles.get("fulfillment_orders", []):
            remaining = sum(item["remaining"] for item in part["lines"] if item["line"] == line)
            location = part.get("location")
            if location and (taken := min(left, remaining)):
                cancelled = {"quantity": taken, "restockType": "CANCEL", "locationId": location}
                lines.append({"lineItemId": line, **cancelled})
                left -= taken
        if left:
            lines.append({"lineItemId": line, "quantity": left, "restockType": "NO_RESTOCK"})
    return lines


def _answer(refund: dict[str, Any]) -> RefundAnswer:
    """A `Refund` records the intention; whether money moved is what its transactions say."""
    transactions = mappings(mapping(refund.get("transactions"), "transactions").get("nodes"), "transactions")
    statuses = {text(transaction.get("status"), "status") for transaction in transactions}
    reason = ""
    if not statuses or statuses - _WAITING - {"SUCCESS"}:
        state = RefundState.ABNORMAL
        said = ", ".join(sorted(statuses)) or "没有交易"
        reason = f"Shopify 的退款交易状态是 {said}:请在 Shopify 后台核对,并改用其他方式退款"
    else:
        state = RefundState.PROCESSING if statuses & _WAITING else RefundState.PAID
    money = mapping(mapping(refund.get("totalRefundedSet"), "totalRefundedSet").get("shopMoney"), "shopMoney")
    fen = fen_of_decimal(money.get("amount"), "totalRefundedSet")
    return RefundAnswer(state, identity(refund.get("id"), "refund id"), fen, reason)
