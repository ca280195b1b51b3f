"""Hostile text in a table of ours: shown letter by letter, and never a link, a tag, a cell or a style."""

from __future__ import annotations

import html
import re

import pytest
from markdown_it import MarkdownIt

from models.window import PullWindow
from models.wording import TZ
from tasks.intake_board import as_markdown
from tasks.plain_text import plain
from tests.models.build import NOW

RENDER = MarkdownIt("commonmark", {"linkify": False}).enable("table").enable("strikethrough")
#: What Markdown with automatic links takes for an address.
ADDRESS = re.compile(r"(https?|ftp)://\w|www\.\w|[\w.+-]@\w", re.IGNORECASE)

HOSTILE = [
    "[急](https://evil.example/login)",
    "![x](https://evil.example/p.png)",
    "[急][1]",
    "<https://evil.example>",
    "<img src=x onerror=alert(1)>",
    "a|b",
    "a\\|b",
    "a\\\\|b",
    "\\[急\\](x)",
    "&#91;急&#93;(x)",
    "**粗** __粗__ ~~删~~ `code`",
    "_a_ __a__ a__b _a_b_ a_ b_",
    "see https://evil.example or WWW.evil.example or mail@evil.example",
    "line\n| new | row |\n\n# heading",
]


@pytest.mark.parametrize("said", HOSTILE)
def test_a_cell_shows_what_was_said_and_nothing_else(said: str) -> None:
    page = RENDER.render(f"| a | b |\n|---|---|\n| {plain(said)} | end |\n")

    assert re.findall(r"<(?!/?(?:table|thead|tbody|tr|th|td)>)[^>]*>", page) == []
    cells = [html.unescape(cell) for cell in re.findall(r"<td>(.*?)</td>", page, re.DOTALL)]
    assert [cell.replace("\u2060", "") for cell in cells] == [" ".join(said.split()), "end"]
    assert not ADDRESS.search(plain(said)) and not any(map(ADDRESS.search, cells))


def test_a_long_text_is_cut_before_it_is_escaped() -> None:
    assert plain("|" * 400, 3) == "&#124;" * 3
    assert plain("王\u202e小\x1b明") == "王小明"


def test_ordinary_text_is_left_alone() -> None:
    assert plain("SH-1001 猫罐头(鸡肉) sku_known 12.50 元!") == "SH-1001 猫罐头(鸡肉) sku_known 12.50 元!"


def test_a_board_shows_a_hostile_error_as_text() -> None:
    broken = PullWindow(channel="douyin", shop="pets", since=NOW, until=NOW.astimezone(TZ), begun_at=NOW)
    broken.state, broken.error = "failed", "[重新授权](https://evil.example) a\\|b"

    page = RENDER.render(as_markdown([], [broken], []))

    assert [link for link in re.findall(r'href="([^"]*)"', page) if "evil" in link] == []
    assert "[重新授权](https://\u2060evil.example) a\\|b" in html.unescape(page)
