"""Pictures inside Markdown artifacts: a chart with Chinese words, as an image that is part of the text.

The Prefect UI shows images whose address holds the image itself (`data:`), so nothing has to be served, and the chart
lives and goes with its artifact. matplotlib is imported where it is used: it is only for those who draw.
"""

from __future__ import annotations

import base64
import io
from functools import cache
from typing import TYPE_CHECKING

from integrations.chinese_font import font_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOTS_PER_INCH = 110
#: The same in every chart: what was, what would be, and what needs a look.
BEFORE, AFTER, ALERT = "#9aa5b1", "#2f6fde", "#d9822b"


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, that writes Chinese. Safe in any thread."""
    from matplotlib.figure import Figure

    _write_chinese()
    return Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")


def as_markdown(figure: Figure, said: str) -> str:
    """The figure as a Markdown image; `said` is for those who cannot see it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return f"![{said}](data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()})"


@cache
def _write_chinese() -> None:
    import matplotlib
    from matplotlib.font_manager import FontProperties, fontManager

    fontManager.addfont(font_file())
    name = FontProperties(fname=font_file()).get_name()
    matplotlib.rcParams["font.family"] = [name, "DejaVu Sans"]
    matplotlib.rcParams["axes.unicode_minus"] = False
