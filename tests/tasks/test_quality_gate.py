"""The gate: both readings of the rules agree on whatever comes, and when they do not, that is no pass."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integrations.sandbox.baskets import FLAWS, Basket, BasketLine, spoiled
from models.intake import Incoming, IncomingLine, IncomingOrder, PlatformStatus, Receiver, Unreadable
from models.platform_news import OVER
from models.product import Product
from models.quality import MOST_FEN, RULES, Fault, Rule, judge
from models.row_check import Between, Check, Equal, Length
from models.validation import Outcome, RuleResult, Verdict
from tasks.quality_gate import validate_batch
from tests.models.build import CAN, NOW, RECEIVER, cans, incoming, made
from tests.odd_orders import ORDERS, SKUS

ROOT = Path(__file__).parents[2]
CATALOGUE = {sku: Product(sku=sku, title="商品") for sku in SKUS}


def validated(*orders: Incoming) -> Verdict:
    """The verdict over a batch, with the catalogue and the time of these tests."""
    return validate_batch(orders, CATALOGUE, NOW)


def unexpected(verdict: Verdict) -> dict[tuple[str, str], int]:
    """Rows that broke a rule, by code and column."""
    return {(one.code, one.column): one.unexpected for one in verdict.results if one.unexpected}


def test_sound_orders_pass_and_every_rule_was_read() -> None:
    verdict = validated(incoming("1", cans(), made()), incoming("2", freight_fen=800))

    assert (verdict.outcome, verdict.error, verdict.failed) == (Outcome.PASSED, "", {})
    assert (verdict.checked_orders, verdict.checked_lines) == (2, 3)
    assert [(one.code, one.about, one.column) for one in verdict.results] == [
        ("unreadable", "order", ""),
        *((rule.code, rule.about, rule.column) for rule in RULES if rule.about == "order"),
        *((rule.code, rule.about, rule.column) for rule in RULES if rule.about == "line"),
    ]
    assert {(one.evaluated, one.unexpected) for one in verdict.results} == {(2, 0), (3, 0)}


def test_nothing_to_judge_is_no_pass() -> None:
    over = [incoming(str(n), status=status, receiver=None) for n, status in enumerate(OVER)]

    assert validated() == validated(*over) == Verdict(Outcome.EMPTY)


def test_bad_orders_are_named_by_their_place_with_the_words_of_the_judge() -> None:
    unreadable = Unreadable("shopify", "pets", "3", "no createdAt", {})
    over = incoming("2", status=PlatformStatus.CANCELLED, receiver=None)
    bad = [incoming("4", receiver=None), incoming("5", cans(-1), cans(sku="NO-SUCH-SKU"))]

    verdict = validated(incoming("1"), over, unreadable, *bad)

    assert (verdict.outcome, verdict.error, verdict.checked_orders) == (Outcome.BAD_DATA, "", 4)
    assert verdict.failed == {
        2: [Fault("unreadable", "读不懂平台给的数据:no createdAt")],
        3: judge(bad[0], CATALOGUE, NOW),
        4: judge(bad[1], CATALOGUE, NOW),
    }
    assert unexpected(verdict) == {
        ("unreadable", ""): 1,
        ("address_missing", "has_receiver"): 1,
        ("bad_quantity", "quantity"): 1,
        ("unknown_sku", "sku_known"): 1,
    }


def test_only_unreadable_orders_are_bad_data() -> None:
    verdict = validated(*(Unreadable("shopify", "pets", str(n), "?", {}) for n in range(3)))

    assert (verdict.outcome, verdict.error, sorted(verdict.failed)) == (Outcome.BAD_DATA, "", [0, 1, 2])
    assert verdict.results[0] == RuleResult("unreadable", "order", "", 3, 3)


def test_values_that_look_like_something_else_stay_what_they_are() -> None:
    odd = [
        incoming("0", channel_order_id="0012", buyer="1e5", note="nan"),
        incoming("1", channel_order_id="9" * 30, receiver=replace(RECEIVER, name="nan", phone="None", city="NaT")),
        incoming("2", channel_order_id="nan", receiver=replace(RECEIVER, name="null", detail="1.0", district="")),
        incoming("3", *(cans(sku=sku, title=sku) for sku in ("0012", "1e5", "nan"))),
        incoming("4", cans(unit_price_fen=MOST_FEN, paid_fen=MOST_FEN)),
        incoming("5", cans(unit_price_fen=2**53 + 1, paid_fen=0)),  # as a float it would be another number
        incoming("6", total_fen=math.nan, paid_fen=math.inf),
        incoming("7", cans(unit_price_fen=10**30, paid_fen=4_000)),
    ]

    verdict = validated(*odd)

    assert (verdict.outcome, verdict.error) == (Outcome.BAD_DATA, "")
    assert {place: [fault.code for fault in faults] for place, faults in verdict.failed.items()} == {
        5: ["negative_money"],
        6: ["negative_money"],
        7: ["negative_money"],
    }


def test_more_failing_rows_than_great_expectations_lists_are_all_found() -> None:
    verdict = validated(*(incoming(str(n), currency="USD", note="\ud83d" if n % 2 else "") for n in range(401)))

    assert (verdict.outcome, len(verdict.failed)) == (Outcome.BAD_DATA, 401)
    assert unexpected(verdict) == {("currency", "currency"): 401, ("control_characters", "texts"): 200}


def test_every_flaw_of_the_played_platforms_is_found_by_both_readings() -> None:
    line = BasketLine(CAN, "猫罐头", 2, 2_000, 0, {})
    basket = Basket("b", "王小明", "13812345678", "广东省", "深圳市", "南山区", "科技园", True, (line,), 4_000)

    orders = [_of_basket(basket), *(_of_basket(spoiled(basket, flaw)) for flaw in FLAWS)]
    verdict = validated(*orders)

    assert (verdict.outcome, verdict.error) == (Outcome.BAD_DATA, "")
    assert verdict.failed == {place: judge(order, CATALOGUE, NOW) for place, order in enumerate(orders) if place}


def _of_basket(basket: Basket) -> IncomingOrder:
    receiver = Receiver(basket.name, basket.phone, basket.province, basket.city, basket.district, basket.street)
    lines = [
        IncomingLine("1", line.sku, line.title, line.quantity, line.unit_price_fen, line.paid_fen)
        for line in basket.lines
    ]
    order = incoming("1", *lines, receiver=receiver if basket.has_address else None, note=basket.note)
    return replace(order, total_fen=basket.total_fen, paid_fen=basket.total_fen)


@settings(max_examples=12, deadline=None, suppress_health_check=[*HealthCheck])
@given(st.lists(ORDERS, min_size=30, max_size=60))
def test_both_readings_agree_on_whatever_comes(orders: list[IncomingOrder]) -> None:
    verdict = validated(*orders)

    expected = {place: judge(one, CATALOGUE, NOW) for place, one in enumerate(orders) if one.status not in OVER}
    assert verdict.error == ""
    assert verdict.failed == {place: faults for place, faults in expected.items() if faults}
    assert sum(one.unexpected for one in verdict.results) == sum(map(len, expected.values()))


@dataclass(frozen=True)
class TwoFaced:
    """Judges in plain Python as one check, and asks great-expectations for another."""

    plainly: Check
    by_suite: Check

    @property
    def expectation(self) -> str:
        return self.by_suite.expectation

    @property
    def against(self) -> str | None:
        return self.plainly.against or self.by_suite.against

    def holds(self, value: Any, other: Any = None) -> bool:
        return self.plainly.holds(value, other)

    def parameters(self, column: str) -> dict[str, Any]:
        return self.by_suite.parameters(column)


@dataclass(frozen=True)
class Misspelt(Length):
    """A check of an expectation that there is not."""

    expectation = "ExpectColumnValuesToBeNice"


def broken_rule(column: str, plainly: Check, by_suite: Check) -> Rule:
    """A rule about orders whose two readings differ."""
    return Rule("odd", "order", column, TwoFaced(plainly, by_suite), "不对。")


WIDE, NARROW = Between(None, None), Between(10, 20)
BROKEN_RULES: dict[str, tuple[Rule, str]] = {
    "the suite finds more": (
        broken_rule("line_count", Between(0, 9), NARROW),
        "规则 odd(order.line_count,ExpectColumnValuesToBeBetween)的两种读法不一致:套件多判 2 行,少判 0 行",
    ),
    "the suite finds less": (
        broken_rule("line_count", NARROW, Between(0, 9)),
        "规则 odd(order.line_count,ExpectColumnValuesToBeBetween)的两种读法不一致:套件多判 0 行,少判 2 行",
    ),
    "the expectation raises": (
        broken_rule("receiver_name", Length(0, 99), NARROW),
        "规则 odd(order.receiver_name,ExpectColumnValuesToBeBetween)在 great-expectations 里出错:TypeError,",
    ),
    "the expectation cannot be made": (
        broken_rule("line_count", WIDE, Between(20, 10)),
        "规则 odd(order.line_count,ExpectColumnValuesToBeBetween)在 great-expectations 里出错:",
    ),
    "no such expectation": (Rule("odd", "order", "note", Misspelt(0, 9), "不对。"), "校验没有做完:AttributeError,"),
    "no such column": (Rule("odd", "order", "colour", Length(0, 9), "不对。"), "校验没有做完:KeyError,"),
    "no such column to compare with": (
        broken_rule("line_count", WIDE, Equal("colour")),
        "校验没有做完:KeyError,quality.py:",
    ),
}


@pytest.mark.parametrize(("rule", "error"), BROKEN_RULES.values(), ids=list(BROKEN_RULES))
def test_a_broken_rule_is_neither_a_pass_nor_bad_data(rule: Rule, error: str) -> None:
    orders = [incoming("1"), incoming("2")]

    verdict = validate_batch(orders, CATALOGUE, NOW, [RULES[0], rule])

    assert verdict.outcome is Outcome.BROKEN
    assert verdict.error.startswith(error)
    assert RECEIVER.name not in verdict.error


def test_what_can_be_read_is_told_beside_a_broken_rule() -> None:
    rule = broken_rule("line_count", Between(0, 9), NARROW)

    verdict = validate_batch([incoming("1"), incoming("2", currency="USD")], CATALOGUE, NOW, [*RULES, rule])

    assert (verdict.outcome, sorted(verdict.failed)) == (Outcome.BROKEN, [1])
    assert unexpected(verdict) == {("currency", "currency"): 1}
    assert len(verdict.results) == 1 + len(RULES)


def test_without_great_expectations_nothing_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    validated(incoming("1"))
    monkeypatch.setitem(sys.modules, "great_expectations.expectations", None)

    verdict = validated(incoming("1"), incoming("2", receiver=None))

    assert (verdict.outcome, sorted(verdict.failed)) == (Outcome.BROKEN, [1])
    assert verdict.error.startswith("校验没有做完:ModuleNotFoundError,quality_gate.py:")


ALONE = """
import json, sys
told = []
sys.addaudithook(lambda name, _: told.append(name) if name.startswith("socket.") else None)
import tasks.quality_gate, tasks.validation_board
late = not {"great_expectations", "pandas"} & set(sys.modules)
from tests.tasks.test_quality_gate import incoming, validated
outcomes = [validated(incoming("1")).outcome]
importing, told[:] = set(told), []
outcomes += [validated(incoming("1"), incoming("2", receiver=None)).outcome]
print(json.dumps([late, outcomes, sorted(importing), told]))
"""


def test_nobody_is_called_and_importing_the_gate_does_not_import_great_expectations() -> None:
    done = subprocess.run([sys.executable, "-c", ALONE], cwd=ROOT, capture_output=True, text=True, timeout=300)

    assert done.returncode == 0, done.stderr[-2000:]
    late, outcomes, importing, judging = json.loads(done.stdout)
    assert late
    assert outcomes == ["passed", "bad_data"]
    # on import, urllib3 binds a socket of this machine to see whether it has IPv6; nobody is looked up or called
    assert set(importing) <= {"socket.__new__", "socket.bind"}
    assert judging == []
    assert "Calculating" not in done.stderr  # no progress bars
