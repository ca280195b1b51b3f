"""Orders of the past for a try-out: read page by page, in the order in which they were placed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from models.rule_version import KIND_WORDS, RuleKind, RulesRefused, RuleState, find_version, numbers_in_force
from models.tryout import Rules

MOST_DAYS = 365


@dataclass(frozen=True)
class Past:
    """A try-out before it begins: which orders, and by which rules. `digest` is that of the version on trial.

    `against`: kind → number of the versions in force; `orders` is how many were placed in [since, until).
    """

    kind: RuleKind
    number: int
    version_id: int
    digest: str
    since: datetime
    until: datetime
    against: Mapping[str, int]
    orders: int
    rules: Rules


@dataclass(frozen=True)
class Page:
    """Some orders, as the text of a JSON array of `models.tryout.PastOrder`; the next page begins after `last`."""

    orders: str
    count: int
    last: tuple[datetime, int]


_COUNT = text("SELECT count(*) FROM orders WHERE placed_at >= :since AND placed_at < :until")
_BODIES = text("SELECT number, body FROM rule_version WHERE kind = :kind AND number = ANY(:numbers)")
#: The versions of a kind by which these orders were decided.
_NUMBERS = text("""
SELECT DISTINCT coalesce(r.versions ->> :kind, o.rules ->> :kind)::integer AS number
FROM orders o LEFT JOIN ruling r ON r.order_id = o.id
WHERE o.placed_at >= :since AND o.placed_at < :until
""")
#: What each kind of rules is asked about.
_READ = {
    RuleKind.MATRIX: "'facts', r.facts, 'route', coalesce(r.route, '[]')",
    RuleKind.RECIPES: (
        "'facts', r.facts, 'route', coalesce(r.route, '[]'), 'pets', coalesce(r.pets, '[]'),"
        " 'version', coalesce(r.versions ->> 'recipes', '')"
    ),
    RuleKind.FORM: (
        "'facts', CASE WHEN r.order_id IS NOT NULL THEN '{}'::jsonb END,"
        " 'version', coalesce(r.versions ->> 'form', o.rules ->> 'form', :in_force),"
        " 'answers', (SELECT coalesce(jsonb_agg(l.profile || l.answers ORDER BY l.line_no), '[]') FROM order_line l"
        "   WHERE l.order_id = o.id AND l.made_to_order AND l.quantity > l.cancelled_quantity)"
    ),
}
_PAGE = """
SELECT o.id, o.placed_at, jsonb_build_object('id', o.id, 'order_no', o.order_no,
  'day', (o.placed_at AT TIME ZONE 'Asia/Shanghai')::date, 'placed_at', o.placed_at, {read})::text AS told
FROM orders o LEFT JOIN ruling r ON r.order_id = o.id
WHERE o.placed_at >= :after AND (o.placed_at, o.id) > (:after, :after_id) AND o.placed_at < :until
ORDER BY o.placed_at, o.id LIMIT :most
"""
_KEEP = text("UPDATE rule_version SET tried = CAST(:tried AS jsonb) WHERE id = :id AND digest = :digest")


def the_past(session: Session, kind: RuleKind, number: int, days: int, now: datetime) -> Past:
    """What is needed to try version `number` on the orders of the last `days` days. Raises `RulesRefused`."""
    if not 1 <= days <= MOST_DAYS:
        raise RulesRefused(f"最近几天要在 1 到 {MOST_DAYS} 之间。没有任何改变。")
    version = find_version(session, kind, number)
    if version.state == RuleState.DISCARDED.value:
        raise RulesRefused(f"{KIND_WORDS[kind][0]}第 {number} 版已作废,不能试算:先照它起一份新的草稿。没有任何改变。")
    assert version.id is not None
    window = {"since": now - timedelta(days=days), "until": now}
    against = numbers_in_force(session, now)
    connection = session.connection()
    bodies = {other.value: _bodies(session, other, {against[other.value]})[against[other.value]] for other in RuleKind}
    bodies[kind.value] = version.body
    past: Mapping[int, Mapping[str, Any]] = {}
    if kind is not RuleKind.MATRIX:
        numbers = {row.number for row in connection.execute(_NUMBERS, {**window, "kind": kind.value}) if row.number}
        past = _bodies(session, kind, numbers | {against[kind.value]})
    return Past(
        kind=kind,
        number=number,
        version_id=version.id,
        digest=version.digest,
        since=window["since"],
        until=window["until"],
        against=against,
        orders=connection.execute(_COUNT, window).scalar_one(),
        rules=Rules(kind.value, bodies, {str(number): body for number, body in past.items()}),
    )


def first_page(past: Past) -> tuple[datetime, int]:
    """After which order the first page begins."""
    return past.since, 0


def page(session: Session, past: Past, after: tuple[datetime, int], most: int) -> Page | None:
    """The next orders, at most so many; None when there are no more."""
    values = {"after": after[0], "after_id": after[1], "until": past.until, "most": most}
    if past.kind is RuleKind.FORM:
        values["in_force"] = str(past.against[RuleKind.FORM.value])
    rows = session.connection().execute(text(_PAGE.format(read=_READ[past.kind])), values).all()
    if not rows:
        return None
    return Page("[" + ",".join(row.told for row in rows) + "]", len(rows), (rows[-1].placed_at, rows[-1].id))


def keep_tried(session: Session, past: Past, tried: Mapping[str, Any]) -> bool:
    """Keep what a try-out came to with the version; False when the version has been changed meanwhile."""
    values = {"tried": json.dumps(tried, ensure_ascii=False), "id": past.version_id, "digest": past.digest}
    return session.connection().execute(_KEEP, values).rowcount == 1


def _bodies(session: Session, kind: RuleKind, numbers: set[int]) -> dict[int, dict[str, Any]]:
    rows = session.connection().execute(_BODIES, {"kind": kind.value, "numbers": sorted(numbers)})
    return {row.number: row.body for row in rows}
