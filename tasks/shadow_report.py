"""The report of shadow mode, for the people who are to trust it: Markdown, a workbook, and an artifact."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path

from prefect.artifacts import acreate_markdown_artifact

from integrations.spreadsheets.safe_csv import DANGEROUS
from models.database import in_transaction, utcnow
from models.explain_words import EFFECT_KINDS, NODES
from models.settings import settings
from models.shadow_report import AGREED, Compared, ShadowReport, Verdict, gather
from models.wording import CHANNEL_WORDS, STAGE_WORDS, TZ, WAITING_WORDS, local, say, yuan
from tasks.shadow import sentences

#: The artifact's key; its history is on the Artifacts page.
ARTIFACT = "shadow-report"
#: Disagreements that the page lists; the workbook has all of them.
MOST_LISTED = 100

CARRIERS = {"sf_express": "顺丰", "cainiao": "菜鸟"}
PEOPLE = {
    "awaiting_payment": "未付款",
    "held": "平台冻结",
    "to_ship": "还没有发货",
    "part_shipped": "部分发货",
    "shipped": "已发货",
    "complete": "已完成",
    "cancelled": "已取消",
    "refunded": "已退款",
}
VERDICTS = {
    Verdict.SAME: "一致:同时发货",
    Verdict.EARLIER: "一致:我们更早",
    Verdict.LATER: "一致:我们更晚",
    Verdict.BOTH_ENDED: "一致:都取消或退款",
    Verdict.AHEAD: "我们会已发货,人还没有发",
    Verdict.PENDING: "还没有结果",
    Verdict.WE_WAIT: "不一致:人已发货,我们还在等人",
    Verdict.WE_ENDED: "不一致:我们会取消或退款,人没有",
    Verdict.WE_SHIPPED: "不一致:我们会已发货,人取消了",
}


def in_shadow() -> bool:
    """Whether there is anything to report on."""
    return settings().shadow


async def publish_shadow_report(days: int) -> ShadowReport:
    """Write the report of the last `days` as an artifact. Twice: two entries in its history, nothing else."""
    report = await shadow_report(days)
    await acreate_markdown_artifact(key=ARTIFACT, markdown=as_markdown(report), description="影子模式报告")
    return report


async def shadow_report(days: int) -> ShadowReport:
    """What would have been done for the orders of the last `days`, beside what people did."""
    until = utcnow()
    return await in_transaction(lambda session: gather(session, until - timedelta(days=days), until))


def as_markdown(report: ShadowReport) -> str:
    """The report for people, in Chinese, without personal data."""
    kept = f",影子自 {local(report.kept_since)} 起运行" if report.kept_since else ""
    parts = [
        f"# 影子报告 · {local(report.since)} 至 {local(report.until)}",
        f"读真实渠道,没有向外发送任何东西{kept}。",
        "",
        "## 和人做的一样吗",
        _agreement(report),
        "",
        *_table("| 比较 | 单数 | 相差(中位数) |\n|---|---:|---:|", _verdict_rows(report)),
        "",
        *_disagreements(report),
        "## 读到的订单",
        *_table("| 渠道 | 单数 |\n|---|---:|", _counts(report.received, lambda name: say(CHANNEL_WORDS, name))),
        f"\n另有 {report.quarantined} 单进了隔离区,不会自动处理。",
        "",
        "## 本应做的事",
        *_table("| 事 | 次数 |\n|---|---:|", _done_rows(report)),
        "",
        *_section("审核(按原因)", "| 原因 | 送审 | 还在等营养师 |\n|---|---:|---:|", _review_rows(report)),
        *_section("运单(按快递和仓库)", "| 快递 | 仓库 | 单数 |\n|---|---|---:|", _waybill_rows(report)),
        *_section("客户通知(按时刻)", "| 时刻 | 条数 |\n|---|---:|", _counts(report.messages, _node)),
        *_section("库存发布(按渠道)", "| 渠道 | 改动 | SKU |\n|---|---:|---:|", _push_rows(report)),
        *_section("本应请人处理", "| 谁 | 次数 |\n|---|---:|", _counts(report.for_people, str)),
        "## 这里假设了什么",
        *(f"- {sentence}" for sentence in sentences()),
    ]
    return "\n".join(parts)


def _agreement(report: ShadowReport) -> str:
    share, open_ = report.agreement, report.count(Verdict.AHEAD, Verdict.PENDING)
    if share is None:
        return f"还没有可以比较的订单;{open_} 单还没有结果。"
    agreed, disagreed = report.count(*AGREED), len(report.disagreements)
    told = f"可比较的 {agreed + disagreed} 单里 **{agreed} 单一致({share:.1%})**,{disagreed} 单不一致"
    return f"{told};{open_} 单还没有结果。"


def _verdict_rows(report: ShadowReport) -> list[str]:
    rows = []
    for verdict, words in VERDICTS.items():
        if many := report.count(verdict):
            hours = report.median_hours(verdict)
            rows.append(f"| {words} | {many} | {'' if hours is None else f'{hours:.1f} 小时'} |")
    return rows


def _disagreements(report: ShadowReport) -> list[str]:
    found = report.disagreements
    if not found:
        return []
    rows = [f"| {one.order_no} | {say(CHANNEL_WORDS, one.channel)} | {ours(one)} | {theirs(one)} |" for one in found]
    more = [f"\n还有 {len(found) - MOST_LISTED} 单,见导出的表格。"] if len(found) > MOST_LISTED else []
    head = "| 订单 | 渠道 | 我们会 | 人做的 |\n|---|---|---|---|"
    return ["### 不一致的订单", *_table(head, rows[:MOST_LISTED]), *more, ""]


def ours(order: Compared) -> str:
    """What we would have done with an order, in words."""
    if order.shipped_at is not None:
        return f"{local(order.shipped_at)} 发货"
    stage = say(STAGE_WORDS, order.stage)
    return f"{stage},{say(WAITING_WORDS, order.waiting_on)}" if order.waiting_on else stage


def theirs(order: Compared) -> str:
    """What people did with an order, in words."""
    if order.people_shipped_at is not None:
        return f"{local(order.people_shipped_at)} 发货"
    return PEOPLE.get(order.status, order.status)


def _done_rows(report: ShadowReport) -> list[str]:
    rows = [f"| {EFFECT_KINDS.get(kind, (kind, kind))[0]} | {many} |" for kind, many in sorted(report.told.items())]
    if report.work_orders:
        rows.append(f"| 其中生产:{report.batches} 批 | {report.work_orders} 个工单 |")
    if report.refunds:
        rows.append(f"| 其中退款金额 | {yuan(report.refunded_fen)} |")
    return rows


def _review_rows(report: ShadowReport) -> list[str]:
    return [f"| {reason} | {asked} | {still} |" for reason, (asked, still) in report.reviews.items()]


def _waybill_rows(report: ShadowReport) -> list[str]:
    found = sorted(report.waybills.items())
    return [f"| {CARRIERS.get(carrier, carrier)} | {place or '-'} | {many} |" for (carrier, place), many in found]


def _push_rows(report: ShadowReport) -> list[str]:
    found = sorted(report.pushes.items())
    return [f"| {say(CHANNEL_WORDS, channel)} | {changes} | {skus} |" for channel, (changes, skus) in found]


def _node(name: str) -> str:
    return NODES.get(name, (name, name))[0]


def _counts(counts: Mapping[str, int], word: Callable[[str], str]) -> list[str]:
    return [f"| {word(name)} | {many} |" for name, many in sorted(counts.items())]


def _section(title: str, head: str, rows: list[str]) -> list[str]:
    return [f"### {title}", *_table(head, rows), ""] if rows else []


def _table(head: str, rows: Iterable[str]) -> list[str]:
    found = list(rows)
    return [head, *found] if found else ["(没有)"]


def write_workbook(report: ShadowReport, file: Path) -> None:
    """The report as XLSX: every order with both sides, what would have been done, what is assumed."""
    from openpyxl import Workbook  # a third of a second that only this needs

    book = Workbook()
    orders = book.active
    assert orders is not None
    orders.title = "逐单比较"
    orders.append(["订单", "渠道", "比较", "我们会", "人做的", "我们早多少小时"])
    for one in report.orders:
        hours = None if one.hours is None else round(one.hours, 2)
        row = [one.order_no, say(CHANNEL_WORDS, one.channel), VERDICTS[one.verdict], ours(one), theirs(one), hours]
        orders.append([_plain(cell) for cell in row])
    done = book.create_sheet("本应做的事")
    done.append(["类别", "项", "数"])
    for kind, counts in _kinds(report).items():
        for name, many in counts.items():
            done.append([kind, _plain(name), many])
    assumed = book.create_sheet("假设")
    for sentence in sentences():
        assumed.append([sentence])
    moment = f"{report.since.astimezone(TZ):%Y-%m-%d %H:%M} 至 {report.until.astimezone(TZ):%Y-%m-%d %H:%M}"
    assumed.append([f"报告期:{moment}"])
    book.save(file)


def _kinds(report: ShadowReport) -> dict[str, dict[str, int]]:
    return {
        "读到的订单": {say(CHANNEL_WORDS, name): many for name, many in report.received.items()},
        "外部动作": {EFFECT_KINDS.get(kind, (kind, kind))[0]: many for kind, many in report.told.items()},
        "审核": {reason: asked for reason, (asked, _) in report.reviews.items()},
        "运单": {f"{CARRIERS.get(c, c)} {place}": many for (c, place), many in report.waybills.items()},
        "客户通知": {_node(name): many for name, many in report.messages.items()},
        "库存发布": {say(CHANNEL_WORDS, name): changes for name, (changes, _) in report.pushes.items()},
        "退款(分)": {"金额": report.refunded_fen} if report.refunds else {},
        "请人处理": dict(report.for_people),
        "隔离": {"单数": report.quarantined},
    }


def _plain(cell: str | float | None) -> str | float | None:
    """Text that a spreadsheet program takes for text."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(DANGEROUS) else cell
