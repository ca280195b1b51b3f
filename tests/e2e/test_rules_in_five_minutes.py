"""A lead of operations adds a question, a recipe and a row, tries them, activates them: the next order follows them.

What she types is what the README shows; nothing is restarted. Orders that came before keep the rules they came under.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

import pytest

from models.database import in_transaction, transact, utcnow
from models.form_desk import CUSTOMER, save_answers
from models.fulfilment import FulfilmentLine, carried_by
from models.order import Order, lines_of
from models.production import WorkState
from models.review import Verdict, cases_of, decide
from tests.carrying import carry, deploy_reviews, holds, placed, reported
from tests.database import TemporaryServer
from tests.e2e.told_once import assert_shipped_once
from tests.house import House, house
from tests.orders import Kind, fulfilment_of
from tests.prefect import RunningServer

#: For every dog and cat that eats anything: it has nothing in it that anybody reacts to.
RECIPES = {
    "狗": ("DOG-PURE", "犬粮 低敏(新)", "水解蛋白 900、亚麻籽油 60、犬用预混料 40"),
    "猫": ("CAT-PURE", "猫粮 低敏(新)", "水解蛋白 900、亚麻籽油 60、猫用预混料(含牛磺酸) 40"),
}


@pytest.fixture(scope="module")
def home(database_server: TemporaryServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house of its own: other tests' orders go by the starter rules."""
    with house(database_server, tmp_path_factory.mktemp("house")) as furnished:
        yield furnished


def recipes_in(order: Order) -> set[str]:
    """The recipes that the order's lines are made by."""
    part = fulfilment_of(order)
    carried: list[FulfilmentLine] = transact(lambda session: carried_by(session, part.id or 0))
    return {line.recipe for line in carried if line.recipe}


async def orderloom(home: House, *words: str) -> str:
    """What `orderloom rules …` said, in a process of its own as she runs it; it must have worked."""
    command = [sys.executable, "-m", "deployments.cli", "rules", *words, "--who", "陈静"]
    run = partial(subprocess.run, capture_output=True, text=True, env={**os.environ, **home.environment})
    ended = await asyncio.to_thread(run, command)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return " ".join(ended.stdout.split())


async def test_new_rules_are_made_tried_and_followed_without_a_restart(
    home: House, prefect_server: RunningServer
) -> None:
    # given an order of the past, and one that is on its way
    await deploy_reviews()
    past, on_its_way = await placed(home, Kind.MADE), await placed(home, Kind.MADE)
    assert (await carry(past)).name == "等待生产完成"
    # when the lead adds a question, two recipes and a row
    question = ("living_space", "居住环境", "--kind", "choice", "--choices", "indoor=室内、outdoor=室外", "--required")
    assert "订单表单第 2 版 起草好了" in await orderloom(home, "add-field", *question)
    for species, (code, title, grams) in RECIPES.items():
        wish = ("--grams", grams, "--species", species, "--staple", "干粮", "--kcal", "3650", "--rank", "1")
        await orderloom(home, "add-recipe", code, title, *wish, "--suits", f"物种={species}", "--suits", "主食偏好=")
    row = ("有定制=是", "金额(元)=<= 500", "谁审核=客服主管", "理由=定制单 {金额(元)} 元", "时限(分钟)=30")
    await orderloom(home, "add-row", *row, "--note", "定制单由客服主管看")
    # and looks at what that would have done, and has it begin
    assert "1 单(100.0%)会不同;送审从 0 单变为 1 单" in await orderloom(home, "try", "matrix", "2")
    assert "换成别的配方" in await orderloom(home, "try", "recipes", "3")
    assert "会因表单搁置" in await orderloom(home, "try", "form", "2")
    for kind, number in (("form", "2"), ("recipes", "3"), ("matrix", "2")):
        assert "现在生效" in await orderloom(home, "activate", kind, number)
    # then the next order is asked the question
    follows = await placed(home, Kind.MADE)
    assert (await carry(follows)).name == "等待客户补充资料"
    assert await holds(follows) == ["profile_incomplete"]
    await _answer(follows, {"living_space": "室内"})
    # gets the new recipe, and is the service lead's to look at
    assert (await carry(follows)).name == "等待审核"
    (case,) = await in_transaction(lambda session: cases_of(session, follows.id or 0))
    assert (case.role, [reason[:4] for reason in case.reasons]) == ("customer_service_lead", ["定制单 "])
    assert recipes_in(follows) <= {code for code, _, _ in RECIPES.values()} and recipes_in(follows)
    await in_transaction(lambda session: decide(session, case.id or 0, Verdict.APPROVE, "陈静", "", utcnow()))
    # and the one that came before is asked nothing, keeps its recipe, and is looked at by nobody
    assert (await carry(on_its_way)).name == "等待生产完成"
    assert not recipes_in(on_its_way) & {code for code, _, _ in RECIPES.values()}
    assert follows.rules == {"form": 2, "recipes": 3, "matrix": 2} != on_its_way.rules
    # all of them reach their customers
    assert (await carry(follows)).name == "等待生产完成"
    for order in (past, on_its_way, follows):
        await reported(order, WorkState.COMPLETED)
        await carry(order)
    assert_shipped_once(home, [past, on_its_way, follows])
    # and when the lead goes back, the one after that follows the old rules again
    for kind in ("form", "recipes", "matrix"):
        await orderloom(home, "rollback", kind)
    last = await placed(home, Kind.MADE)
    assert (await carry(last)).name == "等待生产完成"


async def _answer(order: Order, answers: dict[str, str]) -> None:
    lines = transact(lambda session: lines_of(session, order.id or 0))
    for line in lines:
        if line.made_to_order:
            await in_transaction(
                lambda session, number=line.line_no: save_answers(  # type: ignore[misc]
                    session, session.get_one(Order, order.id), number, answers, CUSTOMER, utcnow()
                )
            )
