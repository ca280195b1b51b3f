"""What judging batches of orders came to, as an artifact: by shop the latest batches, and which rules were broken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from prefect.artifacts import acreate_markdown_artifact
from sqlalchemy import func
from sqlmodel import Session, col, select

from models.database import in_transaction, utcnow
from models.quarantine import Quarantined
from models.settings import settings
from models.validation import Outcome, RuleCount, Source, ValidationRun, latest, rule_counts
from models.wording import CHANNEL_WORDS, local, say
from tasks.plain_text import plain

#: The artifact's key; its history is on the Artifacts page.
ARTIFACT = "order-quality"
#: How far back it looks, and how many batches of each shop it lists.
DAYS, OF_EACH = 7, 5

OUTCOME_WORDS = {
    Outcome.PASSED: "通过",
    Outcome.BAD_DATA: "有坏数据",
    Outcome.EMPTY: "空批",
    Outcome.BROKEN: "**校验本身坏了**",
}
SOURCE_WORDS = {
    Source.PULL: "拉取",
    Source.BACKFILL: "补拉",
    Source.SPREADSHEET: "表格",
    Source.WEBHOOK: "推送",
}
CODE_WORDS = {
    "unreadable": "读不懂的数据",
    "id_missing": "没有可用的订单号",
    "no_lines": "没有商品行",
    "too_many_lines": "商品行过多",
    "currency": "币种不收",
    "time_in_future": "下单时间在将来",
    "unknown_sku": "商品表里没有的 SKU",
    "bad_quantity": "数量不合理",
    "negative_money": "金额不合理",
    "money_mismatch": "金额对不上",
    "refund_mismatch": "退款对不上",
    "address_missing": "收货地址不全",
    "text_too_long": "文字过长",
    "control_characters": "有控制字符",
    "emoji": "地址里有表情符号",
}


@dataclass(frozen=True)
class Quality:
    """What there is to show: the latest batches by shop, rules broken since, and orders that wait in quarantine."""

    at: datetime
    runs: Sequence[ValidationRun]
    broken_rules: Sequence[RuleCount]
    quarantined: int


async def show_validation() -> Quality:
    """Write what the batches of the last days came to. Twice: two entries in its history, nothing else."""
    now = utcnow()
    quality = await in_transaction(lambda session: _quality(session, now))
    await acreate_markdown_artifact(key=ARTIFACT, markdown=as_markdown(quality), description="订单数据质量")
    return quality


def as_markdown(quality: Quality) -> str:
    """For people: never an order's own values, only which rule it broke."""
    return "\n".join(
        [
            f"# 订单数据质量 · {local(quality.at)}",
            "",
            *_summary(quality),
            "",
            f"## 最近的批次(每店 {OF_EACH} 批)",
            "",
            "| 渠道 | 店铺 | 时间 | 来源 | 结果 | 订单 | 商品行 | 不合格 |",
            "|---|---|---|---|---|---:|---:|---:|",
            *(_row(run) for run in quality.runs),
            *([] if quality.runs else ["| – | – | – | – | 还没有校验过 | 0 | 0 | 0 |"]),
            *_broken(quality.runs),
            *_rules(quality.broken_rules),
        ]
    )


def _quality(session: Session, now: datetime) -> Quality:
    since = now - timedelta(days=DAYS)
    waiting = session.exec(select(func.count()).select_from(Quarantined).where(col(Quarantined.resolved_at).is_(None)))
    return Quality(now, latest(session, since, OF_EACH), rule_counts(session, since), waiting.one())


def _summary(quality: Quality) -> Iterator[str]:
    """What should be looked at first."""
    newest = {(run.channel, run.shop): run for run in reversed(quality.runs)}.values()
    broken = [run for run in newest if run.outcome == Outcome.BROKEN]
    if broken:
        names = "、".join(sorted({say(CHANNEL_WORDS, run.channel) for run in broken}))
        yield f"- {names} 最近一批没有校验成:规则本身出了错,原因见下,请交给技术支持"
    if quality.quarantined:
        yield f"- 隔离 **{quality.quarantined}** 单等人处理:[隔离清单]({settings().staff_url()}/quarantine)"
    if not broken and not quality.quarantined:
        yield "没有等人处理的事。"


def _row(run: ValidationRun) -> str:
    return (
        f"| {plain(say(CHANNEL_WORDS, run.channel))} | {plain(run.shop)} | {local(run.at)} "
        f"| {SOURCE_WORDS[Source(run.source)]} | {OUTCOME_WORDS[Outcome(run.outcome)]} "
        f"| {run.orders} | {run.lines} | {run.failed} |"
    )


def _broken(runs: Sequence[ValidationRun]) -> Iterator[str]:
    broken = [run for run in runs if run.outcome == Outcome.BROKEN]
    if broken:
        yield from ("", "## 校验本身坏在哪里", "")
        for run in broken:
            yield f"- {local(run.at)} {plain(say(CHANNEL_WORDS, run.channel))}:{plain(run.error)}"


def _rules(counts: Sequence[RuleCount]) -> Iterator[str]:
    yield from ("", f"## 最近 {DAYS} 天不合格的规则", "")
    if not counts:
        yield "没有。"
        return
    yield from ("| 规则 | 代码 | 列 | 渠道 | 行数 | 批数 |", "|---|---|---|---|---:|---:|")
    for one in counts:
        yield (
            f"| {CODE_WORDS.get(one.code, one.code)} | `{one.code}` | {plain(one.column) or '–'} "
            f"| {plain(say(CHANNEL_WORDS, one.channel))} | {one.rows} | {one.batches} |"
        )
