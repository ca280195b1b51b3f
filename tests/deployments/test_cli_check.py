"""`orderloom check`: changes nothing by itself, says what it could mend, and mends under a name when told to."""

from __future__ import annotations

import getpass
import json

from sqlalchemy import text
from sqlmodel import Session

from models.database import utcnow
from tests.deployments.command import Run, number
from tests.models.build import CAN, open_shop
from tests.models.factories import a_fulfilment, an_order

WRONG = text("UPDATE stock_item SET on_hand = 17 WHERE sku = :sku")


def test_check_changes_nothing_and_says_what_repair_can_mend(orderloom: Run, session: Session) -> None:
    open_shop(session, cans=10)
    session.execute(WRONG, {"sku": CAN})
    session.commit()

    said = orderloom("check")

    assert said.returncode == 1
    assert "stock_differs_from_ledger: 1 个" in said.stdout
    assert "`orderloom check --repair` 可以修复" in said.stdout
    assert number(session, "SELECT on_hand FROM stock_item WHERE sku = 'CAN-400'") == 17
    assert number(session, "SELECT count(*) FROM stock_movement WHERE kind = 'repair'") == 0


def test_repair_mends_says_what_it_changed_and_leaves_a_row_with_an_author(orderloom: Run, session: Session) -> None:
    open_shop(session, cans=10)
    session.execute(WRONG, {"sku": CAN})
    session.commit()

    said = orderloom("check", "--repair", "--who", "王敏")
    again = orderloom("check", "--repair")

    assert said.returncode == 0, said.stderr
    assert "在库 17 → 10" in said.stdout and "修复了 1 处,0 处要人处理" in said.stdout
    assert "全部规则成立" in said.stdout
    assert number(session, "SELECT on_hand FROM stock_item WHERE sku = 'CAN-400'") == 10
    assert number(session, "SELECT count(*) FROM stock_movement WHERE kind = 'repair' AND actor = '王敏'") == 1
    assert again.returncode == 0 and "没有可修复的账目" in again.stdout
    assert number(session, "SELECT count(*) FROM stock_movement WHERE kind = 'repair'") == 1


def test_repairs_are_signed_with_the_systems_user_and_json_stays_json(orderloom: Run, session: Session) -> None:
    open_shop(session, cans=10)
    session.execute(WRONG, {"sku": CAN})
    session.commit()

    said = orderloom("check", "--repair", "--json")

    assert json.loads(said.stdout) == []
    assert "在库 17 → 10" in said.stderr
    author = session.execute(text("SELECT actor FROM stock_movement WHERE kind = 'repair'")).scalar_one()
    assert author == getpass.getuser()


def test_what_a_person_must_see_to_keeps_the_exit_code(orderloom: Run, session: Session) -> None:
    open_shop(session, cans=10)
    session.execute(
        text(
            "INSERT INTO stock_movement (at, warehouse, sku, kind, on_hand_change, reserved_change, actor, reason)"
            " VALUES (now(), 'WH-SZ', :sku, 'adjustment', -12, 0, 'by hand', '')"
        ),
        {"sku": CAN},
    )
    session.commit()

    said = orderloom("check", "--repair")

    assert said.returncode == 1
    assert "要人处理" in said.stdout and "orderloom stock adjust" in said.stdout
    assert number(session, "SELECT on_hand FROM stock_item WHERE sku = 'CAN-400'") == 10


def test_wakers_are_listed_when_asked_for(orderloom: Run, session: Session) -> None:
    order = an_order(session, utcnow(), "SH-7")
    a_fulfilment(session, order, utcnow(), stage="approved", waiting_on="production", waiting_why="生产中")
    session.commit()

    said = orderloom("check", "--wakers")
    as_json = json.loads(orderloom("check", "--wakers", "--json").stdout)

    assert "已批准 · 等待生产完成:1 件,由 MES 的完工或失败回报 唤醒" in said.stdout
    assert [waker["count"] for waker in as_json["wakers"]] == [1]
