"""What may be written down of an error that nobody foresaw: enough to mend it, and nothing of anybody's order.

A database names the row that it did not take, with name, phone and note; those words must not reach logs, run states
and pages.
"""

from __future__ import annotations

import traceback
from pathlib import Path

from sqlalchemy.exc import DBAPIError


def in_short(error: BaseException) -> str:
    """Class and words of an error; of a database's: its code, the constraint, and the place of ours that asked."""
    if not isinstance(error, DBAPIError):
        return f"{type(error).__name__}: {error}"
    diagnosis = getattr(error.orig, "diag", None)
    said = [type(error.orig).__name__]
    said += [str(name) for field in ("sqlstate", "constraint_name") if (name := getattr(diagnosis, field, None))]
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
    said += [f"{Path(frame.filename).name}:{frame.lineno}" for frame in ours[-1:]]
    return " ".join(said)
