"""Standard Webhooks: messages signed with a shared secret, as the MES and the warehouse speak them, both ways.

(PROTOCOLS.md §11; standard-webhooks/spec.)
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Mapping

from integrations.errors import Forged

SKEW = 300.0  # seconds that a message may be old, or ahead of us


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """`v1,<base64>`: HMAC-SHA256 over `{id}.{timestamp}.{body}` with the key after `whsec_` (24 to 64 bytes).

    Raises `ValueError` for a secret that is none.
    """
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error as error:
        raise ValueError("a Standard Webhooks secret is `whsec_` and Base64") from error
    if not 24 <= len(key) <= 64:
        raise ValueError("a Standard Webhooks key has 24 to 64 bytes")
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, "sha256")).decode()


def headers(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers of one signed message."""
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": sign(secret, message_id, timestamp, body),
    }


def verify(platform: str, secret: str, received: Mapping[str, str], body: bytes, now: float) -> str:
    """The id of a message whose signature is good and at most 5 minutes off `now` (epoch seconds).

    Else `Forged` in the name of `platform`; `ValueError` for a secret that is none. Any of the space-separated
    signatures may match, so that the sender can rotate its key.
    """
    given = {name.lower(): value for name, value in received.items()}
    message_id, signatures = given.get("webhook-id", ""), given.get("webhook-signature", "").split()
    if not (message_id and signatures and re.fullmatch("[0-9]{1,12}", given.get("webhook-timestamp", ""))):
        raise Forged(platform, "headers", "webhook-id, webhook-timestamp or webhook-signature is missing")
    timestamp = int(given["webhook-timestamp"])
    if abs(now - timestamp) > SKEW:
        raise Forged(platform, "stale", f"the message was signed {now - timestamp:.0f} s ago; check both clocks")
    good = sign(secret, message_id, timestamp, body).encode()
    if not any(hmac.compare_digest(good, each.encode()) for each in signatures):
        raise Forged(platform, "signature", "no signature matches: the callback secrets differ, or it is forged")
    return message_id
