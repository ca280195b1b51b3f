"""The production sheet of a batch: what the kitchen weighs and packs, as a PDF with a barcode, in Chinese.

Nobody's name, phone or address is on it. The same batch gives the same bytes, so a sheet can be printed again.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Any

from integrations.chinese_font import truetype_for
from models.wording import TZ

#: Margins and sizes in points (1/72 inch).
_MARGIN, _WIDTH = 40, 515
_TITLE, _TEXT, _SMALL = 17, 9.5, 8
_LONGEST = 120  # signs
_FONT = "sheet"
_GREY, _RED = "#e9ecef", "#b42318"

_one_at_a_time = Lock()


@dataclass(frozen=True)
class SheetLine:
    """One work order: so many packs of so many grams for one order; `grams` by ingredient are for all of them."""

    work_order_no: str
    order_no: str
    title: str
    quantity: int
    pack_g: int
    grams: Mapping[str, int]


@dataclass(frozen=True)
class Sheet:
    """One batch. `ingredients` are code and name in the order in which they are weighed; `allergens` are words."""

    batch_no: str
    recipe: str
    recipe_title: str
    recipe_version: int
    warehouse: str
    due_at: datetime
    ingredients: Sequence[tuple[str, str]]
    lines: Sequence[SheetLine]
    factory_no: str = ""
    allergens: Sequence[str] = ()
    flags: Sequence[str] = field(default=())

    def grams_of(self, ingredient: str) -> int:
        """Grams of this ingredient for the whole batch."""
        return sum(line.grams.get(ingredient, 0) for line in self.lines)


def production_sheet(sheet: Sheet) -> bytes:
    """The sheet as PDF, A4, as many pages as it takes."""
    cut = truetype_for(_LABELS + "".join(_words(sheet)))
    with _only_font(cut):
        return _built(sheet)


@contextmanager
def _only_font(cut: io.BytesIO) -> Iterator[None]:
    """reportlab knows this font, as `_FONT`, while the block runs; no other thread makes a sheet meanwhile.

    It keeps fonts for the whole process, by their names and by those of their faces, and every cut of our font has the
    same face: it would print the next sheet with the signs of the first, and never let go of one.
    """
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    with _one_at_a_time:
        font = TTFont(_FONT, cut)
        pdfmetrics.registerFont(font)
        try:
            yield
        finally:
            del pdfmetrics._fonts[_FONT], pdfmetrics._dynFaceNames[font.face.name]


def _built(sheet: Sheet) -> bytes:
    from reportlab.lib.pagesizes import A4  # reportlab takes a while to load, and only this needs it
    from reportlab.platypus import SimpleDocTemplate

    written = io.BytesIO()
    document = SimpleDocTemplate(
        written,
        pagesize=A4,
        leftMargin=_MARGIN,
        rightMargin=_MARGIN,
        topMargin=_MARGIN,
        bottomMargin=_MARGIN + 12,
        title=f"生产单 {sheet.batch_no}",
        author="Orderloom",
        invariant=1,
    )

    def foot(canvas: Any, page: Any) -> None:
        canvas.setFont(_FONT, _SMALL)
        canvas.drawString(
            _MARGIN, _MARGIN - 8, f"批次 {sheet.batch_no} · 配方 {sheet.recipe} 第 {sheet.recipe_version} 版"
        )
        canvas.drawRightString(_MARGIN + _WIDTH, _MARGIN - 8, f"第 {page.page} 页")

    document.build(_content(sheet), onFirstPage=foot, onLaterPages=foot)
    return written.getvalue()


#: Every sign that stands on each sheet, besides printable ASCII.
_LABELS = (
    "生产单批次配方第版仓库工厂号应完成含过敏原无特殊要求原料编码名称克数合计千克工单订单商品袋数每袋重共页"
    "…签名称量人复核人包装人时间备注张称好打勾□·、:,()()×"
    + "".join(map(chr, range(32, 127)))
)  # fmt: skip


def _words(sheet: Sheet) -> Iterator[str]:
    yield from (sheet.batch_no, sheet.recipe, sheet.recipe_title, sheet.warehouse, sheet.factory_no)
    yield from (*sheet.allergens, *sheet.flags)
    for code, name in sheet.ingredients:
        yield code + name
    for line in sheet.lines:
        yield line.work_order_no + line.order_no + line.title


def _content(sheet: Sheet) -> list[Any]:
    from reportlab.graphics.barcode.code128 import Code128
    from reportlab.lib import colors
    from reportlab.platypus import Spacer, Table

    due = sheet.due_at.astimezone(TZ)
    packs = sum(line.quantity for line in sheet.lines)
    total = sum(line.quantity * line.pack_g for line in sheet.lines)
    factory = f"  工厂批次 {sheet.factory_no}" if sheet.factory_no else ""
    head = Table(
        [
            [
                [
                    _line(f"生产单 {sheet.batch_no}", _TITLE),
                    _line(f"{sheet.recipe_title}({sheet.recipe} 第 {sheet.recipe_version} 版)", 11),
                    _line(f"应完成 {due:%Y-%m-%d %H:%M}  仓库 {sheet.warehouse}{factory}", _TEXT),
                    _line(f"{len(sheet.lines)} 张工单,{packs} 袋,合计 {total / 1000:,.2f} 千克", _TEXT),
                ],
                Code128(sheet.batch_no, barHeight=42, barWidth=0.95, humanReadable=False),
            ]
        ],
        colWidths=[_WIDTH - 190, 190],
        style=[
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("ALIGN", (1, 0), (1, 0), "RIGHT"),
        ],
    )
    warn = [_line("含过敏原:" + ("、".join(sheet.allergens) or "无"), 13, _RED if sheet.allergens else "black")]
    if sheet.flags:
        warn.append(_line("特殊要求:" + "、".join(sheet.flags), 11, _RED))
    weighing = _table(
        ["□", "原料编码", "原料名称", "克数合计", "千克"],
        [
            ["□", _small(code), _line(name, _TEXT), f"{grams:,}", f"{grams / 1000:,.3f}"]
            for code, name in sheet.ingredients
            for grams in [sheet.grams_of(code)]
        ],
        [24, 130, 181, 90, 90],
        numbers=(3, 4),
    )
    orders = _table(
        ["□", "工单", "订单", "商品", "袋数", "每袋重", "克数合计"],
        [
            [
                "□", _small(line.work_order_no), _small(line.order_no), _line(line.title, _TEXT),
                f"{line.quantity:,}", f"{line.pack_g:,} g", f"{line.quantity * line.pack_g:,}",
            ]
            for line in sheet.lines
        ],
        [24, 92, 78, 151, 45, 60, 65],
        numbers=(4, 5, 6),
    )  # fmt: skip
    signing = Table(
        [["称量人签名", "", "复核人签名", "", "包装人签名", ""], ["时间", "", "时间", "", "时间", ""]],
        colWidths=[62, _WIDTH / 3 - 62] * 3,
        rowHeights=[34, 24],
        style=[
            ("FONT", (0, 0), (-1, -1), _FONT, _TEXT),
            ("GRID", (0, 0), (-1, -1), 0.5, colors.black),
            ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
        ],
    )
    return [head, Spacer(1, 6), *warn, Spacer(1, 10), weighing, Spacer(1, 14), orders, Spacer(1, 18), signing]


def _table(header: list[str], rows: list[list[Any]], widths: list[float], *, numbers: Sequence[int]) -> Any:
    """A ruled table whose header comes again on every page."""
    from reportlab.lib import colors
    from reportlab.platypus import Table

    style: list[Any] = [
        ("FONT", (0, 0), (-1, -1), _FONT, _TEXT),
        ("GRID", (0, 0), (-1, -1), 0.4, colors.grey),
        ("BACKGROUND", (0, 0), (-1, 0), colors.HexColor(_GREY)),
        ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
        ("TOPPADDING", (0, 0), (-1, -1), 3),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 4),
        *(("ALIGN", (column, 0), (column, -1), "RIGHT") for column in numbers),
    ]
    return Table([header, *rows], colWidths=widths, repeatRows=1, style=style)


def _line(words: str, size: float, colour: str = "black") -> Any:
    """A paragraph that breaks within Chinese words, whatever is in it; cut where no name goes on."""
    from xml.sax.saxutils import escape

    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import Paragraph

    style = ParagraphStyle(
        f"{size}-{colour}", fontName=_FONT, fontSize=size, leading=size * 1.45, wordWrap="CJK", textColor=colour
    )
    return Paragraph(escape(words if len(words) <= _LONGEST else f"{words[:_LONGEST]}…"), style)


def _small(words: str) -> Any:
    return _line(words, _SMALL)
