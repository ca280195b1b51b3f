"""The stack: its secrets, ports and record; and the whole of it, up, killed, up again and down."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from deployments.addresses import PortsTaken, asyncpg_url, demand_ports, ensure_prefect_database, next_free_ports
from deployments.kept_secrets import KeptSecrets, kept_secrets
from deployments.postgres import EmbeddedPostgres
from deployments.stack import Stack
from deployments.stack_record import AlreadyRunning, ChildRecord, StackRecord, alone, living
from models.settings import Settings
from tests.prefect import free_port


def test_secrets_are_made_once_and_are_ours_alone(tmp_path: Path) -> None:
    made = kept_secrets(tmp_path)
    password, new = made.password_for("王敏")
    made.save(tmp_path)

    again = kept_secrets(tmp_path)

    assert again == made
    assert again.password_for("王敏") == (password, False)
    assert new
    assert stat.S_IMODE((tmp_path / "secrets.json").stat().st_mode) == 0o600


def test_a_key_in_the_settings_wins_over_the_one_that_was_made(tmp_path: Path) -> None:
    url = "postgresql://orderloom:x@127.0.0.1:1/orderloom"
    stack = Stack(tmp_path, Settings(state_dir=tmp_path, database_url=url, privacy_key="theirs"), "up")
    stack.secrets, stack.ports = kept_secrets(tmp_path), {"prefect": 1, "portal": 2, "staff": 3}

    named = stack.settings_environment()

    assert named["ORDERLOOM_PRIVACY_KEY"] == "theirs"
    assert named["ORDERLOOM_DATABASE_URL"] == url
    assert named["ORDERLOOM_PORTS__STAFF"] == "3"
    assert "ORDERLOOM_SHOPIFY__SHOP" not in named


def test_a_demo_points_every_platform_at_the_sandbox(tmp_path: Path) -> None:
    url = "postgresql://orderloom:x@127.0.0.1:1/orderloom"
    config = Settings(state_dir=tmp_path, database_url=url, public_url="https://shop.example.com")
    stack = Stack(tmp_path, config, "demo")
    stack.secrets, stack.ports = kept_secrets(tmp_path), {"prefect": 1, "portal": 2, "staff": 3, "sandbox": 4}

    named = stack.settings_environment()

    bases = {name: value for name, value in named.items() if name.endswith(("__BASE_URL", "MES__URL"))}
    assert len(bases) == 9
    assert all(value.startswith("http://127.0.0.1:4/") for value in bases.values())
    assert named["ORDERLOOM_PUBLIC_URL"] == "http://127.0.0.1:2"
    assert json.loads(named["ORDERLOOM_ALIYUN_SMS__TEMPLATES"])["shipped"]


def test_a_taken_port_moves_a_demo_and_stops_a_shop() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        moved = next_free_ports({"prefect": port, "portal": port})

        assert port not in moved.values()
        assert len(set(moved.values())) == 2
        with pytest.raises(PortsTaken, match=f"{port}"):
            demand_ports({"prefect": port})


def test_a_process_counts_only_with_the_start_time_it_was_written_with() -> None:
    own = psutil.Process()

    assert living(own.pid, own.create_time()) == own
    assert living(own.pid, own.create_time() - 3600) is None
    assert living(None, None) is None


def test_only_one_supervisor_works_in_a_state_directory(tmp_path: Path) -> None:
    StackRecord("up", 4711, 0.0, {}).save(tmp_path)

    with alone(tmp_path), pytest.raises(AlreadyRunning, match="4711"), alone(tmp_path):
        pass
    with alone(tmp_path):
        pass


def test_the_record_says_what_it_was_told(tmp_path: Path) -> None:
    record = StackRecord("demo", os.getpid(), 1.0, {"portal": 8080}, {"lane": ChildRecord("ready", 5, 6.0, 2, 7.5)})

    record.save(tmp_path)

    assert StackRecord.load(tmp_path) == record
    assert record.living_children() == {}


def test_the_prefect_database_is_made_beside_the_book_of_database_url(empty_database_url: str) -> None:
    ensure_prefect_database(empty_database_url)
    ensure_prefect_database(empty_database_url)

    named = asyncpg_url(empty_database_url + "?sslmode=disable&application_name=x")

    assert named.startswith("postgresql+asyncpg://")
    assert "/prefect?" in named
    assert "ssl=disable" in named and "sslmode" not in named


# the whole stack -------------------------------------------------------------------------------------------------


class Orderloom:
    """The command line on a state directory and ports of its own."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        names = ("prefect", "portal", "staff", "sandbox", "postgres")
        ports = {f"ORDERLOOM_PORTS__{name.upper()}": str(free_port()) for name in names}
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("ORDERLOOM", "DATABASE_URL"))}
        self.environment = {**ours, **ports, "ORDERLOOM_STATE_DIR": str(state_dir)}

    def __call__(self, *arguments: str, timeout: float = 300.0) -> subprocess.CompletedProcess[str]:
        """Run `orderloom …` and return what it said."""
        command = [sys.executable, "-m", "deployments.cli", *arguments]
        return subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=timeout, check=False
        )

    def record(self) -> StackRecord:
        """What the supervisor wrote down."""
        record = StackRecord.load(self.state_dir)
        assert record is not None
        return record

    def kill(self, name: str) -> None:
        """SIGKILL a service and wait until it is ready again under another pid."""
        before = self.record().children[name]
        assert before.pid is not None
        os.kill(before.pid, signal.SIGKILL)
        until(lambda: self.record().children[name].starts > before.starts, 60)
        until(lambda: self.record().children[name].state == "ready", 120)
        assert self.record().children[name].pid != before.pid

    def processes(self) -> list[psutil.Process]:
        """Every process of the stack that lives, the supervisor and PostgreSQL included."""
        record = self.record()
        known = [*record.living_children().values(), record.supervisor()]
        return [process for process in known if process is not None]


def until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)


@pytest.fixture
def orderloom() -> Iterator[Orderloom]:
    """The command line on a directory that the database's own account can enter; gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="orderloom-test-stack-"))
    directory.chmod(0o711)
    command = Orderloom(directory / "state")
    try:
        yield command
    finally:
        command("down")
        shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.slow
def test_the_stack_survives_its_processes_and_leaves_nothing_when_it_is_stopped(orderloom: Orderloom) -> None:
    state_dir, running = orderloom.state_dir, []
    try:
        started = orderloom("up")
        assert started.returncode == 0, started.stdout + started.stderr
        assert all(child.state in ("ready", "done") for child in orderloom.record().children.values())
        assert "sandbox" not in orderloom.record().children

        again = orderloom("up")
        assert again.returncode == 1 and "orderloom down" in again.stderr

        untouched = orderloom.record().children["prefect-server"].pid
        for name in ("portal", "workers", "lane", "postgres"):
            orderloom.kill(name)
        assert orderloom.record().children["prefect-server"].pid == untouched
        until(lambda: all(child.state in ("ready", "done") for child in orderloom.record().children.values()), 120)
        until(lambda: orderloom("status").returncode == 0, 60)
        assert orderloom("check").returncode == 0

        supervisor = orderloom.record().pid
        os.kill(supervisor, signal.SIGKILL)
        until(lambda: not psutil.pid_exists(supervisor), 10)
        left_behind = [one for one in orderloom.processes() if not one.name().startswith("postgres")]
        assert len(left_behind) == 4
        assert orderloom("status").returncode == 3
        assert orderloom("up").returncode == 0
        assert not any(one.is_running() for one in left_behind)

        running = orderloom.processes()
        assert len(running) == 6
    finally:
        stopped = orderloom("down")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    assert [one for one in running if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []
    assert EmbeddedPostgres(state_dir).status().pid is None
    assert orderloom("status").returncode == 3
    assert KeptSecrets.load(state_dir) is not None
    assert orderloom("reset", "--yes").returncode == 0
    assert [place.name for place in state_dir.iterdir()] == ["stack.lock"]
