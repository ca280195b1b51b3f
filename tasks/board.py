"""The order matrix as an artifact: what operators open first in the Prefect UI."""

from __future__ import annotations

from prefect.artifacts import acreate_markdown_artifact

from models.board import Board, matrix
from models.database import in_transaction, utcnow
from models.settings import settings
from models.wording import CHANNEL_WORDS, STAGE_WORDS, WAITING_WORDS, local, say

#: The artifact's key; its history is on the Artifacts page.
ARTIFACT = "orders"


async def publish_board() -> Board:
    """Write the order matrix as it is now. Twice: two entries in its history, nothing else."""
    now = utcnow()
    board = await in_transaction(lambda session: matrix(session, now))
    await acreate_markdown_artifact(key=ARTIFACT, markdown=as_markdown(board), description="订单矩阵")
    return board


def as_markdown(board: Board) -> str:
    """The board for people: the matrix, what waits for a person, and today's counts."""
    today = board.today
    parts = [
        f"# 订单矩阵 · {local(board.at)}",
        f"今天收到 **{today.received}** 单,发货 **{today.shipped}** 单,通知客户 **{today.notified}** 单,"
        f"签收 **{today.delivered}** 单,取消 **{today.cancelled}** 单。进行中 **{board.unfinished}** 单。",
        "",
        "| 阶段 | 在等什么 | 单数 | 最久 | 例如 |",
        "|---|---|---:|---:|---|",
        *(
            f"| {say(STAGE_WORDS, cell.stage)} | {say(WAITING_WORDS, cell.waiting_on) or '处理中'} | {cell.count} "
            f"| {duration(cell.oldest_seconds)} | {'、'.join(cell.examples)} |"
            for cell in board.cells
        ),
        "" if board.cells else "| – | 没有进行中的订单 | 0 | – | – |",
        "",
        *_for_people(board),
        "",
        "按渠道:" + "、".join(f"{say(CHANNEL_WORDS, name)} {count}" for name, count in board.channels.items())
        if board.channels
        else "",
    ]
    return "\n".join(parts)


def _for_people(board: Board) -> list[str]:
    """What somebody should look at, with where to click."""
    staff = settings().staff_url()
    lines = ["## 需要人看一眼"]
    if board.reviews_open:
        late = f",其中 {board.reviews_overdue} 份已超时" if board.reviews_overdue else ""
        lines.append(
            f"- 待审核 **{board.reviews_open}** 份{late}:[员工页面]({staff}/reviews),或在 Runs 里筛 `stage:review`"
        )
    if board.holds_open:
        lines.append(f"- 挂起 **{board.holds_open}** 个:[员工页面]({staff}/)")
    if board.quarantined:
        lines.append(f"- 隔离 **{board.quarantined}** 单(数据有误,未入库):[隔离清单]({staff}/quarantine)")
    if board.overdue:
        lines.append(f"- **{board.overdue}** 单早该处理却没有动:请看履约通道(fulfilment-lane)是否在运行")
    return lines if len(lines) > 1 else ["没有等人处理的事。"]


def duration(seconds: float) -> str:
    """A length of time as people say it: 45 秒, 12 分钟, 3 小时, 2 天."""
    for size, name in ((86_400, "天"), (3_600, "小时"), (60, "分钟")):
        if seconds >= size:
            return f"{int(seconds // size)} {name}"
    return f"{int(seconds)} 秒"
