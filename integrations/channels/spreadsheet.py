"""The channel behind spreadsheets: nobody is there to be asked or told; our own record is all there is.

Its orders come by `tasks/importing.py`, and go the same way as any other. That one is shipped is written down here
and listed for export (`models/waybill_return.py`): a person uploads the list to the platform that the sheet is from.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from integrations.channels import Census, Parcel
from integrations.errors import Refused
from models.intake import Incoming, IncomingOrder, Receiver

NAME = "spreadsheet"


class Spreadsheet:
    """All shops whose orders come as spreadsheets; see `integrations.channels.Channel` for what each method promises.

    It is not pulled and has no census: a sheet proves nothing about the orders that are not in it.
    """

    name = NAME
    shop = ""

    async def orders_updated(self, since: datetime, until: datetime) -> AsyncIterator[list[Incoming]]:
        """Nothing: sheets are brought by people."""
        nothing: list[list[Incoming]] = []
        for page in nothing:
            yield page

    async def census(self, since: datetime, until: datetime) -> Census:
        """Always `Refused`: nobody counts."""
        raise Refused(NAME, "no_census", "表格渠道没有平台可以核对:订单由人导入")

    async def order(self, channel_order_id: str) -> IncomingOrder:
        """Always `Refused`: what a sheet says is read when it is imported."""
        raise Refused(NAME, "not_connected", f"订单 {channel_order_id} 来自表格:请在表格里改好后再导入一次")

    async def receiver(self, channel_order_id: str) -> Receiver:
        """Always `Refused`: masks in a sheet can only be lifted where it was exported."""
        said = f"表格里订单 {channel_order_id} 的收件人带星号:请从原平台导出完整的收件信息,再导入一次"
        raise Refused(NAME, "no_permission", said)

    def shipping_notice(self, channel_order_id: str, handles: dict[str, Any], parcel: Parcel) -> bytes:
        """What the list for export says of this parcel."""
        told = {
            "order": channel_order_id,
            "carrier": parcel.carrier,
            "waybill_no": parcel.waybill_no,
            "lines": parcel.lines,
        }
        return json.dumps(told, ensure_ascii=False, sort_keys=True).encode()

    async def tell_shipped(self, notice: bytes) -> dict[str, Any]:
        """Nobody is called: with the answer recorded, the parcel is on the list for export."""
        return {"listed_for_export": json.loads(notice)["waybill_no"]}

    async def was_told_shipped(self, notice: bytes) -> dict[str, Any] | None:
        """None: listing it once more lists it once."""
        return None
