"""A year of real pet-food baskets, told again as orders of a Chinese seller; what the sandbox platforms replay.

What is real (rhythm, baskets, quantities, relative prices) and what is made up (every person, address and pet) is
said in this folder's README. Loading needs the standard library only; everything is read once per process.
"""

import csv
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

CHANNELS = {"shopify": 40, "wechat": 30, "douyin": 30}  # per cent of customers at home on each


@dataclass(frozen=True, slots=True)
class HistoricSku:
    """A product of the catalogue. `grams` is the whole package; `price_fen` the usual shelf price."""

    code: str
    title: str
    category: str
    kind: str  # food, litter, supplies
    form: str  # dry, wet, semi_moist, treat, litter, supplies
    species: str  # dog, cat, any
    grams: int
    grams_guessed: bool
    price_fen: int
    made_to_order: bool


@dataclass(frozen=True, slots=True)
class HistoricPet:
    """A pet profile: the ten answers of the order form."""

    species: str  # dog, cat
    breed: str
    birth_date: date  # on the history's own calendar, see `born`
    weight_kg: float
    activity_level: str  # low, medium, high
    staple_preference: str  # dry, wet, mixed
    allergens: tuple[str, ...]
    neutered: bool
    body_condition: str  # underweight, ideal, overweight
    health_notes: str

    def born(self, shift: timedelta) -> date:
        """The birth date when the history is replayed `shift` later, so that the pet keeps its age."""
        return self.birth_date + shift


@dataclass(frozen=True, slots=True)
class HistoricCustomer:
    """A household. Name, phone, address and pets are made up; the district does lie in the city."""

    customer_id: str
    name: str
    phone: str
    province: str
    city: str
    district: str
    street: str
    pets: tuple[HistoricPet, ...]


@dataclass(frozen=True, slots=True)
class HistoricLine:
    """One line of an order, money in fen. `pet` is the index into the customer's pets on made-to-order lines."""

    sku: str
    quantity: int
    unit_price_fen: int
    discount_fen: int
    pet: int | None

    @property
    def total_fen(self) -> int:
        """What the customer pays for this line, at least 1 fen."""
        return self.quantity * self.unit_price_fen - self.discount_fen


@dataclass(frozen=True, slots=True)
class HistoricOrder:
    """One basket, placed at its original moment (UTC, in 2017)."""

    order_id: str
    customer_id: str
    placed_at: datetime
    channel: str
    lines: tuple[HistoricLine, ...]

    @property
    def total_fen(self) -> int:
        """What the customer pays, in fen."""
        return sum(line.total_fen for line in self.lines)

    @property
    def made_to_order(self) -> bool:
        """True when any line is made for a pet."""
        return any(line.pet is not None for line in self.lines)


def catalogue() -> dict[str, HistoricSku]:
    """Every SKU by its code."""
    return dict(_catalogue())


def customers() -> dict[str, HistoricCustomer]:
    """Every customer by id."""
    return dict(_customers())


def orders(channel: str | None = None, limit: int | None = None) -> list[HistoricOrder]:
    """Orders in time order, of one channel (`shopify`, `wechat`, `douyin`) or all; the first `limit` of them.

    Raises `ValueError` for a channel the history does not have.
    """
    if channel is not None and channel not in CHANNELS:
        raise ValueError(f"no channel {channel!r} in the history; choose one of {', '.join(CHANNELS)}")
    return [order for order in _orders() if channel in (None, order.channel)][:limit]


@cache
def _catalogue() -> dict[str, HistoricSku]:
    return {row["code"]: _sku(row) for row in _csv_rows("catalogue.csv.gz")}


@cache
def _customers() -> dict[str, HistoricCustomer]:
    with gzip.open(HERE / "customers.jsonl.gz", "rt", encoding="utf-8") as file:
        return {row["id"]: _customer(row) for row in map(json.loads, file)}


@cache
def _orders() -> tuple[HistoricOrder, ...]:
    baskets = groupby(_csv_rows("orders.csv.gz"), key=lambda row: row["order_id"])
    return tuple(_order(order_id, list(rows)) for order_id, rows in baskets)


def _csv_rows(name: str) -> Iterator[dict[str, str]]:
    with gzip.open(HERE / name, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def _sku(row: dict[str, str]) -> HistoricSku:
    return HistoricSku(
        code=row["code"],
        title=row["title"],
        category=row["category"],
        kind=row["kind"],
        form=row["form"],
        species=row["species"],
        grams=int(row["grams"]),
        grams_guessed=row["grams_guessed"] == "1",
        price_fen=int(row["price_fen"]),
        made_to_order=row["made_to_order"] == "1",
    )


def _customer(row: dict[str, Any]) -> HistoricCustomer:
    pets = tuple(
        HistoricPet(
            **{
                **pet,
                "birth_date": date.fromisoformat(pet["birth_date"]),
                "allergens": tuple(pet["allergens"]),
            }
        )
        for pet in row["pets"]
    )
    return HistoricCustomer(
        customer_id=row["id"],
        name=row["name"],
        phone=row["phone"],
        province=row["province"],
        city=row["city"],
        district=row["district"],
        street=row["street"],
        pets=pets,
    )


def _order(order_id: str, rows: list[dict[str, str]]) -> HistoricOrder:
    return HistoricOrder(
        order_id=order_id,
        customer_id=rows[0]["customer_id"],
        placed_at=datetime.strptime(rows[0]["placed_at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC),
        channel=rows[0]["channel"],
        lines=tuple(
            HistoricLine(
                sku=row["sku"],
                quantity=int(row["quantity"]),
                unit_price_fen=int(row["unit_price_fen"]),
                discount_fen=int(row["discount_fen"]),
                pet=int(row["pet"]) if row["pet"] else None,
            )
            for row in rows
        ),
    )
