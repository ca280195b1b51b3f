"""Tries a version of the rules on the orders of the last days: what would have been decided otherwise."""

from __future__ import annotations

from prefect import flow
from prefect.states import Completed, Failed, State

from models.rule_version import RulesRefused
from tasks.rule_step_form import TryStep
from tasks.trying import TryoutFailed
from tasks.trying import try_rules as try_on_the_past
from tasks.tryout_board import ProgressBar, headline, show_tryout


@flow(name="try-rules", flow_run_name="试算{step.kind}第 {step.number} 版", persist_result=False)
async def try_rules(step: TryStep) -> State:
    """Ask a version of the rules about the orders of the last days and show what would change.

    Nothing is changed but the note with the version that it was tried. The artifact `tryout-<kind>` is the result.

    Args:
        step: 试算哪一版,用最近几天的订单
    """
    which = step.which
    if not step.your_name.strip():
        return Failed(name="缺姓名", message="请填写你的姓名,记录里会写明是谁试算的。")
    try:
        bar = ProgressBar(which, step.number)
        tryout = await try_on_the_past(which, step.number, step.days, step.your_name.strip(), bar)
    except RulesRefused as refused:
        return Failed(name="不能试算", message=str(refused))
    except TryoutFailed as failed:
        return Failed(name="没有试算完", message=str(failed))
    await show_tryout(tryout)
    return Completed(name=f"会变 {tryout.tally.changed} 单", message=headline(tryout))
