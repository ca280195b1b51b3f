"""What reviewers read in the messages that call them: reasons as they were said, and nothing that leads elsewhere."""

from __future__ import annotations

import pytest

from models.review import ReviewCase
from models.review_duty import Chased, Step
from tasks.chasing import LONGEST_REASON, message
from tests.models.build import NOW
from tests.models.review_cases import COSTLY


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        (COSTLY, COSTLY),
        ("过敏原 问13812345678,或 139-8765-4321", "过敏原 问〔号码〕,或 〔号码〕"),
        ("[急](http://evil.example)", "\uff3b急\uff3d(http:\uff0f\uff0fevil.example)"),
        ("<@all> <font color>", "\uff1c\uff20all\uff1e \uff1cfont color\uff1e"),
        ("**粗** `码`", "\uff0a\uff0a粗\uff0a\uff0a \uff40码\uff40"),
        ("一行\n> 另一行\x00", "一行 \uff1e 另一行"),
        ("长" * 50, "长" * (LONGEST_REASON - 1) + "…"),
    ],
)
def test_a_reason_is_one_line_without_a_link_a_mention_or_a_number(reason: str, shown: str) -> None:
    case = ReviewCase(fulfilment_id=1, order_id=1, reasons=[reason], opened_at=NOW, due_at=NOW)
    said = message(Step.TELL, "nutritionist", [Chased(case, "SH-1001", 79_200)])
    (row,) = said.splitlines()[1:-1]
    assert row.partition("</font> 前:")[2] == shown
