"""Hypothesis strategies for orders that are odd in every way a platform, a sheet or a slip could make them."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta

from hypothesis import strategies as st

from models.intake import IncomingLine, PlatformStatus, Receiver
from models.quality import MOST_FEN
from tests.models.build import CAN, DRY, NOW, RECEIVER, cans, incoming, made

SKUS = [CAN, DRY, "0012", "1e5", "nan"]
ODD_TEXTS = ("", "  ", "\u3000", "\x1f", "\x00", "a\nb", "\ud83d", "\ud83d\ude00", "\ue000", "\U000f0000", "⑴", "1️⃣")
LIKE_VALUES = ("0012", "1e5", "nan", "NaN", "None", "<NA>", "True", "2026-11-11")
LONG_TEXTS = ("王🐶", "名" * 64, "名" * 65, "长" * 20_000)
TEXTS = st.one_of(
    st.text(st.characters(codec=None), max_size=12), st.sampled_from(ODD_TEXTS + LIKE_VALUES + LONG_TEXTS)
)
NUMBERS = st.one_of(
    st.sampled_from([0, 1, 2, 2_000, 4_000, MOST_FEN, MOST_FEN + 1, -1, 2**53 + 1, 2**63, 10**18, 10**30]),
    st.sampled_from([math.nan, math.inf, 1.0, 1.5, True, False, None, "12"]),
)
SMALL = st.one_of(st.integers(-1, 4), NUMBERS)
LINES = st.lists(
    st.builds(
        IncomingLine,
        channel_line_id=TEXTS,
        sku=st.one_of(st.sampled_from(SKUS), TEXTS),
        title=TEXTS,
        quantity=SMALL,
        unit_price_fen=NUMBERS,
        paid_fen=NUMBERS,
        attributes=st.dictionaries(TEXTS, TEXTS, max_size=1),
        cancelled_quantity=st.one_of(st.just(0), SMALL),
    ),
    max_size=3,
)
RECEIVERS = st.one_of(
    st.none(), st.just(RECEIVER), st.builds(Receiver, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS)
)  # fmt: skip
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "channel_order_id": TEXTS,
        "buyer": TEXTS,
        "note": TEXTS,
        "currency": st.one_of(st.just("USD"), TEXTS),
        "status": st.sampled_from(PlatformStatus),
        "placed_at": st.integers(-3, 30).map(lambda minutes: NOW + timedelta(minutes=minutes, seconds=1)),
        "total_fen": NUMBERS,
        "paid_fen": NUMBERS,
        "freight_fen": SMALL,
        "discount_fen": NUMBERS,
        "refunded_fen": SMALL,
        "receiver": RECEIVERS,
        "lines": LINES.map(tuple),
        "attributes": st.dictionaries(TEXTS, TEXTS, max_size=2),
        "handles": st.recursive(TEXTS, lambda one: st.lists(one, max_size=2), max_leaves=3).map(lambda v: {"h": v}),
    },
)
SOUND = st.lists(st.sampled_from([cans(), made(), cans(2, cancelled_quantity=1)]), min_size=1, max_size=3)
ORDERS = st.builds(lambda lines, changes: replace(incoming("1", *lines), **changes), SOUND, CHANGES)
