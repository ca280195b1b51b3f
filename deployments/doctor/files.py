"""Checks of our own files: the state directory and the settings file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from deployments.doctor.finding import Finding, error, fine, warning


def check_state_dir(state_dir: Path) -> Finding:
    """Writable by us, and closed to others: 0700, or 0711 where the database's account has to pass through."""
    if not state_dir.exists():
        above = next(parent for parent in state_dir.absolute().parents if parent.exists())
        if os.access(above, os.W_OK | os.X_OK):
            return fine("state_dir", f"{state_dir} 将在启动时创建", f"{state_dir} will be made at the first start")
        return error(
            "state_dir",
            f"无法创建状态目录 {state_dir}",
            f"请取得 {above} 的写权限,或用 ORDERLOOM_STATE_DIR 指定另一个目录。",
            f"{state_dir} cannot be made. Get write access to {above}, or name another with ORDERLOOM_STATE_DIR.",
        )
    if not state_dir.is_dir() or not os.access(state_dir, os.W_OK | os.X_OK | os.R_OK):
        return error(
            "state_dir",
            f"状态目录 {state_dir} 不可写",
            f"请执行 chown 把 {state_dir} 交给当前用户,或用 ORDERLOOM_STATE_DIR 指定另一个目录。",
            f"{state_dir} is not writable. chown it to this user, or name another with ORDERLOOM_STATE_DIR.",
        )
    mode = stat.S_IMODE(state_dir.stat().st_mode)
    if mode & 0o066:
        return warning(
            "state_dir",
            f"其他用户可以读写状态目录 {state_dir}({mode:04o})",
            f"请执行 chmod go-rw {state_dir}。",
            f"Others can read or write {state_dir} ({mode:04o}). Run chmod go-rw {state_dir}.",
        )
    return fine("state_dir", f"状态目录 {state_dir} 可用", f"State directory {state_dir} is usable")


def check_settings_file(file: Path) -> Finding:
    """Secrets live in it: nobody else may read it. That there is none is fine."""
    if not file.exists():
        return fine("settings_file", f"没有设置文件 {file},使用默认值", f"No settings file {file}, defaults apply")
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        return error(
            "settings_file",
            f"设置文件 {file} 可被其他用户访问({mode:04o})",
            f"请执行 chmod 600 {file},并考虑更换其中的密钥。",
            f"Others have access to {file} ({mode:04o}). Run chmod 600 {file} and consider new secrets.",
        )
    if not os.access(file, os.R_OK):
        return error(
            "settings_file",
            f"当前用户无法读取设置文件 {file}",
            f"请执行 chown 把 {file} 交给当前用户。",
            f"This user cannot read {file}. chown it to this user.",
        )
    return fine("settings_file", f"设置文件 {file} 权限正确", f"Settings file {file} has the right mode")
