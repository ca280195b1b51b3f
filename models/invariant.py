"""What a rule of the whole database is, and the pieces of SQL that many of them share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

NUMBER = "o.order_no || '-' || f.number AS fulfilment_no"
OF_ORDER = "JOIN orders o ON o.id = f.order_id"
#: Of a waybill `e`: its carrier has cancelled it.
CALLED_BACK = """EXISTS (SELECT 1 FROM effect b WHERE b.key = replace(e.key, 'waybill-', 'waybill-cancel-')
  AND e.kind = 'waybill' AND b.state IN ('done', 'shadow') AND b.response ->> 'cancelled' = 'true')"""
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
