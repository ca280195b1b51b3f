"""What the doctor found, in both languages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `what_to_do` is empty when nothing is to be done; `english` holds both sentences."""

    code: str  # stable, for scripts: `port.prefect`, `database.version`
    severity: Severity
    title: str
    what_to_do: str
    english: str


def fine(code: str, title: str, english: str) -> Finding:
    """Nothing to do."""
    return Finding(code, "ok", title, "", english)


def warning(code: str, title: str, what_to_do: str, english: str) -> Finding:
    """It runs, and somebody should look."""
    return Finding(code, "warning", title, what_to_do, english)


def error(code: str, title: str, what_to_do: str, english: str) -> Finding:
    """It does not run, or not safely, until this is done."""
    return Finding(code, "error", title, what_to_do, english)
