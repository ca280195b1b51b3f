"""A pet profile as people type it into cells, in the codes that the order form uses."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from integrations.spreadsheets.sheet_times import SHANGHAI, moment
from integrations.spreadsheets.sheet_values import CellWrong

_SAYINGS: dict[str, dict[str, tuple[str, ...]]] = {
    "species": {"dog": ("狗", "犬", "狗狗", "犬类"), "cat": ("猫", "猫咪", "猫类")},
    "activity_level": {
        "low": ("低", "少", "不爱动", "低活动量"),
        "medium": ("中", "中等", "一般", "适中", "正常"),
        "high": ("高", "多", "活泼", "很活跃", "高活动量"),
    },
    "staple_preference": {
        "dry": ("干粮", "干"),
        "wet": ("湿粮", "湿", "罐头"),
        "mixed": ("混合", "干湿混合", "都可以", "干湿都吃"),
    },
    "neutered": {
        "true": ("是", "已绝育", "绝育", "已", "yes", "y", "1"),
        "false": ("否", "未绝育", "没有", "没绝育", "未", "无", "no", "n", "0"),
    },
    "body_condition": {
        "underweight": ("偏瘦", "瘦", "过瘦"),
        "ideal": ("正常", "标准", "理想", "适中"),
        "overweight": ("偏胖", "胖", "超重", "肥胖"),
    },
}
_CODES: dict[str, Mapping[str, str]] = {
    answer: {saying: code for code, sayings in codes.items() for saying in (code, *sayings)}
    for answer, codes in _SAYINGS.items()
}
_NOTHING = frozenset(("无", "没有", "none", "no", "无过敏", "不过敏", "暂无", "n/a"))
_WEIGHT = re.compile(r"([0-9]{1,3}(?:\.[0-9]+)?)\s*(kg|公斤|千克|斤|g|克)?", re.IGNORECASE)
_PER_KG = {"斤": 2.0, "g": 1000.0, "克": 1000.0}


def answer_of(question: str, cell: str, header: str) -> str:
    """An answer in the form's code; what is in no list stays as it was said, for a person to look at.

    `header` is read for a unit: 体重(斤). Allergens 无 becomes "", which is an answer: there are none.
    """
    if question in _CODES:
        return _CODES[question].get(cell.strip().lower(), cell)
    if question in ("allergens", "health_notes"):
        return "" if cell.strip().lower() in _NOTHING else cell
    if question == "weight_kg":
        return _weight(cell, header)
    if question == "birth_date":
        try:
            return moment(cell).astimezone(SHANGHAI).date().isoformat()
        except CellWrong:
            return cell
    return cell


def _weight(cell: str, header: str) -> str:
    found = _WEIGHT.fullmatch(unicodedata.normalize("NFKC", cell).strip())
    if found is None:
        return cell
    in_header = re.search(r"公斤|千克|kg|斤", header, re.IGNORECASE)
    unit = (found[2] or (in_header[0] if in_header else "kg")).lower()
    return f"{float(found[1]) / _PER_KG.get(unit, 1.0):g}"
