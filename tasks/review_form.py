"""The form in which a reviewer decides: one for each case, because the recipes that its pets may get are its own.

A reviewer fills in words; what comes back is read into a `ReviewDecision`, whichever version of the form it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.exceptions import PrefectHTTPStatusError
from prefect.input import Keyset, RunInput
from pydantic import Field, create_model

from models.recipe import Recipe
from models.review import Verdict
from models.review_sight import SeenLine, Sight
from tasks.review_page import FOLLOWS

#: A select that is left alone.
UNCHANGED = "不换"
_RECIPE = "recipe_"


class Choice(StrEnum):
    """What the form offers, as reviewers read it."""

    APPROVE = FOLLOWS[Verdict.APPROVE][0]
    CHANGE_RECIPE = FOLLOWS[Verdict.CHANGE_RECIPE][0]
    ASK_CUSTOMER = FOLLOWS[Verdict.ASK_CUSTOMER][0]
    REJECT = FOLLOWS[Verdict.REJECT][0]


VERDICTS = {choice: Verdict[choice.name] for choice in Choice}


@dataclass(frozen=True)
class ReviewDecision:
    """What a reviewer said. `recipes`: line number → code of the new recipe."""

    verdict: Choice
    reviewer: str
    note: str = ""
    recipes: Mapping[int, str] = field(default_factory=dict)


class ReviewForm(RunInput):
    """What every form asks."""

    reviewer: str = Field(title="审核人(姓名)", min_length=1, max_length=40, json_schema_extra={"position": 20})
    note: str = Field(
        default="",
        title="备注(客户或同事会看到)",
        max_length=500,
        json_schema_extra={"position": 21},
    )

    @classmethod
    async def asave(cls, keyset: Keyset, flow_run_id: UUID | None = None) -> None:
        """Nothing: a form is stored (`store_form`) before its run suspends, so that no run ever waits without one."""


def form_for(sight: Sight, page: str) -> type[ReviewForm]:
    """The form of one case, with the page on top: the recipe of a line can be changed to those that its pet may have.

    The page is the help of the first question. Prefect would show a description above the form, too, but squeezes it
    into what the form leaves of the window, which on a small one is nothing.
    """
    order_no = sight.order.order_no
    changeable = sight.changeable
    offered = [choice for choice in Choice if choice is not Choice.CHANGE_RECIPE or changeable]
    usual = Choice.CHANGE_RECIPE if sight.case.recipes and changeable else Choice.APPROVE  # a recipe is to be chosen
    fields: dict[str, Any] = {
        "order": (
            str,
            Field(
                default=order_no,
                title="审核内容",
                description=page,
                json_schema_extra={"enum": [order_no], "position": 0},
            ),
        ),
        "verdict": (
            Literal[tuple(str(choice) for choice in offered)],
            Field(
                default=str(usual),
                title="结论",
                json_schema_extra={"position": 1},
            ),
        ),
    }
    for place, line in enumerate(changeable):
        others = [label(recipe) for recipe in line.allowed if line.recipe is None or recipe.code != line.recipe.code]
        fields[f"{_RECIPE}{line.line_no}"] = (
            Literal[(UNCHANGED, *others)],
            Field(
                default=UNCHANGED,
                title=f"新配方:{_short(line)}" if len(changeable) > 1 else "新配方",
                description=_what_it_may_be(line),
                json_schema_extra={"position": 2 + place},
            ),
        )
    form: type[ReviewForm] = create_model("ReviewDecision", __base__=ReviewForm, **fields)
    return form


def _what_it_may_be(line: SeenLine) -> str:
    if not line.unknown:
        return "只在结论是「换配方」时选;不含这只宠物的过敏原"
    said = "、".join(line.unknown)
    return f"只在结论是「换配方」时选。客户写的过敏原「{said}」系统不认识,没法替你排除:请自己核对用料,或选「问客户」"


def label(recipe: Recipe) -> str:
    """A recipe in a select."""
    return f"{recipe.title} [{recipe.code}]"


def read_answer(answer: Mapping[str, Any]) -> ReviewDecision:
    """What was filled in, whatever version of the form it was."""
    chosen = {name.removeprefix(_RECIPE): str(said) for name, said in answer.items() if name.startswith(_RECIPE)}
    return ReviewDecision(
        verdict=Choice(answer.get("verdict", Choice.APPROVE)),
        reviewer=str(answer["reviewer"]),
        note=str(answer.get("note", "")),
        recipes={int(line): said.rpartition("[")[2].rstrip("]") for line, said in chosen.items() if said != UNCHANGED},
    )


async def store_form(client: PrefectClient, form: type[ReviewForm], keyset: Keyset, run_id: UUID) -> None:
    """Store the form with the run. Twice: what is stored stays (Prefect answers 409)."""
    schema = form.model_json_schema(by_alias=True)
    properties = schema["properties"]
    by_place = sorted(properties, key=lambda name: int(properties[name]["position"]))
    schema["properties"] = {name: properties[name] for name in by_place}
    try:
        await client.create_flow_run_input(run_id, keyset["schema"], json.dumps(schema, ensure_ascii=False))
    except PrefectHTTPStatusError as error:
        if error.response.status_code != 409:
            raise


def _short(line: SeenLine) -> str:
    return f"第 {line.line_no} 行 {line.title[:20]}"
