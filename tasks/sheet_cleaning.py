"""Uploaded sheets that nobody needs any more are deleted: they hold people's addresses."""

from __future__ import annotations

import asyncio

from sqlmodel import Session

from integrations.spreadsheets.kept_sheets import drop, sweep
from models import sheet_run
from models.database import in_transaction, utcnow


async def forget_old_sheets() -> int:
    """Delete files and rows that are past their time, and files that nobody names; how many were past their time."""

    def work(session: Session) -> tuple[list[str], set[str]]:
        return sheet_run.clean(session, utcnow()), sheet_run.kept_names(session)

    spent, kept = await in_transaction(work)
    for name in spent:
        await asyncio.to_thread(drop, name)
    await asyncio.to_thread(sweep, kept)
    return len(spent)
