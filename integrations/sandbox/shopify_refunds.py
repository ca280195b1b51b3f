"""Refunds of the played Shopify shop: `refundCreate` and an order's `refunds`.

A key makes one refund; with other parameters it is refused. What is refunded never exceeds what was received, and
money that a provider of the seller's own keeps (a payment with a `paymentId`) is not refunded here.
"""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from typing import Any

from integrations.sandbox import shopify_webhooks
from integrations.sandbox.credentials import Credentials
from integrations.sandbox.jobs import Handler, Post
from integrations.sandbox.shopify_fulfilment_orders import remaining
from integrations.sandbox.shopify_operations import PLATFORM, Invalid, Operation
from integrations.sandbox.shopify_orders import ORDER, refund_part, save
from integrations.sandbox.world import Job, World

KEY = "shopify.refund_key"  # idempotency key -> {"parameters", "order", "refund"}
#: `{"status": …, "seconds": n}` when refunds shall not be SUCCESS at once; with seconds they are SUCCESS after those.
OUTCOME = "shopify.refund_outcome"
SETTLES = "shopify.refund_settles"


def refund_create(world: World, variables: dict[str, Any]) -> dict[str, Any]:
    """`refundCreate @idempotent`: the refund of this key, made once."""
    wanted, key = variables["input"], variables["key"]
    parameters = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
    if known := world.get(KEY, key):
        world.count(PLATFORM, "refund", key, took_effect=False)
        if known["parameters"] != parameters:
            message = "The same idempotency key cannot be used with different operation parameters."
            raise Invalid(message, "IDEMPOTENCY_KEY_PARAMETER_MISMATCH")
        made = next(refund for refund in _order(world, known["order"])["refunds"] if refund["id"] == known["refund"])
        return {"refundCreate": {"refund": made, "userErrors": []}}
    order = world.get(ORDER, wanted["orderId"])
    error = "Order does not exist" if order is None else _objection(order, wanted)
    world.count(PLATFORM, "refund", key, took_effect=error is None)
    if order is None or error is not None:
        return {"refundCreate": {"refund": None, "userErrors": [{"field": ["input"], "message": error}]}}
    now = world.now()
    refund = _refunded(world, order, wanted)
    save(world, order, now)
    world.put(KEY, key, {"parameters": parameters, "order": order["id"], "refund": refund["id"]})
    return {"refundCreate": {"refund": refund, "userErrors": []}}


def refunds(world: World, variables: dict[str, Any]) -> dict[str, Any]:
    """The refunds of an order."""
    order = world.get(ORDER, variables["id"])
    return {"order": order and {"id": order["id"], "refunds": order["refunds"][: variables["first"]]}}


def jobs(credentials: Credentials, portal_url: str) -> dict[str, Handler]:
    """What becomes due at the shop: refunds that were PENDING settle, webhooks are sent."""
    return {SETTLES: _settle, **shopify_webhooks.jobs(credentials, portal_url)}


async def _settle(job: Job, world: World, post: Post) -> float | None:
    with world.transaction():
        order = _order(world, job.body["order"])
        for refund in order["refunds"]:
            if refund["id"] == job.body["refund"]:
                for transaction in refund["transactions"]["nodes"]:
                    transaction["status"] = "SUCCESS"
        save(world, order, world.now())
    return None


def _order(world: World, order_id: str) -> dict[str, Any]:
    order = world.get(ORDER, order_id)
    if order is None:
        raise Invalid(f"order {order_id} is gone")
    return order


def _objection(order: dict[str, Any], wanted: dict[str, Any]) -> str | None:
    """What stands against this refund."""
    amounts = []
    payments = {payment["id"]: payment for payment in order["transactions"] if payment["kind"] != "REFUND"}
    for part in wanted.get("transactions") or []:
        payment = payments.get(part.get("parentId"))
        if payment is None or part["kind"] != "REFUND" or part["gateway"] != payment["gateway"]:
            return "Transactions parent is invalid"
        if payment["paymentId"]:
            return f"Transactions of {payment['gateway']} are refunded by the provider"
        amounts.append(Decimal(part["amount"]))
    left = _amount(order, "totalReceivedSet") - _amount(order, "totalRefundedSet")
    if any(amount <= 0 for amount in amounts) or sum(amounts) > left:
        return f"Refund amount is not between 0 and the {left} that is left"
    quantities = {line["id"]: line["currentQuantity"] for line in order["lineItems"]}
    unshipped = remaining(order)
    for item in wanted.get("refundLineItems") or []:
        line, quantity = item["lineItemId"], item["quantity"]
        cancelled = item["restockType"] == "CANCEL"
        if not 0 < quantity <= quantities.get(line, 0) or (cancelled and quantity > unshipped.get(line, 0)):
            return "Refund line items quantity cannot refund more items than were purchased"
        if cancelled and not item.get("locationId"):
            return "Refund line items location is needed to restock"
        quantities[line] -= quantity
        unshipped[line] = unshipped.get(line, 0) - (quantity if cancelled else 0)
    return None


def _refunded(world: World, order: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Change the order: money given back, lines cancelled; returns the refund."""
    outcome = world.get(OUTCOME, "") or {"status": "SUCCESS"}
    items = wanted.get("refundLineItems") or []
    refund = refund_part(
        order,
        int(sum(Decimal(part["amount"]) for part in wanted["transactions"]) * 100),
        [(item["lineItemId"], item["quantity"]) for item in items],
        [(item["lineItemId"], item["quantity"]) for item in items if item["restockType"] == "CANCEL"],
        note=wanted.get("note", ""),
        status=outcome["status"],
        transactions=len(wanted["transactions"]),
    )
    if seconds := outcome.get("seconds"):
        world.later(seconds, SETTLES, {"order": order["id"], "refund": refund["id"]})
    return refund


def _amount(order: dict[str, Any], name: str) -> Decimal:
    return Decimal(order[name]["shopMoney"]["amount"])


OPERATIONS: dict[str, Operation] = {"refundCreate": refund_create, "refunds": refunds}
MUTATIONS = {"refundCreate"}
