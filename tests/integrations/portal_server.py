"""The portal on free loopback ports over a database of the test's own, and orders to show on it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import httpx
import pytest
from sqlalchemy import text
from sqlmodel import Session

from integrations.portal.public import make_public
from integrations.portal.staff import make_staff
from integrations.sandbox.credentials import settings_for_sandbox
from models import database, hold, staff
from models.fulfilment import Fulfilment, FulfilmentLine
from models.intake import Receiver
from models.order import Order, OrderLine, keep_contact
from models.parcel import Parcel, keep_parcel
from models.privacy import new_key
from models.production import WorkOrder, WorkState
from models.review import ReviewCase, open_case
from models.settings import settings
from models.timeline import EventKind, OrderEvent, note, timeline
from tests.models.factories import a_fulfilment, an_order
from tests.sandbox import free_socket, serving

Result = TypeVar("Result")
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WAREHOUSE_SECRET = "whsec_" + "V0FSRUhPVVNF" * 3
PASSWORD = "correct horse battery staple"
RECEIVER = Receiver("王小明", "13812345678", "广东省", "深圳市", "南山区", "科技园路 1 号 3 栋 2001")


@dataclass(frozen=True)
class Portal:
    """Both listeners of a running portal."""

    public: str
    staff: str


@contextmanager
def running_portal(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Portal]:
    """Serve both applications over this database."""
    monkeypatch.setenv("ORDERLOOM_DATABASE_URL", database_url)
    monkeypatch.setenv("ORDERLOOM_PRIVACY_KEY", new_key())
    monkeypatch.setenv("ORDERLOOM_MES__CALLBACK_SECRET", SECRET)
    monkeypatch.setenv("ORDERLOOM_WAREHOUSE__CALLBACK_SECRET", WAREHOUSE_SECRET)
    for keeper in ("alipay", "wechat_pay"):
        monkeypatch.setenv(f"ORDERLOOM_{keeper.upper()}", json.dumps(settings_for_sandbox(9, "")[keeper]))
    settings.cache_clear()
    try:
        with ExitStack() as stack:
            public = stack.enter_context(serving(make_public(), free_socket()))
            yield Portal(public, stack.enter_context(serving(make_staff(), free_socket())))
    finally:
        database.engine().dispose()
        database.engine_for.cache_clear()
        settings.cache_clear()


def now() -> datetime:
    """The clock that the portal goes by."""
    return datetime.now(UTC)


def committed(work: Callable[[Session], Result]) -> Result:
    """Do `work` in a transaction of the portal's database."""
    return database.transact(work)


def one(statement: str, **parameters: Any) -> Any:
    """The single value that a query gives."""
    return committed(lambda session: session.connection().execute(text(statement), parameters).scalar_one())


@dataclass(frozen=True)
class Seeded:
    """An order with one fulfilment."""

    order: Order
    fulfilment: Fulfilment

    @property
    def order_id(self) -> int:
        """The order's key."""
        assert self.order.id is not None
        return self.order.id

    @property
    def fulfilment_id(self) -> int:
        """The fulfilment's key."""
        assert self.fulfilment.id is not None
        return self.fulfilment.id

    def events(self, kind: EventKind) -> list[OrderEvent]:
        """The rows of this kind in its timeline."""
        return [event for event in committed(lambda s: timeline(s, self.order_id)) if event.kind == kind]


def an_order_of(order_no: str = "SH-1001", title: str = "鲜食主粮 500g", **stage: Any) -> Seeded:
    """A paid order of `RECEIVER` with one line and one fulfilment, an hour old. `stage`: columns of `Fulfilment`."""

    def work(session: Session) -> Seeded:
        then = now() - timedelta(hours=1)
        contact = keep_contact(session, RECEIVER)
        order = an_order(
            session,
            then,
            order_no,
            contact_id=contact.id,
            channel_order_name=f"#{order_no[-4:]}",
            platform_status="to_ship",
            total_fen=52_000,
            paid_fen=52_000,
        )
        fulfilment = a_fulfilment(session, order, then, **{"warehouse": "SZ", **stage})
        pet = {"species": "dog", "breed": "柯基犬", "weight_kg": "11.5", "allergens": "chicken"}
        line = OrderLine(
            order_id=order.id or 0, line_no=1, channel_line_id="L1", sku="FRESH-500", title=title, quantity=2,
            unit_price_fen=26_000, paid_fen=52_000, made_to_order=True, profile=pet,
        )  # fmt: skip
        session.add(line)
        session.flush()
        carried = FulfilmentLine(fulfilment_id=fulfilment.id or 0, order_line_id=line.id or 0, quantity=2)
        session.add(carried)
        note(session, order.id or 0, EventKind.RECEIVED, "platform:shopify", then, name=order.channel_order_name)
        return Seeded(order, fulfilment)

    return committed(work)


def with_parcel(seeded: Seeded, made_at: datetime | None = None, **columns: Any) -> Parcel:
    """The order's parcel, with its tracking link. `columns`: of `Parcel`."""

    def work(session: Session) -> Parcel:
        at = made_at or now()
        number = f"{seeded.order.order_no}-1"
        parcel = keep_parcel(session, seeded.order_id, seeded.fulfilment_id, "sf_express", number, f"SF{at:%f}", at)
        for name, value in columns.items():
            setattr(parcel, name, value)
        session.add(parcel)
        return parcel

    return committed(work)


def with_work_order(seeded: Seeded, number: str = "SH-1001-1-1") -> WorkOrder:
    """A work order that the factory has taken."""

    def work(session: Session) -> WorkOrder:
        row = WorkOrder(
            work_order_no=number, fulfilment_id=seeded.fulfilment_id, order_id=seeded.order_id, sku="FRESH-500",
            quantity=2, recipe="dog-duck", state=WorkState.RELEASED.value, batch_no="B-1",
        )  # fmt: skip
        session.add(row)
        return row

    return committed(work)


def with_review(seeded: Seeded, minutes: int = 22) -> ReviewCase:
    """An open case, due in `minutes`."""
    reasons = ["金额 520.00 元,超过 500 元"]
    return committed(lambda s: open_case(s, seeded.order_id, seeded.fulfilment_id, reasons, minutes, now()))


def with_hold(seeded: Seeded, code: str = "paid_amount_differs", reason: str = "实付与应付不等") -> None:
    """A blocking hold."""
    committed(lambda s: hold.place(s, seeded.order_id, code, reason, "财务", "核对后解除", "verify-payment", now()))


def an_account(name: str = "王敏", role: str = "admin") -> None:
    """A staff account with `PASSWORD`."""
    committed(lambda session: staff.set_password(session, name, role, PASSWORD, now()))


class Browser(httpx.Client):
    """A person at the staff pages: keeps cookies, does not follow redirects by itself, fills in forms of ours."""

    def __init__(self, portal: Portal) -> None:
        super().__init__(base_url=portal.staff, follow_redirects=False, trust_env=False, timeout=30)

    def sign_in(self, name: str = "王敏", password: str = PASSWORD) -> httpx.Response:
        """Fill in the sign-in form."""
        return self.send_form("/sign-in", "/sign-in", name=name, password=password)

    def token(self, page: str) -> str:
        """The token in the forms of this page."""
        found = re.search(r'name="csrf" value="([0-9a-f]{64})"', self.get(page).text)
        assert found, f"{page} has no form"
        return found[1]

    def send_form(self, page: str, to: str, **fields: str) -> httpx.Response:
        """Send a form of `page`, with its token, to `to`."""
        return self.post(to, data={"csrf": self.token(page), **fields})


@contextmanager
def signed_in(portal: Portal, name: str = "王敏", role: str = "admin") -> Iterator[Browser]:
    """A new account at a browser of its own."""
    an_account(name, role)
    with Browser(portal) as browser:
        assert browser.sign_in(name).status_code == 303
        yield browser
