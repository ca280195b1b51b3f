"""Steps of an import: a sheet's rows are read, its orders judged and taken in batch by batch; or that is only tried.

Every batch is one transaction together with the count of what is done, so that whoever takes over after a kill goes on
behind it. Nothing here is a Prefect task: the same steps run below a flow and below the command line.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from contextlib import ExitStack, closing, suppress
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import stamina
from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from integrations.spreadsheets import SheetWrong
from integrations.spreadsheets.kept_sheets import SheetGone, drop, opened
from integrations.spreadsheets.mapping import Mapping
from integrations.spreadsheets.order_sheet import NAME, Staged, open_sheet, stage
from integrations.spreadsheets.rejecting import reason_keys, rejected, without_cells
from models import order_sheet, sheet_batch, sheet_run
from models.database import in_transaction, rehearse, utcnow
from models.intake import Incoming, Unreadable
from models.order_sheet import OrderSheet
from models.privacy import PrivacyKeyMissing
from models.sheet_batch import Heard
from models.sheet_run import SheetStopped
from models.validation import Source
from tasks.gate import Gate, SuiteBroken

#: Told how far a sheet is, again and again while it is worked on.
Told = Callable[[OrderSheet], Awaitable[None]]
#: Seconds between two words about how far the reading of rows is.
LOOK = 1.0
#: Orders that are taken in and counted in one transaction.
BATCH = 500
#: Orders that are judged together: great-expectations takes nearly as long for a tenth of them.
JUDGED = 1_000
#: So many orders, and not one that can be read: then columns were mixed up, and nothing is taken in.
NOT_ONE = 200
ATTEMPTS = 6


class CannotImport(Exception):
    """The sheet as it is confirmed cannot be imported; the words say why and what to do."""


async def import_sheet(sheet_id: int, told: Told, *, path: Path | None = None, dry_run: bool = False) -> OrderSheet:
    """Work through a confirmed sheet; the sheet as it is then: done, or failed and why.

    Twice, or twice at once: one of them works. Killed: run again, it goes on behind the last batch. `path` is the
    file itself where it was not uploaded. Raises `SheetBusy`, `SheetRefused`, `SheetStopped`; what nobody foresaw is
    written down with the sheet and raised.
    """
    worker = uuid4().hex
    sheet = await in_transaction(lambda session: sheet_run.begin(session, sheet_id, worker, dry_run, utcnow()))
    with ExitStack() as files:
        try:
            if path is None:
                path = await asyncio.to_thread(lambda: files.enter_context(opened(sheet.stored)))
            return await _Import(sheet_id, worker, sheet, told).run(path)
        except (CannotImport, SheetWrong, SheetGone, SuiteBroken, PrivacyKeyMissing) as error:
            return await _failed(sheet_id, worker, str(error))
        except (SheetStopped, OperationalError):
            raise  # it is somebody else's, or the database is gone: whoever takes over goes on
        except Exception as error:
            with suppress(SheetStopped):
                said = (
                    f"出了意料之外的错({type(error).__name__}):已导入的都算数;请把日志交给技术支持,再确认一次会接着做。"
                )
                await _failed(sheet_id, worker, said)
            raise


async def _failed(sheet_id: int, worker: str, why: str) -> OrderSheet:
    def work(session: Session) -> OrderSheet:
        sheet_run.fail(session, sheet_id, worker, why, utcnow())
        return order_sheet.find(session, sheet_id)

    return await in_transaction(work)


class _Import:
    """One sheet being worked through. `began` is when its orders were told to us, the same for whoever takes over."""

    def __init__(self, sheet_id: int, worker: str, sheet: OrderSheet, told: Told) -> None:
        assert sheet.started_at is not None
        self.id, self.worker, self.told = sheet_id, worker, told
        self.shop, self.dry_run, self.began = sheet.shop, sheet.dry_run, sheet.started_at
        self.mapping, self.opening = Mapping.from_json(sheet.mapping), sheet.opening
        self.gate = Gate(NAME, sheet.shop, Source.SPREADSHEET)
        self._read, self._stopped = (0, 0), False

    async def run(self, path: Path) -> OrderSheet:
        staged = await self._staged(path)
        try:
            if staged.questions:
                raise CannotImport("还有要回答的问题,没有导入:" + " ".join(staged.questions))
            done = await in_transaction(
                lambda session: sheet_run.read_all(
                    session, self.id, self.worker, staged.rows, staged.order_count, utcnow()
                )
            )
            headers = staged.sheet.headers
            with closing(_from(staged, done)) as batches:
                while batch := await asyncio.to_thread(next, batches, None):
                    if not done and len(batch) >= NOT_ONE and all(isinstance(one, Unreadable) for one in batch):
                        why = _first_reason(batch)
                        raise CannotImport(f"开头的 {len(batch)} 单没有一单读得懂,多半是列对应错了:{why}")
                    await self._judge(batch)
                    for start in range(0, len(batch), BATCH):
                        sheet = await self._batch(batch[start : start + BATCH], headers)
                        done = sheet.orders_done
                        await self.told(sheet)
        finally:
            staged.close()
        return await self._ended()

    async def _staged(self, path: Path) -> Staged:
        """Read all rows in a thread, saying every second how far that is."""
        reading = asyncio.create_task(asyncio.to_thread(self._stage, path))
        try:
            while not (await asyncio.wait({reading}, timeout=LOOK))[0]:
                await self.told(await in_transaction(self._beat))
        except BaseException:
            self._stopped = True
            with suppress(Exception):
                (await reading).close()
            raise
        return reading.result()

    def _stage(self, path: Path) -> Staged:
        sheet = open_sheet(path, **self.opening)
        return stage(sheet, self.mapping, shop=self.shop, now=self.began, progress=self._has_read)

    def _has_read(self, rows: int, about: int | None) -> None:
        if self._stopped:
            raise SheetStopped(self.id)
        self._read = (rows, about or 0)

    def _beat(self, session: Session) -> OrderSheet:
        sheet_run.beat(session, self.id, self.worker, *self._read, utcnow())
        return order_sheet.find(session, self.id)

    async def _judge(self, batch: list[Incoming]) -> None:
        """Judge what the book does not know yet. Raises `SuiteBroken` before anything of it enters."""
        if self.dry_run:
            return  # by the same rules in plain Python: a trial leaves no verdict
        found = await in_transaction(lambda session: sheet_batch.sort_out(session, batch, utcnow()))
        if found.to_take:
            await self.gate.judge(found.to_take)

    async def _batch(self, batch: list[Incoming], headers: tuple[str, ...]) -> OrderSheet:
        """Take a batch in and count it, in one transaction."""
        if self.dry_run:
            heard = await asyncio.to_thread(rehearse, lambda session: _foreseen(session, batch, utcnow()))
            return await in_transaction(lambda session: self._counted(session, batch, heard, headers, utcnow()))

        def work(session: Session) -> OrderSheet:
            now = utcnow()
            sheet_run.hold(session, self.id, self.worker, now)
            sheet_batch.one_at_a_time(session, self.shop)
            heard = sheet_batch.take(session, sheet_batch.sort_out(session, batch, now), now)
            return self._counted(session, batch, heard, headers, now)

        # two imports may wait for each other, and a database may be started anew: the batch as a whole comes again
        async for attempt in stamina.retry_context(on=OperationalError, attempts=ATTEMPTS, wait_max=10.0, timeout=60.0):
            with attempt:
                return await in_transaction(work)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _counted(
        self, session: Session, batch: list[Incoming], heard: Heard, headers: tuple[str, ...], now: datetime
    ) -> OrderSheet:
        sheet = sheet_run.hold(session, self.id, self.worker, now)
        found = [rejected(self.id, order, faults, headers) for order, faults in heard.aside]
        session.add_all(row for row, _ in found)
        reasons = Counter(key for order, faults in heard.aside for key in reason_keys(order, faults, headers))
        sheet_run.tally(sheet, len(batch), heard.counts, reasons, sum(rows for _, rows in found))
        return sheet

    async def _ended(self) -> OrderSheet:
        sheet, spent = await in_transaction(lambda session: sheet_run.end(session, self.id, self.worker, utcnow()))
        await asyncio.to_thread(drop, spent)
        return sheet


def _foreseen(session: Session, batch: list[Incoming], now: datetime) -> Heard:
    return sheet_batch.foresee(session, sheet_batch.sort_out(session, batch, now), now)


def _from(staged: Staged, done: int) -> Generator[list[Incoming], None, None]:
    """The batches behind the first `done` orders: a file and a mapping always give the same ones."""
    for batch in staged.orders(JUDGED):
        if done < len(batch):
            yield batch[done:]
        done = max(0, done - len(batch))


def _first_reason(batch: list[Incoming]) -> str:
    first = batch[0]
    assert isinstance(first, Unreadable)
    return without_cells(first.reason, (cell for row in first.raw["rows"] for cell in row.values()))[:300]
