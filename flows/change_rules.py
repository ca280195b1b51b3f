"""Makes a draft of changed rules, checks it, and says what is different and what to do next."""

from __future__ import annotations

from prefect import flow
from prefect.states import Completed, Failed, State

from tasks.rule_forms import DropField, DropRecipe, DropRow, FormField, MatrixRow, RecipeCard, RulesFile, WholeRules
from tasks.rules import NOT_DONE, draft
from tasks.rules_board import show_draft

#: What a person chooses in the form, one of these.
Change = MatrixRow | DropRow | FormField | DropField | RecipeCard | DropRecipe | RulesFile | WholeRules


@flow(name="change-rules", persist_result=False)
async def change_rules(change: Change) -> State:
    """Make a draft of the rules in force, or of another version, with this change, and check it.

    Nothing holds by it. The same change twice is one draft. The artifact `rule-draft-<kind>` says what is wrong with
    it, what it says otherwise than the version in force, and what to do next.

    Args:
        change: 改什么:先选一种,再填。写好的是草稿,不会生效
    """
    try:
        made = await draft(change.wanted, change.your_name, change.note)
    except NOT_DONE as refused:
        return Failed(name="没有做成", message=str(refused)[:4_000])
    await show_draft(made, change.your_name, change.note)
    name = f"第 {made.number} 版有 {len(made.problems)} 个问题" if made.problems else f"第 {made.number} 版可以试算"
    return Completed(name=name, message=made.sentence)
