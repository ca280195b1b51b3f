"""The factory's MES as PROTOCOLS.md §11 has it: signed messages in, signed callbacks out until they are taken.

A message is known by its `webhook-id`: repeating it gives the first answer again; the same id around another body
is refused. Callbacks are kept as jobs, so neither a killed portal nor a killed sandbox loses one.

Faults by operation: `release` and `cancel` have the generic ones; `release` also `slow` (`detail.seconds` of
production instead of 20), `late` (at half time it expects to be done `detail.hours` later), `fail` (the batch fails)
and `refuse` (422; with `detail.order_no` only batches with that order); `callback`, asked once per callback that was
taken, has `repeat_callback` (the same again), `forged_callback` and `stale_callback` (one more that must be refused).
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from integrations.errors import Forged
from integrations.sandbox.credentials import Credentials
from integrations.sandbox.faults import play
from integrations.sandbox.jobs import Handler, Post
from integrations.sandbox.world import Fault, Job, World
from integrations.standard_webhooks import SKEW, headers, verify

PLATFORM = "mes"
MESSAGE, WORK_ORDER, SEQUENCE = "mes_message", "mes_work_order", "mes_sequence"
PRODUCTION_SECONDS = 20.0  # sandbox seconds
REPEAT_AFTER = 1.0  # sandbox seconds
LONGEST_DELAY = 3600.0  # sandbox seconds between two tries of a callback

Act = Callable[[World, dict[str, Any], Fault | None], dict[str, Any]]


class Unwanted(Exception):
    """The MES will not do this; it says so with 422, and does not remember the message."""


def routes(world: World, credentials: Credentials) -> list[BaseRoute]:
    """`POST /messages`."""

    async def messages(request: Request) -> Response:
        body = await request.body()
        try:
            message_id = verify(PLATFORM, credentials.mes_secret, request.headers, body, time.time())
        except Forged as error:
            return JSONResponse({"error": error.message}, 401)
        try:
            message = json.loads(body)
            operation, act = OPERATIONS[message["type"]]
            data = dict(message["data"])
        except (ValueError, KeyError, TypeError):
            return JSONResponse({"error": "no message this MES knows"}, 400)
        fault = world.fault(PLATFORM, operation)

        def answer() -> Response:
            try:
                with world.transaction():
                    return _once(world, message_id, body.decode(), operation, lambda: act(world, data, fault), data)
            except Unwanted as error:
                return JSONResponse({"error": str(error)}, 422)
            except (KeyError, TypeError) as error:
                return JSONResponse({"error": f"missing or malformed: {error}"}, 422)

        return await play(request, fault, answer)

    return [Route("/messages", messages, methods=["POST"])]


def jobs(credentials: Credentials, portal_url: str) -> dict[str, Handler]:
    """What becomes due at the factory."""
    address = f"{portal_url}/webhooks/mes"

    async def produce(job: Job, world: World, post: Post) -> None:
        with world.transaction():
            _produce(world, job.body)

    async def callback(job: Job, world: World, post: Post) -> None:
        await _post_callback(job.body, world, post, address, credentials.mes_callback_secret)

    return {"mes.produce": produce, "mes.callback": callback}


def _once(
    world: World, message_id: str, body: str, operation: str, act: Callable[[], dict[str, Any]], data: dict[str, Any]
) -> Response:
    """The answer to a message: acted on the first time, remembered ever after."""
    numbers = [order["work_order_no"] for order in data.get("work_orders", [data])]
    known = world.get(MESSAGE, message_id)
    if known and known["body"] != body:
        return JSONResponse({"error": "this webhook-id was used for another message"}, 409)
    answer = known["answer"] if known else act()
    if not known:
        world.put(MESSAGE, message_id, {"body": body, "answer": answer})
    for number in numbers:
        world.count(PLATFORM, operation, number, took_effect=not known and answer["data"].get("cancelled") is not False)
    return JSONResponse(answer)


def _release(world: World, data: dict[str, Any], fault: Fault | None) -> dict[str, Any]:
    """Take work orders as one batch; progress comes at half the time, completion at the end of it."""
    orders = data.get("work_orders") or []
    names = [order.get("order_no") for order in orders]
    if not orders or (fault and fault.kind == "refuse" and fault.detail.get("order_no", names[0]) in names):
        raise Unwanted("no work orders" if not orders else "the line cannot make this recipe")
    for order in orders:
        if order["quantity"] <= 0 or any(grams < 0 for grams in order["ingredients_g"].values()):
            raise Unwanted(f"work order {order['work_order_no']}: quantity above 0 and grams not below 0")
        if (world.get(WORK_ORDER, order["work_order_no"]) or {}).get("state") == "cancelled":
            raise Unwanted(f"work order {order['work_order_no']} was called back")
    count = (world.get(SEQUENCE, "batch") or {"last": 0})["last"] + 1
    world.put(SEQUENCE, "batch", {"last": count})
    batch_no = f"B{world.now():%y%m%d}-{count:05d}"
    slow = fault.detail.get("seconds") if fault and fault.kind == "slow" else None
    seconds = float(slow or PRODUCTION_SECONDS)
    ends_well = not (fault and fault.kind == "fail")
    expected = (world.now() + timedelta(seconds=seconds / world.speed)).replace(microsecond=0)
    half = expected + timedelta(hours=fault.detail.get("hours", 48) if fault and fault.kind == "late" else 0)
    for order in orders:
        number = order["work_order_no"]
        world.put(WORK_ORDER, number, order | {"batch_no": batch_no, "state": "released"})
        progress = {"number": number, "batch_no": batch_no, "state": "progress", "expected_at": half.isoformat()}
        world.later(seconds / 2, "mes.produce", progress)
        last = "completed" if ends_well else "failed"
        world.later(seconds, "mes.produce", {"number": number, "batch_no": batch_no, "state": last})
    return {
        "type": "work_order.accepted",
        "data": {
            "batch_no": batch_no,
            "expected_at": expected.isoformat(),
            "work_orders": [order["work_order_no"] for order in orders],
        },
    }


def _cancel(world: World, data: dict[str, Any], fault: Fault | None) -> dict[str, Any]:
    """Call a work order back. One that is not here yet is refused when it comes."""
    number = data["work_order_no"]
    order = world.get(WORK_ORDER, number) or {"work_order_no": number, "state": "unknown"}
    cancelled = order["state"] not in ("completed", "failed")
    if cancelled:
        world.put(WORK_ORDER, number, order | {"state": "cancelled"})
    return {"type": "work_order.cancel.answered", "data": {"work_order_no": number, "cancelled": cancelled}}


OPERATIONS: dict[str, tuple[str, Act]] = {
    "work_order.release": ("release", _release),
    "work_order.cancel": ("cancel", _cancel),
}


def _produce(world: World, step: dict[str, Any]) -> None:
    """One step of production: the work order's new state, and a callback about it."""
    order = world.get(WORK_ORDER, step["number"])
    if order is None or order["batch_no"] != step["batch_no"]:
        return  # released once more under another message: that batch reports for itself
    if order["state"] in ("cancelled", "completed", "failed", step["state"]):
        return
    world.put(WORK_ORDER, step["number"], order | {"state": step["state"]})
    data = {"work_order_no": step["number"], "batch_no": step["batch_no"], "sku": order["sku"]}
    if step["state"] == "progress":
        data |= {"percent": 50, "expected_at": step.get("expected_at")}
    elif step["state"] == "completed":
        data["made"] = order["quantity"]
    else:
        data["reason"] = "称重偏差超出范围"
    message = {
        "type": f"work_order.{step['state']}",
        "timestamp": world.now().isoformat(timespec="seconds"),
        "data": data,
    }
    body = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
    world.later(0, "mes.callback", {"id": f"msg_{uuid.uuid4().hex}", "body": body, "tries": 0, "play": True})


async def _post_callback(callback: dict[str, Any], world: World, post: Post, address: str, secret: str) -> None:
    """Post one callback; not taken, it becomes due again later and later. 410 ends it."""
    message_id, body, now = callback["id"], callback["body"].encode(), int(time.time())
    status = await post(address, body, headers(secret, message_id, now, body))
    taken = 200 <= status < 300
    fault = world.fault(PLATFORM, "callback") if taken and callback["play"] else None
    with world.transaction():
        world.count(PLATFORM, "callback", message_id, took_effect=taken and callback["play"])
        if not taken and status != 410:
            again = callback | {"tries": callback["tries"] + 1}
            world.later(min(2.0 ** callback["tries"], LONGEST_DELAY), "mes.callback", again)
        elif fault and fault.kind == "repeat_callback":
            world.later(REPEAT_AFTER, "mes.callback", callback | {"play": False})
    if fault and fault.kind == "forged_callback":
        await post(address, body, headers(secret, f"msg_{uuid.uuid4().hex}", now, b"{}"))
    elif fault and fault.kind == "stale_callback":
        stale = now - int(SKEW) - 60
        await post(address, body, headers(secret, message_id, stale, body))
