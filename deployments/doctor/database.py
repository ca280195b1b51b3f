"""Checks of the database: can it be reached, is it new enough, are we ordinary in it, is its clock ours?"""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg2
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from deployments.doctor.finding import Finding, error, fine, warning

OLDEST_SERVER = 140000  # PostgreSQL 14, the oldest that Prefect 3 supports


def check_database(url: str) -> list[Finding]:
    """Connect once and look at version, role and clock. The URL's password appears in no finding."""
    try:
        parts = make_url(url)
        arguments = {**parts.translate_connect_args(username="user", database="dbname"), **parts.query}
    except (ArgumentError, ValueError):
        return [
            error(
                "database",
                "数据库地址无法识别",
                "DATABASE_URL 应形如 postgresql+psycopg2://用户:密码@主机:5432/orderloom。",
                "DATABASE_URL cannot be read. It looks like postgresql+psycopg2://user:password@host:5432/orderloom.",
            )
        ]
    where = parts.set(password=None).render_as_string()
    try:
        with closing(psycopg2.connect(**arguments, connect_timeout=5)) as connection:
            before = datetime.now(UTC)
            with connection.cursor() as cursor:
                cursor.execute("SELECT clock_timestamp(), rolsuper FROM pg_roles WHERE rolname = current_user")
                there, is_superuser = cursor.fetchone() or (before, False)
            here = before + (datetime.now(UTC) - before) / 2
            version = connection.info.server_version
    except psycopg2.Error as problem:
        return [_unreachable(where, str(problem).strip())]
    return [
        fine("database", f"数据库可连接:{where}", f"The database answers: {where}"),
        check_server_version(version),
        check_role(str(parts.username or ""), is_superuser),
        check_clock(here, there),
    ]


def check_server_version(version: int) -> Finding:
    """`version` as in `server_version_num`, for example 180006."""
    major = version // 10000
    if version >= OLDEST_SERVER:
        return fine("database.version", f"PostgreSQL {major}", f"PostgreSQL {major}")
    return error(
        "database.version",
        f"PostgreSQL {major} 太旧",
        "请升级到 PostgreSQL 14 或更新版本,或去掉 DATABASE_URL 使用内置数据库。",
        f"PostgreSQL {major} is too old. Upgrade to 14 or newer, or unset DATABASE_URL to use the built-in one.",
    )


def check_role(name: str, is_superuser: bool) -> Finding:
    """The application must not be able to do everything."""
    if not is_superuser:
        return fine("database.role", f"数据库账户 {name} 是普通账户", f"Role {name} is no superuser")
    return warning(
        "database.role",
        f"数据库账户 {name} 是超级用户",
        "请为 Orderloom 建一个普通账户:CREATE ROLE orderloom LOGIN CREATEDB,并把数据库的属主改为它。",
        f"Role {name} is a superuser. Make an ordinary one that owns the database: "
        "CREATE ROLE orderloom LOGIN CREATEDB.",
    )


def check_clock(here: datetime, there: datetime) -> Finding:
    """Claims and due times are compared with the database's clock: over 2 s apart is a warning, over 30 s an error."""
    apart = abs(here - there)
    seconds = f"{apart.total_seconds():.1f}"
    if apart <= timedelta(seconds=2):
        return fine("clock", "本机与数据库时钟一致", "This machine's clock and the database's agree")
    found = error if apart > timedelta(seconds=30) else warning
    return found(
        "clock",
        f"本机与数据库时钟相差 {seconds} 秒",
        "请在两台机器上开启时间同步(chrony、systemd-timesyncd 或 macOS 自动设定时间)。",
        f"This machine's clock and the database's are {seconds} s apart. Turn on time synchronisation on both.",
    )


def _unreachable(where: str, said: str) -> Finding:
    if "password authentication failed" in said:
        todo, english = "请核对 DATABASE_URL 中的用户名和密码。", "Check user and password in DATABASE_URL."
    elif "does not exist" in said:
        todo = "请由管理员建库:CREATE DATABASE orderloom OWNER orderloom。"
        english = "Let an administrator run CREATE DATABASE orderloom OWNER orderloom."
    else:
        todo = "请确认数据库已启动、主机与端口正确、防火墙放行。"
        english = "See that it runs, that host and port are right, and that no firewall is in between."
    return error("database", f"无法连接数据库 {where}:{said}", todo, f"Cannot reach {where}: {said}. {english}")
