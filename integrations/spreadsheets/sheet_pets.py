"""A pet profile as people type it into cells, in the codes of the order form that a new installation starts with.

What is in no list of it stays as it was typed: the form that the order is asked by reads it once more.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from integrations.spreadsheets.sheet_times import SHANGHAI, moment
from integrations.spreadsheets.sheet_values import CellWrong
from models.form_field import FieldKind
from models.form_reading import Unreadable, read
from models.order_form import OrderForm, starter_form

_QUESTIONS = {field.name: field for field in OrderForm(starter_form()).fields}
_UNIT_IN_HEADER = re.compile(r"公斤|千克|kg|斤", re.IGNORECASE)
_NO_DAY = date(2000, 1, 1)  # none of what is read here is told from today


def answer_of(question: str, cell: str, header: str) -> str:
    """An answer in the form's code; what is in no list stays as it was said, for a person to look at.

    `header` is read for a unit: 体重(斤).
    """
    field = _QUESTIONS.get(question)
    if field is None:
        return cell
    match field.kind:
        case FieldKind.DATE:
            return _day(cell)
        case FieldKind.NUMBER:
            in_header = _UNIT_IN_HEADER.search(header)
            said: Any = f"{cell}{in_header[0]}" if in_header and re.fullmatch(r"\s*[0-9.]+\s*", cell) else cell
        case FieldKind.TEXT:
            return "" if field.says_none(cell) else cell
        case FieldKind.MANY:
            return cell
        case _:
            said = cell
    try:
        value = read(field, said, _NO_DAY)
    except Unreadable:
        return cell
    if field.kind is FieldKind.NUMBER and value is not None:
        return f"{value:g}"
    if field.kind is FieldKind.YES_NO and value is not None:
        return str(value).lower()
    return cell if field.other else str(value or cell)  # a breed is kept in the customer's own words


def _day(cell: str) -> str:
    try:
        return moment(cell).astimezone(SHANGHAI).date().isoformat()
    except CellWrong:
        return cell
