"""What an import came to, in words: the same on the page, in the artifact and on the command line."""

from __future__ import annotations

from models.order_sheet import OrderSheet, SheetState
from models.sheet_batch import Outcome
from models.wording import FAULT_WORDS, say

OUTCOME_WORDS = {
    Outcome.NEW.value: ("新单", "new"),
    Outcome.CHANGED.value: ("有变化", "changed"),
    Outcome.CANCELLED.value: ("取消或退款", "cancelled or refunded"),
    Outcome.KNOWN.value: ("已有,没有变化", "known, unchanged"),
    Outcome.STALE.value: ("不比已有的新,未采用", "not newer than ours, not used"),
    Outcome.OVER.value: ("已了结,不入库", "over, not taken"),
    Outcome.QUARANTINED.value: ("搁置", "set aside"),
}
STATE_WORDS = {
    SheetState.UPLOADED.value: ("待核对", "to be looked at"),
    SheetState.CONFIRMED.value: ("排队中", "queued"),
    SheetState.RUNNING.value: ("正在处理", "being worked through"),
    SheetState.DONE.value: ("已导入", "imported"),
    SheetState.FAILED.value: ("没有导完", "not finished"),
    SheetState.DISCARDED.value: ("已丢弃", "thrown away"),
}


def state_words(sheet: OrderSheet, language: str = "zh") -> str:
    """Where a sheet is; a trial is called one."""
    if sheet.dry_run and sheet.state == SheetState.DONE.value:
        return "已试算" if language == "zh" else "tried"
    if sheet.dry_run and sheet.state in (SheetState.CONFIRMED.value, SheetState.RUNNING.value):
        return "正在试算" if language == "zh" else "being tried"
    return say(STATE_WORDS, sheet.state, language)


def outcomes(sheet: OrderSheet, language: str = "zh") -> list[tuple[str, int]]:
    """How many orders came to what, those outcomes that there are, in a fixed order."""
    told = sheet.counts.get("outcomes", {})
    return [(say(OUTCOME_WORDS, name, language), told[name]) for name in OUTCOME_WORDS if told.get(name)]


def reasons(sheet: OrderSheet, language: str = "zh") -> list[tuple[str, int]]:
    """Why orders were set aside, the most frequent first."""
    told = sheet.counts.get("reasons", {})
    return [(reason(key, language), told[key]) for key in sorted(told, key=lambda key: (-told[key], key))]


def reason(key: str, language: str = "zh") -> str:
    """A key of `reasons` in words: a fault, or a column that cannot be read."""
    code, _, column = key.partition(":")
    said = say(FAULT_WORDS, code, language)
    return f"{said}:{column}" if column else said


def sentence(sheet: OrderSheet, language: str = "zh") -> str:
    """One line: the counts, or why there are none."""
    if sheet.state == SheetState.FAILED.value:
        return sheet.error
    told = "、" if language == "zh" else ", "
    counted = told.join(f"{said} {count}" for said, count in outcomes(sheet, language))
    if language == "zh":
        return f"{'试算:会是 ' if sheet.dry_run else ''}{counted or '没有订单'}(共 {sheet.orders} 单,{sheet.rows} 行)"
    return f"{'Trial: ' if sheet.dry_run else ''}{counted or 'no orders'} ({sheet.orders} orders, {sheet.rows} rows)"
