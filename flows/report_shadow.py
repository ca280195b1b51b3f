"""Says every day what shadow mode would have done, and how that compares with what people did."""

from __future__ import annotations

from prefect import flow
from prefect.states import Completed, State

from tasks.shadow_report import in_shadow, publish_shadow_report


@flow(name="shadow-report", persist_result=False)
async def report_shadow(days: int = 7) -> State:
    """Publish the artifact `shadow-report` of the last `days`. A live installation has none."""
    if not in_shadow():
        return Completed(name="不是影子模式", message="报告只在影子模式下有:`orderloom up --shadow`。")
    report = await publish_shadow_report(days)
    share = report.agreement
    agreed = "还没有可比较的订单" if share is None else f"一致 {share:.1%}"
    return Completed(name=f"{agreed},不一致 {len(report.disagreements)} 单")
