"""`orderloom reset`: stop, and delete everything but the settings file."""

from __future__ import annotations

import shutil
from pathlib import Path

from deployments.language import tell
from deployments.postgres import EmbeddedPostgres
from deployments.stack import SANDBOX_MEMORY
from deployments.stack_record import alone
from deployments.starting import stop_everything
from models.settings import Settings, settings_file


def what_is_there(config: Settings) -> str:
    """What would be deleted."""
    places = "\n".join(f"  {place}" for place in _places(config))
    told = tell("将停止 Orderloom 并删除:", "Orderloom is stopped, and this is deleted:")
    kept = tell(f"保留设置文件 {settings_file()}", f"The settings file {settings_file()} stays")
    if config.database_url is not None:
        kept += tell(
            ";DATABASE_URL 的数据库不会被动,要清空请由管理员删除重建。",
            "; the database of DATABASE_URL is not touched: let its administrator drop and make it again.",
        )
    return f"{told}\n{places}\n{kept}"


def delete_everything(config: Settings) -> int:
    """Stop the stack, then delete what `what_is_there` named; 0."""
    if not config.state_dir.exists():
        return 0
    stop_everything(config)
    with alone(config.state_dir):
        for place in _places(config):
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
            else:
                place.unlink(missing_ok=True)
    return 0


def _places(config: Settings) -> list[Path]:
    """Our files and directories in the state directory, and those of the database that lie elsewhere."""
    if not config.state_dir.exists():
        return []
    ours = ("logs", "prefect", "postgres", "postgres.json", "postgres.lock", "secrets.json", "sheets", "stack.json")
    places = [place for name in ours if (place := config.state_dir / name).exists()]
    places += sorted(config.state_dir.glob(f"{SANDBOX_MEMORY}*"))
    postgres = EmbeddedPostgres(config.state_dir)
    if postgres.status().port is not None:
        outside = [postgres.home, postgres.socket_dir]
        places += [place for place in outside if config.state_dir not in place.parents and place.exists()]
    return places
