"""Orders of one customer, merged, parted, split, put back and cancelled in any order: after each step all is sound."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlmodel import Session

from models.cancellation import request_cancellation
from models.checks import check
from models.company import Terms
from models.fulfilment import Fulfilment, Stage, WaitingOn, carried_by, claim_order, fulfilments_of, park
from models.joining import join
from models.merge_desk import MergeRefused, merge, unmerge
from models.merging import find_company
from models.order import Order, lines_of
from models.shared_parcel import CompanyBusy
from models.splitting import SplitRefused, split_off
from tests.models.build import NOW, cans, incoming, made, open_shop, taken, walk
from tests.models.stockroom import assert_accounts_agree

ORDERS, STEPS = 5, 30
TERMS = Terms(timedelta(minutes=60), timedelta(hours=2))
_CARRIED = text("""
SELECT l.id FROM order_line l JOIN fulfilment_line p ON p.order_line_id = l.id
GROUP BY l.id, l.quantity HAVING sum(p.quantity) <> l.quantity
""")
_LONELY = text("""
SELECT s.id FROM shared_parcel s LEFT JOIN shared_parcel_member m ON m.shared_parcel_id = s.id AND m.left_at IS NULL
WHERE s.state = 'open' GROUP BY s.id HAVING count(m.id) < 2
""")


class Desk:
    """People and a lane at work on a few orders of one customer, by chance."""

    def __init__(self, session: Session, chance: random.Random) -> None:
        open_shop(session)
        self.session, self.chance, self.did = session, chance, Counter[str]()
        names = [str(number) for number in range(1, ORDERS + 1)]
        self.orders = [taken(session, incoming(name, cans(3), made(2))) for name in names]
        for order in self.orders:
            walk(session, order.order_no, chance.choice([Stage.RESERVED, Stage.APPROVED, Stage.PRODUCED]))
        session.commit()

    def step(self) -> None:
        """One thing that somebody does, if the rules let them."""
        steps: list[Callable[[], object]] = [self.merge, self.unmerge, self.split, self.join, self.look, self.cancel]
        (what,) = self.chance.choices(steps, weights=[6, 3, 5, 3, 5, 1])
        try:
            what()
            self.session.commit()
            self.did[what.__name__] += 1
        except (MergeRefused, SplitRefused, CompanyBusy):
            self.session.rollback()

    def merge(self) -> None:
        some = self.chance.sample(self._parts(), 2)
        merge(self.session, [part.id or 0 for part in some], "王敏", NOW)

    def unmerge(self) -> None:
        unmerge(self.session, self.chance.choice(self._parts()).id or 0, "王敏", NOW)

    def split(self) -> None:
        order = self._order()
        lines = lines_of(self.session, order.id or 0)
        pieces = {line.id or 0: self.chance.randint(1, 2) for line in self.chance.sample(lines, 1)}
        split_off(self.session, order, pieces, "王敏", NOW, number=self.chance.randint(1, 2))

    def join(self) -> None:
        order = self._order()
        numbers = [part.number for part in fulfilments_of(self.session, order.id or 0)]
        join(self.session, order, self.chance.sample(numbers, min(2, len(numbers))), "王敏", NOW)

    def look(self) -> None:
        """A lane comes to the waybills of an order, and looks who could travel along."""
        for claim in claim_order(self.session, self._order().id or 0, "lane-1", 60, NOW):
            if Stage.PRODUCED.value == self.session.get_one(Fulfilment, claim.fulfilment_id).stage:
                find_company(self.session, claim, TERMS, NOW)
            park(self.session, claim, WaitingOn.RETRY, "测试里停在这里", NOW + timedelta(hours=1), now=NOW)

    def cancel(self) -> None:
        request_cancellation(self.session, self._order(), "客户不要了", "客服", NOW)

    def _order(self) -> Order:
        return self.chance.choice(self.orders)

    def _parts(self) -> list[Fulfilment]:
        parts = [part for order in self.orders for part in fulfilments_of(self.session, order.id or 0)]
        return [part for part in parts if carried_by(self.session, part.id or 0)]


@pytest.mark.parametrize("seed", range(6))
def test_whatever_people_do_about_parcels_the_book_is_sound(session: Session, seed: int) -> None:
    desk = Desk(session, random.Random(seed))
    assert [violation.code for violation in check(session, NOW)] == []
    for number in range(STEPS):
        desk.step()
        assert [violation.code for violation in check(session, NOW)] == [], (number, desk.did)
        assert session.connection().execute(_CARRIED).all() == [], (number, desk.did)
        assert session.connection().execute(_LONELY).all() == [], (number, desk.did)
        assert_accounts_agree(session)
        session.rollback()
    assert len(desk.did) >= 4 and desk.did.total() >= STEPS // 3, desk.did
