"""What a customer puts into a basket, before a platform writes it down in its own words; sound or spoiled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, get_args

from integrations.sandbox.history import HistoricCustomer, HistoricOrder, HistoricPet, catalogue

#: Ways in which an order can be bad although the platform took it.
Flaw = Literal[
    "unknown_sku",
    "negative_quantity",
    "money_does_not_add_up",
    "endless_names",
    "emoji",
    "control_characters",
    "missing_address",
]
FLAWS: tuple[Flaw, ...] = get_args(Flaw)


@dataclass(frozen=True)
class BasketLine:
    """One line; money in fen. `pet` holds the answers of the order form, empty on lines not made to order."""

    sku: str
    title: str
    quantity: int
    unit_price_fen: int
    discount_fen: int
    pet: dict[str, str]

    @property
    def paid_fen(self) -> int:
        """What the customer pays for the line."""
        return self.quantity * self.unit_price_fen - self.discount_fen


@dataclass(frozen=True)
class Basket:
    """A basket with its buyer and receiver; money in fen. `total_fen` is what the platform says it comes to."""

    buyer: str
    name: str
    phone: str
    province: str
    city: str
    district: str
    street: str
    has_address: bool
    lines: tuple[BasketLine, ...]
    total_fen: int
    note: str = ""

    @property
    def discount_fen(self) -> int:
        """The sum of the lines' discounts."""
        return sum(line.discount_fen for line in self.lines)


def basket(order: HistoricOrder, customer: HistoricCustomer, at: datetime) -> Basket:
    """A historic order as a basket of the moment `at`; its pets keep the age they had."""
    known = catalogue()
    shift = at - order.placed_at
    lines = tuple(
        BasketLine(
            sku=line.sku,
            title=known[line.sku].title if line.sku in known else line.sku,
            quantity=line.quantity,
            unit_price_fen=line.unit_price_fen,
            discount_fen=line.discount_fen,
            pet={} if line.pet is None else pet_answers(customer.pets[line.pet], shift),
        )
        for line in order.lines
    )
    return Basket(
        buyer=customer.customer_id,
        name=customer.name,
        phone=customer.phone,
        province=customer.province,
        city=customer.city,
        district=customer.district,
        street=customer.street,
        has_address=True,
        lines=lines,
        total_fen=order.total_fen,
    )


def pet_answers(pet: HistoricPet, shift: timedelta) -> dict[str, str]:
    """The ten answers of the order form as texts, of a pet whose life is told `shift` later."""
    return {
        "species": pet.species,
        "breed": pet.breed,
        "birth_date": pet.born(shift).isoformat(),
        "weight_kg": f"{pet.weight_kg:g}",
        "activity_level": pet.activity_level,
        "staple_preference": pet.staple_preference,
        "allergens": ",".join(pet.allergens) or "无",
        "neutered": "true" if pet.neutered else "false",
        "body_condition": pet.body_condition,
        "health_notes": pet.health_notes,
    }


def spoiled(sound: Basket, flaw: Flaw) -> Basket:
    """The same basket with one flaw."""
    first, *others = sound.lines
    match flaw:
        case "unknown_sku":
            first = replace(first, sku="NO-SUCH-SKU")
        case "negative_quantity":
            first = replace(first, quantity=-first.quantity)
        case "money_does_not_add_up":
            return replace(sound, total_fen=sound.total_fen + 12_345)
        case "endless_names":
            first = replace(first, title="长" * 20_000)
            return replace(sound, name="名" * 20_000, lines=(first, *others))
        case "emoji":
            return replace(sound, name="🐶👩‍👩‍👧‍👦🇨🇳", note="谢谢🙏🏽 (｡◕‿◕｡)")
        case "control_characters":
            return replace(sound, name="张\x00三\x07\x1b[31m", note="a\u202eb\r\n\x0c\ufeff")
        case "missing_address":
            return replace(sound, has_address=False)
    return replace(sound, lines=(first, *others))
