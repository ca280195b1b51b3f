"""Changing rules one step at a time: each step takes the newest draft, or what is in force, and makes a draft of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from sqlmodel import Session

from models import rule_version
from models.rule_desk import Drafted, make_draft
from models.rule_history import at_moment, turns
from models.rule_version import RuleKind, RuleState, RuleVersion, find_version, versions

#: What is done with the rules: a body goes in, another one comes out.
Edit = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def base_for(session: Session, kind: RuleKind, now: datetime, number: int | None = None) -> RuleVersion:
    """The version that the next step changes: the one asked for, else the newest if it is a draft, else the one in
    force. Raises `RulesRefused` for an unknown one."""
    if number is not None:
        return find_version(session, kind, number)
    newest = versions(session, kind)[0]
    if newest.state == RuleState.DRAFT.value:
        return newest
    holds = at_moment(turns(session, kind), now)
    assert holds is not None, "version 1 has always held"
    return find_version(session, kind, holds.number)


def change(
    session: Session, kind: RuleKind, edit: Edit, by: str, note: str, now: datetime, on: int | None = None
) -> Drafted:
    """A draft with one step more. Two people at once: one after the other, the second on top of the first.

    The same step again finds nothing to change. Raises `RulesRefused`.
    """
    rule_version.in_line(session, kind)
    base = base_for(session, kind, now, on)
    return make_draft(session, kind, edit(base.body), by, note, now, base.number)
