"""The order book for commands: of the running stack, of DATABASE_URL, or of a stopped one, started for a moment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deployments.kept_secrets import KeptSecrets
from deployments.postgres import EmbeddedPostgres, make_state_dir
from deployments.stack_record import StackRecord, alone
from models.settings import Settings, settings


class NothingHere(Exception):
    """There is no data in this state directory yet."""

    def __init__(self, state_dir: Path) -> None:
        super().__init__(f"{state_dir} 里还没有数据:请先运行 `orderloom up`(正式使用)或 `orderloom demo`(演示)。")
        self.english = f"There is no data in {state_dir} yet: run `orderloom up` or `orderloom demo` first."


class StopFirst(Exception):
    """This command needs the stack to be stopped."""

    def __init__(self, pid: int) -> None:
        super().__init__(f"Orderloom 正在运行(进程 {pid})。请先 `orderloom down`,再执行这个命令。")
        self.english = f"Orderloom is running (process {pid}). Run `orderloom down` first, then this command."


@contextmanager
def order_book(config: Settings, *, make: bool = False) -> Iterator[str]:
    """The address of the order book, with the settings of this process pointing at it while the block runs.

    A built-in database that does not run is started for the block and stopped afterwards. One that does not exist
    is made (empty) if `make` says so, else raises `NothingHere`.
    """
    with _address(config, make) as url:
        secrets = KeptSecrets.load(config.state_dir)
        before = dict(os.environ)
        os.environ["ORDERLOOM_DATABASE_URL"] = url
        if secrets is not None and not config.privacy_key.get_secret_value():
            os.environ["ORDERLOOM_PRIVACY_KEY"] = secrets.privacy_key
        settings.cache_clear()
        try:
            yield url
        finally:
            _disconnect(url)
            os.environ.clear()
            os.environ.update(before)
            settings.cache_clear()


@contextmanager
def _address(config: Settings, make: bool) -> Iterator[str]:
    if config.database_url is not None:
        yield config.database_url.get_secret_value()
        return
    postgres = EmbeddedPostgres(config.state_dir)
    status = postgres.status()
    if not status.initialised and not make:
        raise NothingHere(config.state_dir)
    if status.ready:
        yield postgres.url()
        return
    make_state_dir(config.state_dir)
    # nobody may start a stack on it meanwhile: we are going to stop it
    with alone(config.state_dir):
        postgres.start()
        try:
            yield postgres.url()
        finally:
            postgres.stop()


def _disconnect(url: str) -> None:
    """Close the pool: a database that is to be stopped or replaced must have no users."""
    from models.database import engine_for

    engine_for(url).dispose()


def demand_stopped(state_dir: Path) -> None:
    """Raises `StopFirst` while a supervisor works here."""
    record = StackRecord.load(state_dir)
    if record is not None and (running := record.supervisor()) is not None:
        raise StopFirst(running.pid)
