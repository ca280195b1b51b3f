"""Orders with stock, checks, refunds and compensations for tests of the portal, made by the rules themselves."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlmodel import Session, select

from models import compensation, refund
from models.compensation import Cause, Compensation, Limits
from models.effect import REFUND, begin
from models.fulfilment import Fulfilment
from models.order import Order, lock_order
from models.product import Product, save_products
from models.refund import Refund, RefundStep
from models.reservation import reserve
from models.settings import settings
from models.stock import receive
from models.stock_check import StockCheck, open_check
from models.warehouse import Warehouse
from tests.integrations.portal_server import Seeded, an_order_of, committed, now

TITLES = {"FRESH-500": "鲜食主粮 500g", "CAN-400": "猫罐头", "DUCK": "鸭肉"}


def paid(seeded: Seeded, keeper: str = "wechat_pay", ref: str = "P-1001") -> Seeded:
    """The order's payment was verified; the money lies with `keeper` under `ref`."""

    def work(session: Session) -> None:
        order = session.get_one(Order, seeded.order_id)
        order.payment_verified_at, order.payment_keeper, order.payment_ref = now(), keeper, ref
        session.add(order)

    committed(work)
    return seeded


def a_check(
    order_no: str = "SH-1001",
    held: Mapping[str, int] = {"FRESH-500": 2},
    minutes: float = 5,
    warehouse: str = "SZ",
    **stage: Any,
) -> tuple[Seeded, StockCheck]:
    """A paid order that is promised `held` (quantity by SKU), with its open stock check."""
    seeded = paid(an_order_of(order_no, **{"stage": "reserved", "warehouse": warehouse, **stage}), ref=f"P-{order_no}")

    def work(session: Session) -> StockCheck:
        if session.get(Warehouse, warehouse) is None:
            session.add(Warehouse(code=warehouse, name=f"{warehouse} 仓"))
        units = {"DUCK": "g"}
        save_products(session, [Product(sku=s, title=TITLES[s], unit=units.get(s, "piece")) for s in held])
        session.flush()
        for sku, quantity in held.items():
            receive(session, warehouse, sku, quantity * 10, "期初", "test", now())
        reserve(session, seeded.fulfilment_id, warehouse, held, "test", now())
        part = session.get_one(Fulfilment, seeded.fulfilment_id)
        check = open_check(session, part, list(held), 5, now())
        assert check is not None
        check.due_at = now() + timedelta(minutes=minutes)
        session.add(check)
        return check

    return seeded, committed(work)


def compensated(seeded: Seeded, cause: Cause = Cause.NOT_THERE, reason: str = "SZ 查无货:FRESH-500") -> Compensation:
    """The order is to be compensated, as the warehouse's word would have it."""

    def work(session: Session) -> Compensation:
        lock_order(session, seeded.order_id)
        part = session.get_one(Fulfilment, seeded.fulfilment_id)
        limits = Limits.of(settings().policy)
        compensation.request(session, part, cause, reason, "warehouse:老李", now(), limits)
        return session.exec(select(Compensation).where(Compensation.fulfilment_id == seeded.fulfilment_id)).one()

    return committed(work)


def a_refund(seeded: Seeded, step: RefundStep = RefundStep.PROCESSING, problem: str = "") -> Refund:
    """What is owed for the order's only fulfilment, come as far as `step`."""

    def work(session: Session) -> Refund:
        owed = refund.owe(session, seeded.order_id, seeded.fulfilment_id, "缺货", "wind-up", now())
        assert owed is not None
        if step is not RefundStep.DUE:
            refund.report(session, owed.refund_no, step, "refund", now(), problem=problem)
        return owed

    return committed(work)


def being_asked_for(owed: Refund) -> None:
    """Somebody is just asking the keeper for this refund."""
    committed(lambda s: begin(s, REFUND, f"refund-{owed.refund_no}", b"sealed", now(), order_id=owed.order_id))
