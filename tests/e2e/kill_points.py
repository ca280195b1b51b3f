"""The places where a process may die, read from the product's own sources, and which test kills it at each.

`python -m tests.e2e.kill_points` prints the table that stands in `tests/e2e/README.md`.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

from models import effect
from models.effect import KINDS, Once

REPOSITORY = Path(__file__).parents[2]
README = Path(__file__).with_name("README.md")
#: The four places around everything that is told to the outside.
AROUND = ("before_intent", "intended", "called", "recorded")

LIFE, PAID_BACK, LANES = "test_kill_points.py", "test_kill_points_paid_back.py", "test_killed_lanes.py"
#: By kind of effect: the file, the test in it, and what the order goes through there.
EFFECTS_KILLED_IN = {
    "production_release": (LIFE, "test_kills_on_the_way_to_the_customer_tell_nothing_twice"),
    "waybill": (LIFE, "test_kills_on_the_way_to_the_customer_tell_nothing_twice"),
    "ship_notice": (LIFE, "test_kills_on_the_way_to_the_customer_tell_nothing_twice"),
    "sms": (LIFE, "test_kills_on_the_way_to_the_customer_tell_nothing_twice"),
    "production_cancel": (LIFE, "test_kills_while_calling_back_call_back_once"),
    "waybill_cancel": (LIFE, "test_kills_while_calling_back_call_back_once"),
    "staff_message": (PAID_BACK, "test_kills_while_asking_the_warehouse_ask_it_all_the_same"),
    "refund": (PAID_BACK, "test_kills_while_making_up_for_what_is_not_there_pay_back_once"),
    "coupon": (PAID_BACK, "test_kills_while_making_up_for_what_is_not_there_pay_back_once"),
}
#: The points that are not around an effect.
OTHERS_KILLED_IN = {
    "committed": (PAID_BACK, "test_killed_again_and_again_after_any_transaction_it_is_paid_back_once"),
    "page_read": (LIFE, "test_kills_on_the_way_to_the_customer_tell_nothing_twice"),
    "page_taken": (LIFE, "test_kills_on_the_way_to_the_customer_tell_nothing_twice"),
    "claimed": (LIFE, "test_kills_on_the_way_to_the_customer_tell_nothing_twice"),
    "parking": (LIFE, "test_kills_on_the_way_to_the_customer_tell_nothing_twice"),
    "parked": (LIFE, "test_kills_on_the_way_to_the_customer_tell_nothing_twice"),
    "review_run_made": (LANES, "test_three_lanes_die_and_the_fourth_finishes"),
    "review_form_stored": (LANES, "test_three_lanes_die_and_the_fourth_finishes"),
}
HELD_BY = {
    Once.KEYED: "our key, the same bytes again",
    Once.ASKABLE: "asked before it is repeated",
    Once.AT_LEAST_ONCE: "repeated: staff may read it twice",
    Once.AT_MOST_ONCE: "not repeated",
}


def points() -> list[str]:
    """The fault points in the order of the sources; those around an effect once for each kind that is told."""
    kinds = sorted({getattr(effect, ast.unparse(call.args[1])).name for call in _calls("tell_once")})
    found = []
    for call in _calls("point"):
        template = ast.unparse(call.args[0]).strip("f'\"")
        found += [template.replace("{kind.name}", kind) for kind in kinds] if "{" in template else [template]
    return found


def points_by_effect() -> dict[str, list[str]]:
    """The points around each kind of effect; under "" all others."""
    groups: dict[str, list[str]] = {}
    for point in points():
        groups.setdefault(point.partition(":")[2], []).append(point)
    return groups


def table() -> str:
    """Which test kills where, as Markdown."""
    groups = points_by_effect()
    rows = [
        "| effect | held to once by | killed at | in |",
        "|---|---|---|---|",
    ]
    for kind in sorted(name for name in groups if name):
        file, test = EFFECTS_KILLED_IN[kind]
        places = ", ".join(f"`{point.partition(':')[0]}`" for point in groups[kind])
        rows.append(f"| `{kind}` | {HELD_BY[KINDS[kind].once]} | {places} | `{file}` `{test}` |")
    rows += ["", "| other point | in |", "|---|---|"]
    for point in groups[""]:
        file, test = OTHERS_KILLED_IN[point]
        rows.append(f"| `{point}` | `{file}` `{test}` |")
    return "\n".join(rows)


def _calls(name: str) -> list[ast.Call]:
    """Every call of a function with this name in the product's own sources."""
    return [call for call in _all_calls() if name in (getattr(call.func, "attr", ""), getattr(call.func, "id", ""))]


@cache
def _all_calls() -> list[ast.Call]:
    folders = ("models", "integrations", "tasks", "flows", "deployments")
    files = [file for folder in folders for file in sorted((REPOSITORY / folder).rglob("*.py"))]
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files]
    return [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]


if __name__ == "__main__":
    print(table())
