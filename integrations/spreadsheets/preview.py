"""What a person sees of a sheet before it is used: the columns as they would be taken, and its first orders.

Made from the file's first rows, which are kept with the sheet: looking again with other columns opens no file.
"""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from integrations.spreadsheets import SheetWrong
from integrations.spreadsheets.columns import Guess, Proposal, propose
from integrations.spreadsheets.mapping import Mapping, MappingWrong
from integrations.spreadsheets.sheet_file import LOOKED_AT, SheetFile, open_sheet
from integrations.spreadsheets.sheet_statuses import status_of
from integrations.spreadsheets.sheet_values import CellWrong
from integrations.spreadsheets.staging import stage
from models.intake import Incoming
from models.privacy import seal, unseal

ORDERS = 5
#: Of a cell that long only the beginning is kept for the preview.
_LONGEST_CELL = 2_000
_MOST_WORDS = 20


@dataclass(frozen=True)
class Head:
    """Titles and first rows of a sheet, and the number of the row that its header is in."""

    titles: tuple[str, ...]
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    header_row: int

    @classmethod
    def of(cls, sheet: SheetFile) -> Head:
        """Read them from a file. Raises `SheetWrong`."""
        rows = tuple(tuple(cell[:_LONGEST_CELL] for cell in cells) for cells in sheet.sample(LOOKED_AT))
        if not rows:
            raise SheetWrong("表头下面没有内容。")
        return cls(sheet.titles, sheet.headers, rows, sheet.header_row)

    def sealed(self) -> bytes:
        """Encrypted, for a column."""
        return seal(json.dumps([self.titles, self.headers, self.rows, self.header_row]))

    @classmethod
    def unsealed(cls, data: bytes) -> Head:
        """The head in such a column."""
        titles, headers, rows, header_row = json.loads(unseal(data))
        return cls(tuple(titles), tuple(headers), tuple(tuple(row) for row in rows), header_row)

    def propose(self) -> Proposal:
        """A guess for every column."""
        return propose(self.headers, self.rows)


@dataclass(frozen=True)
class Preview:
    """What a mapping makes of the first rows. `problems`: it cannot be used so; `questions`: somebody has to answer.

    `unknown_statuses`: status words that nobody has explained yet.
    """

    orders: tuple[Incoming, ...]
    problems: tuple[str, ...]
    questions: tuple[str, ...]
    unknown_statuses: tuple[str, ...]


def preview(head: Head, mapping: dict[str, Any], shop: str, now: datetime) -> Preview:
    """Look at the first orders through a mapping (plain data, perhaps unfinished)."""
    unknown = tuple(_unknown_statuses(head, mapping))
    try:
        wanted = Mapping.from_json(mapping)
        wanted.demand_fits(head.headers)
        with _as_file(head) as path, stage(_opened(path, head), wanted, shop=shop, now=now) as staged:
            orders = next(staged.orders(ORDERS), [])
            return Preview(tuple(orders), (), staged.questions, unknown)
    except MappingWrong as wrong:
        return Preview((), wrong.problems, (), unknown)
    except SheetWrong as wrong:
        return Preview((), (str(wrong),), (), unknown)


def first_choice(proposal: Proposal, remembered: dict[str, Any] | None, by: str) -> dict[str, Any]:
    """The mapping to begin with, as plain data: what was confirmed for this layout, else what is guessed."""
    if remembered is not None:
        return {**remembered, "confirmed_by": by}
    return {
        "columns": proposal.columns,
        "confirmed_by": by,
        "fill_down": proposal.fill_down,
        "default_status": proposal.default_status,
    }


def proposal_json(proposal: Proposal) -> dict[str, Any]:
    """A proposal as plain data; without samples, which may be somebody's phone number."""
    guesses = [{k: v for k, v in asdict(guess).items() if k != "samples"} for guess in proposal.guesses]
    return {"guesses": guesses, "missing": list(proposal.missing), "notes": list(proposal.notes)}


def samples_of(head: Head) -> dict[str, tuple[str, ...]]:
    """Header → a few different values."""
    return {guess.header: guess.samples for guess in head.propose().guesses}


def guesses_of(proposal: dict[str, Any]) -> dict[str, Guess]:
    """Header → guess, of a proposal as plain data."""
    return {one["header"]: Guess(**one, samples=()) for one in proposal.get("guesses", [])}


def _unknown_statuses(head: Head, mapping: dict[str, Any]) -> Iterator[str]:
    columns, further = mapping.get("columns", {}), mapping.get("statuses", {})
    places = [at for at, header in enumerate(head.headers) if columns.get(header) == "status"]
    words = dict.fromkeys(row[at].strip() for row in head.rows for at in places if at < len(row))
    found = 0
    for word in words:
        try:
            status_of(word, {})
        except CellWrong:
            if len(word) <= 60 and found < _MOST_WORDS:
                found += 1
                yield word
        except ValueError:
            continue
    yield from (word for word in further if word not in words)


@contextmanager
def _as_file(head: Head) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="orderloom-") as folder:
        path = Path(folder) / "head.csv"
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace", newline="") as file:
            file.write("\n" * (head.header_row - 1))  # so that rows have the numbers that they have in the file
            writer = csv.writer(file)
            writer.writerow(head.titles)
            writer.writerows(head.rows)
        yield path


def _opened(path: Path, head: Head) -> SheetFile:
    sheet = open_sheet(path, encoding="utf-8-sig", delimiter=",", header_row=head.header_row)
    if sheet.headers != head.headers:
        raise SheetWrong("表头读起来不一致:请指定表头在哪一行。")
    return sheet
