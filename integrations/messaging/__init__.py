"""Messages: to customers by SMS, to staff by group robot."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Delivery(StrEnum):
    """What became of a message."""

    SENT = "sent"  # taken by the provider, no receipt from the phone yet
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True)
class Receipt:
    """The provider's receipt."""

    message_id: str
    delivery: Delivery
    reason: str = ""


class CustomerMessages(Protocol):
    """An SMS provider. Not held to once by a key, but it can be asked by our `out_id`."""

    name: str

    def request(self, phone: str, node: str, parameters: dict[str, str], out_id: str) -> bytes:
        """The bytes of one message for a notification node ("shipped" …). Pure. `Refused` without a template."""
        ...

    async def send(self, request: bytes) -> Receipt:
        """Send it."""
        ...

    async def find(self, request: bytes, sent_on: datetime) -> Receipt | None:
        """The receipt of this very message (by its `out_id`), if the provider has it."""
        ...


class StaffMessages(Protocol):
    """A group robot for staff. No key and no way to ask: at least once."""

    name: str

    def request(self, markdown: str, mention: tuple[str, ...] = ()) -> bytes:
        """The bytes of one Markdown message, cut to the platform's byte limit on a character boundary. Pure."""
        ...

    async def send(self, request: bytes) -> None:
        """Send it."""
        ...
