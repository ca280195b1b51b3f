"""The form in which a person says which column is what, and back again into a mapping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.exceptions import HTTPException

from integrations.portal.people import Visit
from integrations.spreadsheets.mapping import DATE_ORDERS, DECIMALS
from integrations.spreadsheets.preview import Head, guesses_of, samples_of
from integrations.spreadsheets.sheet_fields import ATTRIBUTE, FIELDS, IGNORE, ORDER_ATTRIBUTE, Level
from models.intake import PlatformStatus
from models.order_sheet import OrderSheet

#: Short values of the selects: a form of 300 columns must stay small.
NOT_USED, OF_LINE, OF_ORDER = "-", "a", "o"
CHECKS = {
    "fill_down": "空白订单号的行接着上一单",
    "ids_checked": "订单号已核对(末尾 000 不是被四舍五入的)",
    "pet_per_order": "宠物信息适用于整单所有商品",
}
STATUSES = {
    PlatformStatus.AWAITING_PAYMENT.value: "待付款",
    PlatformStatus.HELD.value: "平台冻结,先不发",
    PlatformStatus.TO_SHIP.value: "待发货",
    PlatformStatus.PART_SHIPPED.value: "部分发货",
    PlatformStatus.SHIPPED.value: "已发货",
    PlatformStatus.COMPLETE.value: "已完成",
    PlatformStatus.CANCELLED.value: "已取消",
    PlatformStatus.REFUNDED.value: "已退款",
}
DATES = {"": "按这一列自己判断", "day_first": "日在前:03/04 是 4 月 3 日", "month_first": "月在前:03/04 是 3 月 4 日"}
AMOUNTS = {"": "按这一列自己判断", "point": "1,234.50", "comma": "1.234,50"}


@dataclass(frozen=True)
class ColumnChoice:
    """One row of the form. `chosen` is the value of its select; `sure` from 0 to 1, as the proposal says."""

    name: str
    header: str
    samples: tuple[str, ...]
    chosen: str
    reason: str
    sure: float


def options() -> list[tuple[str, list[tuple[str, str]]]]:
    """The choices of every select, in groups."""
    order = [(code, field.zh) for code, field in FIELDS.items() if field.level is Level.ORDER]
    line = [(code, field.zh) for code, field in FIELDS.items() if field.level is Level.LINE and "." not in code]
    pet = [(code, field.zh) for code, field in FIELDS.items() if "." in code]
    kept = [(OF_LINE, "存为商品的附加信息"), (OF_ORDER, "存为订单的附加信息")]
    return [("", [(NOT_USED, "不采用")]), ("订单", order), ("商品", line), ("宠物", pet), ("其它", kept)]


def choices(sheet: OrderSheet, head: Head) -> list[ColumnChoice]:
    """The rows of the form, as the sheet's mapping stands."""
    guesses, samples = guesses_of(sheet.proposal), samples_of(head)
    chosen = sheet.mapping.get("columns", {})
    return [
        ColumnChoice(
            f"c{place}",
            header,
            samples.get(header, ()),
            _code(chosen.get(header, IGNORE)),
            guesses[header].reason if header in guesses else "",
            guesses[header].confidence if header in guesses else 0.0,
        )
        for place, header in enumerate(head.headers)
    ]


def mapping_in(visit: Visit, sheet: OrderSheet, head: Head, unknown_statuses: Sequence[str]) -> dict[str, Any]:
    """The mapping that a form says, as plain data, perhaps unfinished. Raises `HTTPException` 400 for another form."""
    before: Mapping[str, str] = sheet.mapping.get("columns", {})
    columns = {}
    for place, header in enumerate(head.headers):
        code = visit.text(f"c{place}", 40) or NOT_USED
        columns[header] = _target(code, header, before.get(header, IGNORE))
    statuses = dict(sheet.mapping.get("statuses", {}))
    for place, word in enumerate(unknown_statuses):
        if said := _one_of(visit, f"s{place}", ("", *STATUSES)):
            statuses[word] = said
        else:
            statuses.pop(word, None)
    return {
        "columns": columns,
        "confirmed_by": visit.name,
        **{name: bool(visit.text(name, 10)) for name in CHECKS},
        "default_status": _one_of(visit, "default_status", ("", *STATUSES)),
        "statuses": statuses,
        "date_order": _one_of(visit, "date_order", DATE_ORDERS),
        "decimal": _one_of(visit, "decimal", DECIMALS),
    }


def _one_of(visit: Visit, name: str, allowed: Sequence[str]) -> str:
    said = visit.text(name, 40)
    if said not in allowed:
        raise HTTPException(400, "表单里有没见过的选项,请返回刷新页面再提交。没有任何改变。")
    return said


def _code(target: str) -> str:
    if target == IGNORE:
        return NOT_USED
    for prefix, code in ((ATTRIBUTE, OF_LINE), (ORDER_ATTRIBUTE, OF_ORDER)):
        if target.startswith(prefix):
            return code
    return target


def _target(code: str, header: str, before: str) -> str:
    if code == NOT_USED:
        return IGNORE
    for prefix, short in ((ATTRIBUTE, OF_LINE), (ORDER_ATTRIBUTE, OF_ORDER)):
        if code == short:
            return before if before.startswith(prefix) else f"{prefix}{header}"
    if code not in FIELDS:
        raise HTTPException(400, "表单里有没见过的选项,请返回刷新页面再提交。没有任何改变。")
    return code
