"""Approval matrices of a test's own: in force for the orders that come meanwhile, the starter's again afterwards.

with matrix_in_force(row("lead", amount="> 500", role="customer_service_lead", reason='"大单"')):
    order = await bought(home, {"BED-9": 6})
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlmodel import Session

import models.matrix
from models.database import transact, utcnow
from models.rule_version import RuleKind, activate, draft, find_version

STARTER = Path(models.matrix.__file__).parent / "starter" / "matrix.json"


def row(name: str, *, role: str, reason: str, minutes: int = 22, **cells: str) -> dict[str, str]:
    """A row: cells by field in the engine's words, the reason as an expression (`"大单"`, in quotes)."""
    return {"_id": name, "role": json.dumps(role), "reason": reason, "sla": str(minutes), **cells}


def starter_and(*rows: Mapping[str, str], without: str = "") -> dict[str, Any]:
    """The starter matrix with further rows, and without the one of this id."""
    body = copy.deepcopy(json.loads(STARTER.read_text(encoding="utf-8")))
    (table,) = [node for node in body["approval"]["nodes"] if node["type"] == "decisionTableNode"]
    kept = [rule for rule in table["content"]["rules"] if rule["_id"] != without]
    table["content"]["rules"] = [*kept, *rows]
    return body


def install(session: Session, *rows: Mapping[str, str], without: str = "", now: datetime | None = None) -> None:
    """The starter matrix with these rows holds from now on; by default since long ago."""
    at = now or datetime(2020, 1, 1, tzinfo=UTC)
    version = draft(session, RuleKind.MATRIX, starter_and(*rows, without=without), "test", "", at)
    activate(session, version, at, "test", "", at)


@contextmanager
def matrix_in_force(*rows: Mapping[str, str], without: str = "") -> Iterator[None]:
    """The starter matrix with these rows holds inside this block."""

    transact(lambda session: install(session, *rows, without=without, now=utcnow()))
    try:
        yield
    finally:
        transact(_starter_again)


def _starter_again(session: Session) -> None:
    now = utcnow()
    activate(session, find_version(session, RuleKind.MATRIX, 1), now, "test", "", now)
