"""What was paid for each line, where a platform tells only what was paid for the order."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise


def apportioned(worth: Sequence[int], paid_fen: int) -> list[int]:
    """`paid_fen` over lines worth so many fen, in proportion; their sum is exact.

    A sum that no discount explains (negative, or more than the lines are worth) is not spread: the lines keep what they
    are worth, so that the difference shows.
    """
    total = sum(worth)
    if not 0 <= paid_fen <= total or any(value < 0 for value in worth):
        return list(worth)
    ends = [up_to * paid_fen // total if total else 0 for up_to in accumulate(worth)]
    return [end - begin for begin, end in pairwise([0, *ends])]
