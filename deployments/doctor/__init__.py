"""`orderloom doctor`: everything that can keep the stack from running, looked at before it does."""

from __future__ import annotations

import importlib.metadata
import locale
import os
import platform
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from deployments.doctor.database import check_database
from deployments.doctor.files import check_settings_file, check_state_dir
from deployments.doctor.finding import Finding, fine
from deployments.doctor.machine import (
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
from deployments.doctor.shadow import check_shadow
from models.settings import Settings, settings_file

__all__ = ["Finding", "diagnose"]

TIME_ZONE = "Asia/Shanghai"


def diagnose(state_dir: Path, ports: Mapping[str, int], database_url: str | None) -> list[Finding]:
    """Look at everything, change nothing. `ports` by name; `database_url` None means the built-in database."""
    where = next(path for path in (state_dir, *state_dir.absolute().parents) if path.exists())
    ours = our_processes(state_dir)
    settings = Settings()
    return [
        *check_shadow(settings),
        check_python(tuple(sys.version_info[:3])),
        check_platform(platform.system(), platform.release()),
        check_packages(importlib.metadata.requires("orderloom") or []),
        check_encoding(locale.getpreferredencoding(False)),
        check_time_zone(TIME_ZONE),
        check_disk(where, shutil.disk_usage(where).free),
        check_memory(psutil.virtual_memory().available),
        check_state_dir(state_dir),
        check_settings_file(settings_file()),
        *check_platforms(settings),
        *(check_port(name, port, ours) for name, port in ports.items()),
        *(check_database(database_url) if database_url else _built_in(state_dir)),
    ]


def _built_in(state_dir: Path) -> list[Finding]:
    if os.name != "posix":
        return []  # the platform's finding says it all
    from deployments.postgres import EmbeddedPostgres

    server = EmbeddedPostgres(state_dir)
    if server.status().ready:
        return check_database(server.url())
    return [fine("database", "内置数据库未运行,启动时会自动启动", "The built-in database is off; a start starts it")]
