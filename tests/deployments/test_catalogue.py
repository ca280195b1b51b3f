"""The catalogue as it is deployed, against a committed snapshot: a changed schedule, pool or limit shows in review.

After a change that is meant: `python -m tests.deployments.test_catalogue` writes the snapshot again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deployments.catalogue import AUTOMATIONS, DEPLOYMENTS, POOLS, Cron, Deployment
from deployments.deploy import load_flow

SNAPSHOT = Path(__file__).with_name("catalogue_snapshot.json")


def described() -> dict[str, Any]:
    """Everything of the catalogue that decides what runs where and when."""
    return {
        "pools": {pool.name: {"type": pool.type, "limit": pool.limit, "poll": pool.poll_seconds} for pool in POOLS},
        "deployments": dict(sorted((f"{load_flow(one).name}/{one.name}", _deployment(one)) for one in DEPLOYMENTS)),
        "automations": {one.name: [action.type for action in one.actions] for one in AUTOMATIONS},
    }


def _deployment(one: Deployment) -> dict[str, Any]:
    schedule = one.schedule
    when = f"{schedule.expression} {schedule.timezone}" if isinstance(schedule, Cron) else str(schedule)
    return {
        "pool": one.pool,
        "when": when if schedule else "on demand",
        "limit": one.limit,
        "past the limit": one.collision,
        "parameters": dict(one.parameters),
        "tags": list(one.tags),
        "active": one.active,
    }


def test_what_runs_where_and_when_is_what_was_reviewed() -> None:
    assert described() == json.loads(SNAPSHOT.read_text(encoding="utf-8"))


def test_every_deployment_tells_operators_what_it_does() -> None:
    for one in DEPLOYMENTS:
        assert one.description.startswith("**"), f"{one.name}: say in bold what it does, then what to know"


def test_what_a_person_starts_has_no_limit_that_would_make_them_wait_for_another_person() -> None:
    by_hand = [one for one in DEPLOYMENTS if one.pool == "desk" and one.name in ("manual", "review")]

    assert len(by_hand) == 5
    assert all(one.limit is None for one in by_hand)


if __name__ == "__main__":
    SNAPSHOT.write_text(json.dumps(described(), ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
