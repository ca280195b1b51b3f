"""Rules begin to hold: now or at a time, back again, or not after all.

Each step is safe at once and twice: who comes second is told what is already so. Orders keep the versions they came
under, whatever is done here.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlmodel import Session

from models import rule_version
from models.recipe import save_ingredients
from models.rule_desk import examined
from models.rule_history import Turn, at_moment, coming, earlier, ever_held, turns, when
from models.rule_step import LONGEST_NOTE, Done, in_line, name_of, signed, taken
from models.rule_version import RuleKind, RulesRefused, RuleState, RuleVersion, find_version

#: A time further ahead is a year that was mistyped.
FURTHEST = timedelta(days=366)


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
    by, note = signed(by, note)
    now, version = taken(session, kind, number, now)
    history = turns(session, kind)
    start = now if from_at is None else max(from_at, now)
    if start > now + FURTHEST:
        raise RulesRefused(f"{when(start)} 太远了:最多提前 {FURTHEST.days} 天排定,看看年份。没有任何改变。")
    there = at_moment(history, start)
    if there is not None and there.number == number:
        so = "已经生效" if there.from_at <= now else f"已经排定于 {when(there.from_at)} 生效"
        return Done(False, number, f"没有改变:{name_of(kind, number)}{so}", _scheduled(history, start))
    _demand_fit(session, version, now)
    tried = bool(version.tried.get("orders")) or ever_held(history, number, now)
    why = "" if tried else untried_why.strip()[:LONGEST_NOTE]
    if not tried and not why:
        if version.tried:
            raise RulesRefused(
                f"{name_of(kind, number)}试算时那几天没有订单,等于没有试算:把天数放长再试;"
                "不试算就启用要写明理由。没有任何改变。"
            )
        raise RulesRefused(
            f"{name_of(kind, number)}还没有试算:先试算(try-rules,或 orderloom rules try {kind.value} {number});"
            "不试算就启用要写明理由。没有任何改变。"
        )
    more = _give_way(session, kind, history, start, by, number, now)
    more += _left_out(session, version, history, start, now)
    _begin(session, version, start, by, note, now, why)
    if from_at is not None and from_at < now - timedelta(minutes=1):
        more.append(f"{when(from_at)} 已经过去,按现在算")
    if why:
        more.append(f"没有试算,理由:{why}")
    told = _told(kind, number, there, start, now)
    return Done(True, number, told, (*more, *_scheduled(history, start)), later=start > now)


def roll_back(session: Session, kind: RuleKind, by: str, note: str, now: datetime, leaving: int | None = None) -> Done:
    """Have the version hold again that held before the present one was brought in. Going back twice is two versions.

    `leaving` is the version to be left: when another one holds by now, nothing changes, so a second press does nothing.
    Raises `RulesRefused` when there is none before, or it would no longer pass the checks.
    """
    by, note = signed(by, note)
    now = in_line(session, kind, now)
    history = turns(session, kind)
    holds = at_moment(history, now)
    assert holds is not None, "version 1 has always held"
    if leaving is not None and holds.number != leaving:
        find_version(session, kind, leaving)
        return Done(False, holds.number, f"没有改变:生效中的是第 {holds.number} 版,不是第 {leaving} 版")
    target = earlier(history, now)
    if target is None:
        raise RulesRefused(
            f"{name_of(kind, holds.number)}之前没有更早的版本可以退回:要用别的,就启用(activate)那一版。没有任何改变。"
        )
    version = find_version(session, kind, target)
    _demand_fit(session, version, now)
    _begin(session, version, now, by, note or f"退回:不用第 {holds.number} 版", now)
    return Done(True, target, _told(kind, target, holds, now, now), _scheduled(history, now))


def withdraw(session: Session, kind: RuleKind, number: int, by: str, why: str, now: datetime) -> Done:
    """Take back that version `number` is going to hold. Raises `RulesRefused` for one that holds already."""
    by, why = signed(by, why)
    now, version = taken(session, kind, number, now)
    history = turns(session, kind)
    future = [turn for turn in coming(history, now) if turn.number == number]
    holds = at_moment(history, now)
    if not future and holds is not None and holds.number == number:
        raise RulesRefused(f"{name_of(kind, number)}已经生效,撤回不了:要用回原来的,请退回(rollback)。没有任何改变。")
    if not future:
        return Done(False, number, f"没有改变:{name_of(kind, number)}没有排定的生效时间")
    for turn in future:
        _take_back(session, turn, by, why, now)
    if not ever_held(history, number, now):
        version.state = RuleState.DRAFT.value
        session.add(version)
    session.flush()
    return Done(True, number, f"{name_of(kind, number)}不再于 {'、'.join(when(turn.from_at) for turn in future)} 生效")


def _demand_fit(session: Session, version: RuleVersion, now: datetime) -> None:
    problems, _ = examined(session, version, now)
    if problems:
        said = ";".join(map(str, problems[:5])) + (f";另有 {len(problems) - 5} 个" if len(problems) > 5 else "")
        name = name_of(RuleKind(version.kind), version.number)
        raise RulesRefused(f"{name}还有 {len(problems)} 个问题,不能启用:{said}。没有任何改变。")


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


def _left_out(session: Session, version: RuleVersion, history: list[Turn], start: datetime, now: datetime) -> list[str]:
    """A sentence when this draft was made of an older version than it replaces: what came between is lost."""
    there = at_moment(history, start)
    if there is None or version.based_on is None or ever_held(history, version.number, now):
        return []
    base: RuleVersion | None = version
    while base is not None:
        if base.id == there.activation.version_id:
            return []
        base = session.get(RuleVersion, base.based_on) if base.based_on is not None else None
    return [f"注意:这一版不是照第 {there.number} 版改的,第 {there.number} 版的改动不在其中"]


def _take_back(session: Session, turn: Turn, by: str, why: str, now: datetime) -> None:
    activation = turn.activation
    activation.withdrawn_at, activation.withdrawn_by, activation.withdrawn_why = now, by, why
    session.add(activation)


def _told(kind: RuleKind, number: int, there: Turn | None, start: datetime, now: datetime) -> str:
    instead = f"(原来是第 {there.number} 版)" if there is not None else ""
    if start > now:
        return f"{name_of(kind, number)}将于 {when(start)} 生效{instead};在那之前来的订单按原来的版本"
    return f"{name_of(kind, number)}现在生效{instead};之前来的订单按原来的版本"


def _scheduled(history: list[Turn], start: datetime) -> tuple[str, ...]:
    after = next((turn for turn in coming(history, start)), None)
    return (f"注意:已排定第 {after.number} 版于 {when(after.from_at)} 生效",) if after is not None else ()
