"""A small shop and its orders for tests, made by the rules themselves; `walk` takes an order along its whole life.

Time is `NOW` (noon in Shanghai) unless a test says otherwise. Nothing here talks to anybody: where a platform would
answer, `walk` writes what it would have said.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.pool import NullPool
from sqlmodel import Session, select

from models import production_batch
from models.book import take_orders
from models.effect import RELEASE, SHIP_NOTICE, SMS, WAYBILL, Attempt, EffectKind, begin, done
from models.fulfilment import Claim, Fulfilment, Stage, WaitingOn, advance, carried_by, claim_order, park
from models.intake import IncomingLine, IncomingOrder, PlatformStatus, Receiver
from models.notification import Node, Notification, NotificationState
from models.order import Order, find_order, lines_of
from models.order_form import OrderForm, starter_form
from models.parcel import keep_parcel
from models.privacy import seal
from models.product import Product, save_products
from models.production import WorkOrder, take_report, work_orders_of
from models.production_batch import Batching, ProductionBatch
from models.recipe import choose, ingredients, pet_of, save_ingredients, starter_recipes
from models.reservation import consume, reserve
from models.review import open_case
from models.rule_version import RuleKind
from models.rules_in_force import number_of, recipes_now
from models.stock import receive
from models.timeline import EventKind, note
from models.warehouse import Warehouse

NOW = datetime(2026, 11, 11, 4, 0, tzinfo=UTC)
WAREHOUSE = "WH-SZ"
CAN = "CAN-400"  # kept in stock
DRY = "DRY-1500"  # made to order
RECEIVER = Receiver("王小明", "13812345678", "广东省", "深圳市", "南山区", "科技园南路 18 号 3 栋 1201")
Pet = dict[str, str]
FORM = OrderForm(starter_form())
PET: Pet = {"species": "dog", "weight_kg": "12", "staple_preference": "dry", "allergens": "无"}
#: The stages on the way, with the event that tells of each.
TOLD_AS = {
    Stage.RESERVED: EventKind.RESERVED,
    Stage.APPROVED: EventKind.APPROVED,
    Stage.PRODUCED: EventKind.PRODUCED,
    Stage.SHIPPED: EventKind.SHIPPED,
    Stage.DELIVERED: EventKind.DELIVERED,
    Stage.CLOSED: EventKind.CLOSED,
}


def open_shop(session: Session, cans: int = 1000, grams: int = 1_000_000) -> None:
    """A warehouse, two products, the starter recipes, and stock of everything."""
    session.add(Warehouse(code=WAREHOUSE, name="深圳仓", region="广东"))
    save_products(session, [Product(sku=CAN, title="猫罐头", weight_g=400, price_fen=2_000)])
    save_products(session, [Product(sku=DRY, title="定制犬粮", weight_g=1500, price_fen=9_900, made_to_order=True)])
    save_ingredients(session, starter_recipes())
    session.flush()
    if cans:
        receive(session, WAREHOUSE, CAN, cans, "期初", "test", NOW)
    for sku in session.exec(select(Product.sku).where(Product.unit == "g").order_by(Product.sku)):
        receive(session, WAREHOUSE, sku, grams, "期初", "test", NOW)


def cans(quantity: int = 2, unit_price_fen: int = 2_000, **changes: Any) -> IncomingLine:
    """A line of goods kept in stock."""
    return _line(CAN, quantity, unit_price_fen, {}, changes)


def made(quantity: int = 1, unit_price_fen: int = 9_900, pet: Pet = PET, **changes: Any) -> IncomingLine:
    """A line that is made to order, for a dog without allergies unless `pet` says otherwise."""
    return _line(DRY, quantity, unit_price_fen, pet, changes)


def _line(sku: str, quantity: int, unit: int, pet: dict[str, str], changes: dict[str, Any]) -> IncomingLine:
    line = IncomingLine(f"line-{sku}", sku, "商品", quantity, unit, abs(quantity) * unit, pet)
    return replace(line, **changes)


def incoming(name: str = "1", *lines: IncomingLine, **changes: Any) -> IncomingOrder:
    """A paid order as a channel tells it, whose money adds up; `changes` are fields of `IncomingOrder`."""
    lines = lines or (cans(),)
    total = sum(line.paid_fen for line in lines) + changes.get("freight_fen", 0)
    order = IncomingOrder(
        channel="shopify",
        shop="pets",
        channel_order_id=f"id-{name}",
        channel_order_name=f"#{name}",
        status=PlatformStatus.TO_SHIP,
        placed_at=NOW - timedelta(minutes=10),
        updated_at=NOW - timedelta(minutes=9),
        paid_at=NOW - timedelta(minutes=9),
        currency="CNY",
        total_fen=total,
        paid_fen=total,
        freight_fen=0,
        discount_fen=0,
        buyer="buyer-1",
        receiver=RECEIVER,
        lines=lines,
        raw={"id": f"id-{name}", "name": f"#{name}"},
    )
    return replace(order, **changes)


def unpaid(name: str = "1", *lines: IncomingLine, **changes: Any) -> IncomingOrder:
    """The same, not paid yet."""
    without = {"status": PlatformStatus.AWAITING_PAYMENT, "paid_fen": 0, "paid_at": None}
    return incoming(name, *lines, **{**without, **changes})


def later(order: IncomingOrder, minutes: int = 5, **changes: Any) -> IncomingOrder:
    """The same order as the channel tells it some minutes later."""
    return replace(order, updated_at=order.updated_at + timedelta(minutes=minutes), **changes)


def taken(session: Session, order: IncomingOrder, now: datetime = NOW) -> Order:
    """The order in the book, taken in now."""
    take_orders(session, [order], now)
    return session.exec(select(Order).where(Order.channel_order_id == order.channel_order_id)).one()


def claimed(session: Session, order: Order, now: datetime = NOW) -> Claim:
    """A claim on the order's only fulfilment."""
    assert order.id is not None
    (claim,) = claim_order(session, order.id, "test-lane", 120, now)
    return claim


def walk(session: Session, order_no: str, to: Stage, now: datetime = NOW) -> None:
    """Carry a paid order from received to `to`, as the flow does, and park it there (if that is no end)."""
    order = find_order(session, order_no)
    claim = claimed(session, order, now)
    for stage in list(TOLD_AS)[: list(TOLD_AS).index(to) + 1]:
        _step(session, order, claim, stage, now)
        advance(session, claim, stage, now)
        note(session, claim.order_id, TOLD_AS[stage], "test", now, claim.fulfilment_id)
    if not to.final:
        park(session, claim, WaitingOn.RETRY, "测试里停在这里", now + timedelta(hours=1), now=now)


def _step(session: Session, order: Order, claim: Claim, stage: Stage, now: datetime) -> None:
    """What has to be true before `stage` is reached."""
    if stage is Stage.RESERVED:
        order.payment_verified_at = now
        session.add(order)
        note(session, claim.order_id, EventKind.PAYMENT_VERIFIED, "test", now, claim.fulfilment_id)
        reserve(session, claim.fulfilment_id, WAREHOUSE, wanted(session, claim), "test", now)
    elif stage is Stage.PRODUCED:
        produce(session, claim, now)
    elif stage is Stage.SHIPPED:
        number = claim.fulfilment_no
        told(session, claim, WAYBILL, f"waybill-{number}", {"waybill_no": f"SF-{number}"}, now)
        keep_parcel(session, claim.order_id, claim.fulfilment_id, "sf_express", number, f"SF-{number}", now)
        told(session, claim, SHIP_NOTICE, f"ship-{number}", {"id": 1}, now)
        consume(session, claim.fulfilment_id, "ship", now)
        told(session, claim, SMS, f"sms-{number}-shipped", {"message_id": f"m-{number}"}, now)
        session.add(
            Notification(
                order_id=claim.order_id,
                fulfilment_id=claim.fulfilment_id,
                node=Node.SHIPPED.value,
                via="sms",
                state=NotificationState.SENT.value,
                at=now,
            )
        )
        note(session, claim.order_id, EventKind.NOTIFIED, "test", now, claim.fulfilment_id, via="sms")


def wanted(session: Session, claim: Claim) -> dict[str, int]:
    """Match the recipes and say what the fulfilment needs of each SKU."""
    lines, book = {line.id: line for line in lines_of(session, claim.order_id)}, recipes_now(session)
    need: dict[str, int] = {}
    for part in carried_by(session, claim.fulfilment_id):
        line = lines[part.order_line_id]
        grams = {line.sku: part.quantity}
        if line.made_to_order:
            recipe = choose(pet_of(FORM.check(line.pet, NOW).values), book)
            part.recipe = recipe.code
            session.add(part)
            grams = ingredients(recipe, 1500, part.quantity)
        for sku, quantity in grams.items():
            need[sku] = need.get(sku, 0) + quantity
    return need


def release(session: Session, claim: Claim, now: datetime = NOW) -> list[str]:
    """Release what is made to order to the factory; the numbers of the work orders."""
    numbers = []
    lines = {line.id: line for line in lines_of(session, claim.order_id)}
    book = recipes_now(session)
    for part in carried_by(session, claim.fulfilment_id):
        if part.recipe is not None:
            line = lines[part.order_line_id]
            numbers.append(f"{claim.fulfilment_no}-{line.line_no}")
            session.add(
                WorkOrder(
                    work_order_no=numbers[-1],
                    fulfilment_id=claim.fulfilment_id,
                    order_id=claim.order_id,
                    sku=line.sku,
                    quantity=part.quantity,
                    recipe=part.recipe,
                    grams=ingredients(book[part.recipe], 1500, part.quantity),
                )
            )
    session.flush()
    if numbers:
        released_in_batches(session, claim, now)
    return numbers


def released_in_batches(session: Session, claim: Claim, now: datetime) -> None:
    """The fulfilment's work orders that no batch has yet are released, each recipe as a batch; the factory took it."""
    part, order = session.get_one(Fulfilment, claim.fulfilment_id), session.get_one(Order, claim.order_id)
    works = [work for work in work_orders_of(session, claim.fulfilment_id) if work.batch_id is None]
    version = number_of(session, order, RuleKind.RECIPES)
    production_batch.join(session, works, part.warehouse, version, Batching(timedelta(), 10**9), now)
    answer = {"batch_no": "B", "expected_at": (now + timedelta(hours=4)).isoformat()}
    for batch_id in sorted({work.batch_id for work in works if work.batch_id is not None}):
        batch = session.get_one(ProductionBatch, batch_id)
        production_batch.seal(session, batch, now)
        told(session, claim, RELEASE, batch.release_key, answer, now)
        production_batch.released(session, batch_id, answer, now, by=claim.fulfilment_id)


def produce(session: Session, claim: Claim, now: datetime = NOW) -> None:
    """Release and complete what is made to order."""
    for number in release(session, claim, now):
        take_report(session, f"report-{number}", number, "work_order.completed", now, {}, now)
        claim.wake_seq += 1  # the walker has seen what the report woke it for


def told(session: Session, claim: Claim, kind: EffectKind, key: str, response: dict[str, Any], now: datetime) -> None:
    """Something told to the outside, and answered."""
    attempt = begin(session, kind, key, seal("{}"), now, order_id=claim.order_id, fulfilment_id=claim.fulfilment_id)
    assert isinstance(attempt, Attempt)
    done(session, attempt, response, now)


def waiting(session: Session, order: Order, on: WaitingOn, why: str, now: datetime = NOW) -> Claim:
    """The order's fulfilment parked on this reason for an hour; with its open case if it waits for a review."""
    claim = claimed(session, order, now)
    if on is WaitingOn.REVIEW:
        open_case(session, claim.order_id, claim.fulfilment_id, [why], 22, now)
    park(session, claim, on, why, now + timedelta(hours=1), now=now)
    return claim


@contextmanager
def engine_of(url: str) -> Iterator[Engine]:
    """An engine whose every session has a connection of its own, as processes have."""
    engine = create_engine(url, poolclass=NullPool)
    try:
        yield engine
    finally:
        engine.dispose()
