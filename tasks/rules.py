"""Steps: what people send in to change the rules becomes a draft; what they decide about a version is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlmodel import Session, select

from integrations.spreadsheets import SheetWrong
from integrations.spreadsheets.rules_sheet import kind_of as kind_of_sheet
from integrations.spreadsheets.rules_sheet import origin_of, read_rules_sheet
from models import rule_text
from models.database import in_transaction, utcnow
from models.rule_changing import base_for, in_force
from models.rule_desk import make_draft
from models.rule_diff import differences
from models.rule_step import Done
from models.rule_version import KIND_WORDS, RuleKind, RulesRefused, RuleVersion, in_line
from models.settings import settings
from models.table_check import Problem

Body = Mapping[str, Any]

#: Below the state directory: the only place that files of rules are read from by their names.
FOLDER = "rules"
#: What is refused in a sentence; nothing was changed.
NOT_DONE = (RulesRefused, SheetWrong)
MOST_BYTES = 5 * 1024 * 1024
SUFFIXES = (".xlsx", ".csv", ".json")


@dataclass(frozen=True)
class Wanted:
    """Rules that somebody wants: their body, and the number of the version that they were made of."""

    kind: RuleKind
    body: Body
    based_on: int


@dataclass(frozen=True)
class Draft:
    """What came of it: a draft, what is wrong with it, and what it says otherwise than the version in force."""

    kind: RuleKind
    number: int
    new: bool
    problems: list[Problem]
    warnings: list[Problem]
    in_force: int
    differences: list[str]

    @property
    def sentence(self) -> str:
        """In a sentence."""
        made = "草稿已写好" if self.new else "和最新的草稿一样,没有另起一份"
        fit = f"有 {len(self.problems)} 个问题,改好才能启用" if self.problems else "没有发现问题,可以试算"
        return f"{KIND_WORDS[self.kind][0]}第 {self.number} 版{made};{fit}。"


async def draft(wanted: Callable[[Session, datetime], Wanted], by: str, note: str) -> Draft:
    """Make a draft of what is wanted. Twice: the same draft. Raises `RulesRefused`, `SheetWrong`."""
    now = utcnow()
    return await in_transaction(lambda session: drafted(session, wanted(session, now), by, note, now))


async def take_step(step: Callable[[Session, datetime], Done]) -> Done:
    """Do what somebody decided about a version. Twice: nothing more, and it says so. Raises `RulesRefused`."""
    return await in_transaction(lambda session: step(session, utcnow()))


def drafted(session: Session, wanted: Wanted, by: str, note: str, now: datetime) -> Draft:
    """The same in a transaction of the caller's."""
    made = make_draft(session, wanted.kind, wanted.body, by, note, now, wanted.based_on)
    before = in_force(session, wanted.kind, now)
    return Draft(
        wanted.kind,
        made.version.number,
        made.new,
        made.problems,
        made.warnings,
        before.number,
        differences(wanted.kind, before.body, made.version.body),
    )


def edited(
    session: Session, kind: RuleKind, edit: Callable[[Body], Body], based_on: int | None, now: datetime
) -> Wanted:
    """A version with a change: `based_on`, else the newest draft, else the one in force. Raises `RulesRefused`.

    Two people at once: one after the other, the second on top of the first.
    """
    in_line(session, kind)
    base = base_for(session, kind, now, based_on)
    return Wanted(kind, edit(base.body), base.number)


def pasted(session: Session, kind: RuleKind, text: str, now: datetime) -> Wanted:
    """Rules as a JSON text. Raises `RulesRefused`."""
    return Wanted(kind, rule_text.body_of(kind, text), in_force(session, kind, now).number)


def sent_in(session: Session, kind: RuleKind | None, name: str, data: bytes, now: datetime) -> Wanted:
    """The rules in a file: XLSX, CSV (of the matrix) or JSON, by its name. Raises `RulesRefused`, `SheetWrong`.

    A workbook says of which version it was made; what it does not hold stays as it is there. `kind` None: whatever
    kind the file is of.
    """
    if len(data) > MOST_BYTES:
        raise RulesRefused(f"{name[:80]} 太大:最多 {MOST_BYTES // 2**20} MB。没有任何改变。")
    if name.lower().endswith(".json"):
        return _from_json(session, kind, data, now)
    if not name.lower().endswith(SUFFIXES):
        raise RulesRefused(f"{name[:80]}:规则文件要是 .xlsx、.csv(审批矩阵)或 .json。没有任何改变。")
    origin = origin_of(data)
    found = kind_of_sheet(data) or (origin.kind if origin else None) or kind
    if found is None or (kind is not None and found is not kind):
        wanted = KIND_WORDS[kind][0] if kind else "规则"
        looks = f",里面是{KIND_WORDS[found][0]}" if found else ",请用导出的文件来改"
        raise SheetWrong(f"{name[:80]} 不是{wanted}的文件{looks}。")
    base = _origin_version(session, origin.digest, found, origin.number) if origin and origin.kind is found else None
    base = base or in_force(session, found, now)
    return Wanted(found, read_rules_sheet(data, found, base.body), base.number)


def file_in_folder(name: str) -> bytes:
    """A file of the folder `rules` in the state directory, by its name alone. Raises `RulesRefused`."""
    folder = (settings().state_dir / FOLDER).resolve()
    path = folder / name
    if not name or Path(name).name != name or name.startswith(".") or "\\" in name or "\x00" in name:
        raise RulesRefused(f"只写文件名,不写目录:文件放在 {folder}。没有任何改变。")
    if path.is_symlink() or not path.is_file():
        there = (
            sorted(one.name for one in folder.glob("*.*") if one.suffix.lower() in SUFFIXES) if folder.is_dir() else []
        )
        raise RulesRefused(f"{folder} 里没有 {name[:80]}:有 {'、'.join(there[:20]) or '空'}。没有任何改变。")
    if path.stat().st_size > MOST_BYTES:
        raise RulesRefused(f"{name[:80]} 超过 {MOST_BYTES // 1024 // 1024} MB:规则文件不会这么大。没有任何改变。")
    return path.read_bytes()


def _from_json(session: Session, kind: RuleKind | None, data: bytes, now: datetime) -> Wanted:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise RulesRefused("JSON 文件要是 UTF-8 编码:请重新另存。没有任何改变。") from None
    found = kind or rule_text.kind_of(rule_text.parsed(text))
    if found is None:
        raise RulesRefused("看不出是哪一种规则:请写明种类。没有任何改变。")
    return pasted(session, found, text, now)


def _origin_version(session: Session, digest: str, kind: RuleKind, number: int) -> RuleVersion | None:
    """The version of ours that a workbook was made of; None for another installation's."""
    wanted = select(RuleVersion).where(
        RuleVersion.kind == kind.value, RuleVersion.number == number, RuleVersion.digest == digest
    )
    return session.exec(wanted).first()
