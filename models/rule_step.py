"""What every step that people take with the rules has in common: who and why, one at a time, and what is said of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from models import rule_version
from models.row_check import plain
from models.rule_version import KIND_WORDS, RuleKind, RulesRefused, RuleState, RuleVersion, find_version

LONGEST_NAME, LONGEST_NOTE = 64, 1000


@dataclass(frozen=True)
class Done:
    """What came of a step: whether anything changed, the version that it is about, and a sentence for the person."""

    changed: bool
    number: int
    sentence: str
    more: tuple[str, ...] = ()  # what else is to be known
    later: bool = False  # it is so from a time to come

    def __str__(self) -> str:
        return ";".join((self.sentence, *self.more)) + "。"


def name_of(kind: RuleKind, number: int) -> str:
    """What people call a version."""
    return f"{KIND_WORDS[kind][0]}第 {number} 版"


def signed(by: str, note: str) -> tuple[str, str]:
    """Who and why, as they are kept. Raises `RulesRefused` when nobody is named."""
    by, note = by.strip(), note.strip()
    if not by or len(by) > LONGEST_NAME or not plain(by):
        raise RulesRefused(f"要写明是谁(最多 {LONGEST_NAME} 个字)。没有任何改变。")
    if len(note) > LONGEST_NOTE or (note and not plain(note)):
        raise RulesRefused(f"说明最多 {LONGEST_NOTE} 个字,不能有控制字符。没有任何改变。")
    return by, note


def in_line(session: Session, kind: RuleKind, now: datetime) -> datetime:
    """Wait for one's turn. Who waited comes after who was first, also by the clock that decides what holds."""
    rule_version.in_line(session, kind)
    return max([now, *(activation.at for activation, _ in rule_version.activations(session, kind))])


def taken(
    session: Session, kind: RuleKind, number: int, now: datetime, *, discarded_too: bool = False
) -> tuple[datetime, RuleVersion]:
    """The version, with nobody else at this kind of rules, and the time it is. Raises `RulesRefused`."""
    now = in_line(session, kind, now)
    version = find_version(session, kind, number)
    if version.state == RuleState.DISCARDED.value and not discarded_too:
        raise RulesRefused(
            f"{name_of(kind, number)}已由 {version.discarded_by} 作废:先照它起一份新的草稿。没有任何改变。"
        )
    return now, version
