"""A file that has just come: opened once, and what was seen of it kept with its row."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlmodel import Session

from integrations.spreadsheets.order_sheet import SheetFile, header_key, open_sheet
from integrations.spreadsheets.preview import Head, first_choice, proposal_json
from models.order_sheet import OrderSheet, remembered


@dataclass(frozen=True)
class Seen:
    """What opening a file showed."""

    file: SheetFile
    head: Head


def see(path: Path, opening: dict[str, Any]) -> Seen:
    """Open a file as it was asked for (arguments of `open_sheet`). Raises `EncodingUnclear` and `SheetWrong`."""
    file = open_sheet(path, **opening)
    return Seen(file, Head.of(file))


def remember(session: Session, row: OrderSheet, seen: Seen, opening: dict[str, Any], by: str) -> None:
    """Keep with a sheet what was seen, how it is to be opened again, and the columns to begin with.

    The encoding, delimiter and sheet that were found are fixed, so that whoever reads the file later reads the same.
    """
    file = seen.file
    found = {"encoding": file.encoding, "delimiter": file.delimiter, "sheet": file.sheet}
    row.opening = {**{name: value for name, value in found.items() if value}, **opening}
    row.said, row.rows = list(file.said), file.about_rows or 0
    row.head, row.header_key = seen.head.sealed(), header_key(file.headers)
    proposal = seen.head.propose()
    row.proposal = {
        **proposal_json(proposal),
        "titles": list(file.titles),
        "sheets": list(file.sheets),
    }
    known = remembered(session, row.header_key, row.shop)
    if known is not None:
        row.proposal = {**row.proposal, "known_by": known.by}
    row.mapping = first_choice(proposal, known.mapping if known else None, by)
    row.error = ""
    session.add(row)


def digest_of(path: Path) -> tuple[str, int]:
    """The sha256 of a file in hex, and its size in bytes."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while part := file.read(1024 * 1024):
            digest.update(part)
            size += len(part)
    return digest.hexdigest(), size
