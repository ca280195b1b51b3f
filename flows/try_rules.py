"""Tries a version of the rules on the orders of the last days: what would have been decided otherwise."""

from __future__ import annotations

from typing import Annotated, Literal

from prefect import flow
from prefect.states import Completed, Failed, State
from pydantic import Field

from models.past_orders import MOST_DAYS
from models.rule_version import RuleKind, RulesRefused
from tasks.trying import TryoutFailed
from tasks.trying import try_rules as try_on_the_past
from tasks.tryout_board import ProgressBar, headline, show_tryout


@flow(name="try-rules", flow_run_name="试算 {kind} 第 {number} 版", persist_result=False)
async def try_rules(
    kind: Literal["form", "recipes", "matrix"],
    number: Annotated[int, Field(ge=1)],
    your_name: str,
    days: Annotated[int, Field(ge=1, le=MOST_DAYS)] = 30,
) -> State:
    """Ask version `number` about the orders of the last `days` days and show what would change.

    Nothing is changed but the note with the version that it was tried. The artifact `tryout-<kind>` is the result.

    Args:
        kind: 种类:form 是订单表单,recipes 是配方,matrix 是审批矩阵
        number: 版本:第几版
        your_name: 谁:你的姓名,记录里会写明是谁试算的
        days: 最近几天的订单,1 到 365
    """
    which = RuleKind(kind)
    if not your_name.strip():
        return Failed(name="缺姓名", message="请填写你的姓名,记录里会写明是谁试算的。")
    try:
        tryout = await try_on_the_past(which, number, days, your_name.strip()[:80], ProgressBar(which, number))
    except RulesRefused as refused:
        return Failed(name="不能试算", message=str(refused))
    except TryoutFailed as failed:
        return Failed(name="没有试算完", message=str(failed))
    await show_tryout(tryout)
    return Completed(name=f"会变 {tryout.tally.changed} 单", message=headline(tryout))
