"""What is said of an answer that cannot be: the question by its title, what was answered, and what to do."""

from __future__ import annotations

from datetime import date
from typing import Any

from models.form_field import Field, FieldKind, amount
from models.form_limits import Limits
from models.privacy import without_numbers

#: So many choices are named in a sentence.
MOST_NAMED = 6

_HOW = {
    FieldKind.NUMBER: ("请填一个数字", "a number"),
    FieldKind.DATE: ("请填日期,例如 2022-05-01", "a date such as 2022-05-01"),
    FieldKind.YES_NO: ("请选「是」或「否」", "yes or no"),
    FieldKind.CHOICE: ("请从列表里选", "one of the list"),
    FieldKind.MANY: ("请从列表里选", "what applies of the list"),
    FieldKind.TEXT: ("请用文字填写", "words"),
}


def cannot_read(field: Field, said: Any, language: str) -> str:
    """What was answered is no answer to this question."""
    zh, en = _HOW[field.kind]
    if field.kind is FieldKind.NUMBER and field.unit:
        zh, en = f"请填一个数字,单位 {field.unit}", f"a number in {field.unit}"
    if field.kind is FieldKind.DATE and field.past_years is not None:
        zh, en = "请填日期或年龄,例如 2022-05-01 或 3岁", "a date or an age, such as 2022-05-01 or 3 years"
    if language == "zh":
        return f"{field.title()}「{_short(said)}」看不懂,{zh}"
    return f"{field.title('en')} “{_short(said)}” cannot be read: please give {en}"


def out_of_past(field: Field, value: str, today: date, language: str) -> str:
    """A day in the future, or longer ago than can be."""
    years = amount(float(field.past_years or 0))
    if value > today.isoformat():
        zh, en = f"{value} 还没有到,请核对日期", f"{value} is in the future: please check the date"
    else:
        zh, en = f"{value} 超过 {years} 年了,请核对日期", f"{value} is over {years} years ago: please check the date"
    return f"{field.title(language)} {zh if language == 'zh' else en}"


def contradicts(field: Field, value: Any, limits: Limits, broken: str, language: str) -> str:
    """An answer that the schema does not allow; `broken` is the keyword that it breaks."""
    title, words = field.title(language), _short(field.words_of(value, language))
    zh = language == "zh"
    about = limits.because[0 if zh else 1]
    if field.kind is FieldKind.NUMBER and (limits.low is not None or limits.high is not None):
        of = (f"对{about}" if zh else f" for {about}") if about else ""
        return f"{title} {words} {of}不合理,请填{_range(field, limits, zh)}" if zh else (
            f"{title} {words} is not plausible{of}: please give {_range(field, limits, zh)}"
        )  # fmt: skip
    if broken == "enum" and field.kind is FieldKind.CHOICE:
        named = [field.choice_title(code, language) for code in limits.choices]
        some = ("、" if zh else ", ").join(named[:MOST_NAMED]) + (("等" if zh else " …") if named[MOST_NAMED:] else "")
        if about:
            return f"{title}「{words}」与{about}不符,请从 {some} 中选" if zh else (
                f"{title} “{words}” does not go with {about}: please choose from {some}"
            )  # fmt: skip
        return f"{title}「{words}」不在可选项里,请从 {some} 中选" if zh else (
            f"{title} “{words}” is not among the choices: please choose from {some}"
        )  # fmt: skip
    if broken in ("maxLength", "maxItems"):
        most = field.longest if broken == "maxLength" else field.most
        unit = ("个字" if broken == "maxLength" else "项") if zh else ("letters" if broken == "maxLength" else "items")
        return f"{title}太长,最多 {most} {unit}" if zh else f"{title} is too long: at most {most} {unit}"
    return f"{title}「{words}」不符合要求,请重新填写" if zh else f"{title} “{words}” is not allowed: please change it"


def _range(field: Field, limits: Limits, zh: bool) -> str:
    """From where to where, with a blank before it: ` 1 到 6 kg 之间`."""
    low, high = (None if edge is None else amount(edge) for edge in (limits.low, limits.high))
    unit = f" {field.unit}" if field.unit else ""
    if low is not None and high is not None:
        return f" {low} 到 {high}{unit} 之间" if zh else f"{low} to {high}{unit}"
    if low is not None:
        return f" {low}{unit} 以上" if zh else f"{low}{unit} or more"
    return f" {high}{unit} 以下" if zh else f"{high}{unit} or less"


def _short(said: Any) -> str:
    """What was said, short enough for a sentence, which is shown to many: no number in it can be somebody's."""
    if not isinstance(said, str | int | float):
        return "…"
    words = " ".join("".join(sign if sign.isprintable() else " " for sign in str(said)[:200]).split())
    words = without_numbers(words)
    return words if len(words) <= 30 else words[:30] + "…"


def quiet(field: Field, words: str) -> str:
    """An answer in words, for where many read it: no number in it can be somebody's. A day has digits of its own."""
    return words if field.kind is FieldKind.DATE else without_numbers(words)


def joined(names: list[str], most: int) -> str:
    """Names in a row, the first `most` of them: `体重、过敏原等 4 项`."""
    return "、".join(names) if len(names) <= most else f"{'、'.join(names[:most])}等 {len(names)} 项"
