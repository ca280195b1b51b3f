"""What can keep a backup from being made or restored, each with what to do next."""

from __future__ import annotations

from pathlib import Path


class BackupProblem(Exception):
    """A backup or a restore cannot be done. `str()` is Chinese, `english` is the same in English."""

    def __init__(self, chinese: str, english: str) -> None:
        super().__init__(chinese)
        self.english = english


class DamagedBackup(BackupProblem):
    """A file of the backup is missing or is not what was written."""


class NotEmpty(BackupProblem):
    """The database holds rows, and replacing it was not asked for."""


class DatabaseInUse(BackupProblem):
    """Somebody is connected to the database that is to be replaced."""


class ToolFailed(BackupProblem):
    """`pg_dump`, `pg_restore` or the server refused; what they said is in the message."""


def in_use(detail: str) -> DatabaseInUse:
    """The error for a database with these users."""
    return DatabaseInUse(
        f"数据库正在使用中,未做任何改动。请先停止 Orderloom 及列出的程序,再恢复。({detail})",
        f"The database is in use; nothing was changed. Stop Orderloom and the programs listed first. ({detail})",
    )


def damaged(file: Path, detail: str) -> DamagedBackup:
    """The error for this file of a backup."""
    return DamagedBackup(
        f"备份文件 {file} 缺失或已损坏,未做任何改动。请改用另一份备份。({detail})",
        f"Backup file {file} is missing or damaged; nothing was changed. Use another backup. ({detail})",
    )
