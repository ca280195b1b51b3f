"""Has a version of the rules hold, now or at a time; goes back to the one before; withdraws; discards."""

from __future__ import annotations

from prefect import flow
from prefect.states import Completed, Failed, State

from tasks.rule_step_form import RuleStep
from tasks.rules import NOT_DONE, take_step
from tasks.rules_board import show_history


@flow(name="activate-rules", persist_result=False)
async def activate_rules(step: RuleStep) -> State:
    """Do what the form says with a version of the rules. Orders that came before keep the versions they came under.

    Run again, or by two people at once, it is done once: the state says that nothing changed. The artifact
    `rule-history` is every version and every activation, with who, when and why.

    Args:
        step: 启用、退回、撤回或作废:选一种,填哪一版
    """
    try:
        done = await take_step(step.step)
    except NOT_DONE as refused:
        return Failed(name="没有做成", message=str(refused)[:4_000])
    await show_history()
    return Completed(name=step.named(done), message=str(done))
