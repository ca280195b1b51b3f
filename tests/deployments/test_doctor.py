"""Every complaint of the doctor is provoked for real where this machine lets us."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from deployments.doctor import Finding, diagnose
from deployments.doctor.database import check_clock, check_database, check_server_version
from deployments.doctor.files import check_settings_file, check_state_dir
from deployments.doctor.machine import (
    GIB,
    check_disk,
    check_encoding,
    check_memory,
    check_packages,
    check_platform,
    check_python,
    check_time_zone,
)
from deployments.doctor.platforms import check_platforms
from deployments.doctor.ports import check_port, our_processes
from models.settings import AlipaySettings, Settings
from tests.database import TemporaryServer

NOW = datetime(2026, 11, 11, 4, 0, tzinfo=UTC)


def as_another_user(check: Callable[[], Finding]) -> str:
    """The severity `check` gives to somebody who is not root."""
    if os.geteuid() != 0:
        return check().severity
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgid(65534)
            os.setuid(65534)
            os.write(writing, check().severity.encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as answer:
        return answer.read()


@pytest.mark.parametrize(("version", "severity"), [((3, 10, 14), "error"), ((3, 11, 0), "ok"), ((3, 14, 2), "ok")])
def test_old_interpreters_are_refused(version: tuple[int, ...], severity: str) -> None:
    assert check_python(version).severity == severity


@pytest.mark.parametrize(
    ("system", "release", "severity"),
    [
        ("Linux", "6.18.44", "ok"),
        ("Linux", "5.15.167.4-microsoft-standard-WSL2", "ok"),
        ("Linux", "4.4.0-19041-Microsoft", "warning"),
        ("Darwin", "24.1.0", "ok"),
        ("Windows", "11", "error"),
    ],
)
def test_windows_itself_is_not_supported(system: str, release: str, severity: str) -> None:
    assert check_platform(system, release).severity == severity


@pytest.mark.parametrize(("free", "severity"), [(2 * GIB - 1, "error"), (3 * GIB, "warning"), (5 * GIB, "ok")])
def test_little_disk_is_said(free: int, severity: str, tmp_path: Path) -> None:
    assert check_disk(tmp_path, free).severity == severity


@pytest.mark.parametrize(("free", "severity"), [(GIB // 4, "error"), (GIB, "warning"), (2 * GIB, "ok")])
def test_little_memory_is_said(free: int, severity: str) -> None:
    assert check_memory(free).severity == severity


def test_packages_are_compared_with_what_is_asked_for() -> None:
    assert check_packages(["prefect==3.8.8", 'pytest==0; extra == "dev"']).severity == "ok"
    found = check_packages(["prefect==3.9.1", "no-such-package-here", "sqlmodel"])
    assert found.severity == "error"
    assert found.title == "依赖缺失或版本不符:prefect==3.9.1 (3.8.8)、no-such-package-here (-)"


def test_chinese_needs_utf8() -> None:
    assert [check_encoding(name).severity for name in ("UTF-8", "utf8", "ANSI_X3.4-1968")] == [
        "ok",
        "ok",
        "warning",
    ]


def test_missing_time_zone_data_is_said() -> None:
    assert check_time_zone("Asia/Shanghai").severity == "ok"
    assert check_time_zone("Asia/Atlantis").severity == "error"


@pytest.mark.parametrize(("mode", "severity"), [(0o700, "ok"), (0o711, "ok"), (0o755, "warning"), (0o733, "warning")])
def test_a_state_directory_open_to_others_is_said(mode: int, severity: str, tmp_path: Path) -> None:
    tmp_path.chmod(mode)
    assert check_state_dir(tmp_path).severity == severity


def test_a_state_directory_that_cannot_be_written_is_said() -> None:
    assert as_another_user(lambda: check_state_dir(Path("/usr"))) == "error"
    assert as_another_user(lambda: check_state_dir(Path("/usr/nowhere/orderloom"))) == "error"


def test_a_state_directory_that_will_be_made_is_fine(tmp_path: Path) -> None:
    assert check_state_dir(tmp_path / "a" / "b").severity == "ok"
    assert list(tmp_path.iterdir()) == []


def test_every_platform_is_named_connected_or_not() -> None:
    found = {one.code: one for one in check_platforms(Settings(alipay=AlipaySettings(app_id="2021")))}

    assert found["platform.alipay"].title == "支付宝:已填凭证"
    assert found["platform.sf_express"].title == "顺丰:未接,出不了运单"
    platforms = {name for name, field in Settings.model_fields.items() if _has_credentials(field.annotation)}
    assert {code.removeprefix("platform.") for code in found} == platforms
    assert {one.severity for one in found.values()} == {"ok"}


def _has_credentials(section: object) -> bool:
    fields = getattr(section, "model_fields", {})
    return any(field.annotation is SecretStr for field in fields.values())


@pytest.mark.parametrize(("mode", "severity"), [(0o600, "ok"), (0o640, "error"), (0o604, "error")])
def test_a_settings_file_others_can_read_is_said(mode: int, severity: str, tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    assert check_settings_file(file).severity == "ok"
    file.write_text("")
    file.chmod(mode)
    found = check_settings_file(file)
    assert found.severity == severity
    assert ("chmod 600" in found.what_to_do) == (severity == "error")


def test_a_port_is_free_ours_or_taken() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as holder:
        port = holder.getsockname()[1]
        taken = check_port("portal", port, ours=())
        ours = check_port("portal", port, ours={os.getpid()})
    free = check_port("portal", port, ours=())
    assert (taken.severity, ours.severity, free.severity) == ("error", "ok", "ok")
    assert taken.code == "port.portal"
    if os.geteuid() == 0:
        assert f"pid {os.getpid()}" in taken.title
    assert ours.title != free.title


def test_our_processes_are_those_of_this_environment_and_this_state_directory(
    database_server: TemporaryServer, tmp_path: Path
) -> None:
    postgres = database_server.postgres
    assert postgres.pid in our_processes(postgres.state_dir)
    assert postgres.pid not in our_processes(tmp_path)
    # a module of ours is ours, the interpreter with something else is not
    waiting = [subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)]
    command = "import sys; sys.argv[0:1] = []; input()"
    waiting.append(subprocess.Popen([sys.executable, "-c", command, "orderloom"], stdin=subprocess.PIPE))
    try:
        assert {process.pid for process in waiting} & our_processes(tmp_path) == set()
    finally:
        for process in waiting:
            process.communicate(b"\n")
    script = tmp_path / "orderloom"
    script.write_text("input()")
    named = subprocess.Popen([sys.executable, str(script)], stdin=subprocess.PIPE)
    try:
        assert named.pid in our_processes(tmp_path)
    finally:
        named.communicate(b"\n")


def test_a_good_database_gets_four_good_findings(database_server: TemporaryServer) -> None:
    found = check_database(database_server.postgres.url())
    assert [(one.code, one.severity) for one in found] == [
        ("database", "ok"),
        ("database.version", "ok"),
        ("database.role", "ok"),
        ("clock", "ok"),
    ]


def test_a_superuser_is_said(database_server: TemporaryServer) -> None:
    postgres = database_server.postgres
    with closing(postgres.admin_connection()) as admin, admin.cursor() as cursor:
        cursor.execute("CREATE ROLE chief LOGIN SUPERUSER PASSWORD 'p'")
        url = f"postgresql+psycopg2://chief:p@127.0.0.1:{postgres.port}/orderloom"
        found = {one.code: one.severity for one in check_database(url)}
        cursor.execute("DROP ROLE chief")
    assert found["database.role"] == "warning"


def test_what_keeps_a_database_away_is_told_apart(database_server: TemporaryServer) -> None:
    postgres = database_server.postgres
    with closing(socket.create_server(("127.0.0.1", 0))) as holder:
        dead = holder.getsockname()[1]
    wrong = {
        "nonsense": "形如",
        f"postgresql://orderloom:secret-word@127.0.0.1:{postgres.port}/orderloom": "用户名和密码",
        postgres.url("nowhere"): "CREATE DATABASE",
        f"postgresql+psycopg2://a:secret-word@127.0.0.1:{dead}/orderloom": "已启动",
    }
    for url, todo in wrong.items():
        (found,) = check_database(url)
        assert (found.code, found.severity) == ("database", "error")
        assert todo in found.what_to_do
        assert "secret-word" not in str(found)
        assert postgres.url().split(":")[2].split("@")[0] not in str(found)


def test_old_servers_are_refused() -> None:
    assert [check_server_version(version).severity for version in (130014, 140000, 180006)] == [
        "error",
        "ok",
        "ok",
    ]


@pytest.mark.parametrize(("apart", "severity"), [(1, "ok"), (-10, "warning"), (10, "warning"), (-60, "error")])
def test_clocks_that_differ_are_said(apart: int, severity: str) -> None:
    assert check_clock(NOW, NOW + timedelta(seconds=apart)).severity == severity


def test_the_whole_examination_changes_nothing(
    database_server: TemporaryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERLOOM_SETTINGS", str(tmp_path / "settings.toml"))
    with closing(socket.create_server(("127.0.0.1", 0))) as holder:
        ports = {"portal": holder.getsockname()[1]}
        found = diagnose(tmp_path / "state", ports, None)
    assert [one.code for one in found if one.severity == "error"] == ["port.portal"]
    assert found[-1].title.startswith("内置数据库未运行")
    assert all((one.what_to_do == "") == (one.severity == "ok") for one in found)
    assert all(one.english for one in found)
    assert list(tmp_path.iterdir()) == []
    # and with the built-in database up, it is examined, and its port is ours
    postgres = database_server.postgres
    found = diagnose(postgres.state_dir, {"postgres": postgres.port}, None)
    assert [one.severity for one in found[-5:]] == ["ok"] * 5
    assert found[-5].code == "port.postgres"
