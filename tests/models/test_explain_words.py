"""Nothing that an order can be or wait for lacks words, in either language."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest

from models import effect, explain_words, quality
from models.compensation import CAUSE_WORDS, Cause
from models.effect import EffectState
from models.explain_facts import happened, teller
from models.fulfilment import Stage, WaitingOn
from models.notification import Node, NotificationState
from models.production import WorkState
from models.refund import STEP_WORDS, RefundStep
from models.review import CaseState, Verdict
from models.timeline import EventKind, OrderEvent
from models.wording import STAGE_WORDS, WAITING_WORDS
from tests.models.build import (
    NOW,
)

ROOT = Path(__file__).parents[2]
CHINESE = re.compile("[\u4e00-\u9fff]")

TABLES: list[tuple[type[StrEnum], Mapping[Any, Any]]] = [
    (EventKind, explain_words.EVENTS),
    (WaitingOn, explain_words.WAITS),
    (EffectState, explain_words.EFFECTS),
    (CaseState, explain_words.REVIEWS),
    (Verdict, explain_words.VERDICTS),
    (WorkState, explain_words.WORK),
    (NotificationState, explain_words.NOTIFICATIONS),
    (Stage, STAGE_WORDS),
    (WaitingOn, WAITING_WORDS),
    (Node, explain_words.NODES),
    (RefundStep, STEP_WORDS),
    (Cause, CAUSE_WORDS),
]


@pytest.mark.parametrize(("members", "table"), TABLES, ids=[members.__name__ for members, _ in TABLES])
def test_no_member_lacks_words_in_either_language(members: type[StrEnum], table: Mapping[Any, Any]) -> None:
    assert set(table) == set(members)
    for said in table.values():
        pairs = [said.means, said.move, said.wakes] if isinstance(said, explain_words.Wait) else [said]
        for chinese, english in pairs:
            assert CHINESE.search(chinese)
            assert english and not CHINESE.search(english)


def test_every_effect_kind_and_every_fault_has_words() -> None:
    assert set(explain_words.EFFECT_KINDS) == set(effect.KINDS)
    told = {rule.code for rule in quality.RULES}
    told |= set(re.findall(r'Fault\(\s*"(\w+)"', (ROOT / "models/book.py").read_text()))
    assert told == set(explain_words.FAULTS)


def placed_codes() -> Iterator[str]:
    """The code of every `hold.place(…)` in the product; a code made at run time by its beginning."""
    for path in (
        path for folder in ("models", "tasks", "flows", "integrations") for path in (ROOT / folder).rglob("*.py")
    ):
        for call in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "place"):
                continue
            if isinstance(call.func.value, ast.Name) and call.func.value.id == "hold" and len(call.args) > 2:
                code = call.args[2]
                if isinstance(code, ast.Constant):
                    yield str(code.value)


def test_every_hold_that_is_placed_has_english_words() -> None:
    codes = set(placed_codes())

    assert "made_already" in codes and len(codes) > 5
    assert codes - set(explain_words.HOLDS) == set(), "add words to models/explain_words.py HOLDS"


@pytest.mark.parametrize("kind", list(EventKind))
def test_an_event_without_detail_is_still_a_sentence(kind: EventKind) -> None:
    event = OrderEvent(order_id=1, at=NOW, actor="test", kind=kind.value, detail={})
    for language in ("zh", "en"):
        assert len(happened(event, teller(language))) > 1
