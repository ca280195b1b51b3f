"""Values out of payloads that nobody vouches for: each reader gives the value or raises `Unparsable`.

Nothing is judged here: a negative quantity is a number. Only what cannot be translated at all is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx

from integrations.errors import Unclear
from models.intake import Incoming, IncomingOrder, Unreadable

#: Beyond this a number is no quantity, price or time of an order, and it would not fit a database column.
LARGEST = 10**15

#: How the channels name the answers of the pet profile among other attributes.
PET_PREFIX = "pet_"

_INTEGER = re.compile(r"-?[0-9]{1,16}")
_DECIMAL = re.compile(r"-?[0-9]{1,16}(\.[0-9]{1,6})?")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
#: Signs of them in a JSON body: escapes, a half surrogate in UTF-8 as `json` lets it pass, another encoding.
_SUSPICIOUS = (b"\\u0000", b"\\ud", b"\xed", b"\x00")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_SECOND = 4_102_444_800  # 2100-01-01: a later time is milliseconds taken for seconds


class Unparsable(ValueError):
    """A value is not what the platform documents; the text names it."""

    def __init__(self, name: str, value: object) -> None:
        super().__init__(f"{name} is {_shown(value)}")


def _shown(value: object) -> str:
    if isinstance(value, str) and len(value) <= 40:
        return repr(value)
    if value is None or (isinstance(value, int | float) and abs(value) < 10**40):
        return str(value)
    return f"a {type(value).__name__} that does not belong there"


def mapping(value: object, name: str) -> dict[str, Any]:
    """A JSON object."""
    if isinstance(value, dict):
        return value
    raise Unparsable(name, value)


def mappings(value: object, name: str) -> list[dict[str, Any]]:
    """A list of JSON objects; null is an empty list."""
    return [mapping(item, name) for item in listing(value, name)]


def listing(value: object, name: str) -> list[Any]:
    """A JSON list of anything; null is an empty list."""
    if value is None:
        return []
    if isinstance(value, list):
        return value
    raise Unparsable(name, value)


def text(value: object, name: str) -> str:
    """A text; null is empty, a whole number its digits."""
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**30:
        return str(value)
    if isinstance(value, str):
        return _storable(value)
    raise Unparsable(name, value)


def identity(value: object, name: str) -> str:
    """A text that is not empty."""
    if found := text(value, name).strip():
        return found
    raise Unparsable(name, value)


def integer(value: object, name: str, default: int | None = None) -> int:
    """A whole number below 10^15 either way, also as digits in a text; null is `default` where there is one."""
    if value is None and default is not None:
        return default
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < LARGEST:
        return value
    raise Unparsable(name, value)


def fen_of_decimal(value: object, name: str) -> int:
    """Fen of an amount in yuan with decimals ("404.95" or a JSON number). Fractions of a fen are an error."""
    if isinstance(value, float | int) and not isinstance(value, bool) and abs(value) < LARGEST:
        value = str(value)
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        fen = Decimal(value) * 100
        if abs(fen) < LARGEST and fen == fen.to_integral_value():
            return int(fen)
    raise Unparsable(name, value)


def decimal_of_fen(fen: int) -> str:
    """Fen as yuan with two decimals: 1234 is "12.34"."""
    return f"{'-' if fen < 0 else ''}{abs(fen) // 100}.{abs(fen) % 100:02d}"


def moment(value: object, name: str) -> datetime:
    """UTC of an ISO 8601 text with an offset."""
    try:
        if isinstance(value, str) and (at := datetime.fromisoformat(value)).tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise Unparsable(name, value)


def moment_or_none(value: object, name: str) -> datetime | None:
    """UTC of an ISO 8601 text with an offset, None for null."""
    return None if value is None else moment(value, name)


def epoch(value: object, name: str) -> datetime:
    """UTC of epoch seconds."""
    seconds = integer(value, name)
    if 0 < seconds < _LAST_SECOND:
        return _EPOCH + timedelta(seconds=seconds)
    raise Unparsable(name, value)


def epoch_or_none(value: object, name: str) -> datetime | None:
    """UTC of epoch seconds; None for null and 0, which platforms send for "not yet"."""
    return None if value in (None, 0, "0", "") else epoch(value, name)


def answers(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """Attributes by key; the pet profile's lose their prefix, and win over others of the same name."""
    plain = {key: value for key, value in pairs if not key.startswith(PET_PREFIX)}
    pet = {key.removeprefix(PET_PREFIX): value for key, value in pairs if key.startswith(PET_PREFIX)}
    return plain | pet


def incoming(
    read: Callable[[Any, str], IncomingOrder], payload: object, channel: str, shop: str, id_key: str
) -> Incoming:
    """`read(payload, shop)`, or `Unreadable` with the reason."""
    try:
        return read(payload, shop)
    except Unparsable as error:
        raw = payload if isinstance(payload, dict) else {"payload": payload}
        try:
            known = text(raw.get(id_key), id_key)[:200]
        except Unparsable:
            known = ""
        return Unreadable(channel, shop, known, str(error), raw)


def answer(response: httpx.Response, platform: str) -> dict[str, Any]:
    """The JSON object that a platform answered, texts fit to be stored. Raises `Unclear` when it is none."""
    try:
        found = mapping(json.loads(response.content), "the answer")
        body = response.content.lower()
        return _storable(found) if any(sign in body for sign in _SUSPICIOUS) else found
    except (ValueError, RecursionError) as error:
        raise Unclear(platform, "unreadable", f"the answer is no JSON object: {error}"[:300]) from error


def _storable(value: Any) -> Any:
    """The same without what PostgreSQL refuses in texts: NUL and half surrogates become U+FFFD."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    return value


@contextmanager
def understood(platform: str) -> Iterator[None]:
    """Around the reading of an answer's frame: what cannot be parsed is `Unclear`."""
    try:
        yield
    except Unparsable as error:
        raise Unclear(platform, "unreadable", str(error)) from error
