"""A version of the rules as a file that people can change: XLSX, CSV of the matrix, or JSON."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import typer
from sqlmodel import Session

from deployments.language import tell
from integrations.spreadsheets.rules_sheet import matrix_csv, rules_sheet
from models.rule_changing import in_force
from models.rule_version import RuleKind, RulesRefused, RuleVersion, find_version


def write_rules(session: Session, kind: str, number: int | None, file: Path, force: bool, now: datetime) -> bool:
    """Write a version (default: the one in force) to a file. Raises `RulesRefused`."""
    version = chosen(session, RuleKind(kind), number, now)
    if file.exists() and not force:
        raise RulesRefused(f"{file} 已经存在:换一个名字,或加 --force 覆盖。")
    if not file.parent.is_dir():
        raise RulesRefused(f"没有文件夹 {file.parent}:先建好它,或换一个地方。没有写任何文件。")
    file.write_bytes(_written(version, file))
    typer.echo(tell(f"第 {version.number} 版写到了 {file}。", f"Version {version.number} written to {file}."))
    return True


def chosen(session: Session, kind: RuleKind, number: int | None, now: datetime) -> RuleVersion:
    """The version of this number, or the one in force."""
    if number is not None:
        return find_version(session, kind, number)
    return in_force(session, kind, now)


def _written(version: RuleVersion, file: Path) -> bytes:
    match file.suffix.lower():
        case ".json":
            return (json.dumps(version.body, ensure_ascii=False, indent=1) + "\n").encode()
        case ".xlsx":
            return rules_sheet(RuleKind(version.kind), version.number, version.body)
        case ".csv" if version.kind == RuleKind.MATRIX.value:
            return matrix_csv(version.body)
    raise RulesRefused("文件名要以 .xlsx 或 .json 结尾(审批矩阵也可以是 .csv)。没有写任何文件。")
