"""Orders that come as spreadsheets: the functions that pages, flows and the command line need, in one place.

    sheet = open_sheet(path)                                 # what it is; may raise EncodingUnclear
    proposal = propose(sheet.headers, sheet.sample())        # a person looks at it …
    mapping = proposal.confirm(by="wang.min", columns={...}) # … and answers for it; saved under header_key(...)
    with stage(sheet, mapping, shop="pdd-main", now=now, progress=told) as staged:
        for batch in staged.orders(500):                     # IncomingOrder or Unreadable
            ...
    write_rejected(report, sheet.titles, rejected)

Whatever cannot be used as a whole raises `SheetWrong`, whose text is a sentence for the person who sent it.
"""

from integrations.spreadsheets import SheetWrong
from integrations.spreadsheets.columns import Guess, Proposal, propose
from integrations.spreadsheets.mapping import Mapping, MappingWrong, header_key
from integrations.spreadsheets.rejected import Rejected, rejected_rows, write_rejected
from integrations.spreadsheets.sheet_digest import content_digest
from integrations.spreadsheets.sheet_file import SheetFile, open_sheet
from integrations.spreadsheets.sheet_orders import NAME
from integrations.spreadsheets.sheet_text import ENCODINGS, EncodingUnclear
from integrations.spreadsheets.staging import Progress, Staged, stage

__all__ = [
    "ENCODINGS",
    "NAME",
    "EncodingUnclear",
    "Guess",
    "Mapping",
    "MappingWrong",
    "Progress",
    "Proposal",
    "Rejected",
    "SheetFile",
    "SheetWrong",
    "Staged",
    "content_digest",
    "header_key",
    "open_sheet",
    "propose",
    "rejected_rows",
    "stage",
    "write_rejected",
]
