"""Is a port free, ours, or somebody else's?"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Collection
from pathlib import Path

import psutil

from deployments.doctor.finding import Finding, error, fine

_OUR_MODULES = ("deployments.", "integrations.", "flows.")


def check_port(name: str, port: int, ours: Collection[int]) -> Finding:
    """A port of 127.0.0.1 that the stack's `name` wants; `ours` are the process ids of this installation."""
    code = f"port.{name}"
    if _is_free(port):
        return fine(code, f"端口 {port}({name})空闲", f"Port {port} ({name}) is free")
    owners = _listeners(port)
    if owners and all(process.pid in ours for process in owners):
        return fine(code, f"端口 {port}({name})由 Orderloom 使用", f"Port {port} ({name}) is held by Orderloom")
    named = ", ".join(f"{_name(process)} pid {process.pid}" for process in owners)
    return error(
        code,
        f"端口 {port}({name})已被占用" + (f":{named}" if named else ",占用者不可见"),
        f"请停止占用该端口的程序,或在设置文件 [ports] 中把 {name} 改为其他端口。",
        f"Port {port} ({name}) is taken by {named or 'a process that cannot be seen'}. "
        f"Stop it, or give {name} another port under [ports].",
    )


def our_processes(state_dir: Path) -> set[int]:
    """Process ids of this installation: the built-in database, our programs of this environment, their children."""
    data_dir = _data_dir(state_dir)
    found: set[int] = set()
    for process in psutil.process_iter():
        try:
            if _is_ours(process, data_dir):
                found.add(process.pid)
                found.update(child.pid for child in process.children(recursive=True))
        except (psutil.Error, OSError):
            continue
    return found


def _data_dir(state_dir: Path) -> Path | None:
    if os.name != "posix":
        return None
    from deployments.postgres import EmbeddedPostgres  # not on Windows, where the doctor still has to speak

    return EmbeddedPostgres(state_dir).data_dir.resolve()


def _is_ours(process: psutil.Process, data_dir: Path | None) -> bool:
    if process.name().startswith("postgres"):
        return Path(process.cwd()) == data_dir
    command = process.cmdline()
    if not command or Path(command[0]).parent != Path(sys.executable).parent:
        return False
    is_command = len(command) > 1 and Path(command[1]).name == "orderloom"
    return is_command or (command[1:2] == ["-m"] and command[2].startswith(_OUR_MODULES))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        if os.name == "posix":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closed connections do not hold a port
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _listeners(port: int) -> list[psutil.Process]:
    """Who listens on the port, as far as this user may see."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:  # macOS shows them to root only
        return []
    pids = {c.pid for c in connections if c.status == psutil.CONN_LISTEN and c.laddr.port == port and c.pid}
    return [psutil.Process(pid) for pid in sorted(pids) if psutil.pid_exists(pid)]


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.Error:
        return "?"
