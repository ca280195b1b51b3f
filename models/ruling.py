"""Rulings: what each order was decided by, kept when it was decided: the facts, the versions, and what came of it.

A try-out of new rules asks them about these facts and compares with what was decided then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Index
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, Session, SQLModel

from models.matrix import Asked
from models.table import document, moment


class Ruling(SQLModel, table=True):
    """The newest decision about one order. No personal data.

    `versions`: kind → number. `facts`: what the matrix was asked (`models.matrix.FACTS`). `pets`: for each
    made-to-order line `{"line_no", "sku", "grams", "facts", "allergens", "recipe"}`, where `facts` is what the choice
    of a recipe was asked and `recipe` its answer ("" where there was none). `route`: `[{"role", "reasons", "rows",
    "sla_minutes"}]`, empty for straight through.
    """

    __tablename__ = "ruling"
    __table_args__ = (Index("ruling_by_time", "at"),)

    order_id: int = Field(primary_key=True, foreign_key="orders.id", sa_type=BigInteger)
    at: datetime = moment()
    versions: dict[str, Any] = document()
    facts: dict[str, Any] = document()
    pets: list[Any] = Field(default_factory=list, sa_type=document().sa_type, nullable=False)
    route: list[Any] = Field(default_factory=list, sa_type=document().sa_type, nullable=False)


def keep_ruling(
    session: Session,
    order_id: int,
    versions: Mapping[str, int],
    facts: Mapping[str, Any],
    pets: Sequence[Mapping[str, Any]],
    route: Sequence[Asked],
    now: datetime,
) -> None:
    """Keep what was decided about an order, in place of what was decided before."""
    asked = [
        {"role": a.role, "reasons": list(a.reasons), "rows": list(a.rows), "sla_minutes": a.sla_minutes} for a in route
    ]
    row = {
        "order_id": order_id,
        "at": now,
        "versions": dict(versions),
        "facts": dict(facts),
        "pets": [dict(pet) for pet in pets],
        "route": asked,
    }
    statement = insert(Ruling).values(row)
    session.connection().execute(
        statement.on_conflict_do_update(index_elements=["order_id"], set_={k: row[k] for k in row if k != "order_id"})
    )
