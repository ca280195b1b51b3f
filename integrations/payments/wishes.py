"""What every provider asks of a refund before it can be asked for."""

from __future__ import annotations

import re

from integrations.errors import Refused
from integrations.payments import RefundWish, Trade

_KEY = re.compile(r"[0-9A-Za-z_-]{1,64}")


def check(platform: str, wish: RefundWish) -> None:
    """`Refused` for a wish that a provider cannot pay: no payment number, a bad key, a wrong sum or currency."""
    payment_ref(platform, wish.trade)
    if not _KEY.fullmatch(wish.refund_no):
        raise Refused(platform, "refund_no", f"{wish.refund_no!r} is no key of a refund: 1 to 64 of [0-9A-Za-z_-]")
    if wish.currency != "CNY":
        raise Refused(platform, "currency", f"refunds go out in CNY, not in {wish.currency}: pay this one by hand")
    if not 0 < wish.amount_fen <= wish.paid_fen:
        raise Refused(platform, "amount", f"cannot refund {wish.amount_fen} fen of a payment of {wish.paid_fen} fen")


def payment_ref(platform: str, trade: Trade) -> str:
    """The provider's number of this payment. `Refused` for an order that names none."""
    if not trade.payment_ref:
        raise Refused(platform, "payment_ref", f"order {trade.channel_order_id} names no payment: look it up by hand")
    return trade.payment_ref


def shortened(reason: str, most_bytes: int) -> str:
    """The reason in at most so many bytes of UTF-8, cut between characters."""
    return reason.encode(errors="replace")[:most_bytes].decode(errors="ignore")
