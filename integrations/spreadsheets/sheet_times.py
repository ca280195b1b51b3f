"""Dates and times as Chinese and English exports write them. Without an offset they are Shanghai's."""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime, timedelta, timezone

from integrations.spreadsheets.sheet_values import CellWrong

#: China has kept one time without summer time since 1991.
SHANGHAI = timezone(timedelta(hours=8))
#: Days are counted from here in XLSX files (the 1900 system, 60 being a day that never was).
_EXCEL_ZERO = datetime(1899, 12, 30, tzinfo=SHANGHAI)
_YEARS = range(2000, 2101)

_CLOCK = (
    r"(?:(?:[T\s]+|(?<=日))(?P<half>上午|下午|AM|PM)?\s*"
    r"(?P<h>\d{1,2})(?:[:时点](?P<m>\d{1,2})?(?:[:分](?P<s>\d{1,2})?(?:\.\d+)?秒?)?)?"
    r"\s*(?P<tail>AM|PM)?\s*(?P<zone>Z|UTC|GMT|[+-]\d{2}:?\d{2})?)?"
)
_YEAR_FIRST = re.compile(r"(?P<y>\d{4})[-/.年](?P<mo>\d{1,2})[-/.月](?P<d>\d{1,2})日?" + _CLOCK, re.IGNORECASE)
_YEAR_LAST = re.compile(r"(?P<a>\d{1,2})[-/.](?P<b>\d{1,2})[-/.](?P<y>\d{4}),?" + _CLOCK, re.IGNORECASE)
_COMPACT = re.compile(r"(?P<y>\d{4})(?P<mo>\d{2})(?P<d>\d{2})(?:(?P<h>\d{2})(?P<m>\d{2})(?P<s>\d{2}))?")
_DAY_NAME = re.compile(
    r"(?P<d>\d{1,2})(?:st|nd|rd|th)?[ -](?P<name>[A-Za-z]{3,9})\.?[ ,-]+(?P<y>\d{4}),?" + _CLOCK, re.I
)
_NAME_DAY = re.compile(r"(?P<name>[A-Za-z]{3,9})\.? (?P<d>\d{1,2})(?:st|nd|rd|th)?,? +(?P<y>\d{4}),?" + _CLOCK, re.I)
_SERIAL = re.compile(r"[345678]\d{4}(\.\d+)?")
_WEEKDAY = re.compile(r"\s*(?:星期|周)[一二三四五六日天]\s*")
_NO_TIME = re.compile(r"0000[-/]00[-/]00.*|1970[-/]0?1[-/]0?1( 0?[08]:00(:00)?)?")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")

#: A date whose day and month may stand in either order, for looking through whole columns.
EITHER_ORDER = re.compile(r"^[ '\"]*(\d{1,2})[-/.](\d{1,2})[-/.]\d{4}(?!\d)", re.MULTILINE)


def moment(cell: str, day_first: bool | None = None) -> datetime:
    """UTC of a date with or without a time. `day_first` says how 03/04/2026 is read. Raises `CellWrong`."""
    if len(cell) == 19 and cell[4] == "-" and cell[10] in " T":
        try:
            return _sane(datetime.fromisoformat(cell).replace(tzinfo=SHANGHAI))
        except ValueError:
            pass
    said = _WEEKDAY.sub(" ", unicodedata.normalize("NFKC", cell).strip().strip("'\""))
    if found := _YEAR_FIRST.fullmatch(said) or _COMPACT.fullmatch(said):
        return _built(found, int(found["mo"]), int(found["d"]))
    if found := _YEAR_LAST.fullmatch(said):
        return _built(found, *_month_and_day(int(found["a"]), int(found["b"]), day_first))
    if found := _DAY_NAME.fullmatch(said) or _NAME_DAY.fullmatch(said):
        short = found["name"][:3].lower()
        if short in _MONTHS:
            return _built(found, _MONTHS.index(short) + 1, int(found["d"]))
    if _SERIAL.fullmatch(said):
        return _sane(_EXCEL_ZERO + timedelta(seconds=round(float(said) * 86_400)))
    if re.match(r"\d{2}[-/.年]\d{1,2}[-/.月]\d{1,2}(\D|$)", said):
        raise CellWrong("年份要写四位,例如 2026-11-01 12:30:00")
    raise CellWrong("不是日期时间:请写成 2026-11-01 12:30:00")


def is_no_time(cell: str) -> bool:
    """Whether this is how databases write that there is no time."""
    return _NO_TIME.fullmatch(cell) is not None


def _month_and_day(a: int, b: int, day_first: bool | None) -> tuple[int, int]:
    if a > 12 >= b:
        return b, a
    if b > 12 >= a or a == b:
        return a, b
    if day_first is None:
        raise CellWrong("分不清哪个是日、哪个是月:请在列的对应关系里选「日在前」或「月在前」")
    return (b, a) if day_first else (a, b)


def _built(found: re.Match[str], month: int, day: int) -> datetime:
    parts = found.groupdict()
    hour = int(parts.get("h") or 0)
    half = (parts.get("half") or parts.get("tail") or "").upper()
    if half in ("下午", "PM") and hour < 12:
        hour += 12
    elif half in ("上午", "AM") and hour == 12:
        hour = 0
    try:
        clock = hour, int(parts.get("m") or 0), int(parts.get("s") or 0)
        return _sane(datetime(int(parts["y"]), month, day, *clock, tzinfo=_zone(parts.get("zone"))))
    except ValueError as error:
        if isinstance(error, CellWrong):
            raise
        raise CellWrong("没有这个日期或时间:请核对年月日和时分秒") from error


def _zone(said: str | None) -> timezone:
    if said is None:
        return SHANGHAI
    if said.upper() in ("Z", "UTC", "GMT"):
        return UTC
    digits = said[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if said[0] == "-" else offset)


def _sane(at: datetime) -> datetime:
    if at.year not in _YEARS:
        raise CellWrong("年份不合理:应在 2000 到 2100 年之间")
    return at.astimezone(UTC)
