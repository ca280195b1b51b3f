"""Spreadsheets that people send us, and those that they download: read with suspicion, written without formulas."""

from __future__ import annotations


class SheetWrong(Exception):
    """The file cannot be used; the words say why and what to do. Nothing was changed."""
