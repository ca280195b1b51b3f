"""Backups that come back whole, and restores that change nothing when they fail."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import psycopg2
import pytest
from psycopg2 import sql

from deployments.backup import DamagedBackup, DatabaseInUse, NotEmpty, ToolFailed, backup, read_manifest, restore
from tests.database import TemporaryServer, temporary_server

NOON = datetime(2026, 11, 11, 4, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def server() -> Iterator[TemporaryServer]:
    """A server of its own, since these tests rename databases by their real names."""
    with temporary_server() as temporary:
        yield temporary


@pytest.fixture
def url(server: TemporaryServer) -> str:
    """A database with 1,000 orders and a Prefect database with an extension and 3 runs."""
    with closing(server.postgres.admin_connection()) as admin, admin.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE datname LIKE ANY ('{orderloom%,prefect%}')")
        for (name,) in cursor.fetchall():
            cursor.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
        for name in ("orderloom", "prefect"):
            cursor.execute(sql.SQL("CREATE DATABASE {} OWNER orderloom").format(sql.Identifier(name)))
    run(
        server.postgres.url("orderloom"),
        "CREATE SCHEMA audit;"
        'CREATE TABLE "order" (order_no text PRIMARY KEY, paid_fen bigint CHECK (paid_fen >= 0));'
        "INSERT INTO \"order\" SELECT 'SH-' || n, n FROM generate_series(1, 1000) n;"
        "CREATE TABLE audit.entry (id bigserial PRIMARY KEY, note text);"
        "INSERT INTO audit.entry (note) VALUES ('备注')",
    )
    run(
        server.postgres.url("prefect"),
        "CREATE EXTENSION pg_trgm; CREATE TABLE flow_run (name text);"
        "CREATE INDEX ON flow_run USING gin (name gin_trgm_ops); INSERT INTO flow_run VALUES ('a'), ('b'), ('c')",
    )
    return server.postgres.url("orderloom")


def run(url: str, statements: str) -> None:
    with closing(psycopg2.connect(url.replace("+psycopg2", ""))) as connection, connection.cursor() as cursor:
        cursor.execute(statements)
        connection.commit()


def ask(url: str, question: str) -> object:
    with closing(psycopg2.connect(url.replace("+psycopg2", ""))) as connection, connection.cursor() as cursor:
        cursor.execute(question)
        (answer,) = cursor.fetchone() or (None,)
        return answer


def orders(url: str) -> object:
    return ask(url, 'SELECT count(*) FROM "order"')


def databases(server: TemporaryServer) -> list[str]:
    with closing(server.postgres.admin_connection()) as admin, admin.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database WHERE datname LIKE ANY ('{orderloom%,prefect%}') ORDER BY 1")
        return [name for (name,) in cursor.fetchall()]


def test_a_backup_says_what_it_holds_and_is_private(url: str, tmp_path: Path) -> None:
    made = backup(url, tmp_path / "backups", now=NOON)
    assert made.name == "orderloom-20261111T040000Z"
    assert sorted(file.name for file in made.iterdir()) == ["manifest.json", "orderloom.dump", "prefect.dump"]
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in made.iterdir()} == {0o600}
    manifest = read_manifest(made)
    assert manifest.server.startswith("18.")
    assert [dump.rows for dump in manifest.dumps] == [
        {"audit.entry": 1, "public.order": 1000},
        {"public.flow_run": 3},
    ]


def test_a_backup_comes_back_whole(url: str, server: TemporaryServer, tmp_path: Path) -> None:
    # given a backup, and changes after it
    made = backup(url, tmp_path, now=NOON)
    run(url, "DELETE FROM \"order\" WHERE paid_fen > 10; UPDATE audit.entry SET note = 'x'")
    run(server.postgres.url("prefect"), "DROP TABLE flow_run")
    # when
    done = restore(url, made, replace=True)
    # then everything is as it was, constraints and sequences too, and the replaced state is kept
    assert [(one.database, one.rows, one.kept_as) for one in done] == [
        ("orderloom", 1001, "orderloom_replaced"),
        ("prefect", 3, None),
    ]
    assert orders(url) == 1000
    assert ask(url, "SELECT note FROM audit.entry") == "备注"
    assert ask(url, "INSERT INTO audit.entry (note) VALUES ('next') RETURNING id") == 2
    assert ask(server.postgres.url("prefect"), "SELECT count(*) FROM flow_run WHERE name LIKE '%a%'") == 1
    assert orders(server.postgres.url("orderloom_replaced")) == 10
    with pytest.raises(psycopg2.errors.CheckViolation):
        run(url, "INSERT INTO \"order\" VALUES ('SH-X', -1)")
    assert databases(server) == ["orderloom", "orderloom_replaced", "prefect"]


def test_into_an_empty_server_nothing_has_to_be_replaced(url: str, server: TemporaryServer, tmp_path: Path) -> None:
    made = backup(url, tmp_path, now=NOON)
    run(url, 'DROP TABLE "order"; DROP SCHEMA audit CASCADE; CREATE TABLE alembic_version AS SELECT 1 AS version')
    with closing(server.postgres.admin_connection()) as admin, admin.cursor() as cursor:
        cursor.execute("DROP DATABASE prefect WITH (FORCE)")
    done = restore(url, made, replace=False)
    assert [one.kept_as for one in done] == [None, None]
    assert orders(url) == 1000
    assert databases(server) == ["orderloom", "prefect"]


def test_data_are_not_overwritten_unless_asked(url: str, server: TemporaryServer, tmp_path: Path) -> None:
    made = backup(url, tmp_path, now=NOON)
    run(url, 'DELETE FROM "order" WHERE paid_fen = 1')
    with pytest.raises(NotEmpty, match="--replace"):
        restore(url, made, replace=False)
    assert orders(url) == 999
    assert databases(server) == ["orderloom", "prefect"]


@pytest.mark.parametrize("what", ["flipped", "cut", "missing", "manifest"])
def test_a_damaged_backup_changes_nothing(url: str, server: TemporaryServer, tmp_path: Path, what: str) -> None:
    made = backup(url, tmp_path, now=NOON)
    dump = made / "prefect.dump"
    content = bytearray(dump.read_bytes())
    if what == "flipped":
        content[len(content) // 2] ^= 1
        dump.write_bytes(content)
    elif what == "cut":
        dump.write_bytes(content[:-10])
    elif what == "missing":
        dump.unlink()
    else:
        (made / "manifest.json").write_text("{")
    run(url, 'DELETE FROM "order" WHERE paid_fen = 1')
    with pytest.raises(DamagedBackup, match="已损坏"):
        restore(url, made, replace=True)
    assert orders(url) == 999
    assert databases(server) == ["orderloom", "prefect"]


def test_a_restore_that_fails_half_way_leaves_the_old_data(url: str, server: TemporaryServer, tmp_path: Path) -> None:
    # given a backup whose second database cannot be restored, though its checksum is right
    made = backup(url, tmp_path, now=NOON)
    manifest = json.loads((made / "manifest.json").read_text())
    manifest["dumps"][1]["rows"]["public.flow_run"] = 4
    (made / "manifest.json").write_text(json.dumps(manifest))
    run(url, 'DELETE FROM "order" WHERE paid_fen = 1')
    # when, then
    with pytest.raises(DamagedBackup, match=r"public\.flow_run"):
        restore(url, made, replace=True)
    assert orders(url) == 999
    assert databases(server) == ["orderloom", "prefect"]


def test_a_database_in_use_is_not_replaced(url: str, server: TemporaryServer, tmp_path: Path) -> None:
    made = backup(url, tmp_path, now=NOON)
    lane = psycopg2.connect(url.replace("+psycopg2", ""), application_name="lane")
    with closing(lane), pytest.raises(DatabaseInUse, match="lane"):
        restore(url, made, replace=True)
    assert databases(server) == ["orderloom", "prefect"]


def test_a_dump_and_its_counts_are_of_one_moment(url: str, tmp_path: Path) -> None:
    # given somebody who has deleted rows and not committed
    with closing(psycopg2.connect(url.replace("+psycopg2", ""))) as other, other.cursor() as cursor:
        cursor.execute('DELETE FROM "order"')
        made = backup(url, tmp_path, now=NOON)
        other.commit()
    assert read_manifest(made).dumps[0].rows["public.order"] == 1000
    restore(url, made, replace=True)
    assert orders(url) == 1000


def test_a_backup_that_fails_leaves_no_directory(url: str, server: TemporaryServer, tmp_path: Path) -> None:
    with pytest.raises(ToolFailed, match="无法连接"):
        backup(server.postgres.url("nowhere"), tmp_path, now=NOON)
    # and one that lost the right to read says which table
    with closing(server.postgres.admin_connection("orderloom")) as admin, admin.cursor() as cursor:
        cursor.execute("CREATE TABLE secret (n int); REVOKE ALL ON secret FROM orderloom")
    with pytest.raises(ToolFailed, match="secret"):
        backup(url, tmp_path, now=NOON)
    assert list(tmp_path.iterdir()) == []
