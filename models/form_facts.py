"""The questions of a form that the choice of a recipe and feeding read: which they are, and what each has to be.

Their answers are facts of a pet. A question of another kind, in another unit or with other codes would be read as
something else or as nothing, and a pet would get another recipe without anybody seeing why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field

from models.form_field import Field, FieldKind, plainly
from models.recipe import ALLERGENS, SPECIES, STAPLES
from models.recipe_choice_check import columns_for
from models.table_check import Problem

_CHOICES = columns_for({}).facts
_WORDS = {
    FieldKind.CHOICE: "单选(type 为 string,带 enum)",
    FieldKind.MANY: "多选(type 为 array)",
    FieldKind.YES_NO: "是否(type 为 boolean)",
    FieldKind.NUMBER: "数(type 为 number)",
    FieldKind.DATE: "日期(type 为 string,format 为 date)",
    FieldKind.TEXT: "文字(type 为 string,不带 enum)",
}


@dataclass(frozen=True)
class Fact:
    """What a question has to be. `names`: code → how it is called; of a closed one there are no other codes."""

    kinds: tuple[FieldKind, ...]
    needed: bool = False
    unit: str | None = None
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    closed: bool = False


def _closed(column: str, names: Mapping[str, Sequence[str]] | None = None, needed: bool = False) -> Fact:
    named = names or {code: (name,) for code, name in _CHOICES[column].choices.items()}
    return Fact((FieldKind.CHOICE,), needed, names=named, closed=True)


#: Question → what it has to be, where it is in the form.
FORM_FACTS = {
    "species": _closed("species", SPECIES, needed=True),
    "weight_kg": Fact((FieldKind.NUMBER,), needed=True, unit="kg"),
    "staple_preference": _closed("staple", STAPLES, needed=True),
    "allergens": Fact((FieldKind.MANY,), needed=True, names=ALLERGENS),
    "birth_date": Fact((FieldKind.DATE,)),
    "neutered": Fact((FieldKind.YES_NO,)),
    "activity_level": _closed("activity_level"),
    "body_condition": _closed("body_condition"),
    "breed": Fact((FieldKind.CHOICE, FieldKind.TEXT)),
    "health_notes": Fact((FieldKind.TEXT,)),
}


def misfit_facts(fields: Mapping[str, Field], required: Set[str]) -> Iterator[Problem]:
    """What keeps these questions from being the facts that recipes and feeding go by."""
    for name, fact in FORM_FACTS.items():
        where = f"properties.{name}"
        if name not in fields:
            if fact.needed:
                yield Problem(where, "选配方需要这个字段:要在 properties 和 required 里,类型不能改")
            continue
        if fact.needed and name not in required:
            yield Problem(where, "选配方需要这个字段:要写进 required(必填)")
        if fields[name].kind not in fact.kinds:
            kinds = "或".join(_WORDS[kind] for kind in fact.kinds)
            yield Problem(where, f"选配方和喂食量要读这个字段:类型只能是{kinds};要问别的,请用另一个字段名")
            continue
        yield from _misread(fields[name], fact, where)


def _misread(asked: Field, fact: Fact, where: str) -> Iterator[Problem]:
    """Answers to this question that would be taken for something else."""
    if fact.unit is not None and asked.unit != fact.unit:
        yield Problem(where, f"单位 x-unit 只能是 {fact.unit}:选配方和喂食量按它计算")
    codes = {choice.code for choice in asked.choices}
    if fact.closed and (strange := sorted(codes - set(fact.names))):
        yield Problem(where, f"选配方不认识代码 {'、'.join(strange[:10])}:只能用 {_listed(fact.names)}")
    meant = {plainly(name): code for code, names in fact.names.items() for name in (code, *names)}
    for choice in asked.choices:
        for name in choice.names:
            code = meant.get(plainly(name), choice.code)
            if code != choice.code:
                yield Problem(where, f"「{name}」的代码要是 {code},现在写成了 {choice.code}:选配方会认错")
    if fact.names and (lost := [word for word in asked.none if plainly(word) in meant]):
        yield Problem(where, f"x-none 里的「{'、'.join(lost[:10])}」是一个选项,不能当作没有")


def _listed(names: Mapping[str, Sequence[str]]) -> str:
    return "、".join(f"{code}({said[0]})" for code, said in names.items())
