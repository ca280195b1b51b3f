"""What a Shopify order means to the hub. Pure; fields as in the Admin GraphQL schema 2026-10.

Edits and refunds, as the schema describes them: a line's `quantity` includes what was refunded or removed since,
`currentQuantity` does not, and a removed line stays in the list with nothing left. Not verified at a real shop [U]:

- an edit that raises a line raises `quantity` and `originalTotalSet`; a line that an edit adds has its own id, and a
  fulfilment order line like any other;
- `totalPriceSet` ("before returns") grows with what an edit adds, and keeps what an edit or a refund takes away, as
  `quantity` does, so that lines and total still add up;
- an order that was paid and then grew is PARTIALLY_PAID until the rest is paid: it waits for money again, with
  `paid_at` and `paid_fen` of what was paid before;
- what an edit took away is still owed to the customer until a refund shows in `totalRefundedSet`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from integrations.channels.payload import (
    answers,
    fen_of_decimal,
    identity,
    integer,
    mapping,
    mappings,
    moment,
    moment_or_none,
    text,
)
from integrations.channels.shopify_graphql import NAME
from integrations.spreadsheets.sheet_places import split_district
from models.intake import IncomingLine, IncomingOrder, PlatformStatus, Receiver

#: Nothing was paid in full yet, or what was authorised has lapsed: the order waits for money.
_UNPAID = {"PENDING", "AUTHORIZED", "PARTIALLY_PAID", "EXPIRED"}
_PAID = {"PAID", "PARTIALLY_REFUNDED"}
_BY_FULFILLMENT = {
    "UNFULFILLED": PlatformStatus.TO_SHIP,
    "OPEN": PlatformStatus.TO_SHIP,
    "PENDING_FULFILLMENT": PlatformStatus.TO_SHIP,
    "IN_PROGRESS": PlatformStatus.TO_SHIP,
    "ON_HOLD": PlatformStatus.HELD,
    "SCHEDULED": PlatformStatus.HELD,
    "REQUEST_DECLINED": PlatformStatus.HELD,
    "PARTIALLY_FULFILLED": PlatformStatus.PART_SHIPPED,
    "FULFILLED": PlatformStatus.SHIPPED,
    "FULFILLMENT_NOT_REQUIRED": PlatformStatus.COMPLETE,
}
#: Gateways that stand for a contract of the seller with the payment provider: who keeps the money, by gateway.
KEEPERS = {"alipay": "alipay", "wechat_pay": "wechat_pay"}


def read_order(payload: Any, shop: str) -> IncomingOrder:
    """An `Order` node, with all of its lines, as the hub takes it in.

    Raises `Unparsable` without an id, or when a number or time cannot be read; odd values are carried over.
    """
    order = mapping(payload, "order")
    order_id = identity(order.get("id"), "id")
    lines = tuple(_line(node) for node in _nodes(order.get("lineItems"), "lineItems"))
    address = order.get("shippingAddress")
    payments = _payments(order)
    keeper, payment_ref = _keeper(payments)
    return IncomingOrder(
        channel=NAME,
        shop=shop,
        channel_order_id=order_id,
        channel_order_name=text(order.get("name"), "name"),
        status=_status(order),
        placed_at=moment(order.get("createdAt"), "createdAt"),
        updated_at=moment(order.get("updatedAt"), "updatedAt"),
        paid_at=_paid_at(order, payments),
        currency=_currency(order),
        total_fen=_fen(order, "totalPriceSet"),
        paid_fen=_fen(order, "totalReceivedSet", 0),
        freight_fen=_fen(order, "totalShippingPriceSet", 0),
        discount_fen=_fen(order, "totalDiscountsSet", 0),
        buyer=text(mapping(order.get("customer") or {}, "customer").get("id"), "customer.id"),
        receiver=None if address is None else read_address(address),
        lines=lines,
        note=text(order.get("note"), "note"),
        attributes=_attributes(order),
        handles=_handles(order) | {"payments": [_payment(payment) for payment in payments]},
        raw=order,
        payment_keeper=keeper,
        payment_ref=payment_ref,
        refunded_fen=_fen(order, "totalRefundedSet", 0),
    )


def read_address(payload: Any) -> Receiver:
    """A `MailingAddress`. It has no district: in a Chinese address that is what `address1` starts with."""
    address = mapping(payload, "shippingAddress")
    street = text(address.get("address1"), "address1")
    city, more = text(address.get("city"), "city"), text(address.get("address2"), "address2")
    district, rest = split_district(city, street.strip())
    district, street = (district, rest) if rest else ("", street)
    return Receiver(
        name=text(address.get("name"), "address name"),
        phone=text(address.get("phone"), "phone"),
        province=text(address.get("province"), "province"),
        city=city,
        district=district,
        detail=f"{street} {more}".strip(),
    )


def _nodes(connection: Any, name: str) -> list[dict[str, Any]]:
    return [] if connection is None else mappings(mapping(connection, name).get("nodes"), name)


def _fen(owner: dict[str, Any], name: str, default: int | None = None) -> int:
    if owner.get(name) is None and default is not None:
        return default
    money = mapping(mapping(owner.get(name), name).get("shopMoney"), name)
    return fen_of_decimal(money.get("amount"), name)


def _currency(order: dict[str, Any]) -> str:
    money = mapping(mapping(order.get("totalPriceSet"), "totalPriceSet").get("shopMoney"), "totalPriceSet")
    return text(money.get("currencyCode"), "currencyCode")


def _line(node: dict[str, Any]) -> IncomingLine:
    # discountAllocations hold the line's share of every discount, also of those on the whole order
    allocations = mappings(node.get("discountAllocations"), "discountAllocations")
    discount = sum(_fen(allocation, "allocatedAmountSet") for allocation in allocations)
    quantity = integer(node.get("quantity"), "quantity")
    left = integer(node.get("currentQuantity"), "currentQuantity", quantity)
    return IncomingLine(
        channel_line_id=identity(node.get("id"), "line id"),
        sku=text(node.get("sku"), "sku"),
        title=text(node.get("title"), "title"),
        quantity=quantity,
        unit_price_fen=_fen(node, "originalUnitPriceSet"),
        paid_fen=_fen(node, "originalTotalSet") - discount,
        attributes=_attributes(node),
        cancelled_quantity=max(0, min(quantity - left, quantity)),
    )


def _attributes(owner: dict[str, Any]) -> dict[str, str]:
    pairs = mappings(owner.get("customAttributes"), "customAttributes")
    return answers([(text(pair.get("key"), "key"), text(pair.get("value"), "value")) for pair in pairs])


def _status(order: dict[str, Any]) -> PlatformStatus:
    financial = text(order.get("displayFinancialStatus"), "displayFinancialStatus")
    if financial == "REFUNDED":
        return PlatformStatus.REFUNDED
    if financial == "VOIDED" or order.get("cancelledAt") is not None:
        return PlatformStatus.CANCELLED
    if financial in _UNPAID:
        return PlatformStatus.AWAITING_PAYMENT
    fulfillment = text(order.get("displayFulfillmentStatus"), "displayFulfillmentStatus")
    return _BY_FULFILLMENT.get(fulfillment, PlatformStatus.UNKNOWN) if financial in _PAID else PlatformStatus.UNKNOWN


def _payments(order: dict[str, Any]) -> list[dict[str, Any]]:
    """The transactions that brought money in."""
    return [
        transaction
        for transaction in mappings(order.get("transactions"), "transactions")
        if transaction.get("kind") in ("SALE", "CAPTURE") and transaction.get("status") == "SUCCESS"
    ]


def _payment(transaction: dict[str, Any]) -> dict[str, Any]:
    """What a refund must name of the payment that it takes back."""
    return {
        "id": identity(transaction.get("id"), "transaction id"),
        "gateway": text(transaction.get("gateway"), "gateway"),
        "fen": _fen(transaction, "amountSet", 0),
    }


def _keeper(payments: list[dict[str, Any]]) -> tuple[str, str]:
    """Who collected the money and its number there; empty when it is Shopify, or when several shared it."""
    if len(payments) != 1:
        return "", ""
    keeper = KEEPERS.get(text(payments[0].get("gateway"), "gateway"), "")
    reference = text(payments[0].get("paymentId"), "paymentId")
    return (keeper, reference) if keeper and reference else ("", "")


def _paid_at(order: dict[str, Any], payments: list[dict[str, Any]]) -> datetime | None:
    """An order has no "paid at": the earliest successful payment, else when it was processed, if it is paid."""
    if payments:
        return min(moment(payment.get("processedAt"), "transaction processedAt") for payment in payments)
    financial = order.get("displayFinancialStatus")
    paid = financial in ("PAID", "PARTIALLY_REFUNDED", "REFUNDED")
    return moment_or_none(order.get("processedAt"), "processedAt") if paid else None


def _handles(order: dict[str, Any]) -> dict[str, Any]:
    """`fulfillment_orders`: what may be shipped from where; `current_quantities`: lines that lost some."""
    open_parts = [
        {
            "id": identity(part.get("id"), "fulfilment order id"),
            "status": text(part.get("status"), "fulfilment order status"),
            "location": _location(part),
            "lines": [
                {
                    "id": identity(item.get("id"), "fulfilment order line id"),
                    "line": text(mapping(item.get("lineItem"), "lineItem").get("id"), "lineItem id"),
                    "remaining": integer(item.get("remainingQuantity"), "remainingQuantity"),
                }
                for item in _nodes(part.get("lineItems"), "fulfilment order lines")
            ],
        }
        for part in _nodes(order.get("fulfillmentOrders"), "fulfillmentOrders")
    ]
    edited = {
        text(node.get("id"), "line id"): integer(node.get("currentQuantity"), "currentQuantity")
        for node in _nodes(order.get("lineItems"), "lineItems")
        if node.get("currentQuantity") not in (None, node.get("quantity"))
    }
    return {"fulfillment_orders": open_parts, "current_quantities": edited}


def _location(part: dict[str, Any]) -> str:
    """Id of the location that ships this fulfilment order; empty when it was deleted."""
    assigned = mapping(part.get("assignedLocation") or {}, "assignedLocation")
    return text(mapping(assigned.get("location") or {}, "location").get("id"), "location id")
