"""Rivals in pairs: what one run of each, side by side, says of their ratio."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any


def ratio_of_pairs(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """The median of the pairs' ratios (ours / theirs), and an interval that holds it with at least 90 % confidence.

    The interval is distribution-free: two order statistics of the ratios, by the binomial distribution of how many of
    them lie below the median. Needs five pairs; with fewer, or just five, it is the lowest and the highest.
    """
    ratios = sorted(one / other for one, other in zip(ours, theirs, strict=True))
    out = _outside(len(ratios))
    return {
        "median": round(statistics.median(ratios), 3),
        "low": round(ratios[out], 3),
        "high": round(ratios[-1 - out], 3),
        "pairs": len(ratios),
    }


def _outside(count: int, confidence: float = 0.9) -> int:
    """How many of `count` sorted values may be left out at either end."""
    out, below = 0, 0.5**count
    while out + 1 < count / 2:
        below += math.comb(count, out + 1) * 0.5**count
        if 1 - 2 * below < confidence:
            break
        out += 1
    return out
