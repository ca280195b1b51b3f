"""The local MES over Standard Webhooks, both ways (PROTOCOLS.md §11).

We post `work_order.release` and `work_order.cancel` to `{url}/messages`; the `webhook-id` is our key, and the MES
answers a repeated id as it answered the first. It posts `work_order.accepted | progress | completed | failed` back.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from integrations import standard_webhooks
from integrations.errors import Refused, Unclear
from integrations.http import TOTAL_TIMEOUT, call
from integrations.production import Accepted, Batch, ProductionEvent, ProductionEventKind
from models.production import expected_in
from models.settings import MesSettings

PLATFORM = "mes"


class Mes:
    """The factory (a `Production`). The HTTP client belongs to the caller; `clock` gives epoch seconds."""

    name = PLATFORM

    def __init__(
        self,
        settings: MesSettings,
        client: httpx.AsyncClient,
        clock: Callable[[], float] = time.time,
        timeout: float = TOTAL_TIMEOUT,
    ) -> None:
        self._settings = settings
        self._client = client
        self._clock = clock
        self._timeout = timeout

    def release_request(self, batch: Batch) -> bytes:
        """The message that releases this batch. No side effect; stamped with the clock."""
        work_orders = [
            {
                "work_order_no": order.work_order_no,
                "order_no": order.order_no,
                "recipe": order.recipe,
                "sku": order.sku,
                "quantity": order.quantity,
                "ingredients_g": order.ingredients_g,
                "due_at": order.due_at.isoformat(),
            }
            for order in batch.orders
        ]
        data = {"batch_no": batch.batch_no, "recipe_version": batch.recipe_version, "work_orders": work_orders}
        return self._message("work_order.release", data)

    async def release(self, key: str, request: bytes) -> Accepted:
        """Release, held to once by `key`. `Refused` when the MES will not make it.

        `Unclear` when its answer names no batch, or no time that can be: one without an offset may be hours off.
        """
        data = await self._post(key, request)
        batch_no = data.get("batch_no")
        expected = expected_in(data, datetime.fromtimestamp(self._clock(), UTC))
        if not isinstance(batch_no, str) or not batch_no.strip() or not batch_no.isprintable() or expected is None:
            why = f"no batch_no, or no expected_at like 2026-11-11T16:00:00+08:00, in {str(data)[:300]}"
            raise Unclear(PLATFORM, "unreadable", why)
        return Accepted(batch_no, expected)

    def cancel_request(self, work_order_no: str, reason: str) -> bytes:
        """The message that calls a work order back. No side effect; stamped with the clock."""
        return self._message("work_order.cancel", {"work_order_no": work_order_no, "reason": reason})

    async def cancel(self, key: str, request: bytes) -> bool:
        """Call back; True when it will not be made, False when it is made already. Held to once by `key`."""
        data = await self._post(key, request)
        if not isinstance(data.get("cancelled"), bool):
            raise Unclear(PLATFORM, "unreadable", f"neither cancelled nor not in {data}")
        return bool(data["cancelled"])

    def verify(self, headers: Mapping[str, str], body: bytes, now: datetime) -> ProductionEvent:
        """The event in a callback.

        `Forged` without a good signature of the last 5 minutes; `Refused` when a signed one cannot be read.
        """
        secret = self._settings.callback_secret.get_secret_value()
        message_id = standard_webhooks.verify(PLATFORM, secret, headers, body, now.timestamp())
        try:
            message = json.loads(body)
            data, at = message["data"], datetime.fromisoformat(message["timestamp"])
            if at.tzinfo is None:
                raise ValueError("a time without its offset")
            return ProductionEvent(
                id=message_id,
                kind=ProductionEventKind(message["type"]),
                at=at,
                work_order_no=str(data["work_order_no"]),
                batch_no=str(data.get("batch_no", "")),
                data=data,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Refused(
                PLATFORM, "unreadable", f"a signed callback that is no work order event: {error!r}"
            ) from error

    def _message(self, kind: str, data: dict[str, Any]) -> bytes:
        at = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds")
        message = {"type": kind, "timestamp": at, "data": data}
        return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()

    async def _post(self, key: str, body: bytes) -> dict[str, Any]:
        """Post one message; the `data` of the answer."""
        secret = self._settings.secret.get_secret_value()
        response = await call(
            self._client,
            PLATFORM,
            "POST",
            f"{self._settings.url}/messages",
            content=body,
            headers=standard_webhooks.headers(secret, key, int(self._clock()), body),
            timeout=self._timeout,
        )
        try:
            data = response.json()["data"]
        except (ValueError, KeyError, TypeError) as error:
            raise Unclear(PLATFORM, "unreadable", response.text[:300]) from error
        if not isinstance(data, dict):
            raise Unclear(PLATFORM, "unreadable", response.text[:300])
        return data
