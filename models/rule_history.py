"""Which version of the rules held when, and which will: told from the activations, the same everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from models.rule_version import RuleActivation, RuleKind, RuleState, RuleVersion, activations, versions
from models.wording import TZ


@dataclass(frozen=True)
class Turn:
    """From `from_at` until the next turn, version `number` holds."""

    number: int
    activation: RuleActivation

    @property
    def from_at(self) -> datetime:
        """When it begins to hold."""
        return self.activation.from_at


@dataclass(frozen=True)
class Standing:
    """One version and where it is: `state` in words, in Chinese and English."""

    version: RuleVersion
    state: tuple[str, str]
    in_force: bool
    from_at: datetime | None  # since when it holds, or from when on it will


def when(moment: datetime) -> str:
    """A moment as people read it, with its year: `2026-11-22 14:05`."""
    return f"{moment.astimezone(TZ):%Y-%m-%d %H:%M}"


def turns(session: Session, kind: RuleKind) -> list[Turn]:
    """What holds when, in order; of several activations at one moment only the last counts."""
    by_moment = {a.from_at: Turn(number, a) for a, number in activations(session, kind) if a.withdrawn_at is None}
    return list(by_moment.values())


def at_moment(history: Sequence[Turn], at: datetime) -> Turn | None:
    """The turn that holds at this moment."""
    past = [turn for turn in history if turn.from_at <= at]
    return past[-1] if past else None


def coming(history: Sequence[Turn], now: datetime) -> list[Turn]:
    """The turns that have not begun."""
    return [turn for turn in history if turn.from_at > now]


def ever_held(history: Sequence[Turn], number: int, now: datetime) -> bool:
    """Whether this version holds or has held: orders may keep it."""
    return any(turn.number == number and turn.from_at <= now for turn in history)


def earlier(history: Sequence[Turn], now: datetime) -> int | None:
    """The version to go back to: what held before the present one was first brought in; None for the first of all.

    Going back is taken out of the way that led here, so that going back twice goes back two versions, not to and fro.
    """
    way: list[int] = []
    for turn in history:
        if turn.from_at > now:
            break
        way = way[: way.index(turn.number)] if turn.number in way else way
        way.append(turn.number)
    return way[-2] if len(way) > 1 else None


def listed(session: Session, kind: RuleKind, now: datetime) -> list[Standing]:
    """Every version of this kind and where it is, the newest first."""
    history = turns(session, kind)
    return [standing(version, history, now) for version in versions(session, kind)]


def standing(version: RuleVersion, history: Sequence[Turn], now: datetime) -> Standing:
    """Where one version is."""
    holds = at_moment(history, now)
    if holds is not None and holds.number == version.number:
        until = _until(history, holds, now)
        return Standing(version, (f"生效中{until[0]}", f"in force{until[1]}"), True, holds.from_at)
    will = next((turn for turn in coming(history, now) if turn.number == version.number), None)
    if will is not None:
        at = when(will.from_at)
        return Standing(version, (f"将于 {at} 生效", f"in force from {at}"), False, will.from_at)
    if version.state == RuleState.DISCARDED.value:
        return Standing(version, ("作废", "discarded"), False, None)
    if ever_held(history, version.number, now):
        return Standing(version, ("曾生效", "was in force"), False, None)
    return Standing(version, _draft_words(version), False, None)


def _until(history: Sequence[Turn], holds: Turn, now: datetime) -> tuple[str, str]:
    following = next((turn for turn in coming(history, now) if turn.number != holds.number), None)
    return (f"(至 {when(following.from_at)})", f" (until {when(following.from_at)})") if following else ("", "")


def _draft_words(version: RuleVersion) -> tuple[str, str]:
    if version.problems:
        count = len(version.problems)
        return f"草稿({count} 个问题)", f"draft ({count} problems)"
    return ("草稿(已试算)", "draft (tried)") if version.tried.get("orders") else ("草稿", "draft")
