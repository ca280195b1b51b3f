"""A shadow's own place: state directory, database, Prefect, and what refuses to mix it with a live one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from openpyxl import load_workbook
from sqlmodel import Session

from deployments.addresses import NoDatabase, ensure_database
from deployments.doctor.shadow import check_shadow
from deployments.kept_secrets import kept_secrets
from deployments.shadow_place import move_into_shadow, shadow_url
from deployments.stack import Stack
from models.database import engine_for, migrate, utcnow
from models.settings import DouyinSettings, Settings, settings
from models.shadow import is_shadow_book, open_book_as
from tests.database import TemporaryServer
from tests.deployments.command import Run, number
from tests.house import living_in
from tests.models.factories import a_fulfilment, an_order

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def kept_environment() -> Iterator[None]:
    """What a test changes in the environment is put back."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
    settings.cache_clear()


@pytest.mark.parametrize(
    ("live", "shadow"),
    [
        ("postgresql://a:b@h:1/orderloom", "postgresql://a:b@h:1/orderloom_shadow"),
        ("postgresql://a:b@h:1/orderloom_shadow", "postgresql://a:b@h:1/orderloom_shadow"),
        ("postgresql://h/shop?sslmode=require", "postgresql://h/shop_shadow?sslmode=require"),
    ],
)
def test_the_shadows_database_lies_beside_the_live_one(live: str, shadow: str) -> None:
    assert shadow_url(live) == shadow


@pytest.mark.usefixtures("kept_environment")
def test_a_shadow_reads_the_live_settings_file_and_keeps_its_data_apart(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('[douyin]\napp_key = "k"\n', encoding="utf-8")
    with living_in({"ORDERLOOM_STATE_DIR": str(tmp_path), "ORDERLOOM_DATABASE_URL": "postgresql://a:b@h:1/live"}):
        os.environ.pop("ORDERLOOM_SETTINGS", None)
        for _ in range(2):  # the supervisor in the background prepares once more
            moved = move_into_shadow(settings())
        assert moved.shadow
        assert moved.state_dir == tmp_path / "shadow"
        assert moved.database_url is not None
        assert moved.database_url.get_secret_value() == "postgresql://a:b@h:1/live_shadow"
        assert moved.douyin.app_key == "k"


def test_a_shadow_tells_its_children_and_has_a_prefect_of_its_own(tmp_path: Path) -> None:
    url = "postgresql://orderloom:x@127.0.0.1:1/orderloom_shadow"
    stack = Stack(tmp_path, Settings(state_dir=tmp_path, database_url=url, shadow=True), "up")
    stack.secrets, stack.ports = kept_secrets(tmp_path), {"prefect": 1, "portal": 2, "staff": 3}

    assert stack.settings_environment()["ORDERLOOM_SHADOW"] == "True"
    assert stack.prefect.database_url.endswith("/prefect_shadow")
    assert not stack.sandbox


def test_the_shadows_database_is_made_once(database_server: TemporaryServer) -> None:
    url = database_server.postgres.url("made_for_a_shadow")
    for _ in range(2):
        ensure_database(url)
    with Session(engine_for(url)) as opened:
        assert number(opened, "SELECT 1") == 1
    engine_for(url).dispose()
    assert "CREATE DATABASE live_shadow OWNER shop" in str(NoDatabase("live_shadow", "shop", "no"))


def _migrate(url: str, state_dir: Path, *, shadow: bool) -> subprocess.CompletedProcess[str]:
    """The chore that a stack begins with."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("ORDERLOOM")}
    named = {"ORDERLOOM_DATABASE_URL": url, "ORDERLOOM_STATE_DIR": str(state_dir), "ORDERLOOM_SHADOW": str(shadow)}
    command = [sys.executable, "-m", "deployments.chores", "migrate"]
    return subprocess.run(command, env=ours | named, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def test_a_start_makes_a_shadow_of_an_empty_book_and_never_of_a_live_one(
    database_url: str, empty_database_url: str, session: Session, tmp_path: Path
) -> None:
    # given a live book, and an empty database
    a_fulfilment(session, an_order(session, utcnow()), utcnow())
    session.commit()
    # when both are started as what they are not
    live = _migrate(database_url, tmp_path, shadow=True)
    made = _migrate(empty_database_url, tmp_path, shadow=True)
    mixed = _migrate(empty_database_url, tmp_path, shadow=False)
    # then the live one stays live, the empty one is a shadow from now on, and each refusal is a sentence
    assert (live.returncode, made.returncode, mixed.returncode) == (1, 0, 1), live.stderr + made.stderr
    assert "正式的订单" in live.stderr and "Traceback" not in live.stderr
    assert "--shadow" in mixed.stderr and "Traceback" not in mixed.stderr
    session.rollback()
    assert not is_shadow_book(session)
    assert _migrate(empty_database_url, tmp_path, shadow=True).returncode == 0


def test_commands_find_the_shadow_by_an_option_anywhere(orderloom: Run) -> None:
    status = orderloom("--shadow", "status")
    assert status.returncode == 3
    assert "影子模式:不向外发送任何东西" in status.stdout
    assert "影子模式" in orderloom("status", "--shadow").stdout
    assert "影子模式" not in orderloom("status").stdout
    assert orderloom("demo", "--exit", ORDERLOOM_SHADOW="true").returncode == 2


def test_a_report_is_only_of_a_shadow(orderloom: Run, database_url: str, tmp_path: Path) -> None:
    # given the database beside the live one, before and after it has become a shadow
    url = shadow_url(database_url)
    ensure_database(url)
    migrate(url)
    file = tmp_path / "report.xlsx"
    refused = orderloom("shadow", "report")
    with Session(engine_for(url)) as session:
        open_book_as(session, True, utcnow())
        order = an_order(session, utcnow(), "SH-77", channel="douyin")
        a_fulfilment(session, order, utcnow(), waiting_on="production")
        session.commit()
    engine_for(url).dispose()
    # when it is reported on
    told = orderloom("shadow", "report", "--days", "3", "--xlsx", str(file))
    # then only the shadow is
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr and "影子模式" in refused.stderr
    assert told.returncode == 0, told.stderr
    assert "# 影子报告" in told.stdout and "| 抖店 | 1 |" in told.stdout
    assert [row[0] for row in load_workbook(file)["逐单比较"].values] == ["订单", "SH-77"]


def test_the_doctor_says_shadow_and_misses_a_channel() -> None:
    assert check_shadow(Settings(shadow=False)) == []
    alone, nothing = check_shadow(Settings(shadow=True))
    assert (alone.severity, nothing.severity) == ("ok", "warning")
    assert [one.code for one in check_shadow(Settings(shadow=True, douyin=DouyinSettings(app_key="k")))] == ["shadow"]
