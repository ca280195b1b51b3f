"""What the shadow's report makes of both sides of an order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from sqlmodel import Session

from models.hold import place
from models.shadow import keep_pushes
from models.shadow_report import AGREED, DISAGREED, ShadowReport, Verdict, compare, gather
from tests.models.factories import a_fulfilment, an_order

NOON = datetime(2026, 11, 11, 4, 0, tzinfo=UTC)


def after(hours: float) -> datetime:
    return NOON + timedelta(hours=hours)


def a_row(**changes: Any) -> Any:
    """An order that we would have shipped at noon, and people have not."""
    columns = {
        "order_no": "SH-1",
        "channel": "shopify",
        "stage": "shipped",
        "waiting_on": "carrier",
        "shipped": True,
        "ended": False,
        "shipped_at": NOON,
        "status": "to_ship",
        "people_shipped_at": None,
    }
    return SimpleNamespace(**{**columns, **changes})


NOT_YET = {"shipped": False, "shipped_at": None, "stage": "reserved"}
ENDED = {"shipped": False, "ended": True, "shipped_at": None, "stage": "refunded", "waiting_on": None}


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        ({}, Verdict.AHEAD),
        ({"people_shipped_at": after(0.2), "status": "shipped"}, Verdict.SAME),
        ({"people_shipped_at": after(-0.25), "status": "shipped"}, Verdict.SAME),
        ({"people_shipped_at": after(5), "status": "complete"}, Verdict.EARLIER),
        ({"people_shipped_at": after(-5), "status": "shipped"}, Verdict.LATER),
        ({"status": "cancelled"}, Verdict.WE_SHIPPED),
        ({"status": "refunded", "people_shipped_at": after(1)}, Verdict.PENDING),
        ({**NOT_YET, "waiting_on": "review"}, Verdict.PENDING),
        ({**NOT_YET, "waiting_on": "review", "people_shipped_at": after(1)}, Verdict.WE_WAIT),
        ({**NOT_YET, "waiting_on": "person", "people_shipped_at": after(1)}, Verdict.WE_WAIT),
        ({**NOT_YET, "waiting_on": "production", "people_shipped_at": after(1)}, Verdict.PENDING),
        ({**NOT_YET, "waiting_on": None, "people_shipped_at": after(1)}, Verdict.PENDING),
        ({**NOT_YET, "waiting_on": "refund", "status": "cancelled"}, Verdict.PENDING),
        ({**ENDED, "status": "cancelled"}, Verdict.BOTH_ENDED),
        ({**ENDED, "status": "refunded"}, Verdict.BOTH_ENDED),
        ({**ENDED}, Verdict.WE_ENDED),
        ({**ENDED, "people_shipped_at": after(1), "status": "shipped"}, Verdict.WE_ENDED),
    ],
)
def test_each_pair_of_outcomes_has_its_verdict(row: dict[str, Any], verdict: Verdict) -> None:
    assert compare(a_row(**row)).verdict is verdict


def test_every_verdict_agrees_or_disagrees_or_is_open() -> None:
    assert not set(AGREED) & set(DISAGREED)
    assert set(Verdict) - set(AGREED) - set(DISAGREED) == {Verdict.AHEAD, Verdict.PENDING}


def test_medians_are_hours_and_open_orders_are_no_part_of_the_agreement() -> None:
    report = ShadowReport(NOON, NOON, None)
    assert report.agreement is None
    for number, hours in enumerate((1, 3, 8)):
        row = a_row(order_no=f"SH-{number}", people_shipped_at=after(hours), status="shipped")
        report.orders.append(compare(row))
    report.orders += [compare(a_row()), compare(a_row(status="cancelled"))]

    assert report.median_hours(Verdict.EARLIER) == 3.0
    assert report.median_hours(Verdict.LATER) is None
    assert report.agreement == 0.75
    assert [order.order_no for order in report.disagreements] == ["SH-1"]


def test_only_the_stretch_asked_for_counts(session: Session) -> None:
    for number, hours in enumerate((-30, -1, 1)):
        order = an_order(session, after(hours), f"SH-{number}", channel="douyin")
        a_fulfilment(session, order, after(hours), waiting_on="production")
        assert order.id is not None
        place(session, order.id, "no_recipe", "没有配方", "营养师", "补配方", "test", after(hours))
        keep_pushes(session, "douyin", "s", {f"SKU-{number}": (1, 2)}, after(hours))

    report = gather(session, after(-24), NOON)

    assert report.received == {"douyin": 1}
    assert [order.order_no for order in report.orders] == ["SH-1"]
    assert report.for_people == {"营养师": 1}
    assert report.pushes == {"douyin": (1, 1)}
    assert report.told == {} and report.reviews == {} and report.kept_since is None
