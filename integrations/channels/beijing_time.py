"""Times without an offset, as Taobao, JD and Pinduoduo write them: `2026-11-01 12:00:00`, in Beijing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from integrations.channels.payload import Unparsable

BEIJING = timezone(timedelta(hours=8))
_FORM = "%Y-%m-%d %H:%M:%S"
#: How a time begins that the platforms write for "not yet"; JD has a year 1.
_NOT_YET = ("0000-", "0001-", "1970-01-01")


def beijing_text(at: datetime) -> str:
    """An aware time as these platforms are asked, in whole seconds."""
    return at.astimezone(BEIJING).strftime(_FORM)


def beijing_text_of(seconds: int) -> str:
    """Epoch seconds as these platforms are asked."""
    return beijing_text(datetime.fromtimestamp(seconds, UTC))


def beijing(value: object, name: str) -> datetime:
    """UTC of a Beijing time. Raises `Unparsable`."""
    try:
        if isinstance(value, str) and (at := datetime.strptime(value, _FORM)).year > 1970:
            return at.replace(tzinfo=BEIJING).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise Unparsable(name, value)


def beijing_or_none(value: object, name: str) -> datetime | None:
    """UTC of a Beijing time; None for null, and for what the platforms write for "not yet". Raises `Unparsable`."""
    if value in (None, "") or (isinstance(value, str) and value.startswith(_NOT_YET)):
        return None
    return beijing(value, name)
