"""Versions of what business people change: the order form, the recipes, the approval matrix; and which one holds when.

A version never changes; a change is another version. Which one is in force is a list of activations, each from a
moment on that is never in the past: going back is one more activation, of an older version. An order is given the
versions in force when it comes (`orders.rules`), and keeps them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field, Session, SQLModel, col, select

from models.table import document, key, moment, reference, words

#: Keeps the locks of rule changes apart from others that are taken by two numbers.
_FAMILY = 7_246_005

#: Letters of a version's JSON: a matrix of a thousand rows is a tenth of it.
LONGEST = 5_000_000


class RuleKind(StrEnum):
    """What can be changed without code."""

    FORM = "form"
    RECIPES = "recipes"
    MATRIX = "matrix"


KIND_WORDS = {
    RuleKind.FORM: ("订单表单", "order form"),
    RuleKind.RECIPES: ("配方", "recipes"),
    RuleKind.MATRIX: ("审批矩阵", "approval matrix"),
}


class RuleState(StrEnum):
    """A draft may still be changed; a version that was activated never is; a discarded draft is kept to be read."""

    DRAFT = "draft"
    KEPT = "kept"
    DISCARDED = "discarded"


class RulesRefused(Exception):
    """This cannot be done with these rules; the sentence says why, and what to do. Nothing was changed."""


class RuleVersion(SQLModel, table=True):
    """One version of one kind of rules. `problems` were found when it was checked, `tried` is the last try-out."""

    __tablename__ = "rule_version"
    __table_args__ = (UniqueConstraint("kind", "number", name="one_rule_version_per_number"),)

    id: int | None = key()
    kind: str
    number: int
    state: str = RuleState.DRAFT.value
    body: dict[str, Any] = document()
    digest: str
    note: str = words()
    made_by: str
    made_at: datetime = moment()
    based_on: int | None = reference("rule_version.id", nullable=True, index=False)
    problems: list[Any] = Field(default_factory=list, sa_type=document().sa_type, nullable=False)
    tried: dict[str, Any] = document()  # what the last try-out came to: days, orders, changed, at, by
    discarded_at: datetime | None = moment(nullable=True)
    discarded_by: str = ""
    discarded_why: str = words()


class RuleActivation(SQLModel, table=True):
    """From `from_at` on this version holds, unless the activation was withdrawn before.

    `untried_why` is why it was activated without a try-out, "" for one that was tried.
    """

    __tablename__ = "rule_activation"
    __table_args__ = (
        Index("rule_activation_of_kind", "kind", "from_at", "id", postgresql_where=text("withdrawn_at IS NULL")),
    )

    id: int | None = key()
    kind: str
    version_id: int = reference("rule_version.id")
    from_at: datetime = moment()
    by: str
    at: datetime = moment()
    note: str = words()
    untried_why: str = words()
    withdrawn_at: datetime | None = moment(nullable=True)
    withdrawn_by: str = ""
    withdrawn_why: str = words()


def digest_of(body: Mapping[str, Any]) -> str:
    """SHA-256 of the rules in their canonical form: equal rules, equal digests."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


_IN_FORCE = text("""
SELECT DISTINCT ON (a.kind) a.kind, v.number FROM rule_activation a JOIN rule_version v ON v.id = a.version_id
WHERE a.from_at <= :at AND a.withdrawn_at IS NULL ORDER BY a.kind, a.from_at DESC, a.id DESC
""")


def numbers_in_force(session: Session, at: datetime) -> dict[str, int]:
    """Kind → number of the version that holds at this moment: what an order that comes then keeps."""
    rows = session.connection().execute(_IN_FORCE, {"at": at})
    return {row.kind: row.number for row in rows}


def find_version(session: Session, kind: RuleKind, number: int) -> RuleVersion:
    """Version `number` of this kind, as it is now. Raises `RulesRefused`."""
    wanted = select(RuleVersion).where(RuleVersion.kind == kind.value, RuleVersion.number == number)
    version = session.exec(wanted, execution_options={"populate_existing": True}).first()
    if version is None:
        raise RulesRefused(f"{KIND_WORDS[kind][0]}没有第 {number} 版:用 orderloom rules list 看有哪些。没有任何改变。")
    return version


def versions(session: Session, kind: RuleKind) -> list[RuleVersion]:
    """All versions of this kind, the newest first."""
    return list(
        session.exec(select(RuleVersion).where(RuleVersion.kind == kind.value).order_by(col(RuleVersion.number).desc()))
    )


def draft(
    session: Session,
    kind: RuleKind,
    body: Mapping[str, Any],
    by: str,
    note: str,
    now: datetime,
    based_on: int | None = None,
) -> RuleVersion:
    """A new draft. The same rules as the newest draft: that one, so that asking twice makes one.

    `based_on` is the id of the version that was changed. Raises `RulesRefused` for what the database cannot keep.
    """
    body = storable(body)
    in_line(session, kind)
    digest = digest_of(body)
    newest = session.exec(
        select(RuleVersion.number, RuleVersion.digest, RuleVersion.state)
        .where(RuleVersion.kind == kind.value)
        .order_by(col(RuleVersion.number).desc())
    ).first()
    if newest is not None and newest[1:] == (digest, RuleState.DRAFT.value):
        return find_version(session, kind, newest[0])
    version = RuleVersion(
        kind=kind.value,
        number=1 if newest is None else newest[0] + 1,
        body=body,
        digest=digest,
        note=note,
        made_by=by,
        made_at=now,
        based_on=based_on,
    )
    session.add(version)
    session.flush()
    return version


def storable(body: Mapping[str, Any]) -> dict[str, Any]:
    """The rules as they will be read again. Raises `RulesRefused` for what is no JSON, too long, or cannot be kept."""
    try:
        said = json.dumps(body, ensure_ascii=False, allow_nan=False)
        said.encode()
    except (TypeError, ValueError, RecursionError):
        raise RulesRefused("规则里有不能保存的内容(不是 JSON、嵌套太深或乱码):请检查后再试。没有任何改变。") from None
    if len(said) > LONGEST:
        raise RulesRefused(f"规则超过 {LONGEST // 1_000_000} 百万字:请删去不用的内容。没有任何改变。")
    if "\\u0000" in said:
        raise RulesRefused("规则里有看不见的空字符(NUL):请删去后再试。没有任何改变。")
    kept: dict[str, Any] = json.loads(said)
    return kept


def in_line(session: Session, kind: RuleKind) -> None:
    """Wait until nobody else changes this kind of rules, and keep others waiting until this transaction ends."""
    session.connection().execute(
        text("SELECT pg_advisory_xact_lock(:family, hashtext(:kind))"), {"family": _FAMILY, "kind": kind.value}
    )


def activations(session: Session, kind: RuleKind) -> list[tuple[RuleActivation, int]]:
    """Every activation of this kind with its version's number, withdrawn ones too, in the order of their moments."""
    found = session.exec(
        select(RuleActivation, RuleVersion.number)
        .where(RuleActivation.version_id == RuleVersion.id, RuleActivation.kind == kind.value)
        .order_by(col(RuleActivation.from_at), col(RuleActivation.id)),
        execution_options={"populate_existing": True},
    )
    return [(activation, number) for activation, number in found]


def activate(
    session: Session,
    version: RuleVersion,
    from_at: datetime,
    by: str,
    note: str,
    now: datetime,
    untried_why: str = "",
) -> RuleActivation:
    """Have this version hold from `from_at` on (not before now). The caller has checked it, and tried it.

    Raises `RulesRefused` for a version that was discarded.
    """
    in_line(session, RuleKind(version.kind))
    session.refresh(version)
    if version.state == RuleState.DISCARDED.value:
        raise RulesRefused(f"第 {version.number} 版已作废,不能启用:先照它起一份新的草稿。没有任何改变。")
    assert version.id is not None
    version.state = RuleState.KEPT.value
    activation = RuleActivation(
        kind=version.kind,
        version_id=version.id,
        from_at=max(from_at, now),
        by=by,
        at=now,
        note=note,
        untried_why=untried_why,
    )
    session.add_all([version, activation])
    session.flush()
    return activation
