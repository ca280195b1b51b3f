"""The opening stock of the sandbox's seller: its products, recipes, one warehouse, and goods on every shelf."""

from __future__ import annotations

from datetime import datetime

from sqlmodel import Session, select

from integrations.sandbox.history import catalogue
from models.product import Product, Unit, save_products
from models.recipe import save_ingredients, starter_recipes
from models.stock import receive
from models.warehouse import Warehouse

WAREHOUSE = Warehouse(code="WH-EAST", name="华东仓(嘉兴)", region="华东", province="浙江省")
#: Enough for years of replay: running short is what tests and drills arrange themselves.
PIECES = 5_000
GRAMS = 100_000_000


def open_book(session: Session, now: datetime) -> bool:
    """Furnish an empty order book; one that has a warehouse is left as it is (False)."""
    if session.exec(select(Warehouse.code)).first() is not None:
        return False
    session.add(Warehouse(**WAREHOUSE.model_dump()))  # a copy would share the first book's session state
    save_products(
        session,
        [
            Product(
                sku=sku.code,
                title=sku.title,
                weight_g=sku.grams,
                price_fen=sku.price_fen,
                made_to_order=sku.made_to_order,
            )
            for sku in catalogue().values()
        ],
    )
    save_ingredients(session, starter_recipes())
    session.flush()
    for product in session.exec(select(Product).order_by(Product.sku)).all():
        if not product.made_to_order:
            quantity = GRAMS if product.unit == Unit.GRAM.value else PIECES
            receive(session, WAREHOUSE.code, product.sku, quantity, "期初库存", "opening", now)
    return True
