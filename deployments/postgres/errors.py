"""What can go wrong with the database server, each error with what to do next."""

from __future__ import annotations

import re
from pathlib import Path


class PostgresProblem(Exception):
    """The database server cannot do what was asked. `str()` is Chinese, `english` is the same in English."""

    def __init__(self, chinese: str, english: str) -> None:
        super().__init__(chinese)
        self.english = english


class PortTaken(PostgresProblem):
    """Another process listens on the port."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"数据库端口 {port} 已被其他程序占用。请停止该程序,或在设置 [ports] 中换一个 postgres 端口。",
            f"Port {port} is taken by another program. Stop it, or choose another postgres port under [ports].",
        )
        self.port = port


class DiskFull(PostgresProblem):
    """No space is left where the data live."""

    def __init__(self, where: Path) -> None:
        super().__init__(
            f"{where} 所在磁盘已满,数据库无法启动。请先腾出至少 2 GB 空间再启动;已有数据不受影响。",
            f"The disk holding {where} is full. Free at least 2 GB and start again; existing data are intact.",
        )
        self.where = where


class PermissionProblem(PostgresProblem):
    """A file or directory cannot be used by the account the server runs as."""

    def __init__(self, where: Path, account: str, detail: str = "") -> None:
        tail = f"\n{detail}" if detail else ""
        super().__init__(
            f"账户 {account} 无法使用 {where}。请检查该目录及上级目录的属主和权限,"
            f"或用 ORDERLOOM_STATE_DIR 指定另一个状态目录。{tail}",
            f"Account {account} cannot use {where}. Check the owner and mode of it and its parents, "
            f"or name another state directory with ORDERLOOM_STATE_DIR.{tail}",
        )
        self.where = where


class WrongDataVersion(PostgresProblem):
    """The data directory was written by another major version of PostgreSQL."""

    def __init__(self, data_dir: Path, found: str, ours: str) -> None:
        super().__init__(
            f"数据目录 {data_dir} 属于 PostgreSQL {found},当前程序自带 PostgreSQL {ours}。"
            f"请先用原版本执行 orderloom backup,移走该目录后,再用新版本执行 orderloom restore。",
            f"Data directory {data_dir} belongs to PostgreSQL {found}, this program ships PostgreSQL {ours}. "
            f"Run orderloom backup with the old version, move the directory away, then run orderloom restore.",
        )
        self.found = found
        self.ours = ours


class PasswordsLost(PostgresProblem):
    """The data are there, the file with their passwords is not."""

    def __init__(self, record: Path, data_dir: Path) -> None:
        super().__init__(
            f"找到数据目录 {data_dir},但缺少密码文件 {record}。请把该文件放回原处;"
            f"若已丢失,请移走数据目录,再用 orderloom restore 从备份恢复。",
            f"{data_dir} exists, its password file {record} does not. Put the file back; if it is lost, "
            f"move the data directory away and run orderloom restore.",
        )


class StartTimedOut(PostgresProblem):
    """The server started, and did not accept connections in time; it is left running."""

    def __init__(self, seconds: float, log_dir: Path) -> None:
        super().__init__(
            f"数据库在 {seconds:.0f} 秒内未就绪,可能仍在恢复(进程未被停止)。请查看 {log_dir},稍后再启动一次。",
            f"The database was not ready within {seconds:.0f} s and may still be recovering (it was left "
            f"running). Look into {log_dir} and start again later.",
        )


class StartFailed(PostgresProblem):
    """The server ended while starting, for a reason that has no name of its own here."""

    def __init__(self, log_dir: Path, detail: str) -> None:
        super().__init__(
            f"数据库启动失败,日志在 {log_dir}:\n{detail}",
            f"The database failed to start, its log is in {log_dir}:\n{detail}",
        )


class StillRunning(PostgresProblem):
    """The server, or children of a killed one, did not end in time."""

    def __init__(self, pids: list[int], data_dir: Path) -> None:
        named = ", ".join(map(str, pids))
        super().__init__(
            f"数据目录 {data_dir} 的数据库进程({named})未能按时结束。请确认其状态后重试,不要删除 postmaster.pid。",
            f"Database processes {named} of {data_dir} did not end in time. Look at them and try again; "
            f"do not delete postmaster.pid.",
        )
        self.pids = pids


def explain(log: str, *, port: int, data_dir: Path, log_dir: Path, account: str) -> PostgresProblem:
    """The typed error for what a failed server wrote to its log (English text, as `lc_messages` is C)."""
    if "No space left on device" in log:
        return DiskFull(data_dir)
    if "Address already in use" in log or "could not create any TCP/IP sockets" in log:
        return PortTaken(port)
    version = re.search(r"initialized by PostgreSQL version (\S+?),.*version (\d+)", log, re.DOTALL)
    if version:
        return WrongDataVersion(data_dir, version[1], version[2])
    denied = re.search(r'"([^"\n]+)": Permission denied', log)
    if denied:
        return PermissionProblem(Path(denied[1]), account, denied[0])
    if "has invalid permissions" in log or "has wrong ownership" in log or "Permission denied" in log:
        return PermissionProblem(data_dir, account, log.strip()[-500:])
    return StartFailed(log_dir, log.strip()[-1500:])
