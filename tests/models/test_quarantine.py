"""What is kept of an order that is set aside."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

from sqlmodel import Session

from models.book import Taken, take_orders
from models.privacy import unseal
from models.quarantine import waiting_list
from models.resubmission import waiting_with
from tests.models.build import NOW, RECEIVER, incoming, open_shop


def nested(levels: int) -> dict[str, Any]:
    value: Any = "deep"
    for _ in range(levels):
        value = [value]
    return {"id": "1", "lines": value}


def test_an_order_nested_deeper_than_can_be_written_stops_no_page(session: Session) -> None:
    # given a page with an order that is bad, and nested as deep as a platform's answer may be when it is read
    open_shop(session)
    bad = replace(incoming(), channel_order_id="1", receiver=None, raw=nested(5_000))
    # when the page is taken in
    counts = take_orders(session, [bad, replace(incoming(), channel_order_id="2")], NOW)
    # then the other one is in the book, and of the bad one everything is kept but the depths
    assert counts == Counter({Taken.QUARANTINED: 1, Taken.NEW: 1})
    (row,) = waiting_list(session)
    kept = json.loads(unseal(row.raw))
    assert kept["id"] == "1" and "…" in json.dumps(kept, ensure_ascii=False)


def test_what_waits_is_found_by_fault_and_channel(session: Session) -> None:
    open_shop(session)
    page = [replace(incoming(), channel_order_id="1", receiver=None)]
    page += [replace(incoming(), channel="douyin", channel_order_id="2", receiver=replace(RECEIVER, name="🐶"))]
    take_orders(session, page, NOW)
    ids = {row.channel: row.id for row in waiting_list(session)}
    shopify, douyin = ids[incoming().channel], ids["douyin"]
    assert waiting_with(session) == sorted([shopify or 0, douyin or 0])
    assert waiting_with(session, ["emoji"]) == [douyin]
    assert waiting_with(session, [], [incoming().channel]) == [shopify]
    assert waiting_with(session, ["emoji"], [incoming().channel]) == []
