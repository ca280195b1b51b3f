"""What was published to the channels, as an artifact: only when something changed or failed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prefect.artifacts import acreate_markdown_artifact
from sqlmodel import Session

from models.database import in_transaction, utcnow
from models.product import products
from models.wording import CHANNEL_WORDS, local, say
from tasks.plain_text import plain
from tasks.shelves import Published

#: The artifact's key; its history is on the Artifacts page.
ARTIFACT = "channel-stock"
#: Rows that each table shows; the rest is counted.
MOST_ROWS = 100


async def show_published(published: Sequence[Published]) -> bool:
    """Write what was changed and what was not; False, and nothing, when there is neither."""
    if not any(one.changes or one.left or one.error for one in published):
        return False
    skus = {change.sku for one in published for change in one.changes} | {sku for one in published for sku in one.left}
    titles = await in_transaction(lambda session: _titles(session, sorted(skus)))
    heading = f"# 渠道库存 · {local(utcnow())}\n\n"
    await acreate_markdown_artifact(
        key=ARTIFACT, markdown=heading + as_markdown(published, titles), description="渠道库存"
    )
    return True


def as_markdown(published: Sequence[Published], titles: dict[str, str]) -> str:
    """The channels one by one, then what was changed, then what was left for the next round and why."""
    lines = ["| 渠道 | 核对 | 改了 | 留到下一轮 | 说明 |", "|---|---:|---:|---:|---|"]
    for one in published:
        why = "正由另一个运行在发布" if one.busy else plain(one.error) or "完成"
        lines.append(f"| {_channel(one)} | {one.looked} | {len(one.changes)} | {len(one.left)} | {why} |")
    changed = [
        f"| {_channel(one)} | {plain(change.sku)} | {plain(titles.get(change.sku, ''))} | {change.seen} | {change.to} |"
        for one in published
        for change in one.changes
    ]
    left = [
        f"| {_channel(one)} | {plain(sku)} | {plain(titles.get(sku, ''))} | {plain(why)} |"
        for one in published
        for sku, why in one.left.items()
    ]
    if changed:
        lines += _table("改了的", "| 渠道 | SKU | 商品 | 原来可售 | 现在可售 |", "|---|---|---|---:|---:|", changed)
    if left:
        lines += _table("留到下一轮的", "| 渠道 | SKU | 商品 | 原因 |", "|---|---|---|---|", left)
    return "\n".join(lines)


def _table(title: str, head: str, rule: str, rows: list[str]) -> Iterator[str]:
    yield from ("", f"## {title}", "", head, rule, *rows[:MOST_ROWS])
    if len(rows) > MOST_ROWS:
        yield from ("", f"另有 {len(rows) - MOST_ROWS} 行没有列出。")


def _channel(one: Published) -> str:
    return say(CHANNEL_WORDS, one.channel)


def _titles(session: Session, skus: Sequence[str]) -> dict[str, str]:
    return {sku: product.title for sku, product in products(session, skus).items()}
