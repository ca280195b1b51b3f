"""The flow runs that work through confirmed sheets: the page confirms, the stack runs."""

from __future__ import annotations

from prefect import get_client

from models import sheet_run
from models.database import in_transaction, utcnow

#: `flow/deployment` of these runs.
IMPORT_DEPLOYMENT = "import-orders/uploaded"


async def start_due_imports() -> int:
    """Make a run for every sheet that wants one; how many. Twice, or twice at once: each sheet is taken once.

    A sheet whose run could not be made, or never began, wants one again after a while.
    """
    due = await in_transaction(lambda session: sheet_run.due(session, utcnow()))
    if not due:
        return 0
    left = list(due)
    try:
        async with get_client() as client:
            deployment = await client.read_deployment_by_name(IMPORT_DEPLOYMENT)
            while left:
                sheet_id, number = left[0]
                await client.create_flow_run_from_deployment(
                    deployment.id,
                    parameters={"sheet_id": sheet_id},
                    tags=["channel:spreadsheet"],
                    idempotency_key=f"import-{sheet_id}-{number}",
                )
                del left[0]
    finally:
        if left:
            ids = [sheet_id for sheet_id, _ in left]
            await in_transaction(lambda session: sheet_run.not_asked_for(session, ids))
    return len(due)
