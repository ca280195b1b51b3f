"""Column types that every table uses."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, DateTime, Identity, LargeBinary, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field


def key() -> Any:
    """A generated 64-bit primary key."""
    return Field(default=None, primary_key=True, sa_type=BigInteger, sa_column_args=[Identity(always=False)])


def reference(target: str, *, index: bool = True, nullable: bool = False) -> Any:
    """A 64-bit foreign key."""
    if nullable:
        return Field(default=None, foreign_key=target, index=index, nullable=True, sa_type=BigInteger)
    return Field(foreign_key=target, index=index, sa_type=BigInteger)


def moment(*, nullable: bool = False, index: bool = False) -> Any:
    """A point in time (`timestamptz`)."""
    if nullable:
        return Field(default=None, nullable=True, index=index, sa_type=DateTime(timezone=True))
    return Field(index=index, sa_type=DateTime(timezone=True))


def document() -> Any:
    """A JSON object."""
    return Field(default_factory=dict, sa_type=JSONB, nullable=False)


def kept() -> Any:
    """A JSON object that rows from before it was kept do not have: `{}` there."""
    return Field(default_factory=dict, sa_type=JSONB, nullable=False, sa_column_kwargs={"server_default": text("'{}'")})


def words(default: str = "") -> Any:
    """Text of any length."""
    return Field(default=default, sa_type=Text, nullable=False)


def big(default: int = 0) -> Any:
    """A 64-bit number: money in fen, grams, counters."""
    return Field(default=default, sa_type=BigInteger, nullable=False)


def sealed() -> Any:
    """Encrypted bytes."""
    return Field(default=b"", sa_type=LargeBinary, nullable=False)


def link() -> Any:
    """A 64-bit id of another row that is looked up, not enforced."""
    return Field(default=None, nullable=True, sa_type=BigInteger)
