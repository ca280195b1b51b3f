"""What is sold and what it is made of: products (SKU) and ingredients, in one table of stock-keeping units."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import StrEnum

from sqlalchemy import CheckConstraint
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, Session, SQLModel, select

from models.table import big


class Unit(StrEnum):
    """What stock is counted in."""

    PIECE = "piece"
    GRAM = "g"


class Product(SQLModel, table=True):
    """One SKU. `weight_g` is of one piece (0 where unknown); a made-to-order one is made from ingredients."""

    __tablename__ = "product"
    __table_args__ = (CheckConstraint("weight_g >= 0 AND price_fen >= 0", name="product_numbers_not_negative"),)

    sku: str = Field(primary_key=True)
    title: str
    unit: str = Unit.PIECE.value
    weight_g: int = big()
    price_fen: int = big()
    made_to_order: bool = False


def save_products(session: Session, products: Iterable[Product]) -> int:
    """Add products or bring them up to date; returns how many were given."""
    rows = [product.model_dump() for product in products]
    for start in range(0, len(rows), 1000):
        statement = insert(Product).values(rows[start : start + 1000])
        changes = {name: statement.excluded[name] for name in rows[0] if name != "sku"}
        session.connection().execute(statement.on_conflict_do_update(index_elements=["sku"], set_=changes))
    return len(rows)


def products(session: Session, skus: Sequence[str]) -> dict[str, Product]:
    """The products among these SKUs, by SKU."""
    found = session.exec(select(Product).where(Product.sku.in_(list(skus))))  # type: ignore[attr-defined]
    return {product.sku: product for product in found}
