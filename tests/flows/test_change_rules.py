"""Changing rules from the Prefect UI: forms become drafts, drafts are tried and activated, and orders follow them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.objects import FlowRun
from pydantic import TypeAdapter, ValidationError
from sqlmodel import Session

from deployments.catalogue import DEPLOYMENTS
from flows.change_rules import Change, change_rules
from integrations.spreadsheets.rules_sheet import rules_sheet
from models.database import engine_for, transact, utcnow
from models.product import Product
from models.rule_version import RuleKind, RuleVersion, activations, find_version, numbers_in_force, versions
from models.settings import settings
from tests.house import living_in
from tests.prefect import RunningServer, deploy_for_test, run_here

[CHANGE] = [one for one in DEPLOYMENTS if one.name == "change-rules"]
[ACTIVATE] = [one for one in DEPLOYMENTS if one.name == "activate-rules"]
ROW = {
    "amount": "> 300",
    "new_customer": "是",
    "role": "客服主管",
    "reason": "新客户,金额 {金额(元)} 元",
    "minutes": 15,
}
ME = {"your_name": "王敏", "note": "双十一 *促销*"}


@pytest.fixture
def rules(database_url: str, tmp_path: Path) -> Iterator[Path]:
    """A new order book, and the folder for files of rules."""
    (tmp_path / "rules").mkdir()
    with living_in({"ORDERLOOM_DATABASE_URL": database_url, "ORDERLOOM_STATE_DIR": str(tmp_path)}):
        yield tmp_path / "rules"
    engine_for(database_url).dispose()


async def artifacts_of(run: FlowRun) -> dict[str, str]:
    """What a run wrote for people, by key."""
    async with get_client() as client:
        wanted = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id]))
        found = await client.read_artifacts(artifact_filter=wanted)
    return {artifact.key or "": str(artifact.data) for artifact in found}


async def change(**said: Any) -> FlowRun:
    return await run_here(CHANGE, parameters={"change": {**ME, **said}})


async def step(what: str, kind: str, number: int = 0, **said: Any) -> FlowRun:
    asked = {"what": what, "kind": kind, "number": number, "your_name": "李娜", **said}
    return await run_here(ACTIVATE, parameters={"step": asked})


def tried(kind: RuleKind, number: int) -> None:
    """Mark a version as tried: what that takes is the try-out's own test."""

    def mark(session: Session) -> None:
        version = find_version(session, kind, number)
        version.tried = {"orders": 40, "changed": 3, "days": 30}
        session.add(version)

    transact(mark)


def in_force() -> dict[str, int]:
    return transact(lambda session: numbers_in_force(session, utcnow()))


def newest(kind: RuleKind) -> RuleVersion:
    return transact(lambda session: versions(session, kind)[0])


async def test_a_row_a_field_and_a_recipe_are_drafted_by_their_forms(
    rules: Path, prefect_server: RunningServer
) -> None:
    await deploy_for_test([CHANGE])
    # when each is filled in
    row = await change(**ROW)
    field = await change(field="litter", title="猫砂", answer="单选", choices="tofu=豆腐、clay=膨润土", required="是")
    recipe = await change(
        code="CAT-RABBIT-WET",
        title="猫粮 兔肉(湿)",
        species="猫",
        staple="湿粮",
        grams="兔肉 960、猫用预混料(含牛磺酸) 40",
        new_ingredients="ING-RABBIT 兔肉 42.5",
        nutrients="粗蛋白 11、粗脂肪 4.5、粗纤维 1、水分 78、粗灰分 2",
        kcal_per_kg=900,
        rank=5,
    )
    # then each is a draft without problems that says what is different, and nothing holds yet
    assert [run.state_name for run in (row, field, recipe)] == ["第 2 版可以试算"] * 3
    assert in_force() == {"form": 1, "recipes": 1, "matrix": 1}
    said = {**await artifacts_of(row), **await artifacts_of(field), **await artifacts_of(recipe)}
    assert sorted(said) == ["rule-draft-form", "rule-draft-matrix", "rule-draft-recipes"]
    for words in (
        "# 审批矩阵第 2 版:可以试算",
        "新增审批矩阵的行 row-",
        "客服主管",
        "`try-rules`,种类「审批矩阵」,第 2 版",
    ):
        assert words in said["rule-draft-matrix"]
    assert "*促销*" not in said["rule-draft-matrix"]  # what people write is text, not Markdown
    assert "新增字段 litter:猫砂(单选,必填)" in said["rule-draft-form"]
    assert "新增食材 ING-RABBIT:兔肉" in said["rule-draft-recipes"]
    # and the recipe's own SKU becomes goods when it is activated, not before
    assert transact(lambda session: session.get(Product, "ING-RABBIT")) is None


async def test_the_same_change_twice_is_one_draft_and_the_next_goes_on_from_it(
    rules: Path, prefect_server: RunningServer
) -> None:
    await deploy_for_test([CHANGE])
    first, second = await change(**ROW), await change(**ROW)
    third = await change(drop_row="special")

    assert [run.state_name for run in (first, second, third)] == ["第 2 版可以试算"] * 2 + ["第 3 版可以试算"]
    assert "没有另起一份" in str(second.state and second.state.message)
    assert [row["_id"] for row in newest(RuleKind.MATRIX).body["approval"]["nodes"][1]["content"]["rules"]][:2] == [
        "amount", "no-recipe",
    ]  # fmt: skip


async def test_a_draft_with_problems_says_them_and_how_to_go_on(rules: Path, prefect_server: RunningServer) -> None:
    await deploy_for_test([CHANGE, ACTIVATE])

    run = await change(**{**ROW, "amount": "=> > 5"})

    assert run.state_name == "第 2 版有 1 个问题"
    text = (await artifacts_of(run))["rule-draft-matrix"]
    assert "草稿有问题" in text and "## 要改好的问题" in text and "再运行 `change-rules`" in text
    refused = await step("启用", "审批矩阵", 2, untried=True, untried_why="急")
    assert (refused.state_name, in_force()["matrix"]) == ("没有做成", 1)


async def test_files_of_the_folder_are_drafted_and_no_others(rules: Path, prefect_server: RunningServer) -> None:
    body = transact(lambda session: find_version(session, RuleKind.MATRIX, 1).body)
    sheet = rules_sheet(RuleKind.MATRIX, 1, body)
    (rules / "矩阵.xlsx").write_bytes(sheet)
    (rules / "form.json").write_text('{"schema": {"type": "object", "properties": {}}}', encoding="utf-8")
    (rules.parent / "secret.json").write_text("{}", encoding="utf-8")
    (rules / "link.json").symlink_to(rules.parent / "secret.json")
    await deploy_for_test([CHANGE])

    same = await change(file="矩阵.xlsx")
    broken = await change(file="form.json")
    others = [await change(file=name) for name in ("../secret.json", "link.json", "/etc/passwd", "没有.xlsx", "..")]

    assert (same.state_name, str(same.state and same.state.message)) == (
        "没有做成", "和生效中的审批矩阵第 1 版完全一样。没有改变。",
    )  # fmt: skip
    assert str(broken.state_name).startswith("第 2 版有")
    assert [run.state_name for run in others] == ["没有做成"] * 5
    said = [str(run.state and run.state.message) for run in others]
    assert [words.partition(":")[0] for words in said[::2]] == ["只写文件名,不写目录"] * 3 and "有 form.json" in said[3]
    assert (newest(RuleKind.MATRIX).number, newest(RuleKind.FORM).number) == (1, 2)


async def test_whole_rules_are_pasted_as_json(rules: Path, prefect_server: RunningServer) -> None:
    body = transact(lambda session: find_version(session, RuleKind.MATRIX, 1).body)
    await deploy_for_test([CHANGE])
    changed = json.dumps(body, ensure_ascii=False).replace("> 500", "> 600")
    whole = await change(kind="审批矩阵", json_text=changed)
    from_editor = await change(kind="审批矩阵", json_text=json.dumps(json.loads(changed)["approval"]))
    wrong = [await change(kind="审批矩阵", json_text=text) for text in ("{,}", "[1]", '{"schema": {}}', "{" * 90_000)]

    assert [run.state_name for run in (whole, from_editor)] == ["第 2 版可以试算"] * 2
    assert newest(RuleKind.MATRIX).number == 2
    assert [run.state_name for run in wrong] == ["没有做成"] * 4
    said = [str(run.state and run.state.message) for run in wrong]
    assert said[0].startswith("不是 JSON:第 1 行第 2 个字读不懂")
    assert "这一份看起来是订单表单" in said[2]


async def test_a_version_is_activated_gone_back_from_and_discarded_by_one_form(
    rules: Path, prefect_server: RunningServer
) -> None:
    await deploy_for_test([CHANGE, ACTIVATE])
    await change(**ROW)
    # when it was not tried, it is not activated
    early = await step("启用", "审批矩阵", 2)
    assert (early.state_name, in_force()["matrix"]) == ("没有做成", 1)
    # when it was
    tried(RuleKind.MATRIX, 2)
    runs = [await step("启用", "审批矩阵", 2), await step("启用", "审批矩阵", 2), await step("退回", "审批矩阵", 2)]
    runs += [await step("退回", "审批矩阵", 2), await step("作废", "审批矩阵", 2)]
    # then each is done once
    assert [run.state_name for run in runs] == [
        "已启用 审批矩阵第 2 版", "没有改变", "已退回到 审批矩阵第 1 版", "没有改变", "没有做成",
    ]  # fmt: skip
    assert in_force()["matrix"] == 1
    # and the history says who did what
    history = (await artifacts_of(runs[2]))["rule-history"]
    for words in ("# 规则历史", "## 审批矩阵", "| 2 | 曾生效 | 王敏 |", "40 单,会变 3 单", "李娜:第 2 版自"):
        assert words in history


async def test_a_version_is_activated_at_a_time_of_china_and_withdrawn(
    rules: Path, prefect_server: RunningServer
) -> None:
    await deploy_for_test([CHANGE, ACTIVATE])
    await change(**ROW)
    at = (utcnow() + timedelta(days=2, hours=8)).replace(microsecond=0, tzinfo=None)  # a clock in China, no zone

    later = await step("启用", "审批矩阵", 2, from_at=at.isoformat(), untried=True, untried_why="演练")
    withdrawn = await step("撤回", "审批矩阵", 2, note="先不上")

    assert (later.state_name, withdrawn.state_name) == ("将启用 审批矩阵第 2 版", "已撤回 审批矩阵第 2 版")
    [_, (activation, number)] = transact(lambda session: activations(session, RuleKind.MATRIX))
    assert (number, activation.untried_why, activation.withdrawn_why) == (2, "演练", "先不上")
    assert abs(activation.from_at - utcnow() - timedelta(days=2)) < timedelta(minutes=5)
    assert "由 李娜 撤回:先不上" in (await artifacts_of(withdrawn))["rule-history"]


def test_every_form_of_the_ui_has_titles_and_is_told_from_the_others() -> None:
    schema = change_rules.parameters.model_dump()
    forms = schema["definitions"]
    assert [one["$ref"].rsplit("/")[-1] for one in schema["properties"]["change"]["anyOf"]] == [
        "MatrixRow", "DropRow", "FormField", "DropField", "RecipeCard", "DropRecipe", "RulesFile", "WholeRules",
    ]  # fmt: skip
    fields = [field for form in forms.values() for field in form["properties"].values()]
    assert len(fields) > 60
    assert all("\u4e00" <= field["title"][0] <= "\u9fff" or field["title"] == "JSON" for field in fields)
    assert all("\u4e00" <= form["title"][0] <= "\u9fff" and form["description"] for form in forms.values())
    needed = [frozenset(form["required"]) - {"your_name"} for form in forms.values()]
    assert len(set(needed)) == len(needed)


@pytest.mark.parametrize("said", [{}, {"amount": "> 5"}, {**ROW, "role": "老板"}, {**ROW, "drop_row": "x"}])
def test_a_form_that_is_not_filled_in_is_refused_by_the_form(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Change).validate_python({**ME, **said})


def test_the_folder_is_below_the_state_directory(rules: Path) -> None:
    assert rules == settings().state_dir / "rules"
