"""The order form as fields of a page, and what was filled in there as answers.

A field of line 2 is called `2.weight_kg`; each choice of a list `2.allergens.chicken`, with `2.allergens.-none` for
nothing of it and `2.allergens.-other` for what is not in the list.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from models.form_desk import Question
from models.form_field import Field, FieldKind, amount
from models.form_limits import Limits
from models.order_form import FormResult, OrderForm

#: Up to so many choices are shown side by side; more of them as a list to open.
FEW = 4
LONG_TEXT = 100
NONE, OTHER = "-none", "-other"


@dataclass(frozen=True)
class Option:
    """One choice of a field: its code, its name, whether it is chosen, and under which heading it stands."""

    code: str
    title: str
    chosen: bool
    group: str = ""


@dataclass(frozen=True)
class FieldView:
    """One field as it is shown. `widget`: chips, list, checks, text or long; `said` is what stands in it.

    `range` is what the other answers leave of what is allowed; `low` and `high` are its ends whatever they are.
    """

    name: str
    question: Field
    widget: str
    title: str
    help: str
    said: str
    options: tuple[Option, ...]
    none: Option | None
    range: str
    low: str
    high: str
    error: str

    @property
    def groups(self) -> list[tuple[str, list[Option]]]:
        """The options by heading, those without one last."""
        headings = [group for group in dict.fromkeys(option.group for option in self.options) if group]
        return [(group, [each for each in self.options if each.group == group]) for group in [*headings, ""]]


@dataclass(frozen=True)
class PetView:
    """One line's part of the page. `closed` says why it cannot be filled in; then `told` is what we have."""

    line_no: int
    goods: str
    quantity: int
    fields: tuple[FieldView, ...]
    rules: str
    closed: str
    told: Mapping[str, str]

    @property
    def wrong(self) -> list[FieldView]:
        """The fields that are to be corrected."""
        return [each for each in self.fields if each.error]


@dataclass(frozen=True)
class Filled:
    """What was filled in for one line: as it was typed, as answers, and what is wrong with it in itself."""

    typed: Mapping[str, Any] = field(default_factory=dict)
    clashes: Mapping[str, str] = field(default_factory=dict)


def filled_in(form: OrderForm, line_no: int, sent: Mapping[str, str], language: str) -> Filled:
    """What was sent for a line. A list of which nothing was chosen, not even "none", is None: not answered."""
    typed: dict[str, Any] = {}
    clashes = {}
    for each in form.fields:
        name = f"{line_no}.{each.name}"
        if each.kind is not FieldKind.MANY:
            typed[each.name] = sent.get(name, "")
            continue
        chosen: list[str] = [choice.code for choice in each.choices if sent.get(f"{name}.{choice.code}")]
        other = sent.get(f"{name}.{OTHER}", "").strip()
        none = bool(sent.get(f"{name}.{NONE}"))
        if none and (chosen or other):
            clashes[each.name] = _WORDS[language]["clash"].format(
                title=each.title(language), none=each.words_of([], language)
            )
        typed[each.name] = [*chosen, *([other] if other else [])] if chosen or other or none else None
    return Filled(typed, clashes)


def pet_view(
    form: OrderForm, pet: Question, language: str, now: datetime, *, closed: str = "", filled: Filled | None = None,
    result: FormResult | None = None, fresh: bool = True,
) -> PetView:  # fmt: skip
    """A line of the page: with what we have, or with what was just `filled` in and what came of it.

    `fresh`: nobody has filled in anything yet, so that what is missing is no error.
    """
    judged = result or pet.result
    said: Mapping[str, Any] = {**pet.line.pet, **(filled.typed if filled is not None else {})}
    limits, widest = form.limits(judged.values), form.limits({})
    errors = {wrong.field: wrong.why for wrong in judged.wrong}
    if not fresh:
        errors |= dict.fromkeys(judged.missing, _WORDS[language]["missing"])
        errors |= dict(filled.clashes if filled is not None else {})
    views = tuple(
        _field(
            form, each, pet.line.line_no, said, judged, (limits[each.name], widest[each.name]),
            errors.get(each.name, ""), language, as_typed=filled is not None,
        )
        for each in form.fields
    )  # fmt: skip
    rules = json.dumps(form.rules, ensure_ascii=False, separators=(",", ":"))
    goods = pet.line.title or pet.line.sku
    told = form.told(pet.line.pet, language, now)
    return PetView(pet.line.line_no, goods, pet.line.quantity, views, rules, closed, told)


def _field(
    form: OrderForm, asked: Field, line_no: int, all_said: Mapping[str, Any], judged: FormResult,
    limits: tuple[Limits, Limits], error: str, language: str, *, as_typed: bool,
) -> FieldView:  # fmt: skip
    value = judged.values.get(asked.name)
    said = form.said_of(asked, all_said)
    if value is None and error and asked.closed and isinstance(said, str):
        value = asked.code_of(said)  # a choice that contradicts another is still the one that was made
    chosen = set(value) if isinstance(value, list) else {str(value).lower() if isinstance(value, bool) else value}
    options = tuple(
        Option(choice.code, choice.title(language), choice.code in chosen, _group(form, asked, choice.code, language))
        for choice in asked.choices
    )
    none = None
    if asked.kind is FieldKind.MANY:
        said_none = asked.name in judged.values and not value
        none = Option(NONE, asked.words_of([], language), said_none)
        known = {choice.code for choice in asked.choices}
        text = "、".join(item for item in (value or []) if item not in known)
    else:
        text = _typed(asked, said if error or as_typed else value)
    return FieldView(
        name=f"{line_no}.{asked.name}",
        question=asked,
        widget=_widget(asked),
        title=asked.title(language),
        help=asked.help(language),
        said=text,
        options=options,
        none=none,
        range=_range(asked, limits[0], language),
        low="" if limits[1].low is None else amount(limits[1].low),
        high="" if limits[1].high is None else amount(limits[1].high),
        error=error,
    )


def _widget(asked: Field) -> str:
    if asked.kind is FieldKind.MANY:
        return "checks"
    if asked.choices:
        return "chips" if len(asked.choices) <= FEW else "list"
    return "long" if asked.kind is FieldKind.TEXT and asked.longest > LONG_TEXT else "text"


def _typed(asked: Field, value: Any) -> str:
    """What stands in a field to be typed into."""
    if value is None or not isinstance(value, str | int | float):
        return ""
    return amount(value) if asked.kind is FieldKind.NUMBER and not isinstance(value, str) else str(value)


def _range(asked: Field, limits: Limits, language: str) -> str:
    if asked.kind is not FieldKind.NUMBER or limits.low is None or limits.high is None:
        return ""
    return _WORDS[language]["range"].format(low=amount(limits.low), high=amount(limits.high), unit=asked.unit).strip()


def _group(form: OrderForm, asked: Field, code: str, language: str) -> str:
    """The one answer to another question that a choice goes with, in words; "" when it goes with several, or any."""
    fitting = [rule["if"] for rule in form.rules if code in rule["then"].get(asked.name, {}).get("enum", ())]
    if len(fitting) != 1:
        return ""
    ((name, codes),) = list(fitting[0].items())[:1]
    return "、".join(form[name].choice_title(each, language) for each in codes)


_WORDS = {
    "zh": {
        "missing": "请回答这一项",
        "clash": "{title}选了「{none}」,又选了别的,请只留一种",
        "range": "{low} 到 {high} {unit}",
    },
    "en": {
        "missing": "Please answer this",
        "clash": "{title}: “{none}” was chosen along with others, please keep one of the two",
        "range": "{low} to {high} {unit}",
    },
}


def words(language: str) -> Mapping[str, str]:
    """What the page says in this language, beside what the form itself says."""
    return {**_WORDS[language], **_PAGE[language]}


_PAGE = {
    "zh": {
        "order": "订单", "fill": "填写{title}", "why": "填好以后,我们按它选配方、算喂食量,订单自动继续。",
        "optional": "选填", "blank": "不填", "choose": "请选择", "other": "其他(列表里没有的)", "save": "保存",
        "again": "有 {count} 处要改,改好以后再保存一次。没有保存的内容还在下面。",
        "saved": "已保存,谢谢!订单会自动继续,不用再做什么。", "saved_some": "已保存填好的部分,其余的请再看一下。",
        "change": "再改一下", "back": "返回订单", "none_left": "这个订单没有要填的表单。",
        "of": "第 {number} 件,共 {count} 件",
        "help": "有问题请在下单的平台联系店铺客服,并告诉他们订单号。", "language": "English", "other_language": "en",
    },
    "en": {
        "order": "Order", "fill": "{title}",
        "why": "We choose the recipe and the feeding amount by it, and the order goes on by itself.",
        "optional": "optional", "blank": "no answer", "choose": "Please choose", "other": "Others (not in the list)",
        "save": "Save", "again": "{count} to correct; then save once more. What you have filled in is kept below.",
        "saved": "Saved, thank you! The order goes on by itself.",
        "saved_some": "What is complete was saved; please see to the rest.",
        "change": "Change it again", "back": "Back to the order", "none_left": "This order has no form to fill in.",
        "of": "Item {number} of {count}",
        "help": "Questions? Ask the shop on the platform where you bought, with the order number.",
        "language": "中文", "other_language": "zh",
    },
}  # fmt: skip
