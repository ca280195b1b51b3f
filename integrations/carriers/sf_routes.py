"""What SF's route entries mean in the hub's words (PROTOCOLS.md §7; the official opCode table is not public)."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from integrations.carriers import ParcelState, RouteEvent

BEIJING = timezone(timedelta(hours=8))

#: opCodes that say less than the status beside them: 8000 closes the order but does not prove a signature, and 44
#: names a courier who has not set out.
SAYS_LESS = {"8000": ParcelState.UNKNOWN, "44": ParcelState.IN_TRANSIT}

BY_SECONDARY_STATUS = {
    "101": ParcelState.PICKED_UP,
    "201": ParcelState.IN_TRANSIT,
    "204": ParcelState.IN_TRANSIT,  # customs
    "205": ParcelState.IN_TRANSIT,
    "301": ParcelState.OUT_FOR_DELIVERY,
    "401": ParcelState.SIGNED,
    "1301": ParcelState.EXCEPTION,
}
BY_FIRST_STATUS = {
    "1": ParcelState.PICKED_UP,
    "2": ParcelState.IN_TRANSIT,
    "3": ParcelState.OUT_FOR_DELIVERY,
    "4": ParcelState.SIGNED,
    "5": ParcelState.RETURNING,
    "13": ParcelState.EXCEPTION,
}
BY_OP_CODE = {
    **dict.fromkeys(("50", "54"), ParcelState.PICKED_UP),
    **dict.fromkeys(("30", "31", "36", "105", "106", "310", "130"), ParcelState.IN_TRANSIT),
    "204": ParcelState.OUT_FOR_DELIVERY,
    **dict.fromkeys(("33", "70"), ParcelState.EXCEPTION),
    **dict.fromkeys(("80", "607"), ParcelState.SIGNED),
    **dict.fromkeys(("99", "631", "648"), ParcelState.RETURNING),
}


def parcel_state(route: dict[str, Any]) -> ParcelState:
    """The state one entry tells: status codes first, opCode second, `UNKNOWN` when neither is known."""
    op_code = _text(route, "opCode")
    return (
        SAYS_LESS.get(op_code)
        or BY_SECONDARY_STATUS.get(_text(route, "secondaryStatusCode"))
        or BY_FIRST_STATUS.get(_text(route, "firstStatusCode"))
        or BY_OP_CODE.get(op_code, ParcelState.UNKNOWN)
    )


def route_event(waybill_no: str, route: dict[str, Any]) -> RouteEvent:
    """One entry of `routes`; SF gives these no id, so it is made of number, time and code."""
    accepted, op_code = _text(route, "acceptTime"), _text(route, "opCode")
    return RouteEvent(
        id=f"{waybill_no}/{accepted}/{op_code}",
        waybill_no=waybill_no,
        at=datetime.strptime(accepted, "%Y-%m-%d %H:%M:%S").replace(tzinfo=BEIJING),
        place=_text(route, "acceptAddress"),
        remark=_text(route, "remark"),
        code=op_code,
        state=parcel_state(route),
    )


def _text(route: dict[str, Any], name: str) -> str:
    """A field as text: SF sends codes as strings or numbers, and null for what it does not know."""
    value = route.get(name)
    return "" if value is None else str(value)
