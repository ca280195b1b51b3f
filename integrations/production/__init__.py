"""Production: the factory that makes what is made to order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol


@dataclass(frozen=True)
class WorkOrder:
    """What is to be made. `work_order_no` is ours and unique; grams per ingredient are for the whole order."""

    work_order_no: str
    order_no: str
    recipe: str
    sku: str
    quantity: int
    ingredients_g: dict[str, int]
    due_at: datetime


@dataclass(frozen=True)
class Batch:
    """Work orders of one recipe that are made together. `batch_no` is ours and unique."""

    batch_no: str
    recipe_version: int
    orders: tuple[WorkOrder, ...]


@dataclass(frozen=True)
class Accepted:
    """The factory took the batch; `batch_no` is its own number for it."""

    batch_no: str
    expected_at: datetime


class ProductionEventKind(StrEnum):
    """What the factory reports."""

    ACCEPTED = "work_order.accepted"
    PROGRESS = "work_order.progress"
    COMPLETED = "work_order.completed"
    FAILED = "work_order.failed"


@dataclass(frozen=True)
class ProductionEvent:
    """A verified callback. `id` is unique per message and the same across its repeats."""

    id: str
    kind: ProductionEventKind
    at: datetime
    work_order_no: str
    batch_no: str
    data: dict[str, Any]


class Production(Protocol):
    """One factory. Raises the classes of `integrations.errors`."""

    name: str

    def release_request(self, batch: Batch) -> bytes:
        """The bytes that release this batch. Pure."""
        ...

    async def release(self, key: str, request: bytes) -> Accepted:
        """Release. Held to once by `key`: repeating it with the same bytes makes nothing twice."""
        ...

    def cancel_request(self, work_order_no: str, reason: str) -> bytes:
        """The bytes that call a work order back. Pure."""
        ...

    async def cancel(self, key: str, request: bytes) -> bool:
        """Call back; True when it will not be made, False when it is too late."""
        ...

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> ProductionEvent:
        """The event in a callback, if its signature is good and fresh (5 minutes); else `Forged`."""
        ...
