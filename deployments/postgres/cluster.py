"""Making a data directory, and the roles and databases inside it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg2.extensions
from psycopg2 import sql

from deployments.postgres.home import Account

OWNER = "postgres"

# Two slow cores shared with the lanes and the Prefect server, and not much memory. Written into the data
# directory once, so that ALTER SYSTEM can change them later.
TUNING = {
    "max_connections": "100",
    "shared_buffers": "96MB",
    "effective_cache_size": "512MB",
    "work_mem": "4MB",
    "maintenance_work_mem": "64MB",
    "synchronous_commit": "on",
    "min_wal_size": "80MB",
    "max_wal_size": "512MB",
    "checkpoint_timeout": "10min",
    "random_page_cost": "1.1",
    "jit": "off",
    "max_parallel_workers_per_gather": "0",  # a parallel scan would take the core a lane is using
    "max_worker_processes": "4",
    "autovacuum_max_workers": "2",
    "autovacuum_naptime": "30s",
    "autovacuum_vacuum_scale_factor": "0.05",  # claims update the same rows again and again
    "autovacuum_analyze_scale_factor": "0.05",
    "idle_in_transaction_session_timeout": "10min",  # a forgotten transaction would stop vacuum
    "timezone": "UTC",
    "log_timezone": "Asia/Shanghai",
    "log_line_prefix": "%m [%p] %q%u@%d %a ",
    "log_min_duration_statement": "1s",
    "log_lock_waits": "on",
    "logging_collector": "on",
    "log_filename": "postgres-%a.log",  # one file a weekday, written over a week later
    "log_truncate_on_rotation": "on",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
}


class InitdbFailed(Exception):
    """initdb ended with an error; nothing was left behind. `str()` is what it said."""


def run_as(account: Account, home: Path) -> dict[str, Any]:
    """Popen arguments: the server's account, a clean environment, files that others cannot read."""
    who: dict[str, Any] = {}
    if not account.is_ours:
        who = {"user": account.uid, "group": account.gid, "extra_groups": []}
    environment = {"PATH": os.defpath, "LC_ALL": "C"}
    return {**who, "cwd": home, "umask": 0o077, "env": environment, "stdin": subprocess.DEVNULL}


def make_data_dir(data_dir: Path, initdb: Path, account: Account, password: str, durable: bool) -> None:
    """Make `data_dir` whole or not at all. Every connection will need a password, the socket's too.

    `durable` False skips flushing to disk (tests). Raises `InitdbFailed`.
    """
    home = data_dir.parent
    # under another name until it is complete, so that a crash half way leaves nothing that looks like data
    unfinished = home / "data.unfinished"
    if unfinished.exists():
        shutil.rmtree(unfinished)
    passwords = home / "initdb.password"
    passwords.unlink(missing_ok=True)
    descriptor = os.open(passwords, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(password)
        os.fchown(file.fileno(), account.uid, account.gid)
    command = [str(initdb), "-D", str(unfinished), "-U", OWNER, "--no-instructions"]
    command += ["--auth=scram-sha-256", f"--pwfile={passwords}", "--encoding=UTF8"]
    # byte order everywhere alike, whatever the machine's locale; upper and lower case by Unicode
    command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    command += [f"--set={name}={value}" for name, value in TUNING.items()]
    command += [] if durable else ["--no-sync"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, **run_as(account, home))
    finally:
        passwords.unlink(missing_ok=True)
    if answer.returncode != 0:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise InitdbFailed(answer.stderr)
    unfinished.rename(data_dir)


def ensure_role_and_databases(
    admin: psycopg2.extensions.connection, role: str, password: str, databases: Iterable[str]
) -> None:
    """The application role, which is no superuser, and the databases it owns; changes nothing that exists.

    The role may create databases: a restore makes a new one and swaps the names.
    """
    with admin.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
        if cursor.fetchone() is None:
            # hashed here, so that no log of the server can hold the password
            hashed = psycopg2.extensions.encrypt_password(password, role, admin, "scram-sha-256")
            create = "CREATE ROLE {} LOGIN NOSUPERUSER CREATEDB NOCREATEROLE PASSWORD {}"
            cursor.execute(sql.SQL(create).format(sql.Identifier(role), sql.Literal(hashed)))
        cursor.execute("SELECT datname FROM pg_database")
        existing = {name for (name,) in cursor.fetchall()}
        for database in databases:
            if database not in existing:
                create = "CREATE DATABASE {} OWNER {}"
                cursor.execute(sql.SQL(create).format(sql.Identifier(database), sql.Identifier(role)))
