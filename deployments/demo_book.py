"""The order book of a demo: never a real shop's, with goods on the shelves and accounts for its people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import text
from sqlmodel import Session

from integrations.sandbox.credentials import Credentials
from models.database import utcnow
from models.staff import Staff, set_password

#: Whose accounts a demo has, and what they are.
PEOPLE = {"王敏": "nutritionist", "李强": "warehouse_supervisor", "陈静": "customer_service_lead"}


class RealShop(Exception):
    """The order book holds orders that are not the sandbox's."""

    def __init__(self, state_dir: Path) -> None:
        super().__init__(
            f"{state_dir} 的订单簿里有真实店铺的订单,演示不会动它。请换一个目录:orderloom demo --state-dir ./demo"
        )
        self.english = (
            f"The order book of {state_dir} holds a real shop's orders; the demo leaves it alone. Name another "
            f"directory: orderloom demo --state-dir ./demo"
        )


# sheets that somebody tries in a demo have any name for a shop; a book of nothing but sheets is a real seller's
_REAL = text("""
SELECT EXISTS (SELECT FROM orders WHERE NOT shop = ANY(:ours) AND channel <> 'spreadsheet')
  OR (EXISTS (SELECT FROM orders) AND NOT EXISTS (SELECT FROM orders WHERE shop = ANY(:ours)))
""")


def has_real_orders(session: Session) -> bool:
    """Whether the book holds orders of shops that are not the sandbox's."""
    known = Credentials()
    ours = [known.shopify_shop, known.wechat_shop, known.douyin_shop]
    return bool(session.connection().execute(_REAL, {"ours": ours}).scalar_one())


def make_accounts(session: Session, passwords: Mapping[str, str]) -> None:
    """An account for each of these people who has none, with their password."""
    for name, password in passwords.items():
        if session.get(Staff, name) is None:
            set_password(session, name, PEOPLE[name], password, utcnow())
