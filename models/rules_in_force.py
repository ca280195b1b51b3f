"""The rules by which an order is decided: those that were in force when it came, read once and kept in memory.

A version never changes, so what was made of one is kept by the digest of its text, over all orders and threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any, TypeVar

from sqlalchemy import text
from sqlmodel import Session

from models.database import utcnow
from models.matrix import Matrix
from models.order import Order
from models.order_form import OrderForm
from models.recipe import RecipeBook
from models.rule_version import RuleKind, RulesRefused, numbers_in_force

Read = TypeVar("Read")

_DIGEST = text("SELECT digest FROM rule_version WHERE kind = :kind AND number = :number")
_BODY = text("SELECT body FROM rule_version WHERE kind = :kind AND number = :number")

#: (kind, digest) → what was read of it. A few dozen versions are in use at once, however many there were.
_MOST_KEPT = 64
_kept: dict[tuple[RuleKind, str], Any] = {}
_lock = Lock()


def form_of(session: Session, order: Order) -> OrderForm:
    """The order form that this order is asked by."""
    return _of(session, order, RuleKind.FORM, OrderForm)


def recipes_of(session: Session, order: Order) -> RecipeBook:
    """The recipes that this order is made by."""
    return _of(session, order, RuleKind.RECIPES, RecipeBook)


def matrix_of(session: Session, order: Order) -> Matrix:
    """The approval matrix that decides who looks at this order."""
    return _of(session, order, RuleKind.MATRIX, Matrix)


def recipes_now(session: Session) -> RecipeBook:
    """The recipes that an order would be made by that came now."""
    return _read(session, RuleKind.RECIPES, numbers_in_force(session, utcnow()), RecipeBook)


def number_of(session: Session, order: Order, kind: RuleKind) -> int:
    """The version of this kind that the order keeps."""
    numbers = order.rules or numbers_in_force(session, order.received_at)
    return int(numbers.get(kind.value, 0))


def _of(session: Session, order: Order, kind: RuleKind, read: Callable[[Mapping[str, Any]], Read]) -> Read:
    # an order from before there were versions goes by those that held when it came
    numbers = order.rules or numbers_in_force(session, order.received_at)
    return _read(session, kind, numbers, read)


def _read(
    session: Session, kind: RuleKind, numbers: Mapping[str, int], read: Callable[[Mapping[str, Any]], Read]
) -> Read:
    which = {"kind": kind.value, "number": numbers.get(kind.value)}
    digest = session.connection().execute(_DIGEST, which).scalar_one_or_none()
    if digest is None:
        raise RulesRefused(f"找不到规则 {kind.value} 第 {which['number']} 版:数据库不完整,请用 orderloom doctor 检查。")
    with _lock:
        known = _kept.get((kind, digest))
    if known is None:
        known = read(session.connection().execute(_BODY, which).scalar_one())
        with _lock:
            while len(_kept) >= _MOST_KEPT:
                _kept.pop(next(iter(_kept)))
            _kept[kind, digest] = known
    return known
