"""Checks of the machine: interpreter, platform, disk, memory, packages, text and time zone data."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from packaging.requirements import Requirement

from deployments.doctor.finding import Finding, error, fine, warning

GIB = 1024**3
OLDEST_PYTHON = (3, 11)


def check_python(version: tuple[int, ...]) -> Finding:
    """`version` as in `sys.version_info`: 3.11 or newer."""
    named = ".".join(map(str, version[:3]))
    if version[:2] >= OLDEST_PYTHON:
        return fine("python", f"Python {named}", f"Python {named}")
    return error(
        "python",
        f"Python {named} 太旧",
        "请安装 Python 3.11 或更新版本,再执行 make setup PYTHON=python3.12。",
        f"Python {named} is too old. Install 3.11 or newer, then run make setup PYTHON=python3.12.",
    )


def check_platform(system: str, release: str) -> Finding:
    """`system` and `release` as in `platform`: Linux, macOS and WSL2 carry the stack, Windows itself does not."""
    if system == "Linux" and "microsoft" in release.lower() and "wsl2" not in release.lower():
        return warning(
            "platform",
            f"疑似 WSL1({release})",
            "请在 PowerShell 中执行 wsl --set-version <发行版> 2 升级到 WSL2。",
            f"This looks like WSL1 ({release}). Upgrade with wsl --set-version <distribution> 2.",
        )
    if system in ("Linux", "Darwin"):
        name = "macOS" if system == "Darwin" else "Linux"
        return fine("platform", f"{name} {release}", f"{name} {release}")
    return error(
        "platform",
        f"不支持直接在 {system or '未知系统'} 上运行",
        "请在 WSL2、Linux 或 macOS 中运行 Orderloom。",
        f"{system or 'This system'} cannot run the stack itself. Use WSL2, Linux or macOS.",
    )


def check_disk(where: Path, free_bytes: int) -> Finding:
    """Free space of the disk that holds `where`: under 2 GiB is an error, under 5 GiB a warning."""
    free = f"{free_bytes / GIB:.1f} GB"
    if free_bytes < 2 * GIB:
        return error(
            "disk",
            f"磁盘剩余 {free},不足 2 GB",
            f"请清理 {where} 所在磁盘;磁盘写满后数据库会停止。",
            f"Only {free} free, less than 2 GB. Clear the disk of {where}; a full disk stops the database.",
        )
    if free_bytes < 5 * GIB:
        return warning(
            "disk",
            f"磁盘剩余 {free}",
            f"建议为 {where} 所在磁盘留出 5 GB 以上。",
            f"{free} free. Keep more than 5 GB free on the disk of {where}.",
        )
    return fine("disk", f"磁盘剩余 {free}", f"{free} of disk free")


def check_memory(available_bytes: int) -> Finding:
    """Memory that can be had without swapping: under 0.5 GiB is an error, under 1.5 GiB a warning."""
    free = f"{available_bytes / GIB:.1f} GB"
    if available_bytes < GIB // 2:
        return error(
            "memory",
            f"可用内存 {free},不足以启动",
            "请关闭其他程序,或换用内存更大的机器(建议可用 1.5 GB 以上)。",
            f"{free} of memory available is too little. Close programs; 1.5 GB or more is advised.",
        )
    if available_bytes < GIB * 3 // 2:
        return warning(
            "memory",
            f"可用内存 {free}",
            "建议可用内存在 1.5 GB 以上,否则高峰期会变慢。",
            f"{free} of memory available; with less than 1.5 GB a surge will be slow.",
        )
    return fine("memory", f"可用内存 {free}", f"{free} of memory available")


def check_packages(requirements: Iterable[str]) -> Finding:
    """Each requirement (`prefect==3.8.8`, markers and extras as in package metadata) against what is installed."""
    wrong = []
    for text in requirements:
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({"extra": ""}):
            continue
        try:
            found = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            wrong.append(f"{wanted.name}{wanted.specifier} (-)")
            continue
        if not wanted.specifier.contains(found, prereleases=True):
            wrong.append(f"{wanted.name}{wanted.specifier} ({found})")
    if not wrong:
        prefect = importlib.metadata.version("prefect")
        return fine("packages", f"依赖齐全,Prefect {prefect}", f"All packages are there, Prefect {prefect}")
    named = "、".join(wrong)
    return error(
        "packages",
        f"依赖缺失或版本不符:{named}",
        "请执行 make setup,按 requirements.lock 重新安装。",
        f"Packages missing or of the wrong version: {', '.join(wrong)}. Run make setup to install the lock file.",
    )


def check_encoding(encoding: str) -> Finding:
    """The encoding of terminal and files: anything but UTF-8 spoils Chinese text."""
    if encoding.lower().replace("-", "").replace("_", "") == "utf8":
        return fine("encoding", "文字编码 UTF-8", "Text is UTF-8")
    return warning(
        "encoding",
        f"文字编码是 {encoding},中文可能显示为乱码",
        "请设置环境变量 PYTHONUTF8=1,并使用 UTF-8 语言环境,例如 LANG=C.UTF-8。",
        f"Text is {encoding}, Chinese may be garbled. Set PYTHONUTF8=1 and a UTF-8 locale such as LANG=C.UTF-8.",
    )


def check_time_zone(key: str) -> Finding:
    """Time zone data for `key`, an IANA name."""
    try:
        ZoneInfo(key)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return error(
            "time_zone",
            f"缺少时区数据 {key}",
            "请安装系统包 tzdata(如 apt install tzdata),或在虚拟环境中执行 pip install tzdata。",
            f"Time zone data for {key} are missing. Install the system's tzdata, or pip install tzdata.",
        )
    return fine("time_zone", f"时区数据 {key} 可用", f"Time zone data for {key} are there")
