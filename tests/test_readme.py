"""The README says what is there: every channel, and how much of each nobody could verify."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from integrations.channels.connecting import CHANNELS
from models.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def channel_table() -> dict[str, list[str]]:
    """The rows of the table of channels, by the section of the settings that they name."""
    table = README.split("\n## Channels\n")[1].strip().split("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return {row[-1].strip("`[]"): row for row in rows}


def test_the_table_names_exactly_the_channels_that_there_are() -> None:
    assert set(channel_table()) - {"spreadsheet"} == set(CHANNELS)
    assert set(CHANNELS) <= set(Settings.model_fields)


def test_each_channel_tells_how_many_facts_nobody_could_verify() -> None:
    rows = channel_table()
    for channel in CHANNELS:
        listed = getattr(importlib.import_module(f"integrations.channels.{channel}"), "UNVERIFIED", None)
        told = re.match(r"\[(\d+) facts\]", rows[channel][-2])
        assert (len(listed) if listed is not None else None) == (int(told[1]) if told else None), channel


def test_what_the_readme_links_to_is_there() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
