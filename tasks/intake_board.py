"""The proof of intake, as an artifact: per channel and window what the platform counts and what we hold."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from prefect.artifacts import acreate_markdown_artifact
from sqlmodel import Session, col, select

from models.database import in_transaction, utcnow
from models.settings import settings
from models.window import PullMark, PullWindow, WindowState, latest_windows, open_windows
from models.wording import CHANNEL_WORDS, WINDOW_WHY_WORDS, WINDOW_WORDS, local, say
from tasks.plain_text import plain

#: The artifact's key; its history is on the Artifacts page.
ARTIFACT = "order-completeness"
#: Readings that the table shows, and missing orders that it names.
MOST_ROWS = 60
MOST_NAMED = 20


async def show_completeness() -> None:
    """Write the newest windows of every channel, and every gap that is open, with the orders it lacks."""
    marks, newest, gaps = await in_transaction(_read)
    await acreate_markdown_artifact(
        key=ARTIFACT, markdown=as_markdown(marks, newest, gaps), description="渠道订单核对：平台计数与我们的订单"
    )


def _read(session: Session) -> tuple[list[PullMark], list[PullWindow], list[PullWindow]]:
    marks = list(session.exec(select(PullMark).order_by(col(PullMark.channel), col(PullMark.shop))))
    return marks, latest_windows(session, MOST_ROWS), open_windows(session)


def as_markdown(marks: Sequence[PullMark], newest: Sequence[PullWindow], gaps: Sequence[PullWindow]) -> str:
    """Channels with how far they are read, then open gaps by order id, then the newest windows."""
    now = utcnow()
    lines = [f"# 渠道订单核对 · {local(now)}", ""]
    lines += ["| 渠道 | 店铺 | 已读到 | 平台计数 | 我们有 | 缺口 | 说明 |", "|---|---|---|---:|---:|---:|---|"]
    told: dict[tuple[str, str], list[PullWindow]] = defaultdict(list)
    for window in newest:
        told[window.channel, window.shop].append(window)
    for mark in marks:
        last = next((w for w in told[mark.channel, mark.shop] if w.told is not None and w.why == "pull"), None)
        open_here = sum(w.missing_count for w in gaps if (w.channel, w.shop) == (mark.channel, mark.shop))
        counted = f"{last.told} | {last.held}" if last else "— | —"
        lines.append(
            f"| {say(CHANNEL_WORDS, mark.channel)} | {plain(mark.shop)} | {local(mark.until)} | {counted}"
            f" | {open_here} | {plain(mark.error) or '正常'} |"
        )
    if gaps:
        lines += ["", "## 缺口", "", "| 渠道 | 窗口 | 缺几单 | 缺哪些 | 已试 | 状态 |", "|---|---|---:|---|---:|---|"]
        for window in gaps:
            named = "、".join(plain(str(id)) for id in window.missing[:MOST_NAMED]) or "平台只给了数目"
            lines.append(
                f"| {say(CHANNEL_WORDS, window.channel)} | {_span(window)} | {window.missing_count} | {named}"
                f" | {window.tries} | {_state(window)} |"
            )
    lines += ["", "## 最近的窗口", ""]
    lines += ["| 渠道 | 窗口 | 为什么 | 平台计数 | 我们有 | 补取 | 状态 |", "|---|---|---|---:|---:|---:|---|"]
    for window in newest:
        counted = "—" if window.told is None else str(window.told)
        state = _state(window) + (f"：{plain(window.error)}" if window.error else "")
        lines.append(
            f"| {say(CHANNEL_WORDS, window.channel)} | {_span(window)} | {say(WINDOW_WHY_WORDS, window.why)}"
            f" | {counted} | {window.held} | {window.fetched} | {state} |"
        )
    return "\n".join([*lines, "", f"[在员工页面查看]({settings().staff_url()}/intake)"])


def _state(window: PullWindow) -> str:
    words = say(WINDOW_WORDS, window.state)
    return f"**{words}**" if window.state == WindowState.UNEXPLAINED else words


def _span(window: PullWindow) -> str:
    return f"{local(window.since)} – {local(window.until)}"
