"""Putting a backup in place."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg2.errors
import psycopg2.extensions
from sqlalchemy.engine import URL, make_url

from deployments.backup.errors import NotEmpty, ToolFailed, damaged, in_use
from deployments.backup.libpq import connect, connect_beside, count_rows, dsn, execute, is_filled, run
from deployments.backup.manifest import Dump, read_manifest


@dataclass(frozen=True)
class Restored:
    """One database after a restore. `kept_as` is the name the replaced one still has, None if it held nothing."""

    database: str
    rows: int
    kept_as: str | None


def restore(url: str, source: Path, *, replace: bool) -> list[Restored]:
    """Put the databases of a backup in place: the main one under the name in `url`, the others under their own.

    All are restored beside the present ones and counted; then all names are swapped in one transaction. A failure
    before that changes nothing. A replaced database that held rows stays as `<name>_replaced` until the next one.
    Raises `DamagedBackup`, `NotEmpty` (holds rows and not `replace`), `DatabaseInUse`, `ToolFailed`.
    """
    main = make_url(url)
    manifest = read_manifest(source)
    wanted = {str(main.database) if dump.main else dump.database: dump for dump in manifest.dumps}
    with closing(connect_beside(main)) as beside:
        existing = [name for name in wanted if _exists(beside, name)]
        for name in existing:
            _refuse_if_used(beside, name)
        present = {name: is_filled(main.set(database=name)) for name in existing}
        if any(present.values()) and not replace:
            _refuse_to_overwrite([name for name, filled in present.items() if filled])
        try:
            for name, dump in wanted.items():
                _restore_beside(beside, main, name, dump, source)
            _swap(beside, wanted, present)
        finally:
            for name in wanted:
                _drop(beside, f"{name}_restoring")
        for name, filled in present.items():
            if not filled:
                _drop(beside, f"{name}_replaced")
    return [
        Restored(name, sum(dump.rows.values()), f"{name}_replaced" if present.get(name) else None)
        for name, dump in wanted.items()
    ]


def _restore_beside(beside: psycopg2.extensions.connection, main: URL, name: str, dump: Dump, source: Path) -> None:
    new = f"{name}_restoring"
    _drop(beside, new)  # of a restore that was killed
    try:
        execute(beside, "CREATE DATABASE {} TEMPLATE template0", new)
    except psycopg2.errors.InsufficientPrivilege as error:
        raise ToolFailed(
            f"账户 {main.username} 无权创建数据库。请由管理员执行 ALTER ROLE {main.username} CREATEDB 后重试。",
            f"Role {main.username} may not create databases. Let an administrator run "
            f"ALTER ROLE {main.username} CREATEDB, then try again.",
        ) from error
    url = main.set(database=new)
    options = ["--exit-on-error", "--no-owner", "--no-privileges", "--jobs=2", f"--dbname={dsn(url)}"]
    run("pg_restore", url, *options, str(source / Path(dump.file).name))
    with closing(connect(url)) as connection, connection.cursor() as cursor:
        found = count_rows(cursor)
        if found != dump.rows:
            wrong = sorted(table for table in {*found, *dump.rows} if found.get(table) != dump.rows.get(table))
            raise damaged(source / dump.file, f"row counts differ: {', '.join(wrong)}")
        cursor.execute("ANALYZE")
        connection.commit()


def _swap(beside: psycopg2.extensions.connection, wanted: dict[str, Dump], present: dict[str, bool]) -> None:
    for name in present:
        _drop(beside, f"{name}_replaced")
    beside.autocommit = False
    try:
        for name in wanted:
            if name in present:
                execute(beside, "ALTER DATABASE {} RENAME TO {}", name, f"{name}_replaced")
            execute(beside, "ALTER DATABASE {} RENAME TO {}", f"{name}_restoring", name)
        beside.commit()
    except psycopg2.errors.ObjectInUse as error:
        beside.rollback()
        raise in_use(str(error).strip()) from error
    finally:
        beside.rollback()
        beside.autocommit = True


def _refuse_to_overwrite(names: list[str]) -> None:
    raise NotEmpty(
        f"数据库 {'、'.join(names)} 中已有数据,未做任何改动。确认要替换时,请加 --replace。",
        f"Database {', '.join(names)} holds data; nothing was changed. To replace it, add --replace.",
    )


def _refuse_if_used(beside: psycopg2.extensions.connection, name: str) -> None:
    for seconds in (0.1, 0.4, 1.5, 0.0):
        users = _users(beside, name)
        if not users:
            return
        time.sleep(seconds)  # a closed connection's backend ends a moment later
    raise in_use(f"{name}: {', '.join(users)}")


def _users(beside: psycopg2.extensions.connection, name: str) -> list[str]:
    with beside.cursor() as cursor:
        cursor.execute(
            "SELECT pid, application_name FROM pg_stat_activity "
            "WHERE datname = %s AND backend_type = 'client backend' ORDER BY pid",
            (name,),
        )
        return [f"{application or '?'} (pid {pid})" for pid, application in cursor.fetchall()]


def _exists(beside: psycopg2.extensions.connection, name: str) -> bool:
    with beside.cursor() as cursor:
        cursor.execute("SELECT FROM pg_database WHERE datname = %s", (name,))
        return cursor.rowcount > 0


def _drop(beside: psycopg2.extensions.connection, name: str) -> None:
    execute(beside, "DROP DATABASE IF EXISTS {}", name)
