"""Making a backup."""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy.engine import URL, make_url

from deployments.backup.errors import ToolFailed
from deployments.backup.libpq import connect, count_rows, run
from deployments.backup.manifest import FORMAT, Dump, Manifest, checksum

ALSO = ("prefect",)  # beside the database the URL names, where the server has it


def backup(url: str, target: Path, *, also: Sequence[str] = ALSO, now: datetime | None = None) -> Path:
    """Dump the database of `url`, and those of `also` its server has, into a new directory under `target`.

    Each dump is one moment of its database, taken while everything runs. Returns the directory (0700, files 0600);
    it has its name only once it is complete. Raises `ToolFailed`.
    """
    main = make_url(url)
    made_at = (now or datetime.now(UTC)).astimezone(UTC)
    directory = target.expanduser().absolute() / f"orderloom-{made_at:%Y%m%dT%H%M%SZ}"
    unfinished = directory.with_name(directory.name + ".unfinished")
    if directory.exists():
        raise ToolFailed(f"{directory} 已存在,请稍后再试。", f"{directory} already exists, try again later.")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True, mode=0o700)
    try:
        with closing(connect(main)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('server_version'), array_agg(datname::text) FROM pg_database")
            server, existing = cursor.fetchone() or ("", [])
        others = [name for name in also if name in existing and name != main.database]
        dumps = [_dump(main.set(database=name), unfinished, main=False) for name in others]
        dumps.insert(0, _dump(main, unfinished, main=True))
        version = importlib.metadata.version("orderloom")
        manifest = Manifest(FORMAT, made_at.isoformat(timespec="seconds"), version, server, dumps)
        manifest.save(unfinished)
        unfinished.rename(directory)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return directory


def _dump(url: URL, directory: Path, *, main: bool) -> Dump:
    file = directory / f"{url.database}.dump"
    with closing(connect(url)) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_export_snapshot()")
            (snapshot,) = cursor.fetchone() or ("",)
            run("pg_dump", url, "--format=custom", f"--snapshot={snapshot}", f"--file={file}")
            rows = count_rows(cursor)
    return Dump(str(url.database), main, file.name, file.stat().st_size, checksum(file), rows)
