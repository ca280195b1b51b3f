"""The server's processes, found by their working directory: every one of them sits in its data directory."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil

from deployments.postgres.errors import StillRunning

ORPHANS_SECONDS = 30.0  # children notice a dead postmaster at once unless they are in a long computation


def server_processes(data_dir: Path) -> list[psutil.Process]:
    """Every living PostgreSQL process of `data_dir`, the postmaster included."""
    return [process for process in psutil.process_iter() if _belongs(process, data_dir)]


def _belongs(process: psutil.Process, data_dir: Path) -> bool:
    try:
        if not process.name().startswith("postgres") or process.status() == psutil.STATUS_ZOMBIE:
            return False
        return os.path.samefile(process.cwd(), data_dir)
    except (psutil.Error, OSError):
        return False


def postmaster(data_dir: Path) -> psutil.Process | None:
    """The running postmaster of `data_dir`, or None; a pid that now belongs to another program is not one."""
    try:
        pid = int((data_dir / "postmaster.pid").read_text().split("\n", 1)[0])
        process = psutil.Process(pid)
    except (FileNotFoundError, ValueError, psutil.NoSuchProcess):
        return None
    return process if _belongs(process, data_dir) else None


def listening_port(data_dir: Path) -> int:
    """The port the running server wrote into `postmaster.pid` (PostgreSQL, miscadmin.h: line 4)."""
    return int((data_dir / "postmaster.pid").read_text().splitlines()[3])


def clear_remains(data_dir: Path, socket_dir: Path, patience: float = ORPHANS_SECONDS) -> None:
    """After a killed postmaster: wait until its children are gone, then remove the lock files it left.

    A child that does not end by itself within `patience` seconds is told to quit, then killed: two generations
    on the same files would damage them. Raises `StillRunning` if one lives on.
    """
    for order in (None, signal.SIGQUIT, signal.SIGKILL):
        remaining = server_processes(data_dir)
        if order is not None:
            for process in remaining:
                try:
                    process.send_signal(order)
                except psutil.NoSuchProcess:
                    continue
        if _all_gone(data_dir, patience if order is None else 10.0):
            break
    else:
        raise StillRunning([process.pid for process in server_processes(data_dir)], data_dir)
    # nobody of ours is left, so a pid in these files belongs to a stranger and would only block the start
    (data_dir / "postmaster.pid").unlink(missing_ok=True)
    for left_over in socket_dir.glob(".s.PGSQL.*"):
        left_over.unlink(missing_ok=True)


def _all_gone(data_dir: Path, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while server_processes(data_dir):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
