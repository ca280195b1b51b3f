"""Webhooks of the played Shopify shop: subscriptions, and what is sent to them when an order is saved with news.

A webhook that is not taken with 2xx within 5 s is sent 8 times more over four hours, with the same id and the body
that it had; then its subscription is removed. Nothing is sent in order. Document `EVERYTHING_TO` stands for
subscriptions in the app's own file: they are in no list, and are never removed.

Faults of operation `webhook`, asked once per delivery: `repeat_webhooks` (sent twice), `shuffle_webhooks` (sent some
time within `detail.seconds` sandbox seconds, 60 by default).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import random
import uuid
from collections.abc import Iterator
from typing import Any

from integrations.sandbox.credentials import Credentials
from integrations.sandbox.jobs import Handler, Post
from integrations.sandbox.shopify_rest import edit_payload, order_payload, refund_payload
from integrations.sandbox.world import Job, World

PLATFORM = "shopify"
SUBSCRIPTION = "shopify.webhook_subscription"  # id -> {"id", "topic", "uri", "format", "removed"}
EVERYTHING_TO = "shopify.webhooks"  # "" -> {"uri": where every topic is sent}
SENDS = "shopify.webhook"
FIRST_SUBSCRIPTION = 892_403_750
API_VERSION = "2026-10"
#: Sandbox seconds before each of the 8 repeats; 4 hours in all.
WAITS = (60.0, 120.0, 300.0, 600.0, 1200.0, 2400.0, 3600.0, 6120.0)
ANSWER_SECONDS = 5.0  # real ones

Subscriptions = list[dict[str, Any]]


def subscriptions(world: World) -> Subscriptions:
    """The live subscriptions: those that were made by call, then the one for everything."""
    made = [one for one in world.window(SUBSCRIPTION) if not one["removed"]]
    everything = world.get(EVERYTHING_TO, "")
    return [*made, {"id": "", "topic": "", "uri": everything["uri"]}] if everything else made


def announce(world: World, to: Subscriptions, before: dict[str, Any] | None, order: dict[str, Any]) -> None:
    """Have these subscriptions told what is new in an order since `before` (None: the order itself is)."""
    event_id = str(uuid.uuid4())
    for topic, payload in _news(before, order):
        for subscription in to:
            if subscription["topic"] in ("", topic.replace("/", "_").upper()):
                webhook = {
                    "subscription": subscription["id"],
                    "uri": subscription["uri"],
                    "topic": topic,
                    "id": str(uuid.uuid4()),
                    "event_id": event_id,
                    "triggered_at": world.now().isoformat(timespec="milliseconds"),
                    "body": json.dumps(payload),
                    "tries": 0,
                    "is_new": True,
                }
                world.later(0, SENDS, webhook)


def _news(before: dict[str, Any] | None, order: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Topic and body of everything that there is to say."""
    known: dict[str, Any] = before or {"displayFinancialStatus": "", "cancelledAt": None, "refunds": [], "edits": []}
    whole = order_payload(order)
    yield ("orders/updated" if before else "orders/create"), whole
    if order["displayFinancialStatus"] == "PAID" != known["displayFinancialStatus"]:
        yield "orders/paid", whole
    if order["cancelledAt"] and not known["cancelledAt"]:
        yield "orders/cancelled", whole
    for edit in order["edits"][len(known["edits"]) :]:
        yield "orders/edited", edit_payload(order, edit)
    for refund in order["refunds"][len(known["refunds"]) :]:
        yield "refunds/create", refund_payload(order, refund)


def jobs(credentials: Credentials, portal_url: str) -> dict[str, Handler]:
    """Webhooks that are due."""

    async def send(job: Job, world: World, post: Post) -> float | None:
        return await _send(job.body, world, post, credentials)

    return {SENDS: send}


async def _send(webhook: dict[str, Any], world: World, post: Post, credentials: Credentials) -> float | None:
    fault = world.fault(PLATFORM, "webhook") if webhook["is_new"] else None
    kind = fault.kind if fault else ""
    old = webhook | {"is_new": False}
    if fault and kind == "shuffle_webhooks":
        world.later(random.uniform(0, float(fault.detail.get("seconds", 60.0))), SENDS, old)
        return None
    taken = await _post(webhook, post, credentials)
    with world.transaction():
        world.count(PLATFORM, "webhook", webhook["id"], took_effect=taken)
        if not taken and webhook["tries"] < len(WAITS):
            world.later(WAITS[webhook["tries"]], SENDS, old | {"tries": webhook["tries"] + 1})
        elif not taken and (subscription := world.get(SUBSCRIPTION, webhook["subscription"])):
            world.put(SUBSCRIPTION, subscription["id"], subscription | {"removed": True})
    if kind == "repeat_webhooks":
        await _post(webhook, post, credentials)
        world.count(PLATFORM, "webhook", webhook["id"], took_effect=False)
    return None


async def _post(webhook: dict[str, Any], post: Post, credentials: Credentials) -> bool:
    """Whether it was taken in time."""
    body = webhook["body"].encode()
    secret = credentials.shopify_client_secret.encode()
    headers = {
        "content-type": "application/json",
        "X-Shopify-Topic": webhook["topic"],
        "X-Shopify-Hmac-Sha256": base64.b64encode(hmac.digest(secret, body, hashlib.sha256)).decode(),
        "X-Shopify-Shop-Domain": f"{credentials.shopify_shop}.myshopify.com",
        "X-Shopify-API-Version": API_VERSION,
        "X-Shopify-Webhook-Id": webhook["id"],
        "X-Shopify-Event-Id": webhook["event_id"],
        "X-Shopify-Triggered-At": webhook["triggered_at"],
    }
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            return 200 <= await post(webhook["uri"], body, headers) < 300
    except TimeoutError:
        return False


# operations ---------------------------------------------------------------------------------------------------


def _list(world: World, variables: dict[str, Any]) -> dict[str, Any]:
    made = [one for one in world.window(SUBSCRIPTION) if not one["removed"]]
    start, size = int(variables.get("after") or 0), variables["first"]
    info = {"hasNextPage": start + size < len(made), "endCursor": str(start + size)}
    return {"webhookSubscriptions": {"nodes": made[start : start + size], "pageInfo": info}}


def _create(world: World, variables: dict[str, Any]) -> dict[str, Any]:
    topic, wanted = variables["topic"], variables["subscription"]
    same = [one for one in subscriptions(world) if (one["topic"], one["uri"]) == (topic, wanted.get("uri"))]
    error = None
    if same:
        error = "Address for this topic has already been taken"
    elif not str(wanted.get("uri")).startswith(("https://", "http://127.0.0.1:")):  # the real shop takes https only
        error = "Address protocol http:// is not supported"
    world.count(PLATFORM, "webhookSubscriptionCreate", f"{topic} {wanted.get('uri')}", took_effect=error is None)
    if error:
        errors = [{"field": ["webhookSubscription", "uri"], "message": error}]
        return {"webhookSubscriptionCreate": {"webhookSubscription": None, "userErrors": errors}}
    id = f"gid://shopify/WebhookSubscription/{FIRST_SUBSCRIPTION + world.size(SUBSCRIPTION)}"
    made = {"id": id, "topic": topic, "uri": wanted["uri"], "format": wanted.get("format", "JSON"), "removed": False}
    world.put(SUBSCRIPTION, id, made)
    return {"webhookSubscriptionCreate": {"webhookSubscription": made, "userErrors": []}}


OPERATIONS = {"webhookSubscriptions": _list, "webhookSubscriptionCreate": _create}
MUTATIONS = {"webhookSubscriptionCreate"}
