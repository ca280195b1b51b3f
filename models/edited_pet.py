"""What a channel says of a pet now, beside what was answered on our own form: of each answer the newer one counts.

A channel that repeats what it said before says nothing new, in whatever words; what it says otherwise than before is
newer than an answer on our form, and takes its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from models.order import OrderLine
from models.order_form import OrderForm


@dataclass(frozen=True)
class PetNews:
    """What a line keeps from now on; `is_another`: the pet that something is made for is described otherwise."""

    profile: dict[str, Any]
    answers: dict[str, Any]
    is_another: bool


def pet_news(form: OrderForm, line: OrderLine, told: Mapping[str, Any], now: datetime) -> PetNews | None:
    """What is new in a channel's description of a line's pet; None for nothing. A description that is gone is none."""
    if not line.made_to_order:
        return None
    said, before = form.readings(told, now), form.readings(line.profile, now)
    changed = {field.name for field in form.fields if said.get(field.name) != before.get(field.name)}
    if not said or not changed:
        return None
    answers = {name: answer for name, answer in line.answers.items() if name not in changed}
    is_another = form.readings({**told, **answers}, now) != form.readings(line.pet, now)
    return PetNews(dict(told), answers, is_another)
