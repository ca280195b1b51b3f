"""Talking to the server that a backup is of, by psycopg2 and by the wheel's `pg_dump` and `pg_restore`."""

from __future__ import annotations

import os
import subprocess
from contextlib import closing
from typing import Any

import psycopg2
import psycopg2.extensions
from psycopg2 import sql
from sqlalchemy.engine import URL

from deployments.backup.errors import ToolFailed
from deployments.postgres import program

_TABLES = """
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1, 2
"""


def _arguments(url: URL) -> dict[str, Any]:
    """What libpq needs to connect, from an SQLAlchemy URL; its query holds the rest (`host=/dir`, `sslmode`)."""
    return {**url.translate_connect_args(username="user", database="dbname"), **url.query}


def dsn(url: URL) -> str:
    """The same as one string without the password, which other users could read among the process arguments."""
    arguments = {name: value for name, value in _arguments(url).items() if name != "password"}
    return psycopg2.extensions.make_dsn(**arguments)


def connect(url: URL) -> psycopg2.extensions.connection:
    """A connection to the database of `url`. Raises `ToolFailed`."""
    try:
        return psycopg2.connect(**_arguments(url), application_name="orderloom backup")
    except psycopg2.OperationalError as error:
        raise ToolFailed(
            f"无法连接数据库 {url.database},未做任何改动。请先启动数据库并核对 DATABASE_URL。({error})",
            f"Cannot connect to database {url.database}; nothing was changed. Start it, check DATABASE_URL. ({error})",
        ) from error


def connect_beside(url: URL) -> psycopg2.extensions.connection:
    """A connection to another database of the same server: a database in use cannot be renamed."""
    try:
        connection = connect(url.set(database="postgres"))
    except ToolFailed:
        connection = connect(url.set(database="template1"))
    connection.autocommit = True
    return connection


def run(tool: str, url: URL, *arguments: str) -> None:
    """Run a program of the wheel; `pg_dump` on the database of `url`. Raises `ToolFailed`."""
    environment = {**os.environ, "LC_ALL": "C"}
    if url.password:
        environment["PGPASSWORD"] = str(url.password)
    where = [f"--dbname={dsn(url)}"] if tool == "pg_dump" else []
    command = [str(program(tool)), "--no-password", *where, *arguments]
    answer = subprocess.run(command, env=environment, umask=0o077, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        said = answer.stderr.strip()[-1000:]
        raise ToolFailed(
            f"{tool} 失败,现有数据库未改动。请按提示处理后重试:\n{said}",
            f"{tool} failed; the present databases are unchanged. See to this and try again:\n{said}",
        )


def count_rows(cursor: psycopg2.extensions.cursor) -> dict[str, int]:
    """Rows of every table, by `schema.table`."""
    cursor.execute(_TABLES)
    counts = {}
    for schema, table in cursor.fetchall():
        cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table)))
        counts[f"{schema}.{table}"] = (cursor.fetchone() or (0,))[0]
    return counts


def is_filled(url: URL) -> bool:
    """Whether any table but the migration's own mark holds a row."""
    with closing(connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(_TABLES)
        for schema, table in cursor.fetchall():
            if table != "alembic_version":
                cursor.execute(sql.SQL("SELECT FROM {} LIMIT 1").format(sql.Identifier(schema, table)))
                if cursor.rowcount:
                    return True
    return False


def execute(connection: psycopg2.extensions.connection, statement: str, *names: str) -> None:
    """Execute a statement whose `{}` are names."""
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
