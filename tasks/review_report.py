"""Step: how reviews went, as an artifact: straight through or not, how long, by whom and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from prefect.artifacts import acreate_markdown_artifact

from models.database import in_transaction, utcnow
from models.review import VERDICT_WORDS, Verdict
from models.review_board import ReviewBoard, Times, review_board
from models.review_duty import role_word
from models.wording import local
from tasks.plain_text import plain

#: The artifact's key; its history is on the Artifacts page.
ARTIFACT = "reviews"
#: Characters of the longest bar.
WIDEST = 24


async def publish_report(days: float) -> ReviewBoard:
    """Write the reviews of the last `days` days. Twice: two entries in its history, nothing else."""
    now = utcnow()
    board = await in_transaction(lambda session: review_board(session, now - timedelta(days=days), now))
    await acreate_markdown_artifact(key=ARTIFACT, markdown=as_markdown(board), description="审核情况")
    return board


def as_markdown(board: ReviewBoard) -> str:
    """The report for people."""
    verdicts = "、".join(f"{VERDICT_WORDS[Verdict(name)]} {count}" for name, count in board.verdicts.items())
    every = board.all
    parts = [
        f"# 审核情况 · {local(board.since)} 到 {local(board.until)}",
        f"自动放行 **{_share(board.straight_share)}**(按矩阵判断的 {board.ruled} 单里 {board.straight} 单没有经过人)。",
        f"送审 **{every.opened}** 份,已决定 **{every.decided}** 份;从送审到决定,中位 **{_minutes(every.median)}**,"
        f"P95 **{_minutes(every.p95)}**;按时 **{_share(board.in_time_share)}**。",
        f"待决定 {board.open} 份,其中超时 {board.overdue} 份;提醒过 {every.reminded} 份,升级过 {every.escalated} 份,"
        f"因订单取消或变更撤回 {board.withdrawn} 份。",
        f"结论:{verdicts}。" if verdicts else "还没有结论。",
    ]
    for title, first, groups in (
        ("按天", "日期", board.by_day),
        ("按理由", "理由", board.by_reason),
        ("按角色", "角色", [_renamed(times) for times in board.by_role]),
        ("按审核人", "审核人", board.by_reviewer),
    ):
        if groups:
            parts += [f"## {title}", _table(first, groups)]
    return "\n\n".join(parts)


def _renamed(times: Times) -> Times:
    return Times(**{**vars(times), "name": role_word(times.name)})


def _table(first: str, groups: Sequence[Times]) -> str:
    """One row for each group, with a bar for how many were opened."""
    most = max(times.opened for times in groups)
    rows = [
        f"| {plain(times.name, 80) or '–'} | {_bar(times.opened, most)} | {times.opened} | {times.decided} "
        f"| {_minutes(times.median)} | {_minutes(times.p95)} | {times.late} | {times.reminded} | {times.escalated} |"
        for times in groups
    ]
    head = f"| {first} | 送审 | 份数 | 已决定 | 中位 | P95 | 超时 | 提醒 | 升级 |"
    return "\n".join([head, "|---|---|" + "---:|" * 7, *rows])


def _bar(count: int, most: int) -> str:
    """A bar of block characters, at least a sliver for at least one."""
    eighths = round(8 * WIDEST * count / most)
    return "█" * (eighths // 8) + "▏▎▍▌▋▊▉"[eighths % 8 - 1] * bool(eighths % 8) if count else ""


def _share(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _minutes(minutes: float | None) -> str:
    return "–" if minutes is None else f"{minutes:.1f} 分钟" if minutes < 600 else f"{minutes / 60:.0f} 小时"
