"""What people do with versions of the rules: draft and check, activate at a time, go back, withdraw, discard.

Everything is safe at once and twice: who comes second is told what is already so. Each step keeps who, when and why.
Orders keep the versions they came under, whatever is done here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session

from models import rule_history, rule_version
from models.form_check import check_form
from models.matrix import check_matrix
from models.recipe import save_ingredients
from models.recipe_check import check_recipes, remarks_on
from models.row_check import plain
from models.rule_history import Turn, at_moment, coming, earlier, ever_held, turns, when
from models.rule_links import misfits, spoils
from models.rule_version import KIND_WORDS, RuleKind, RulesRefused, RuleState, RuleVersion, find_version
from models.table_check import Problem

#: A time further ahead is a year that was mistyped.
FURTHEST = timedelta(days=366)
LONGEST_NAME, LONGEST_NOTE = 64, 1000

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


@dataclass(frozen=True)
class Done:
    """What came of a step: whether anything changed, the version that it is about, and a sentence for the person."""

    changed: bool
    number: int
    sentence: str
    more: tuple[str, ...] = field(default=())  # what else is to be known

    def __str__(self) -> str:
        return ";".join((self.sentence, *self.more)) + "。"


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
    return [], [*(remarks_on(body) if kind is RuleKind.RECIPES else ()), *misfits(session, kind, body, now)]


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
    by, note = _signed(by, note)
    body = rule_version.storable(body)
    rule_version.in_line(session, kind)
    holds = at_moment(turns(session, kind), now)
    if holds is not None and find_version(session, kind, holds.number).digest == rule_version.digest_of(body):
        raise RulesRefused(f"和生效中的{_name(kind, holds.number)}完全一样。没有改变。")
    before = {version.id for version in rule_version.versions(session, kind)}
    base = find_version(session, kind, based_on).id if based_on is not None else None
    version = rule_version.draft(session, kind, body, by, note, now, base)
    problems, warnings = _examined(session, version, now)
    return Drafted(version, version.id not in before, problems, warnings)


def check_again(session: Session, kind: RuleKind, number: int, now: datetime) -> tuple[list[Problem], list[Problem]]:
    """Check a version against what is so now, and keep the problems with it; problems and warnings."""
    rule_version.in_line(session, kind)
    return _examined(session, find_version(session, kind, number), now)


def activate_when_fit(
    session: Session,
    kind: RuleKind,
    number: int,
    from_at: datetime | None,
    by: str,
    note: str,
    now: datetime,
    untried_why: str = "",
) -> Done:
    """Have version `number` hold from `from_at` on; None, or a time in the past, is now.

    Raises `RulesRefused` for an unknown or discarded version, one with problems, and one that was never tried and
    never in force, unless `untried_why` says why it is activated without. Already so at that time: nothing changes.
    """
    by, note = _signed(by, note)
    now, version = _taken(session, kind, number, now)
    history = turns(session, kind)
    start = now if from_at is None else max(from_at, now)
    if start > now + FURTHEST:
        raise RulesRefused(f"{when(start)} 太远了:最多提前 {FURTHEST.days} 天排定,看看年份。没有任何改变。")
    there = at_moment(history, start)
    if there is not None and there.number == number:
        so = "已经生效" if there.from_at <= now else f"已经排定于 {when(there.from_at)} 生效"
        return Done(False, number, f"没有改变:{_name(kind, number)}{so}", _scheduled(history, start))
    _demand_fit(session, version, now)
    tried = bool(version.tried) or ever_held(history, number, now)
    why = "" if tried else untried_why.strip()[:LONGEST_NOTE]
    if not tried and not why:
        raise RulesRefused(
            f"{_name(kind, number)}还没有试算:先试算(try-rules,或 orderloom rules try {kind.value} {number});"
            "不试算就启用要写明理由。没有任何改变。"
        )
    more = [*_give_way(session, kind, history, start, by, number, now)]
    _begin(session, version, start, by, note, now, why)
    if from_at is not None and from_at < now - timedelta(minutes=1):
        more.append(f"{when(from_at)} 已经过去,按现在算")
    if why:
        more.append(f"没有试算,理由:{why}")
    return Done(True, number, _told(kind, number, there, start, now), (*more, *_scheduled(history, start)))


def roll_back(session: Session, kind: RuleKind, by: str, note: str, now: datetime, leaving: int | None = None) -> Done:
    """Have the version hold again that held before the present one was brought in. Going back twice is two versions.

    `leaving` is the version to be left: when another one holds by now, nothing changes, so a second press does nothing.
    Raises `RulesRefused` when there is none before, or it would no longer pass the checks.
    """
    by, note = _signed(by, note)
    now = _in_line(session, kind, now)
    history = turns(session, kind)
    holds = at_moment(history, now)
    assert holds is not None, "version 1 has always held"
    if leaving is not None and holds.number != leaving:
        find_version(session, kind, leaving)
        return Done(False, holds.number, f"没有改变:生效中的是第 {holds.number} 版,不是第 {leaving} 版")
    target = earlier(history, now)
    if target is None:
        raise RulesRefused(f"{KIND_WORDS[kind][0]}没有更早的版本可以退回。没有任何改变。")
    version = find_version(session, kind, target)
    _demand_fit(session, version, now)
    _begin(session, version, now, by, note or f"退回:不用第 {holds.number} 版", now)
    return Done(True, target, _told(kind, target, holds, now, now), _scheduled(history, now))


def withdraw(session: Session, kind: RuleKind, number: int, by: str, why: str, now: datetime) -> Done:
    """Take back that version `number` is going to hold. Raises `RulesRefused` for one that holds already."""
    by, why = _signed(by, why)
    now, version = _taken(session, kind, number, now)
    history = turns(session, kind)
    future = [turn for turn in coming(history, now) if turn.number == number]
    holds = at_moment(history, now)
    if not future and holds is not None and holds.number == number:
        raise RulesRefused(f"{_name(kind, number)}已经生效,撤回不了:要用回原来的,请退回(rollback)。没有任何改变。")
    if not future:
        return Done(False, number, f"没有改变:{_name(kind, number)}没有排定的生效时间")
    for turn in future:
        _take_back(session, turn, by, why, now)
    if not ever_held(history, number, now):
        version.state = RuleState.DRAFT.value
        session.add(version)
    session.flush()
    return Done(True, number, f"{_name(kind, number)}不再于 {'、'.join(when(turn.from_at) for turn in future)} 生效")


def discard(session: Session, kind: RuleKind, number: int, by: str, why: str, now: datetime) -> Done:
    """Give up a draft; it stays to be read. Raises `RulesRefused` for what holds, has held, or is going to."""
    by, why = _signed(by, why)
    now, version = _taken(session, kind, number, now, discarded_too=True)
    if version.state == RuleState.DISCARDED.value:
        return Done(False, number, f"没有改变:{_name(kind, number)}已由 {version.discarded_by} 作废")
    history = turns(session, kind)
    if any(turn.number == number for turn in coming(history, now)):
        raise RulesRefused(f"{_name(kind, number)}已排定生效:先撤回(withdraw),再作废。没有任何改变。")
    if ever_held(history, number, now):
        raise RulesRefused(f"{_name(kind, number)}生效过,有订单按它办理,不能作废。没有任何改变。")
    version.state = RuleState.DISCARDED.value
    version.discarded_at, version.discarded_by, version.discarded_why = now, by, why
    session.add(version)
    session.flush()
    return Done(True, number, f"{_name(kind, number)}已作废")


def _taken(
    session: Session, kind: RuleKind, number: int, now: datetime, *, discarded_too: bool = False
) -> tuple[datetime, RuleVersion]:
    """The version, with nobody else at this kind of rules, and the time it is. Raises `RulesRefused`."""
    now = _in_line(session, kind, now)
    version = find_version(session, kind, number)
    if version.state == RuleState.DISCARDED.value and not discarded_too:
        raise RulesRefused(
            f"{_name(kind, number)}已由 {version.discarded_by} 作废:先照它起一份新的草稿。没有任何改变。"
        )
    return now, version


def _in_line(session: Session, kind: RuleKind, now: datetime) -> datetime:
    """Wait for one's turn. Who waited comes after who was first, also by the clock that decides what holds."""
    rule_version.in_line(session, kind)
    return max([now, *(activation.at for activation, _ in rule_version.activations(session, kind))])


def _demand_fit(session: Session, version: RuleVersion, now: datetime) -> None:
    problems, _ = _examined(session, version, now)
    if problems:
        said = ";".join(map(str, problems[:5])) + (f";另有 {len(problems) - 5} 个" if len(problems) > 5 else "")
        name = _name(RuleKind(version.kind), version.number)
        raise RulesRefused(f"{name}还有 {len(problems)} 个问题,不能启用:{said}。没有任何改变。")


def _examined(session: Session, version: RuleVersion, now: datetime) -> tuple[list[Problem], list[Problem]]:
    problems, warnings = examine(session, RuleKind(version.kind), version.body, now)
    version.problems = [{"where": problem.where, "why": problem.why} for problem in problems]
    session.add(version)
    session.flush()
    return problems, warnings


def _begin(
    session: Session, version: RuleVersion, start: datetime, by: str, note: str, now: datetime, why: str = ""
) -> None:
    rule_version.activate(session, version, start, by, note, now, untried_why=why)
    if version.kind == RuleKind.RECIPES.value:
        save_ingredients(session, version.body)


def _give_way(
    session: Session, kind: RuleKind, history: list[Turn], start: datetime, by: str, number: int, now: datetime
) -> list[str]:
    """Of two versions that are to begin at one moment the one said later does; the other is taken back."""
    said = []
    for turn in coming(history, now):
        if turn.from_at == start:
            _take_back(session, turn, by, f"同一时刻改为第 {number} 版", now)
            other = find_version(session, kind, turn.number)
            if not ever_held(history, turn.number, now):
                other.state = RuleState.DRAFT.value
                session.add(other)
            said.append(f"同一时刻原定的第 {turn.number} 版不再生效")
    return said


def _take_back(session: Session, turn: Turn, by: str, why: str, now: datetime) -> None:
    activation = turn.activation
    activation.withdrawn_at, activation.withdrawn_by, activation.withdrawn_why = now, by, why
    session.add(activation)


def _told(kind: RuleKind, number: int, there: Turn | None, start: datetime, now: datetime) -> str:
    instead = f"(原来是第 {there.number} 版)" if there is not None else ""
    if start > now:
        return f"{_name(kind, number)}将于 {when(start)} 生效{instead};在那之前来的订单按原来的版本"
    return f"{_name(kind, number)}现在生效{instead};之前来的订单按原来的版本"


def _scheduled(history: list[Turn], start: datetime) -> tuple[str, ...]:
    after = next((turn for turn in rule_history.coming(history, start)), None)
    return (f"注意:已排定第 {after.number} 版于 {when(after.from_at)} 生效",) if after is not None else ()


def _name(kind: RuleKind, number: int) -> str:
    return f"{KIND_WORDS[kind][0]}第 {number} 版"


def _signed(by: str, note: str) -> tuple[str, str]:
    """Who and why, as they are kept. Raises `RulesRefused` when nobody is named."""
    by, note = by.strip(), note.strip()
    if not by or len(by) > LONGEST_NAME or not plain(by):
        raise RulesRefused(f"要写明是谁(最多 {LONGEST_NAME} 个字)。没有任何改变。")
    if len(note) > LONGEST_NOTE or (note and not plain(note)):
        raise RulesRefused(f"说明最多 {LONGEST_NOTE} 个字,不能有控制字符。没有任何改变。")
    return by, note
