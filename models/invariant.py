"""What a rule of the whole database is, and the pieces of SQL that many of them share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NUMBER = "o.order_no || '-' || f.number AS fulfilment_no"
OF_ORDER = "JOIN orders o ON o.id = f.order_id"
WORKED_ON = "f.claim_until > :now"


@dataclass(frozen=True)
class Invariant:
    """One rule. `query` returns the offending rows; `sentence` is said with their `{count}`.

    `:now`, `:overdue` and `:abandoned` in a query are times. `mended`: `orderloom check --repair` knows how.
    """

    code: str
    sentence: str
    query: str
    severity: Literal["error", "warning"] = "error"
    mended: bool = False
