"""What every shipping notice checks first: the carrier's code on the platform, and the lines that a parcel holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from integrations.channels import Parcel
from integrations.errors import Refused


def company_of(channel: str, companies: Mapping[str, str], parcel: Parcel) -> str:
    """The platform's code of the parcel's carrier. Raises `Refused` `unknown_carrier`."""
    if parcel.carrier not in companies:
        raise Refused(channel, "unknown_carrier", f"{channel} 没有快递 {parcel.carrier} 的公司代码:请在平台后台发货")
    return companies[parcel.carrier]


def packed_lines(
    channel: str, channel_order_id: str, handles: Mapping[str, Any], parcel: Parcel
) -> tuple[dict[str, int], dict[str, int]]:
    """Quantities by line: what was ordered (`handles["lines"]`), and what is in this parcel.

    Raises `Refused` `unknown_line` for a line that the order does not have.
    """
    ordered = {str(line): int(quantity) for line, quantity in handles.get("lines", {}).items()}
    packed: dict[str, int] = {}
    for line, quantity in parcel.lines:
        packed[line] = packed.get(line, 0) + quantity
    if unknown := packed.keys() - ordered.keys():
        raise Refused(channel, "unknown_line", f"订单 {channel_order_id} 没有商品行 {min(unknown)}:请核对订单")
    return ordered, packed
