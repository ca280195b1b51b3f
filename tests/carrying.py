"""Orders carried in the test's own process, with the flows as they are and a real Prefect server around them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from prefect.states import State

from deployments.catalogue import DEPLOYMENTS, POOLS, Deployment
from flows.fulfil_order import fulfil_order
from models import hold
from models.database import in_transaction
from models.fulfilment import Claim, Fulfilment, Stage, claim_order
from models.order import Order
from models.production import WorkState
from models.review import ReviewCase, latest_case
from tasks.intake import Pulled, connected_channels, pull_channel
from tests.e2e.told_once import work_orders
from tests.house import House
from tests.orders import Kind, entered, fulfilment_of, place
from tests.prefect import RunningServer, deploy_for_test

#: The deployment whose suspended runs reviewers see.
REVIEW: Deployment = next(entry for entry in DEPLOYMENTS if entry.entrypoint.endswith(":review_order"))


async def take_in() -> list[Pulled]:
    """Read every channel once into the book."""
    return [await pull_channel.fn(name) for name in connected_channels()]


async def placed(home: House, kind: Kind = Kind.STOCKED, channel: str = "shopify", **how: Any) -> Order:
    """One new order of this kind, in the book."""
    ids = place(home, kind, channel, **how)
    await pull_channel.fn(channel)
    (order,) = entered(ids)
    return order


async def claim(order: Order, lane: str = "test", seconds: float = 120.0) -> Claim:
    """The claim on the order's only fulfilment, ready or not."""
    (mine,) = await in_transaction(lambda session: claim_order(session, order.id or 0, lane, seconds))
    return mine


async def carry(order: Order, lane: str = "test") -> State:
    """Carry the order as far as it goes now, as a lane would; the final state of its run."""
    return await fulfil_order(order.order_no, "lane", await claim(order, lane), return_state=True)


async def ended(order: Order, seconds: float = 20.0) -> Fulfilment:
    """Carry the order again and again until it is over, as a lane does that hears of its refund; its fulfilment."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not Stage((part := fulfilment_of(order)).stage).final:
        if asyncio.get_running_loop().time() > deadline:
            pytest.fail(f"{order.order_no} is not over within {seconds:g} s: {part.waiting_on} {part.waiting_why}")
        if part.claimed_by is None:
            await carry(order)
        await asyncio.sleep(0.05)
    return part


async def case_of(order: Order) -> ReviewCase:
    """The newest review case of the order."""
    fulfilment = fulfilment_of(order)
    found = await in_transaction(lambda session: latest_case(session, fulfilment.id or 0))
    assert found is not None
    return found


async def deploy_reviews() -> None:
    """Make the server know the deployment that reviews are runs of."""
    await deploy_for_test([REVIEW], [pool for pool in POOLS if pool.name == REVIEW.pool])


async def until(true: Callable[[], object], what: str, seconds: float = 90.0) -> None:
    """Look many times a second until it is true; the test fails when it never is."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        if true():
            return
        if asyncio.get_running_loop().time() > deadline:
            pytest.fail(f"not within {seconds:g} s: {what}")
        await asyncio.sleep(0.02)


async def reported(order: Order, state: WorkState) -> None:
    """Wait until the factory has reported this of every work order."""
    await until(lambda: all(work.state == state.value for work in work_orders(order)), f"{order.order_no} {state}")


async def holds(order: Order) -> list[str]:
    """The codes of the holds that stand."""
    return [found.code for found in await in_transaction(lambda session: hold.open_holds(session, order.id or 0))]


def runs(server: RunningServer, **wanted: Any) -> list[dict[str, Any]]:
    """Flow runs by Prefect's own filter (`name={"any_": [...]}`, `tags={"all_": [...]}`), oldest first."""
    body = {"flow_runs": wanted, "sort": "START_TIME_ASC"}
    with server.http() as api:
        found = api.post("flow_runs/filter", json=body)
        found.raise_for_status()
        return list(found.json())


def review_runs(server: RunningServer, order: Order) -> list[dict[str, Any]]:
    """The runs in which somebody decides on this order."""
    return runs(server, name={"any_": [order.order_no]}, tags={"all_": ["stage:review"]})


def resume(server: RunningServer, run_id: str | UUID, **form: str) -> dict[str, Any]:
    """Press Resume with this form, as the UI does; the server's answer (`status`: ACCEPT, REJECT, ABORT)."""
    with server.http() as api:
        answer = api.post(f"flow_runs/{run_id}/resume", json={"run_input": form})
        answer.raise_for_status()
        return dict(answer.json())


def stored_input(server: RunningServer, run_id: str | UUID, key: str) -> Any:
    """What is stored with a run under this key; None when there is nothing."""
    with server.http() as api:
        answer = api.get(f"flow_runs/{run_id}/input/{key}")
        return None if answer.status_code == 404 else answer.json()
