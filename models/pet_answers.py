"""What an answer about a pet says to the choice of a recipe and to feeding; what cannot be used is not answered.

A form is checked before it holds (`models/form_facts.py`), yet orders keep the form that they were asked by: an answer
of the wrong kind in one of those must not stop it.
"""

from __future__ import annotations

import math
from datetime import date, datetime
from typing import Any


def day_in(said: Any) -> date | None:
    """The day that an answer is, a date or ISO 8601; None for what is none (`3岁`)."""
    if isinstance(said, datetime):
        return said.date()
    if isinstance(said, date):
        return said
    try:
        return date.fromisoformat(said.strip()) if isinstance(said, str) else None
    except ValueError:
        return None


def number_in(said: Any) -> float | None:
    """The finite number that an answer is; None for what is none (`12公斤`, yes or no)."""
    try:
        found = float(said) if isinstance(said, int | float | str) and not isinstance(said, bool) else math.nan
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def word_in(said: Any) -> str | None:
    """The code or the words that an answer is; None for none, and for a list, a number, yes or no."""
    return said or None if isinstance(said, str) else None


def yes_or_no_in(said: Any) -> bool | None:
    """Yes or no; None for anything else."""
    return said if isinstance(said, bool) else None


def notes_in(said: Any) -> str:
    """Whatever was written, in one text: what somebody says of a pet's health is not lost for its form."""
    if isinstance(said, list | tuple):
        return "、".join(filter(None, map(notes_in, said)))
    return str(said) if isinstance(said, str | int | float) and not isinstance(said, bool) else ""


def words_in(said: Any) -> list[str] | None:
    """The words of a list, or the one word; None where nothing was answered. An empty list is an answer."""
    if isinstance(said, str):
        return [said] if said else None
    if isinstance(said, list | tuple | set | frozenset):
        return [str(each) for each in said]
    return None
