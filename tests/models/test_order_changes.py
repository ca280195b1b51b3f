"""Changes after payment, at every stage: stopped before it is made, called back after, for a person once it has left.

Each is a row and stands in the timeline; what is sent in the end is what the channel says, and stock is what its
ledger says.
"""

from __future__ import annotations

import pytest
from sqlmodel import Session

from models.book import Taken
from models.checks import check
from tests.models.build import CAN, DRY, NOW
from tests.models.change_lane import shipped
from tests.models.order_story import (
    REACHED,
    Change,
    another_sku,
    fewer_bags,
    fewer_cans,
    money_back,
    more_cans,
    new_address,
    no_bags,
    story,
)

CHANGES: dict[str, tuple[Change, dict[str, int], str]] = {
    "fewer cans": (fewer_cans, {CAN: 1, DRY: 3}, "lines_changed"),
    "fewer bags": (fewer_bags, {CAN: 2, DRY: 1}, "lines_changed"),
    "no bags": (no_bags, {CAN: 2}, "lines_changed"),
    "another sku": (another_sku, {CAN: 5}, "lines_changed"),
    "more cans": (more_cans, {CAN: 5, DRY: 3}, "lines_changed"),
    "money back": (money_back, {CAN: 2, DRY: 3}, "partly_refunded"),
    "new address": (new_address, {CAN: 2, DRY: 3}, "address_changed"),
}
#: What asks for less of what was sent, and is a person's then.
LESS = ("fewer cans", "fewer bags", "no bags", "another sku")


@pytest.mark.parametrize("reached", REACHED)
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_at_any_stage_ends_in_what_the_channel_says(session: Session, reached: str, change: str) -> None:
    # given
    told_of = story(session, reached)
    fence = told_of.parts[0].fence
    apply, wanted, kind = CHANGES[change]
    gone = reached in ("shipped", "delivered")

    # when
    assert told_of.says(apply) == {Taken.CHANGED: 1}
    told_of.lane.carry()

    # then it is in the timeline once, nobody went on as if it were not, and it is not asked for any more
    assert told_of.kinds()[kind] == 1
    assert change == "money back" or told_of.parts[0].fence > fence
    by_hand = gone and change != "money back" and change != "more cans"
    states = [state for name, state in told_of.states() if name != "refund"]
    assert states == ([] if change == "money back" else ["by_hand" if by_hand else "applied"])
    # and what has been sent is what is wanted now, or a person has been told
    sent = {CAN: max(2, wanted[CAN]), DRY: 3} if gone else wanted
    assert shipped(session, told_of.order) == sent
    assert told_of.codes() == _holds(change, reached)
    # and nothing was told twice, and stock is what its ledger says
    assert set(told_of.lane.outside.told.values()) <= {1}
    assert [violation.code for violation in check(session, NOW)] == []
    assert told_of.on_hand(CAN) == (100 - sent[CAN], 0)


def _holds(change: str, reached: str) -> list[str]:
    gone, is_made = reached in ("shipped", "delivered"), reached in ("produced", "with a waybill")
    if change == "new address":
        return ["address_changed"] if gone else []
    if change not in LESS:
        return []
    return ["changed_after_shipping"] if gone else ["overmade"] if is_made and change != "fewer cans" else []
