"""The quality gate: a batch of orders against the row rules, by great-expectations, before it enters the book.

The suite is made from `models/quality.py`, one expectation per rule, and what it finds is held against what the rules
find in plain Python, row by row. Where the two differ, or an expectation cannot be read, the gate is broken and says
so: that is neither a pass nor bad data. Importing great-expectations takes seconds and 160 MB, so only judging does.
"""

from __future__ import annotations

import logging
import os
import re
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from models.intake import Incoming, IncomingOrder
from models.order_row import Row, line_rows, order_row
from models.platform_news import OVER
from models.product import Product
from models.quality import RULES, Fault, Rule, broken, reading
from models.validation import Outcome, RuleResult, Verdict

_RESULT_FORMAT = {"result_format": "COMPLETE", "return_unexpected_index_query": False}  # every row number, no query
_SURROGATE = re.compile("[\ud800-\udfff]")
_ONE_AT_A_TIME = Lock()  # the context and the options of pandas belong to the process


@dataclass
class _Table:
    """The rows of one kind, the rules about them, and for every rule the numbers of the rows that break it."""

    about: Literal["order", "line"]
    rules: list[Rule]
    rows: list[Row] = field(default_factory=list)
    found: dict[Rule, set[int]] = field(default_factory=dict)

    def read(self, rows: Sequence[Row]) -> list[Fault]:
        """Take in the rows of one order and judge them in plain Python."""
        faults, rules = [], reading(self.rules, self.about)
        for row in rows:
            for rule in broken(row, rules):
                self.found.setdefault(rule, set()).add(len(self.rows))
                faults.append(rule.fault(row))
            self.rows.append(row)
        return faults


def validate_batch(
    orders: Sequence[Incoming], catalogue: Mapping[str, Product], now: datetime, rules: Sequence[Rule] = RULES
) -> Verdict:
    """Judge a batch of up to some thousand orders. Takes seconds the first time and blocks: call it in a thread.

    `catalogue` holds at least the products named in the batch. Orders that are over are left out, as the book leaves
    them out: platforms blank their address and amounts. No exception leaves: whatever goes wrong is the outcome
    `broken`, and even then `failed` says what plain Python found, in the words of `judge`.
    """
    judged = [(place, order) for place, order in enumerate(orders) if not _is_over(order)]
    if not judged:
        return Verdict(Outcome.EMPTY)
    about_orders = _Table("order", [rule for rule in rules if rule.about == "order"])
    about_lines = _Table("line", [rule for rule in rules if rule.about == "line"])
    failed: dict[int, list[Fault]] = {}
    results: list[RuleResult] = []
    problems: list[str] = []
    try:
        unread = _read_plainly(judged, catalogue, now, about_orders, about_lines, failed)
        results.append(RuleResult("unreadable", "order", "", len(judged), unread))
        with _ONE_AT_A_TIME:
            for table in (about_orders, about_lines):
                _read_by_suite(table, results, problems)
    except Exception as problem:  # nobody foresaw it, and nobody may take it for a pass
        problems.append(f"校验没有做完:{type(problem).__name__},{_place(problem)}")
    outcome = Outcome.BROKEN if problems else Outcome.BAD_DATA if failed else Outcome.PASSED
    return Verdict(outcome, len(judged), len(about_lines.rows), failed, results, ";".join(problems))


def _is_over(order: Incoming) -> bool:
    return isinstance(order, IncomingOrder) and order.status in OVER


def _place(problem: BaseException) -> str:
    """Where it happened; not what was said: the words of an exception may hold somebody's name."""
    last = traceback.extract_tb(problem.__traceback__)[-1]
    return f"{Path(last.filename).name}:{last.lineno}"


def _read_plainly(
    judged: Sequence[tuple[int, Incoming]],
    catalogue: Mapping[str, Product],
    now: datetime,
    about_orders: _Table,
    about_lines: _Table,
    failed: dict[int, list[Fault]],
) -> int:
    """Fill both tables, and the faults by place in the batch; returns how many could not be read at all."""
    unread = 0
    for place, order in judged:
        if isinstance(order, IncomingOrder):
            faults = about_orders.read([order_row(order, now)])
            faults += about_lines.read(list(line_rows(order, catalogue)))
        else:
            faults, unread = [Fault("unreadable", f"读不懂平台给的数据:{order.reason[:300]}")], unread + 1
        if faults:
            failed[place] = faults
    return unread


def _read_by_suite(table: _Table, results: list[RuleResult], problems: list[str]) -> None:
    """What great-expectations finds in the rows, by rule; a problem where that is not what plain Python finds."""
    told = {one.expectation_config.meta["rule"]: one for one in _validate(table)} if table.rows else {}
    for number, rule in enumerate(table.rules):
        missing = 0
        if table.rows:
            problem = _problem(told.get(number), len(table.rows), table.found.get(rule, set()))
            if problem:
                problems.append(f"规则 {rule.code}({rule.about}.{rule.column},{rule.check.expectation})" + problem)
                continue
            missing = told[number].result["missing_count"]
        found = len(table.found.get(rule, ()))
        results.append(RuleResult(rule.code, rule.about, rule.column, len(table.rows) - missing, found))


def _problem(told: Any, rows: int, plainly: set[int]) -> str:
    """Why what an expectation told cannot be believed; empty when it says what plain Python says."""
    if told is None:
        return "没有结果"
    raised = list(_raised(told.exception_info))
    if raised:
        return f"在 great-expectations 里出错:{raised[0]}"
    if told.result["element_count"] != rows:
        return f"只看了 {told.result['element_count']} 行,应看 {rows} 行"
    by_suite = set(told.result["unexpected_index_list"])
    if by_suite != plainly or told.success != (not plainly):
        return f"的两种读法不一致:套件多判 {len(by_suite - plainly)} 行,少判 {len(plainly - by_suite)} 行"
    return ""


def _raised(info: Mapping[str, Any]) -> Iterator[str]:
    """Kind and place of every exception in an expectation's `exception_info`: one, or one per metric."""
    for one in [info] if "raised_exception" in info else info.values():
        if one["raised_exception"]:
            told = one["exception_traceback"] or ""
            kinds = re.findall(r"^([A-Za-z_][\w.]*(?:Error|Exception))\b", told, re.M)
            places = re.findall(r'File ".*?([^/\\"]+)", line (\d+)', told)
            yield f"{kinds[0] if kinds else '异常'},{':'.join(places[-1]) if places else '不知在何处'}"


def _validate(table: _Table) -> Sequence[Any]:
    """The suite made from the rules, run over the rows: great-expectations' result of every expectation."""
    batch_definition = _bench(table.about)
    import great_expectations.expectations as expectations
    import pandas  # type: ignore[import-untyped]
    from great_expectations.core.expectation_suite import ExpectationSuite

    suite = ExpectationSuite(
        name=table.about,
        expectations=[
            getattr(expectations, rule.check.expectation)(
                **rule.check.parameters(rule.column), meta={"rule": number, "code": rule.code}
            )
            for number, rule in enumerate(table.rules)
        ],
    )
    columns = {column for rule in table.rules for column in (rule.column, rule.check.against) if column}
    # as objects: no type is guessed, so "0012" stays a text and a large or missing number makes no column of floats
    frame = pandas.DataFrame(
        {name: pandas.Series([_encodable(row[name]) for row in table.rows], dtype=object) for name in sorted(columns)}
    )
    # texts in Python's own strings: other storages search with another engine of regular expressions
    with pandas.option_context("mode.string_storage", "python"):
        batch = batch_definition.get_batch({"dataframe": frame})
        return batch.validate(suite, result_format=_RESULT_FORMAT).results


def _encodable(value: Any) -> Any:
    """Lone surrogates as private characters, which no rule tells apart: great-expectations encodes every text."""
    if isinstance(value, str) and not value.isprintable():
        return _SURROGATE.sub("\uf8ff", value)
    return value


@lru_cache(maxsize=2)
def _bench(about: str) -> Any:
    """Where batches of one kind are judged. Nothing is written anywhere, and nobody outside is told or asked."""
    context = _context()
    asset = context.data_sources.get("orders").add_dataframe_asset(about)
    return asset.add_batch_definition_whole_dataframe("batch")


@lru_cache(maxsize=1)
def _context() -> Any:
    """One ephemeral context for the process."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read while it is imported
    import great_expectations
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    logging.getLogger("great_expectations").setLevel(logging.CRITICAL)  # it logs values; what matters is in the verdict
    config = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(),
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
    )
    context = great_expectations.get_context(project_config=config, mode="ephemeral", cloud_mode=False)
    context.data_sources.add_pandas("orders")
    return context
