"""The production sheet: everything that is weighed is on it, in signs that the font has, and nothing of a customer."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fontTools.ttLib import TTFont
from reportlab.lib import fonts
from reportlab.pdfbase import pdfmetrics

from integrations.chinese_font import font_file, truetype_for
from integrations.production import sheet as sheets
from integrations.production.sheet import Sheet, SheetLine, production_sheet

ROOT = Path(__file__).resolve().parents[2]
INGREDIENTS = [("ING-CHICKEN", "鸡肉"), ("ING-RICE", "大米")]


def sheet(orders: int = 2) -> Sheet:
    """A batch of so many orders, each of two packs of 1.5 kg."""
    grams = {"ING-CHICKEN": 1800, "ING-RICE": 1200}
    lines = [SheetLine(f"SH-{n}-1-1", f"SH-{n}", "定制犬粮 <大> & 礼盒", 2, 1500, grams) for n in range(orders)]
    due = datetime(2026, 11, 23, 8, tzinfo=UTC)
    return Sheet("PB261123-0007", "DOG-CHICKEN-DRY", "犬粮 鸡肉大米(干)", 3, "WH-EAST", due, INGREDIENTS, lines)


def pages(pdf: bytes) -> int:
    """How many pages a PDF has."""
    return len(re.findall(rb"/Type /Page\b", pdf))


def test_the_same_batch_gives_the_same_bytes() -> None:
    first = production_sheet(sheet())

    assert first.startswith(b"%PDF-") and first == production_sheet(sheet())
    assert first != production_sheet(replace(sheet(), allergens=["鸡肉"]))


NAMES = ("猫粮 三文鱼", "犬粮 鹿肉蓝莓", "猫粮 鳕鱼虾", "犬粮 羊肉藜麦")
OTHERS = [replace(sheet(), recipe_title=name) for name in NAMES]


def test_a_sheet_has_its_own_signs_whatever_was_printed_before_it() -> None:
    printed = [production_sheet(other) for other in OTHERS][-1]

    # as a process prints it that has printed nothing else
    script = (
        "import sys; from integrations.production.sheet import production_sheet;"
        "from tests.integrations.test_production_sheet import OTHERS;"
        "sys.stdout.buffer.write(production_sheet(OTHERS[-1]))"
    )
    alone = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, check=True, timeout=60)
    assert alone.stdout == printed


def test_many_sheets_leave_nothing_behind() -> None:
    production_sheet(sheet())
    before = (pdfmetrics.getRegisteredFontNames(), len(pdfmetrics._dynFaceNames), len(fonts._ps2tt_map))

    for sign in "甲乙丙丁":  # printed by no other test
        production_sheet(replace(sheet(), recipe_title=sign))

    assert (pdfmetrics.getRegisteredFontNames(), len(pdfmetrics._dynFaceNames), len(fonts._ps2tt_map)) == before


def test_sheets_that_are_printed_at_once_do_not_mix() -> None:
    one_by_one = [production_sheet(other) for other in OTHERS]

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(production_sheet, OTHERS * 2)) == one_by_one * 2


def test_as_many_pages_as_it_takes() -> None:
    assert pages(production_sheet(sheet(1))) == 1
    assert pages(production_sheet(sheet(200))) >= 4


def test_ingredients_are_summed_over_the_batch() -> None:
    assert [sheet(7).grams_of(code) for code, _ in INGREDIENTS] == [12_600, 8_400]


@pytest.mark.parametrize("name", ["", "🐶", "\u0000", "阿" * 3_000, "<b>不是标记", "]]>&amp;"])
def test_any_name_can_be_printed(name: str) -> None:
    odd = replace(sheet(), recipe_title=name, lines=[replace(sheet().lines[0], title=name)])

    assert production_sheet(odd).startswith(b"%PDF-")


def test_every_sign_of_the_labels_is_in_the_font() -> None:
    source = Path(sheets.__file__).read_text(encoding="utf-8")
    cut = TTFont(truetype_for(sheets._LABELS))
    has = set(cut.getBestCmap())

    assert {sign for sign in source if ord(sign) > 0x2000 and sign not in "—"} <= {chr(code) for code in has}
    assert has <= set(TTFont(io.BytesIO(font_file().read_bytes())).getBestCmap())
