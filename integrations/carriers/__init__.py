"""Carriers: waybills, labels, routes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from models.intake import Receiver


@dataclass(frozen=True)
class Shipment:
    """What a waybill is asked for. `shipment_no` (at most 64 characters) is the key that holds it to once."""

    shipment_no: str
    receiver: Receiver
    cargo: tuple[tuple[str, int], ...]  # (name, count)
    weight_g: int
    parcels: int = 1


@dataclass(frozen=True)
class Waybill:
    """A waybill as the carrier gave it."""

    waybill_no: str
    shipment_no: str
    origin_code: str = ""
    destination_code: str = ""


class ParcelState(StrEnum):
    """Where a parcel is, in the hub's words (PROTOCOLS.md §7)."""

    CREATED = "created"
    PICKED_UP = "picked_up"
    IN_TRANSIT = "in_transit"
    OUT_FOR_DELIVERY = "out_for_delivery"
    EXCEPTION = "exception"
    SIGNED = "signed"
    RETURNING = "returning"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class RouteEvent:
    """One entry of a parcel's route. `id` is the carrier's, or made from number, time and code."""

    id: str
    waybill_no: str
    at: datetime
    place: str
    remark: str
    code: str
    state: ParcelState


class NotDeliverable(Exception):
    """The carrier does not serve this address (SF filterResult 3): a person or the next carrier."""


class Carrier(Protocol):
    """One carrier account. Raises the classes of `integrations.errors`, and `NotDeliverable`."""

    name: str

    def waybill_request(self, shipment: Shipment) -> bytes:
        """The bytes that ask for a waybill. Pure; the key is inside."""
        ...

    async def create_waybill(self, request: bytes) -> Waybill:
        """Ask for a waybill. Repeating the same bytes gives the same waybill (a duplicate is adopted)."""
        ...

    async def find_waybill(self, shipment_no: str) -> Waybill | None:
        """The waybill of this shipment if the carrier has one."""
        ...

    async def label(self, waybill_no: str) -> bytes:
        """The label as PDF bytes."""
        ...

    async def routes(self, waybill_nos: list[str]) -> dict[str, list[RouteEvent]]:
        """Route events by waybill number (at most 10), oldest first; an unknown number has an empty list."""
        ...

    async def cancel_waybill(self, shipment_no: str) -> bool:
        """Cancel; True when it is cancelled now or was before, False when the carrier has the parcel already."""
        ...
