"""The report of an import as an artifact: what was taken, what was set aside and why. No personal data."""

from __future__ import annotations

from uuid import UUID

from prefect.artifacts import acreate_markdown_artifact, acreate_progress_artifact, aupdate_progress_artifact
from sqlmodel import Session

from models import order_sheet
from models.database import in_transaction, utcnow
from models.order_sheet import OrderSheet, SheetReject
from models.settings import settings
from models.sheet_wording import outcomes, reason, reasons, sentence, state_words
from models.wording import local
from tasks.plain_text import plain

MOST_ROWS = 50
#: Percent; smaller steps of the progress bar are not told to Prefect.
STEP = 1.0


def artifact_key(sheet_id: int) -> str:
    """The key of a sheet's report; its progress bar has `-progress` behind it."""
    return f"order-import-{sheet_id}"


class Progress:
    """The progress bar of one import, an artifact that is updated at most once per percent."""

    def __init__(self, sheet_id: int) -> None:
        self._key, self._id, self._shown = f"{artifact_key(sheet_id)}-progress", UUID(int=0), -STEP

    async def __call__(self, sheet: OrderSheet) -> None:
        """Show how far the sheet is."""
        percent = 100.0 * sheet.share_done
        if self._shown < 0:
            self._id = await acreate_progress_artifact(percent, key=self._key, description=f"导入 {sheet.file_name}")
        elif percent - self._shown < STEP and percent < 100.0:
            return
        else:
            await aupdate_progress_artifact(self._id, percent)
        self._shown = percent


async def show_report(sheet_id: int) -> None:
    """Write the report of a sheet as it is now."""

    def read(session: Session) -> tuple[OrderSheet, list[SheetReject]]:
        return order_sheet.find(session, sheet_id), order_sheet.rejects(session, sheet_id, MOST_ROWS)

    sheet, aside = await in_transaction(read)
    await acreate_markdown_artifact(
        key=artifact_key(sheet_id), markdown=as_markdown(sheet, aside), description=f"表格导入 {sheet.file_name}"
    )


def as_markdown(sheet: OrderSheet, aside: list[SheetReject]) -> str:
    """The counts, the reasons, and the first rows that were set aside."""
    lines = [
        f"# 表格导入 #{sheet.id} · {state_words(sheet)} · {local(sheet.ended_at or utcnow())}",
        "",
        f"{plain(sheet.file_name)} → {plain(sheet.shop)};{plain(sheet.confirmed_by)} 确认。{plain(sentence(sheet))}",
        "",
        "| 结果 | 单数 |",
        "|---|---:|",
        *(f"| {said} | {count} |" for said, count in outcomes(sheet)),
    ]
    if sheet.counts.get("reasons"):
        lines += ["", "## 为什么搁置", "", "| 原因 | 单数 |", "|---|---:|"]
        lines += [f"| {plain(said)} | {count} |" for said, count in reasons(sheet)]
    if aside:
        lines += ["", f"## 搁置的行(前 {MOST_ROWS} 单)", "", "| 行 | 订单 | 原因 | 说明 |", "|---:|---|---|---|"]
        lines += [
            f"| {row.row_no} | {plain(row.channel_order_id)} | {'、'.join(map(reason, row.codes))} | {plain(row.why)} |"
            for row in aside
        ]
    return "\n".join([*lines, "", f"[在员工页面查看和下载]({settings().staff_url()}/imports/{sheet.id})"])
