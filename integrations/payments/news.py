"""What a payment provider reports of its own accord. It is a hint: the keeper is asked before anything rests on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from integrations.payments import RefundState


@dataclass(frozen=True)
class PaymentNews:
    """One verified message of a keeper about a payment or a refund.

    `event_id` is the same when it is told again. `payment_ref` is our `out_trade_no`, `refund_no` our key of the
    refund ("" for a payment). `refunded_fen` is what this refund pays, None where the keeper does not say it.
    """

    keeper: str
    event_id: str
    payment_ref: str
    refund_no: str
    kind: Literal["paid", "refund"]
    refunded_fen: int | None
    state: RefundState | None
