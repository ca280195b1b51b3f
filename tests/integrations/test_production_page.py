"""生产批次 over real HTTP: what staff see of a batch, and the sheet that the kitchen prints."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlmodel import Session, select

from integrations.portal.production_page import sheet_of
from integrations.production.sheet import production_sheet
from models.change import ChangeKind, record
from models.fulfilment import Stage, fulfilments_of
from models.order import Order
from models.production_batch import ProductionBatch
from models.production_page import batch_view
from models.review import Verdict, open_case
from tests.integrations.portal_server import Browser, Portal, committed, now, running_portal, signed_in
from tests.models.build import claimed, incoming, made, open_shop, produce, taken, walk

PAGE = "/production"


@pytest.fixture
def portal(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Portal]:
    with running_portal(database_url, monkeypatch) as running:
        yield running


@pytest.fixture
def cook(portal: Portal) -> Iterator[Browser]:
    with signed_in(portal, "老周", "warehouse_supervisor") as person:
        yield person


def a_batch() -> str:
    """The number of a batch that has been made."""

    def work(session: Session) -> str:
        open_shop(session)
        order = taken(session, incoming("1", made(2)))
        walk(session, order.order_no, Stage.PRODUCED, now())
        return session.exec(select(ProductionBatch.batch_no)).one()

    return committed(work)


def test_staff_see_each_batch_with_its_orders_and_how_far_it_is(cook: Browser) -> None:
    assert "没有未完工的生产批次" in cook.get(PAGE).text
    number = a_batch()

    shown = cook.get(PAGE, params={"all": "1"}).text

    assert all(words in shown for words in (number, "SH-1001", "已完工", "100%", "深圳仓", f"{number}/sheet.pdf"))


def test_the_sheet_is_a_pdf_of_the_batch_as_it_is(cook: Browser) -> None:
    number = a_batch()
    content = committed(lambda session: sheet_of(session, batch_view(session, number)))

    answer = cook.get(f"{PAGE}/{number}/sheet.pdf")

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/pdf")
    assert answer.content == production_sheet(content)


def test_the_sheet_names_what_people_are_warned_of_and_nothing_else(portal: Portal) -> None:
    number = a_batch()

    content = committed(lambda session: sheet_of(session, batch_view(session, number)))

    assert set(content.allergens) == {"鸡肉", "大米", "南瓜"}
    assert content.warehouse == "深圳仓"
    assert sum(content.grams_of(code) for code, _ in content.ingredients) == 2 * 1500
    assert [(line.order_no, line.quantity) for line in content.lines] == [("SH-1001", 2)]


def special_batch(*verdicts: tuple[str, Verdict]) -> str:
    """The number of a batch of a special recipe, after these verdicts (role, verdict) on its order, in this order."""

    def work(session: Session) -> str:
        open_shop(session)
        order = taken(session, incoming("1", made(2)))
        walk(session, order.order_no, Stage.APPROVED, now())
        (part,) = fulfilments_of(session, order.id or 0)
        for minute, (role, verdict) in enumerate(verdicts):
            case = open_case(session, order.id or 0, part.id or 0, ["特殊配方"], 22, now(), role)
            case.state, case.verdict, case.reviewer = "decided", verdict.value, "王敏"
            case.decided_at = now() + timedelta(minutes=minute)
            session.add(case)
            session.flush()
        walk_on = claimed(session, order, now() + timedelta(hours=2))
        produce(session, walk_on, now())
        session.connection().execute(text("UPDATE production_batch SET recipe = 'DOG-HYDRO-DRY'"))
        return session.exec(select(ProductionBatch.batch_no)).one()

    return committed(work)


@pytest.mark.parametrize(
    ("verdicts", "told"),
    [
        ([("nutritionist", Verdict.APPROVE)], "特殊配方,营养师审核已批准"),
        ([("nutritionist", Verdict.CHANGE_RECIPE)], "特殊配方,营养师审核已批准"),
        ([], "特殊配方,营养师没有审核:SH-1001"),
        ([("finance", Verdict.APPROVE)], "特殊配方,营养师没有审核:SH-1001"),
        ([("nutritionist", Verdict.ASK_CUSTOMER)], "特殊配方,营养师没有审核:SH-1001"),
        (
            [("nutritionist", Verdict.APPROVE), ("customer_service_lead", Verdict.CHANGE_RECIPE)],
            "特殊配方,营养师没有审核:SH-1001",
        ),
        (
            [("customer_service_lead", Verdict.CHANGE_RECIPE), ("nutritionist", Verdict.APPROVE)],
            "特殊配方,营养师审核已批准",
        ),
    ],
)
def test_the_sheet_says_of_a_special_recipe_what_reviewers_have_said(
    portal: Portal, verdicts: list[tuple[str, Verdict]], told: str
) -> None:
    number = special_batch(*verdicts)

    content = committed(lambda session: sheet_of(session, batch_view(session, number)))

    assert content.flags[0] == told


def test_an_order_that_has_grown_since_its_review_counts_as_not_reviewed(portal: Portal) -> None:
    number = special_batch(("nutritionist", Verdict.APPROVE))

    def grow(session: Session) -> None:
        order = session.exec(select(Order)).one()
        record(session, order.id or 0, ChangeKind.LINES, {}, {}, "客服", now(), applied=True, grew=True)

    committed(grow)

    content = committed(lambda session: sheet_of(session, batch_view(session, number)))
    assert content.flags[0] == "特殊配方,营养师没有审核:SH-1001"


@pytest.mark.parametrize("number", ["PB000000-0000", "../../etc", "%27%3B--", "x" * 300])
def test_an_unknown_batch_is_said_to_be_none(cook: Browser, number: str) -> None:
    assert cook.get(f"{PAGE}/{number}/sheet.pdf").status_code == 404


def test_who_is_not_signed_in_sees_no_batch(portal: Portal) -> None:
    number = a_batch()
    with Browser(portal) as stranger:
        for page in (PAGE, f"{PAGE}/{number}/sheet.pdf"):
            answer = stranger.get(page)
            assert answer.status_code in (302, 303, 401) and number not in answer.text
