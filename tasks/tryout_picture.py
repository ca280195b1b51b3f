"""The chart of a try-out: before beside after, by day and by what was tried."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import date, timedelta
from typing import TYPE_CHECKING

from models.matrix import ROLES
from models.rule_version import RuleKind
from models.wording import TZ
from tasks.picture import AFTER, ALERT, BEFORE, as_markdown, new_figure
from tasks.trying import Tryout

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Bars of one kind at most; the rest is in the table.
MOST_BARS = 10
#: Dates that are written under the axis at most.
MOST_DATES = 6


def picture_of(tryout: Tryout, names: Mapping[str, str]) -> str:
    """The chart as Markdown. `names`: code of a recipe, or question of the form → what it is called."""
    figure = new_figure(9.6, 3.6)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    tally, kind = tryout.tally, tryout.past.kind
    if kind is RuleKind.FORM:
        _days(left, tryout, {"会搁置": (tally.days_held, ALERT)}, "每天会因表单搁置的订单")
        _asked(right, tally.asked, names)
        return as_markdown(figure, "每天会因表单搁置的订单,和缺或不对的答案")
    lines = {"之前": (tally.days_before, BEFORE), "之后": (tally.days_after, AFTER)}
    _days(left, tryout, lines, "每天送审的订单")
    if kind is RuleKind.RECIPES:
        _pairs(right, tally.recipes_before, tally.recipes_after, {**names, "": "没有配方"}, "每种配方的定制行")
    else:
        _pairs(right, tally.roles_before, tally.roles_after, ROLES, "每个角色要看的订单")
    return as_markdown(figure, "每天送审的订单,之前和之后")


def _days(axes: Axes, tryout: Tryout, lines: Mapping[str, tuple[Counter[str], str]], title: str) -> None:
    days = _window(tryout)
    places = list(range(len(days)))
    written = places[:: -(-len(days) // MOST_DATES)]
    for label, (counts, color) in lines.items():
        values = [counts[day.isoformat()] for day in days]
        axes.step(places, values, where="mid", color=color, label=label, linewidth=1.6)
        axes.fill_between(places, values, step="mid", color=color, alpha=0.15)
    axes.set_title(title, loc="left", fontsize=11)
    highest = max(max(counts.values(), default=0) for counts, _ in lines.values())
    axes.set_ylim(0, 1.2 * max(highest, 1))  # room for the legend
    axes.set_xticks(written, [f"{days[place]:%m-%d}" for place in written], fontsize=9)
    _tidy(axes)
    if len(lines) > 1:
        axes.legend(frameon=False, fontsize=9, loc="upper left", ncols=2)


def _window(tryout: Tryout) -> list[date]:
    first, last = (moment.astimezone(TZ).date() for moment in (tryout.past.since, tryout.past.until))
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _pairs(axes: Axes, before: Counter[str], after: Counter[str], names: Mapping[str, str], title: str) -> None:
    """Two bars for each code, the ones that change most on top."""
    codes = sorted(before.keys() | after.keys(), key=lambda code: (-abs(after[code] - before[code]), -before[code]))
    shown = list(reversed(codes[:MOST_BARS]))
    places = range(len(shown))
    axes.barh([place + 0.2 for place in places], [before[code] for code in shown], 0.38, color=BEFORE, label="之前")
    axes.barh([place - 0.2 for place in places], [after[code] for code in shown], 0.38, color=AFTER, label="之后")
    axes.set_yticks(list(places), [_short(names.get(code, code)) for code in shown], fontsize=9)
    axes.set_title(title, loc="left", fontsize=11)
    _tidy(axes)


def _asked(axes: Axes, asked: Counter[str], names: Mapping[str, str]) -> None:
    """A bar for each question that would be asked anew: without an answer, and with one that is not allowed."""
    totals: Counter[str] = Counter()
    for key, count in asked.items():
        totals[key.rpartition(":")[0]] += count
    shown = [name for name, _ in reversed(totals.most_common(MOST_BARS))]
    missing, wrong = ([asked[f"{name}:{how}"] for name in shown] for how in ("missing", "wrong"))
    places = list(range(len(shown)))
    axes.barh(places, missing, 0.6, color=ALERT, label="缺答案")
    axes.barh(places, wrong, 0.6, left=missing, color=AFTER, label="答案不合要求")
    axes.set_yticks(places, [_short(names.get(name, name)) for name in shown], fontsize=9)
    axes.set_title("要重新问的问题(单)", loc="left", fontsize=11)
    _tidy(axes)
    if shown:
        axes.legend(frameon=False, fontsize=9)


def _tidy(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(labelsize=9)


def _short(name: str) -> str:
    return name if len(name) <= 14 else name[:13] + "…"
