"""Rules as files: a version written to JSON or a spreadsheet, and a draft made of one that people have changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import typer
from sqlmodel import Session

from deployments.language import tell
from integrations.spreadsheets.rules_sheet import matrix_csv, origin_of, read_rules_sheet, rules_sheet
from models.rule_changing import base_for
from models.rule_history import at_moment, turns
from models.rule_version import RuleKind, RulesRefused, RuleVersion, find_version

#: A rule file is text that people write: one beyond this is something else.
MOST_BYTES = 5 * 1024 * 1024


def write_rules(session: Session, kind: str, number: int | None, file: Path, force: bool, now: datetime) -> bool:
    """Write a version (default: the one in force) to a file. Raises `RulesRefused`."""
    version = chosen(session, RuleKind(kind), number, now)
    if file.exists() and not force:
        raise RulesRefused(f"{file} 已经存在:换一个名字,或加 --force 覆盖。")
    file.write_bytes(_written(version, file))
    typer.echo(tell(f"第 {version.number} 版写到了 {file}。", f"Version {version.number} written to {file}."))
    return True


def chosen(session: Session, kind: RuleKind, number: int | None, now: datetime) -> RuleVersion:
    """The version of this number, or the one in force."""
    if number is not None:
        return find_version(session, kind, number)
    holds = at_moment(turns(session, kind), now)
    return base_for(session, kind, now) if holds is None else find_version(session, kind, holds.number)


def read_rules(kind: str, file: Path, base: Mapping[str, Any]) -> Mapping[str, Any]:
    """The rules in a file; what a sheet does not show stays as in `base`. Raises `RulesRefused`, `SheetWrong`."""
    if file.stat().st_size > MOST_BYTES:
        raise RulesRefused(f"{file.name} 太大(最多 {MOST_BYTES // 1024 // 1024} MB)。没有任何改变。")
    if file.suffix.lower() != ".json":
        return read_rules_sheet(file.read_bytes(), RuleKind(kind), base)
    try:
        body = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise RulesRefused(f"{file.name} 不是完整的 JSON:{error}。没有任何改变。") from None
    if not isinstance(body, dict):
        raise RulesRefused(f"{file.name} 里不是一份规则:应是 orderloom rules export 写出的样子。没有任何改变。")
    return body


def made_of(kind: str, file: Path) -> int | None:
    """The number of the version that a spreadsheet says it was made of; None where it does not say."""
    if file.suffix.lower() == ".json":
        return None
    origin = origin_of(file.read_bytes())
    return origin.number if origin is not None and origin.kind.value == kind else None


def _written(version: RuleVersion, file: Path) -> bytes:
    match file.suffix.lower():
        case ".json":
            return (json.dumps(version.body, ensure_ascii=False, indent=1) + "\n").encode()
        case ".xlsx":
            return rules_sheet(RuleKind(version.kind), version.number, version.body)
        case ".csv" if version.kind == RuleKind.MATRIX.value:
            return matrix_csv(version.body)
    raise RulesRefused("文件名要以 .xlsx 或 .json 结尾(审批矩阵也可以是 .csv)。没有写任何文件。")
