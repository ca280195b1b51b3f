"""What judging batches came to is kept as rows, and counted by shop and by rule."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import text
from sqlmodel import Session

from models.quality import Fault
from models.validation import (
    ERROR_LIMIT,
    Outcome,
    RuleCount,
    RuleResult,
    Source,
    Verdict,
    forget,
    latest,
    recent,
    record,
    rule_counts,
)
from tests.models.build import NOW

CURRENCY = RuleResult("currency", "order", "currency", 100, 3)
SOUND = RuleResult("no_lines", "order", "line_count", 100, 0)
BAD = Verdict(
    Outcome.BAD_DATA,
    checked_orders=100,
    checked_lines=240,
    failed={n: [Fault("currency", "币种是 'USD',目前只接受 CNY。")] for n in range(3)},
    results=[SOUND, CURRENCY],
)


def test_a_verdict_is_kept_with_a_result_per_rule(session: Session) -> None:
    id = record(session, BAD, "shopify", "pets", Source.PULL, NOW, window_id=7).id
    session.expire_all()

    (run,) = recent(session)
    assert (run.id, run.at, run.channel, run.shop, run.window_id) == (id, NOW, "shopify", "pets", 7)
    assert (run.source, run.outcome) == ("pull", "bad_data")
    assert (run.orders, run.lines, run.failed, run.error) == (100, 240, 3, "")
    assert run.results == [
        {"code": "no_lines", "about": "order", "column": "line_count", "evaluated": 100, "unexpected": 0},
        {"code": "currency", "about": "order", "column": "currency", "evaluated": 100, "unexpected": 3},
    ]
    kept = session.execute(text("SELECT validation_run::text FROM validation_run")).scalar_one()
    assert "USD" not in kept  # which rules were broken, never by what


def test_a_broken_judge_and_an_empty_batch_are_kept_as_what_they_are(session: Session) -> None:
    record(session, Verdict(Outcome.EMPTY), "douyin", "pets", Source.WEBHOOK, NOW)
    record(session, Verdict(Outcome.BROKEN, 5, error="x" * 5_000), "douyin", "pets", Source.BACKFILL, NOW)

    broken, empty = recent(session)
    assert (broken.outcome, broken.orders, len(broken.error)) == ("broken", 5, ERROR_LIMIT)
    assert (empty.outcome, empty.orders, empty.results, empty.window_id) == ("empty", 0, [], None)
    assert [run.outcome for run in recent(session, limit=1)] == ["broken"]


def test_the_latest_batches_of_every_shop_are_found(session: Session) -> None:
    for minute in range(4):
        for shop in ("a", "b"):
            at = NOW + timedelta(minutes=minute)
            record(session, Verdict(Outcome.PASSED, checked_orders=minute), "shopify", shop, Source.PULL, at)
    record(session, BAD, "douyin", "a", Source.PULL, NOW - timedelta(days=8))

    found = latest(session, NOW - timedelta(days=7), of_each=2)
    assert [(run.shop, run.orders) for run in found] == [("a", 3), ("a", 2), ("b", 3), ("b", 2)]


def test_broken_rules_are_counted_over_batches_the_most_frequent_first(session: Session) -> None:
    for channel, at in (("shopify", NOW), ("shopify", NOW), ("douyin", NOW), ("douyin", NOW - timedelta(days=8))):
        record(session, BAD, channel, "pets", Source.PULL, at)
    record(session, Verdict(Outcome.EMPTY), "shopify", "pets", Source.PULL, NOW)

    assert rule_counts(session, NOW - timedelta(days=7)) == [
        RuleCount("shopify", "currency", "currency", rows=6, batches=2),
        RuleCount("douyin", "currency", "currency", rows=3, batches=1),
    ]


def test_old_verdicts_are_forgotten(session: Session) -> None:
    for at in (NOW, NOW + timedelta(days=1)):
        record(session, Verdict(Outcome.PASSED), "shopify", "momo", Source.PULL, at)
    assert forget(session, NOW + timedelta(days=1)) == 1
    assert [run.at for run in recent(session)] == [NOW + timedelta(days=1)]
