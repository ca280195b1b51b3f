"""What a Taobao or Tmall trade means to the hub. Pure; fields as in TOP's `Trade` and `Order` (apiId 54).

Money is text in yuan, times are Beijing without an offset, ids are numbers beyond 2^53.

Unverified:
- the sum of the lines' `divide_order_fee` and `post_fee` is `payment` also with red packets and shop points
- a line is cancelled when its `status` is TRADE_CLOSED and its `refund_status` SUCCESS
- what was paid back of a line that goes on is not told by the trade
- where the answers of customised goods come: they are asked for on the order page
- a trade's `modified` is the time that the increment listing goes by
"""

from __future__ import annotations

from typing import Any

from integrations.channels.beijing_time import beijing, beijing_or_none
from integrations.channels.payload import fen_of_decimal, identity, integer, mapping, mappings, text
from integrations.channels.unverified import unverified
from models.intake import IncomingLine, IncomingOrder, PlatformStatus, Receiver

NAME = "taobao"

UNVERIFIED = unverified(__doc__)

#: Fields asked of `taobao.trade.fullinfo.get`.
FIELDS = (
    "tid,status,created,modified,pay_time,payment,post_fee,total_fee,buyer_open_uid,buyer_nick,buyer_message,"
    "receiver_name,receiver_mobile,receiver_phone,receiver_state,receiver_city,receiver_district,receiver_town,"
    "receiver_address,oaid,orders"
)

_STATUS = {
    "TRADE_NO_CREATE_PAY": PlatformStatus.AWAITING_PAYMENT,
    "WAIT_BUYER_PAY": PlatformStatus.AWAITING_PAYMENT,
    "PAY_PENDING": PlatformStatus.HELD,
    "WAIT_PRE_AUTH_CONFIRM": PlatformStatus.HELD,
    "PAID_FORBID_CONSIGN": PlatformStatus.HELD,
    "WAIT_SELLER_SEND_GOODS": PlatformStatus.TO_SHIP,
    "SELLER_CONSIGNED_PART": PlatformStatus.PART_SHIPPED,
    "WAIT_BUYER_CONFIRM_GOODS": PlatformStatus.SHIPPED,
    "TRADE_BUYER_SIGNED": PlatformStatus.SHIPPED,
    "TRADE_FINISHED": PlatformStatus.COMPLETE,
    "TRADE_CLOSED": PlatformStatus.REFUNDED,  # closed after payment, by a refund
    "TRADE_CLOSED_BY_TAOBAO": PlatformStatus.CANCELLED,  # closed before payment
}


def read_order(payload: Any, shop: str) -> IncomingOrder:
    """A `trade` of `taobao.trade.fullinfo.get` as the hub takes it in; the receiver is masked.

    Raises `Unparsable` without an id, or when a number or time cannot be read; odd values are carried over.
    """
    trade = mapping(payload, "trade")
    tid = identity(trade.get("tid"), "tid")
    freight = _fen(trade, "post_fee")
    items = lines_in(trade)
    lines = tuple(_line(item, freight if len(items) == 1 else 0) for item in items)
    paid_at = beijing_or_none(trade.get("pay_time"), "pay_time")
    total = fen_of_decimal(trade.get("payment"), "payment")  # also before it is paid
    return IncomingOrder(
        channel=NAME,
        shop=shop,
        channel_order_id=tid,
        channel_order_name=tid,
        status=_STATUS.get(text(trade.get("status"), "status"), PlatformStatus.UNKNOWN),
        placed_at=beijing(trade.get("created"), "created"),
        updated_at=beijing(trade.get("modified"), "modified"),
        paid_at=paid_at,
        currency="CNY",
        total_fen=total,
        paid_fen=total if paid_at else 0,
        freight_fen=freight,
        discount_fen=sum(line.unit_price_fen * line.quantity for line in lines) + freight - total,
        buyer=text(trade.get("buyer_open_uid"), "buyer_open_uid") or text(trade.get("buyer_nick"), "buyer_nick"),
        receiver=_masked(trade),
        lines=lines,
        note=text(trade.get("buyer_message"), "buyer_message"),
        handles={"lines": {line.channel_line_id: line.quantity for line in lines}},
        raw=trade,
    )


def lines_in(trade: dict[str, Any]) -> list[dict[str, Any]]:
    """The lines (子订单) of a trade. Raises `Unparsable`."""
    return mappings(mapping(trade.get("orders") or {}, "orders").get("order"), "order")


def read_clear(found: dict[str, Any]) -> Receiver:
    """A receiver of `taobao.top.oaid.decrypt`, in clear. Raises `Unparsable`."""
    return Receiver(
        name=identity(found.get("name"), "name"),
        phone=text(found.get("mobile"), "mobile") or identity(found.get("phone"), "phone"),
        province=text(found.get("state"), "state"),
        city=text(found.get("city"), "city"),
        district=text(found.get("district"), "district"),
        detail=text(found.get("town"), "town") + identity(found.get("address_detail"), "address_detail"),
    )


def _masked(trade: dict[str, Any]) -> Receiver | None:
    names = ("name", "mobile", "phone", "state", "city", "district", "town", "address")
    found = {name: text(trade.get(f"receiver_{name}"), f"receiver_{name}") for name in names}
    if not any(found.values()):
        return None
    return Receiver(
        name=found["name"],
        phone=found["mobile"] or found["phone"],
        province=found["state"],
        city=found["city"] or found["state"],  # municipalities name themselves once
        district=found["district"],
        detail=found["town"] + found["address"],
        masked=True,
    )


def _line(item: dict[str, Any], freight_inside: int) -> IncomingLine:
    """`freight_inside`: what `payment` of a trade's only line holds of the postage; `divide_order_fee` holds none."""
    quantity = integer(item.get("num"), "num")
    if item.get("divide_order_fee") in (None, ""):
        paid = fen_of_decimal(item.get("payment"), "line payment") - _fen(item, "part_mjz_discount") - freight_inside
    else:
        paid = _fen(item, "divide_order_fee")
    closed = item.get("status") == "TRADE_CLOSED" and item.get("refund_status") == "SUCCESS"
    sku = text(item.get("outer_sku_id"), "outer_sku_id") or text(item.get("outer_iid"), "outer_iid")
    return IncomingLine(
        channel_line_id=identity(item.get("oid"), "oid"),
        sku=sku or text(item.get("sku_id"), "sku_id") or text(item.get("num_iid"), "num_iid"),
        title=text(item.get("title"), "title"),
        quantity=quantity,
        unit_price_fen=fen_of_decimal(item.get("price"), "price"),
        paid_fen=paid,
        cancelled_quantity=quantity if closed else 0,
    )


def _fen(found: dict[str, Any], name: str) -> int:
    """Fen of an amount in yuan; 0 where there is none."""
    value = found.get(name)
    return 0 if value in (None, "") else fen_of_decimal(value, name)
