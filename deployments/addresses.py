"""Where things are: the ports of a stack, and the addresses of its databases in every spelling that is needed.

The supervisor imports this and stays small: no SQLAlchemy here, and the doctor only when it has something to say.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from contextlib import closing
from urllib.parse import parse_qsl, urlencode, urlsplit

import psycopg2
from psycopg2 import errors, sql

PREFECT_DATABASE = "prefect"
LAST_PORT = 65535


class PortsTaken(Exception):
    """Ports that the settings ask for belong to other programs. `str()` is Chinese, `english` the same in English."""

    def __init__(self, chinese: str, english: str) -> None:
        super().__init__(chinese)
        self.english = english


class NoDatabase(Exception):
    """The server of DATABASE_URL lacks a database that we need, and we may not make one."""

    def __init__(self, name: str, role: str, said: str) -> None:
        super().__init__(
            f"DATABASE_URL 所在的服务器上没有 {name} 数据库,账户 {role} 也无权创建({said})。"
            f"请由管理员执行:CREATE DATABASE {name} OWNER {role};"
        )
        self.english = (
            f"The server of DATABASE_URL has no database {name}, and {role} may not create it ({said}). "
            f"Let an administrator run: CREATE DATABASE {name} OWNER {role};"
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
    taken = {name: port for name, port in wanted.items() if not is_free(port)}
    if taken:
        from deployments.doctor.ports import check_port

        wrong = [check_port(name, port, ()) for name, port in taken.items()]
        raise PortsTaken(
            "\n".join(f"{finding.title}。{finding.what_to_do}" for finding in wrong),
            "\n".join(finding.english for finding in wrong),
        )
    return dict(wanted)


def asyncpg_url(url: str, database: str = PREFECT_DATABASE) -> str:
    """The same server for asyncpg, which calls `sslmode` `ssl`; another database of it."""
    parts = urlsplit(url)
    query = [("ssl" if name == "sslmode" else name, value) for name, value in parse_qsl(parts.query)]
    return parts._replace(scheme="postgresql+asyncpg", path=f"/{database}", query=urlencode(query)).geturl()


def ensure_prefect_database(url: str, name: str = PREFECT_DATABASE) -> None:
    """Make the database for Prefect on the server of `url` if it is not there. Raises `NoDatabase`."""
    with closing(_connect(url)) as connection:
        _ensure(connection, name)


def ensure_database(url: str) -> None:
    """Make the database that `url` itself names if it is not there. Raises `NoDatabase`, or psycopg2's error."""
    parts = urlsplit(url)
    try:
        _connect(url).close()
    except psycopg2.OperationalError:  # libpq gives no code for "does not exist": the next connection says what it is
        with closing(_connect(parts._replace(path="/postgres").geturl())) as connection:
            _ensure(connection, parts.path.strip("/"))


def _ensure(connection: psycopg2.extensions.connection, name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_database WHERE datname = %s", (name,))
        if cursor.rowcount:
            return
        try:
            cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        except errors.DuplicateDatabase:
            return
        except psycopg2.Error as error:
            raise NoDatabase(name, connection.info.user, str(error).strip()) from error


def lane_lives(url: str, pid: int) -> bool:
    """Whether the process `pid` has entered the order book as a lane; False while the database is away."""
    try:
        with closing(_connect(url)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT FROM lane WHERE pid = %s AND ended_at IS NULL", (pid,))
            return bool(cursor.rowcount)
    except psycopg2.Error:
        return False


def _connect(url: str) -> psycopg2.extensions.connection:
    plain = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", url)  # libpq knows no drivers
    connection = psycopg2.connect(plain, connect_timeout=10, application_name="orderloom start")
    connection.autocommit = True
    return connection
