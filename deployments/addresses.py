"""Where things are: the ports of a stack, and the addresses of its databases in every spelling that is needed."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import closing

import psycopg2
from psycopg2 import errors, sql
from sqlalchemy.engine import URL, make_url

from deployments.doctor.ports import check_port

PREFECT_DATABASE = "prefect"
LAST_PORT = 65535


class PortsTaken(Exception):
    """Ports that the settings ask for belong to other programs. `str()` is Chinese, `english` the same in English."""

    def __init__(self, chinese: str, english: str) -> None:
        super().__init__(chinese)
        self.english = english


class NoPrefectDatabase(Exception):
    """The server of DATABASE_URL has no database for Prefect, and we may not make one."""

    def __init__(self, role: str, said: str) -> None:
        super().__init__(
            f"DATABASE_URL 所在的服务器上没有 {PREFECT_DATABASE} 数据库,账户 {role} 也无权创建({said})。"
            f"请由管理员执行:CREATE DATABASE {PREFECT_DATABASE} OWNER {role};"
        )
        self.english = (
            f"The server of DATABASE_URL has no database {PREFECT_DATABASE}, and {role} may not create it ({said}). "
            f"Let an administrator run: CREATE DATABASE {PREFECT_DATABASE} OWNER {role};"
        )


def is_free(port: int) -> bool:
    """Whether a program of ours could listen on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            return False  # on macOS a bind beside a listener on all addresses would succeed
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def next_free_ports(wanted: Mapping[str, int]) -> dict[str, int]:
    """These ports, or for those that are taken the next free ones above them; no two alike."""
    chosen: dict[str, int] = {}
    for name, port in wanted.items():
        while port in chosen.values() or not is_free(port):
            port = port + 1 if port < LAST_PORT else 10000
        chosen[name] = port
    return chosen


def demand_ports(wanted: Mapping[str, int]) -> dict[str, int]:
    """Exactly these ports. Raises `PortsTaken` with the doctor's sentences."""
    found = [check_port(name, port, ()) for name, port in wanted.items()]
    wrong = [finding for finding in found if finding.severity == "error"]
    if wrong:
        raise PortsTaken(
            "\n".join(f"{finding.title}。{finding.what_to_do}" for finding in wrong),
            "\n".join(finding.english for finding in wrong),
        )
    return dict(wanted)


def asyncpg_url(url: str, database: str = PREFECT_DATABASE) -> str:
    """The same server for asyncpg, which calls `sslmode` `ssl`; another database of it."""
    parts = make_url(url).set(drivername="postgresql+asyncpg", database=database)
    query = {"ssl" if name == "sslmode" else name: value for name, value in parts.query.items()}
    return parts.set(query=query).render_as_string(hide_password=False)


def ensure_prefect_database(url: str) -> None:
    """Make the database for Prefect on the server of `url` if it is not there. Raises `NoPrefectDatabase`."""
    parts = make_url(url)
    with closing(_connect(parts)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_database WHERE datname = %s", (PREFECT_DATABASE,))
        if cursor.rowcount:
            return
        try:
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(PREFECT_DATABASE)))
        except errors.DuplicateDatabase:
            return
        except psycopg2.Error as error:
            raise NoPrefectDatabase(str(parts.username), str(error).strip()) from error


def lane_lives(url: str, pid: int) -> bool:
    """Whether the process `pid` has entered the order book as a lane; False while the database is away."""
    try:
        with closing(_connect(make_url(url))) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT FROM lane WHERE pid = %s AND ended_at IS NULL", (pid,))
            return bool(cursor.rowcount)
    except psycopg2.Error:
        return False


def _connect(url: URL) -> psycopg2.extensions.connection:
    arguments = {**url.translate_connect_args(username="user", database="dbname"), **url.query}
    connection = psycopg2.connect(**arguments, connect_timeout=10, application_name="orderloom start")
    connection.autocommit = True
    return connection
