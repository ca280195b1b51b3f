"""Bars of one shop's last hours, for an inline SVG: what the platform counted, and how much of it we have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.intake_page import Hour
from models.wording import TZ

#: In units of the picture, which is scaled to its place; letters are readable on a phone at about 1 to 1.
BAR, GAP, HEIGHT, TOP, FOOT = 11, 3, 64, 14, 16
#: What is not nothing is at least this high.
LEAST = 2.0
#: Hours of the day that are written under their bar.
WRITTEN = (0, 6, 12, 18)


@dataclass(frozen=True)
class Bar:
    """One hour: from the left, how high what was counted and what we have stand, and what is said of it."""

    x: int
    told: float
    held: float
    label: str
    said: str


@dataclass(frozen=True)
class Chart:
    """A picture of `width` x `height`; `base` is the line that the bars stand on, `most` the highest count."""

    bars: tuple[Bar, ...]
    width: int
    height: int
    base: int
    most: int
    told: int
    held: int


def chart(hours: Sequence[Hour]) -> Chart:
    """The bars of these hours, oldest first. An hour in which little was counted still shows."""
    most = max((hour.told for hour in hours), default=0)
    bars = tuple(_bar(number, hour, most) for number, hour in enumerate(hours))
    told, held = sum(hour.told for hour in hours), sum(hour.held for hour in hours)
    return Chart(bars, len(hours) * (BAR + GAP), TOP + HEIGHT + FOOT, TOP + HEIGHT, most, told, held)


def _bar(number: int, hour: Hour, most: int) -> Bar:
    clock = hour.begins.astimezone(TZ).hour
    said = f"{clock} 时:平台 {hour.told},我们有 {hour.held}"
    label = f"{clock} 时" if clock in WRITTEN else ""
    told, held = _high(hour.told, most), _high(min(hour.held, hour.told), most)
    if hour.held < hour.told:
        held = max(0.0, min(held, told - LEAST))  # one order of hundreds is missing, and is seen to be
    return Bar(number * (BAR + GAP), told, held, label, said)


def _high(count: int, most: int) -> float:
    return 0.0 if not count else max(LEAST, round(HEIGHT * count / most, 1))
