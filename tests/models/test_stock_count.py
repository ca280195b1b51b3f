"""A count from a sheet: what is shown, what is carried out, once, as differences, and on after a crash."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlmodel import Session

from models import database, stock_count_apply
from models.checks import check
from models.compensation import Limits
from models.fulfilment import Stage
from models.order import Order
from models.settings import PolicySettings, settings
from models.stock import adjust, receive, transfer
from models.stock_count import (
    BadRow,
    CountedRow,
    CountState,
    LineState,
    StockCount,
    StockCountLine,
    find,
    left,
    lines,
    preview,
    unchanged,
)
from models.stock_count_apply import apply_next, begin, carry_out, close
from models.stock_desk import StockRefused
from tests.models.build import CAN, DRY, NOW, WAREHOUSE, cans, incoming, open_shop, taken, walk

LIMITS = Limits.of(PolicySettings())
CHICKEN, BEEF = "ING-CHICKEN", "ING-BEEF"
LATER = NOW + timedelta(hours=1)


def counted(session: Session, *rows: tuple[str, int], sha256: str = "a" * 64, bad: list[BadRow] | None = None) -> int:
    """The number of a preview of these SKUs and numbers."""
    listed = [CountedRow(at, sku, quantity) for at, (sku, quantity) in enumerate(rows, 2)]
    count = preview(session, listed, bad or [], "盘点.csv", sha256, WAREHOUSE, "王敏", NOW)
    assert count.id is not None
    return count.id


def applied(session: Session, number: int) -> list[StockCountLine]:
    """Carry out all of a count that has begun; its lines in the order they were carried out."""
    done, after = [], 0
    while (line := apply_next(session, number, after, "王敏", LATER, LIMITS)) is not None:
        assert line.id is not None
        done, after = [*done, line], line.id
    close(session, number, LATER)
    return done


def start(session: Session, number: int) -> None:
    taken_up, _ = begin(session, number, "月末盘点", "王敏", LATER)
    assert taken_up


def on_hand(session: Session, sku: str = CAN) -> int:
    return int(session.execute(text("SELECT on_hand FROM stock_item WHERE sku = :sku"), {"sku": sku}).scalar_one())


def reserved(session: Session, name: str, quantity: int, minutes: int) -> Order:
    order = taken(session, incoming(name, cans(quantity), paid_at=NOW + timedelta(minutes=minutes)))
    walk(session, order.order_no, Stage.RESERVED)
    return order


def test_a_preview_shows_what_would_change_and_changes_nothing(session: Session) -> None:
    open_shop(session, cans=10, grams=500)
    first, second = reserved(session, "1", 4, 0), reserved(session, "2", 4, 1)

    rows = [(CAN, 6), (CHICKEN, 500), (BEEF, 700), ("NONE", 3), (DRY, 1)]
    number = counted(session, *rows, bad=[BadRow(9, "X", "坏行")])

    changing = lines(session, number)
    assert [(line.sku, line.on_hand, line.reserved, line.difference) for line in changing] == [
        (CAN, 10, 8, -4), (BEEF, 500, 0, 200),
    ]  # fmt: skip
    assert changing[0].losing == [f"{second.order_no}-1"] and first.order_no not in str(changing[0].losing)
    assert unchanged(session, number) == 1
    count = find(session, number)
    assert [(bad.row, bad.sku) for bad in count.bad_rows] == [(5, "NONE"), (6, DRY), (9, "X")]
    assert (count.state, count.bad_count, count.who) == ("preview", 3, "王敏")
    assert on_hand(session) == 10
    assert check(session, NOW) == []


def test_what_was_sold_and_received_since_the_preview_is_kept(session: Session) -> None:
    # given: 10 in the book, 7 counted; then 4 are promised and 5 arrive
    open_shop(session, cans=10)
    number = counted(session, (CAN, 7))
    reserved(session, "1", 4, 0)
    receive(session, WAREHOUSE, CAN, 5, "到货", "李强", NOW)

    start(session, number)
    (line,) = applied(session, number)

    assert (line.before, line.after, line.state, line.applied_at) == (15, 12, LineState.APPLIED.value, LATER)
    assert on_hand(session) == 12
    newest = text("SELECT kind, on_hand_change, actor, reason FROM stock_movement ORDER BY id DESC LIMIT 1")
    row = session.execute(newest).first()
    assert row is not None and tuple(row) == ("count", -3, "王敏", f"盘点 #{number}:月末盘点")
    assert find(session, number).state == CountState.APPLIED.value
    assert check(session, NOW) == []


def test_it_never_falls_below_nothing(session: Session) -> None:
    open_shop(session, cans=10)
    number = counted(session, (CAN, 0))
    session.execute(text("INSERT INTO warehouse VALUES ('WH-2', '二仓', '', '', NULL)"))
    transfer(session, CAN, 4, WAREHOUSE, "WH-2", "调拨", "李强", NOW)

    start(session, number)
    (line,) = applied(session, number)

    assert (line.before, line.after) == (6, 0)


def test_orders_that_lose_their_promise_are_reported(session: Session) -> None:
    open_shop(session, cans=10)
    reserved(session, "1", 4, 0)
    second = reserved(session, "2", 4, 1)
    number = counted(session, (CAN, 5))

    start(session, number)
    (line,) = applied(session, number)

    assert line.outcome == {f"{second.order_no}-1": "backorder"}
    assert line.result == f"10 → 5;失去预留:{second.order_no}-1 转入等货"
    assert [one.code for one in check(session, LATER) if one.severity == "error"] == []


def test_a_second_time_is_a_sentence_and_changes_nothing(session: Session) -> None:
    open_shop(session, cans=10)
    number = counted(session, (CAN, 7))
    start(session, number)
    applied(session, number)
    before = session.execute(text("SELECT count(*) FROM stock_movement")).scalar_one()

    taken_up, sentence = begin(session, number, "再来", "李强", LATER)

    assert not taken_up
    assert "已由 王敏 于" in sentence and "没有改变任何内容" in sentence
    assert applied(session, number) == []
    assert session.execute(text("SELECT count(*) FROM stock_movement")).scalar_one() == before


def test_the_same_file_is_refused_for_a_day_and_taken_afterwards(session: Session) -> None:
    open_shop(session, cans=10)
    number = counted(session, (CAN, 7))
    assert counted(session, (CAN, 7)) == number + 1  # shown again before it was written: fine
    start(session, number)

    with pytest.raises(StockRefused, match="这个文件已由 王敏 于"):
        counted(session, (CAN, 7))
    assert counted(session, (CAN, 7), sha256="b" * 64)
    session.execute(text("UPDATE stock_count SET begun_at = begun_at - interval '2 days'"))
    assert counted(session, (CAN, 7))


def test_what_was_counted_or_corrected_since_the_preview_is_left_out_for_good(session: Session) -> None:
    open_shop(session, cans=10, grams=500)
    number, twin = counted(session, (CAN, 7), (BEEF, 400)), counted(session, (CAN, 7))
    adjust(session, WAREHOUSE, BEEF, -100, "破损", "李强", NOW)
    start(session, number)

    first, second = applied(session, number)
    start(session, twin)
    (again,) = applied(session, twin)

    assert (first.state, second.state, again.state) == ("applied", "stale", "stale")
    assert "请重新盘这一行" in second.result
    assert (on_hand(session), on_hand(session, BEEF)) == (7, 400)
    assert find(session, number).state == find(session, twin).state == CountState.APPLIED.value


def test_a_shelf_too_busy_stays_open_and_is_gone_on_with(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    open_shop(session, cans=10, grams=500)
    number = counted(session, (CAN, 7), (BEEF, 400))
    start(session, number)
    busy = stock_count_apply.CountBusy(WAREHOUSE, CAN)
    real = stock_count_apply.counting.count

    def sometimes(session: Session, warehouse: str, sku: str, *rest: object) -> object:
        if sku == CAN:
            raise busy
        return real(session, warehouse, sku, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(stock_count_apply.counting, "count", sometimes)
        first, second = applied(session, number)
    assert (first.state, second.state) == ("open", "applied")
    assert "请稍后再试" in first.result
    assert find(session, number).state == CountState.APPLYING.value and left(session, number) == 1

    taken_up, sentence = begin(session, number, "", "李强", LATER)
    (done,) = applied(session, number)

    assert taken_up and "接着上次的地方" in sentence
    assert (done.state, done.problem, on_hand(session), on_hand(session, BEEF)) == ("applied", "", 7, 400)
    assert find(session, number).state == CountState.APPLIED.value


def test_what_moves_between_look_and_count_makes_the_line_begin_again(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_shop(session, cans=10)
    number = counted(session, (CAN, 7))
    start(session, number)
    real, sold = stock_count_apply.items, []

    def then_somebody_buys(session: Session, warehouse: str, skus: list[str]) -> dict[str, tuple[int, int]]:
        seen = real(session, warehouse, skus)
        if not sold:
            sold.append(True)
            return {CAN: (seen[CAN][0] + 2, 0)}  # two more than there are by the time of the count
        return seen

    monkeypatch.setattr(stock_count_apply, "items", then_somebody_buys)

    (line,) = applied(session, number)

    assert (line.before, line.after) == (10, 7)
    assert session.execute(text("SELECT count(*) FROM stock_movement WHERE kind = 'count'")).scalar_one() == 1


def test_nobody_begins_without_a_reason_or_what_is_not_there(session: Session) -> None:
    open_shop(session, cans=10)
    number = counted(session, (CAN, 7))

    with pytest.raises(StockRefused, match="请写明原因"):
        begin(session, number, "  ", "王敏", NOW)
    for missing in (0, -1, 404, 2**70):
        with pytest.raises(StockRefused, match="没有盘点"):
            begin(session, missing, "原因", "王敏", NOW)
    assert find(session, number).state == CountState.PREVIEW.value


@pytest.fixture
def configured(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The process's own database is this test's."""
    monkeypatch.setenv("ORDERLOOM_DATABASE_URL", database_url)
    settings.cache_clear()
    yield database_url
    database.engine().dispose()
    database.engine_for.cache_clear()
    settings.cache_clear()


class Died(Exception):
    """The process is gone."""


def test_a_count_that_died_half_way_goes_on_and_no_line_is_carried_out_twice(configured: str, session: Session) -> None:
    open_shop(session, cans=10, grams=500)
    number = counted(session, (CAN, 7), (BEEF, 400), (CHICKEN, 300))
    start(session, number)
    session.commit()
    told: list[str] = []

    def dies_after_two(line: StockCountLine) -> None:
        told.append(line.sku)
        if len(told) == 2:
            raise Died

    with pytest.raises(Died):
        carry_out(number, "王敏", LIMITS, dies_after_two)
    session.rollback()
    assert left(session, number) == 1 and find(session, number).state == "applying"
    session.rollback()

    assert carry_out(number, "王敏", LIMITS, lambda line: told.append(line.sku)) is True

    assert told == [CAN, BEEF, CHICKEN]
    assert [on_hand(session, sku) for sku in (CAN, BEEF, CHICKEN)] == [7, 400, 300]
    assert session.execute(text("SELECT count(*) FROM stock_movement WHERE kind = 'count'")).scalar_one() == 3
    assert carry_out(number, "王敏", LIMITS, lambda line: told.append(line.sku)) is True
    assert len(told) == 3
    assert session.get_one(StockCount, number).state == "applied"
