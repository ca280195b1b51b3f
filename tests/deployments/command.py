"""`orderloom …` run in the test's own process, and a look at what it did."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text
from sqlmodel import Session

from deployments.cli import main
from deployments.kept_secrets import kept_secrets
from models.settings import settings


@dataclass(frozen=True)
class Said:
    """How a command ended and what it said."""

    returncode: int
    stdout: str
    stderr: str


Run = Callable[..., Said]


def command_on(state_dir: Path, database_url: str) -> Run:
    """`orderloom …` in this process on this database, in Chinese unless told otherwise."""
    kept_secrets(state_dir)

    def run(*arguments: str, **environment: str) -> Said:
        before, asked = dict(os.environ), sys.argv
        out, err = io.StringIO(), io.StringIO()
        for name in [name for name in os.environ if name.startswith(("ORDERLOOM", "DATABASE_URL"))]:
            del os.environ[name]
        named = {"ORDERLOOM_STATE_DIR": str(state_dir), "ORDERLOOM_DATABASE_URL": database_url, **environment}
        os.environ.update(named)
        sys.argv = ["orderloom", *arguments]
        try:
            with redirect_stdout(out), redirect_stderr(err):
                main()
        except SystemExit as end:
            return Said(int(end.code or 0), out.getvalue(), err.getvalue())
        finally:
            sys.argv = asked
            os.environ.clear()
            os.environ.update(before)
            settings.cache_clear()
        return Said(0, out.getvalue(), err.getvalue())

    return run


def number(session: Session, sql: str) -> int:
    """The number that a query finds, as others have committed it."""
    session.rollback()
    return int(session.connection().execute(text(sql)).scalar_one())
