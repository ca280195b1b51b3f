"""Which column of a layout is which field: plain data that a person confirmed, saved, and used again."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from integrations.spreadsheets import SheetWrong
from integrations.spreadsheets.sheet_fields import FIELDS, REQUIRED, target_field
from models.intake import PlatformStatus

#: The column that the report of rejected rows adds: it is no part of a layout.
REASON = "原因"
DATE_ORDERS = ("", "day_first", "month_first")
DECIMALS = ("", "point", "comma")
_STATUSES = tuple(status.value for status in PlatformStatus if status is not PlatformStatus.UNKNOWN)


class MappingWrong(SheetWrong):
    """The mapping cannot be used; `problems` says why, one sentence each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(" ".join(problems))


@dataclass(frozen=True)
class Mapping:
    """Header → target (`sheet_fields`), as a person confirmed it. Headers that are not named are ignored.

    `fill_down`: a row without order id continues the order above. `default_status`: of orders without a status
    column ("" is: paid when it was paid for, else awaiting payment). `statuses`: further status words → hub status.
    `date_order`: how 03/04/2026 is read; `decimal`: how 1.234 is read ("" for both: by the column itself).
    `ids_checked`: an id ending in 000 is whole. `pet_per_order`: a pet's answers count for all lines of the order.
    """

    columns: dict[str, str]
    confirmed_by: str
    fill_down: bool = False
    default_status: str = ""
    statuses: dict[str, str] = field(default_factory=dict)
    date_order: str = ""
    decimal: str = ""
    ids_checked: bool = False
    pet_per_order: bool = False

    def __post_init__(self) -> None:
        """Raises `MappingWrong` for what can be told without a file."""
        if problems := [*_wrong_targets(self.columns), *_wrong_settings(self)]:
            raise MappingWrong(problems)

    def to_json(self) -> dict[str, Any]:
        """Plain data, for a JSON column or file."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: object) -> Mapping:
        """The mapping in this data. Raises `MappingWrong`."""
        if not isinstance(data, dict):
            raise MappingWrong(["映射应是一个 JSON 对象。"])
        known = {one.name: one for one in fields(cls)}
        problems = [f"映射里有不认识的设置「{name}」。" for name in data if name not in known]
        problems += [f"映射缺少「{name}」。" for name in ("columns", "confirmed_by") if name not in data]
        for name in ("columns", "statuses"):
            problems += [] if _texts(data.get(name, {})) else [f"映射的「{name}」应是 文字→文字 的对象。"]
        for name in ("fill_down", "ids_checked", "pet_per_order"):
            problems += [] if isinstance(data.get(name, False), bool) else [f"映射的「{name}」应是 true 或 false。"]
        for name in ("confirmed_by", "default_status", "date_order", "decimal"):
            problems += [] if isinstance(data.get(name, ""), str) else [f"映射的「{name}」应是文字。"]
        if problems:
            raise MappingWrong(problems)
        return cls(**data)

    def demand_fits(self, headers: Sequence[str]) -> None:
        """Raises `MappingWrong` when the file lacks a column that the mapping names."""
        lacking = [header for header in self.columns if header not in headers and self.columns[header] != "ignore"]
        if lacking:
            raise MappingWrong([f"文件里没有「{header}」这一列:请重新确认列的对应关系。" for header in lacking])


def header_key(headers: Sequence[str]) -> str:
    """16 hex digits that identify a layout: the same columns in any order, unless two have the same name."""
    names = [header.strip() for header in headers if header.strip() != REASON]
    if all("#" not in name for name in names):
        names.sort()
    return hashlib.blake2b("\x1f".join(names).encode(), digest_size=8).hexdigest()


def missing_fields(targets: Sequence[str]) -> list[str]:
    """What is required and not among these targets, in the words of the page."""
    have = set(targets)
    return [zh for zh, ways in REQUIRED if not any(have.issuperset(way) for way in ways)]


def _texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(k, str) and isinstance(v, str) for k, v in value.items())


def _wrong_targets(columns: dict[str, str]) -> list[str]:
    problems = []
    for header, target in columns.items():
        try:
            target_field(target)
        except KeyError:
            problems.append(f"「{header}」对应到了不认识的字段 {target!r}。")
    for target, times in Counter(columns.values()).items():
        if times > 1 and target != "ignore" and (target not in FIELDS or not FIELDS[target].shared):
            name = FIELDS[target].zh if target in FIELDS else target
            problems.append(f"有 {times} 列都对应到「{name}」:只能留一列。")
    missing = missing_fields(list(columns.values()))
    return problems + [f"还没有指定哪一列是{name}。" for name in missing]


def _wrong_settings(mapping: Mapping) -> list[str]:
    problems = []
    if not mapping.confirmed_by.strip():
        problems.append("这份对应关系还没有人确认。")
    words = [*mapping.statuses.items(), *([("默认状态", mapping.default_status)] if mapping.default_status else [])]
    problems += [f"「{word}」对应到了不认识的状态 {status!r}。" for word, status in words if status not in _STATUSES]
    if mapping.date_order not in DATE_ORDERS:
        problems.append("日期顺序只能是 day_first(日在前)、month_first(月在前)或空。")
    if mapping.decimal not in DECIMALS:
        problems.append("小数点写法只能是 point(1,234.50)、comma(1.234,50)或空。")
    return problems
