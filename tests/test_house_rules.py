"""The rules of the house that tools can check: style, types, layers, and what may be committed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOP_LEVEL = {"flows", "tasks", "models", "integrations", "deployments", "tests", "pyproject.toml", "README.md"}
TOOLS_INSIST = {"Makefile", "LICENSE", "requirements.lock"}


def tool(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a tool of this environment in the repository."""
    binary = Path(sys.executable).with_name(command[0])
    return subprocess.run([str(binary), *command[1:]], cwd=ROOT, capture_output=True, text=True, timeout=300)


def tracked() -> list[str]:
    """The files that git knows; the test is skipped where there is no git."""
    try:
        told = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no git here: what is committed cannot be listed")
    return [name for name in told.stdout.split("\0") if name]


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "--no-cache", "."),
        ("ruff", "format", "--check", "."),
        ("mypy",),
        ("lint-imports", "--no-cache"),
    ],
    ids=lambda command: "-".join(command).strip(".-"),
)
def test_tools_find_nothing(command: tuple[str, ...]) -> None:
    told = tool(*command)
    assert told.returncode == 0, told.stdout[-4000:] + told.stderr[-1000:]


def test_top_level_holds_the_rooms_and_what_tools_insist_on() -> None:
    names = {name.split("/")[0] for name in tracked()}
    extra = {name for name in names - TOP_LEVEL - TOOLS_INSIST if not name.startswith(".")}
    assert extra == set()


def test_lock_file_has_hashes_and_no_address() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert not re.search(r"https?://|index-url|find-links", lock)
    entries = re.split(r"\n(?=\S)", lock)
    assert entries
    assert [entry for entry in entries if "==" in entry and "--hash=sha256:" not in entry] == []


def test_every_locked_package_that_we_name_is_in_the_project_file() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    named = re.findall(r'^  "([A-Za-z0-9_-]+)', project.split("[project.optional-dependencies]")[0], re.M)
    missing = [name for name in named if not re.search(rf"^{re.escape(name)}==", lock, re.M | re.I)]
    assert missing == []


def test_no_file_names_this_machine() -> None:
    home = os.path.expanduser("~")
    suspects = [str(ROOT) + "/", *([home + "/"] if home not in ("/", "/root") else [])]
    found = [
        name
        for name in tracked()
        if (ROOT / name).is_file() and any(s.encode() in (ROOT / name).read_bytes() for s in suspects)
    ]
    assert found == []
