"""Which version the next change of the rules is made of."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session

from models.rule_history import at_moment, turns
from models.rule_version import RuleKind, RuleState, RuleVersion, find_version, versions


def base_for(session: Session, kind: RuleKind, now: datetime, number: int | None = None) -> RuleVersion:
    """The version that the next step changes: the one asked for, else the newest if it is a draft, else the one in
    force. Raises `RulesRefused` for an unknown one."""
    if number is not None:
        return find_version(session, kind, number)
    newest = versions(session, kind)[0]
    return newest if newest.state == RuleState.DRAFT.value else in_force(session, kind, now)


def in_force(session: Session, kind: RuleKind, now: datetime) -> RuleVersion:
    """The version that holds."""
    holds = at_moment(turns(session, kind), now)
    assert holds is not None, "version 1 has always held"
    return find_version(session, kind, holds.number)
