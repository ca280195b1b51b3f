"""Chinese in pictures and PDF: Noto Sans SC (SIL Open Font License 1.1), from the package `pylopdf-fonts-zh-cn`.

The package has the font with PostScript outlines. Pictures take it as it is; PDF libraries take TrueType outlines
only, so for a PDF the few hundred signs that it shows are cut out of the font and their outlines are converted.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

#: How far a converted outline may lie from the original, in thousandths of the font's size.
_MAX_ERROR = 1.0
#: What a TrueType font says of itself in numbers; those that matter are counted when it is saved.
_COUNTED = (
    *("maxPoints", "maxContours", "maxCompositePoints", "maxCompositeContours", "maxComponentElements"),
    *("maxComponentDepth", "maxTwilightPoints", "maxStorage", "maxFunctionDefs", "maxInstructionDefs"),
    *("maxStackElements", "maxSizeOfInstructions"),
)
#: What only vertical or finely set text needs.
_DROPPED = ["GSUB", "GPOS", "GDEF", "BASE", "VORG", "vhea", "vmtx", "DSIG"]


def font_file() -> Path:
    """The font as an OpenType file with PostScript outlines (8 MB)."""
    return Path(str(files("pylopdf_fonts_zh_cn") / "NotoSansSC-Regular.otf"))


def truetype_for(text: str) -> io.BytesIO:
    """A TrueType font with just the signs of this text; the same signs give the same bytes. Half a second at first."""
    return io.BytesIO(_cut("".join(sorted(set(text) | set(" ?")))))


@lru_cache(maxsize=8)
def _cut(signs: str) -> bytes:
    from fontTools import subset  # tens of megabytes that only this needs

    options = subset.Options(layout_features=[], hinting=False, drop_tables=_DROPPED, notdef_outline=True)
    font = subset.load_font(str(font_file()), options)
    cutter = subset.Subsetter(options)
    cutter.populate(text=signs)
    cutter.subset(font)
    _with_truetype_outlines(font)
    font.recalcTimestamp = False
    cut = io.BytesIO()
    font.save(cut)
    return cut.getvalue()


def _with_truetype_outlines(font: Any) -> None:
    """Replace cubic outlines by quadratic ones, in place."""
    from fontTools.pens.cu2quPen import Cu2QuPen
    from fontTools.pens.ttGlyphPen import TTGlyphPen
    from fontTools.ttLib import newTable

    names, shapes = font.getGlyphOrder(), font.getGlyphSet()
    glyphs: dict[str, Any] = {}
    for name in names:
        pen = TTGlyphPen(shapes)
        shapes[name].draw(Cu2QuPen(pen, _MAX_ERROR, reverse_direction=True))
        glyphs[name] = pen.glyph()
    font["loca"] = newTable("loca")
    font["glyf"] = table = newTable("glyf")
    table.glyphOrder, table.glyphs = names, glyphs
    _set_left_bearings(font, glyphs)
    profile = font["maxp"]
    profile.tableVersion = 0x00010000
    for name in _COUNTED:
        setattr(profile, name, 0)
    profile.maxZones = 1
    font["post"].formatType = 3.0
    del font["CFF "]
    font.sfntVersion = "\x00\x01\x00\x00"


def _set_left_bearings(font: Any, glyphs: Mapping[str, Any]) -> None:
    for name, glyph in glyphs.items():
        glyph.recalcBounds(font["glyf"])
        width, _ = font["hmtx"][name]
        font["hmtx"][name] = (width, getattr(glyph, "xMin", 0))
