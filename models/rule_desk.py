"""Drafts of the rules: made, checked, discarded. When they begin to hold is `models/rule_activation.py`'s.

Everything is safe at once and twice: who comes second is told what is already so. Each step keeps who, when and why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session

from models import rule_version
from models.form_check import check_form
from models.matrix import check_matrix, remarks_on_matrix
from models.pool import never_stocked
from models.recipe_check import check_recipes, remarks_on
from models.recipe_losses import losses
from models.rule_history import at_moment, coming, ever_held, turns
from models.rule_links import misfits, spoils
from models.rule_step import Done, name_of, signed, taken
from models.rule_version import RuleKind, RulesRefused, RuleState, RuleVersion, find_version
from models.table_check import Problem

_CHECKS: dict[RuleKind, Callable[[Mapping[str, Any]], list[Problem]]] = {
    RuleKind.FORM: check_form,
    RuleKind.RECIPES: check_recipes,
    RuleKind.MATRIX: check_matrix,
}


@dataclass(frozen=True)
class Drafted:
    """A draft that was made, or that was there already. Warnings do not keep it from being activated."""

    version: RuleVersion
    new: bool
    problems: list[Problem]
    warnings: list[Problem]


def check(kind: RuleKind, body: Mapping[str, Any]) -> list[Problem]:
    """Everything that is wrong with these rules by themselves; empty when they are fit."""
    return _CHECKS[kind](body)


def examine(
    session: Session, kind: RuleKind, body: Mapping[str, Any], now: datetime
) -> tuple[list[Problem], list[Problem]]:
    """What is wrong with these rules in this order book, and what to think of before they are activated."""
    problems = check(kind, body) or spoils(session, kind, body)
    if problems:
        return problems, []  # what does not work has no place among the others yet
    remarks = {RuleKind.RECIPES: remarks_on, RuleKind.MATRIX: remarks_on_matrix}.get(kind)
    found = [*(remarks(body) if remarks is not None else ()), *misfits(session, kind, body, now)]
    held = at_moment(turns(session, kind), now)
    if kind is RuleKind.RECIPES and held is not None:
        found = [*losses(find_version(session, kind, held.number).body, body), *found]
    return [], [*found, *(never_stocked(session, body) if kind is RuleKind.RECIPES else ())]


def make_draft(
    session: Session,
    kind: RuleKind,
    body: Mapping[str, Any],
    by: str,
    note: str,
    now: datetime,
    based_on: int | None = None,
) -> Drafted:
    """A new draft, checked; its problems are kept with it. The same rules as the newest draft are that one.

    `based_on` is the number of the version that was changed. Raises `RulesRefused` for rules that are in force as they
    are, and for what cannot be kept.
    """
    by, note = signed(by, note)
    body = rule_version.storable(body)
    rule_version.in_line(session, kind)
    holds = at_moment(turns(session, kind), now)
    if holds is not None and find_version(session, kind, holds.number).digest == rule_version.digest_of(body):
        raise RulesRefused(f"和生效中的{name_of(kind, holds.number)}完全一样。没有改变。")
    before = {version.id for version in rule_version.versions(session, kind)}
    base = find_version(session, kind, based_on).id if based_on is not None else None
    version = rule_version.draft(session, kind, body, by, note, now, base)
    problems, warnings = examined(session, version, now)
    return Drafted(version, version.id not in before, problems, warnings)


def check_again(session: Session, kind: RuleKind, number: int, now: datetime) -> tuple[list[Problem], list[Problem]]:
    """Check a version against what is so now, and keep the problems with it; problems and warnings."""
    rule_version.in_line(session, kind)
    return examined(session, find_version(session, kind, number), now)


def discard(session: Session, kind: RuleKind, number: int, by: str, why: str, now: datetime) -> Done:
    """Give up a draft; it stays to be read. Raises `RulesRefused` for what holds, has held, or is going to."""
    by, why = signed(by, why)
    now, version = taken(session, kind, number, now, discarded_too=True)
    if version.state == RuleState.DISCARDED.value:
        return Done(False, number, f"没有改变:{name_of(kind, number)}已由 {version.discarded_by} 作废")
    history = turns(session, kind)
    if any(turn.number == number for turn in coming(history, now)):
        raise RulesRefused(f"{name_of(kind, number)}已排定生效:先撤回(withdraw),再作废。没有任何改变。")
    if ever_held(history, number, now):
        raise RulesRefused(f"{name_of(kind, number)}生效过,有订单按它办理,不能作废。没有任何改变。")
    version.state = RuleState.DISCARDED.value
    version.discarded_at, version.discarded_by, version.discarded_why = now, by, why
    session.add(version)
    session.flush()
    return Done(True, number, f"{name_of(kind, number)}已作废")


def examined(session: Session, version: RuleVersion, now: datetime) -> tuple[list[Problem], list[Problem]]:
    """Check a version, and keep the problems with it; problems and warnings."""
    problems, warnings = examine(session, RuleKind(version.kind), version.body, now)
    version.problems = [{"where": problem.where, "why": problem.why} for problem in problems]
    session.add(version)
    session.flush()
    return problems, warnings
