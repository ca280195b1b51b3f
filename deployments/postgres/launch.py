"""Starting the postmaster and listening to what it says."""

from __future__ import annotations

import os
import random
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from deployments.postgres.cluster import OWNER, run_as
from deployments.postgres.errors import PortTaken
from deployments.postgres.home import Account, program

FIRST_WORDS = "startup.log"  # what the server says before its own logging has begun


def spawn(
    postgres: Path, data_dir: Path, log_dir: Path, settings: Mapping[str, str], account: Account
) -> subprocess.Popen[bytes]:
    """Start the postmaster as a direct child, on 127.0.0.1 and a private socket only."""
    private = {"listen_addresses": "127.0.0.1", "unix_socket_permissions": "0700"}
    command = [str(postgres), "-D", str(data_dir)]
    for name, value in {**private, **settings}.items():
        command += ["-c", f"{name}={value}"]
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    descriptor = os.open(log_dir / FIRST_WORDS, flags, 0o600)
    with os.fdopen(descriptor, "wb") as first_words:
        # a session of its own: Ctrl-C in the terminal must not stop the database before those who use it
        return subprocess.Popen(
            command,
            stdout=first_words,
            stderr=first_words,
            start_new_session=True,
            **run_as(account, data_dir.parent),
        )


def is_ready(socket_dir: Path, port: int) -> bool:
    """Whether the server accepts connections."""
    question = ["-q", "-t", "1", "-h", str(socket_dir), "-p", str(port), "-U", OWNER]
    return subprocess.run([str(program("pg_isready")), *question], check=False).returncode == 0


class LogTail:
    """What the server writes from the moment this was made."""

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self._sizes = {file: file.stat().st_size for file in log_dir.glob("postgres-*.log")}

    def text(self) -> str:
        """Its first words, then its log."""
        first_words = self._log_dir / FIRST_WORDS
        said = [first_words.read_text(errors="replace")] if first_words.exists() else []
        for file in sorted(self._log_dir.glob("postgres-*.log")):
            with open(file, "rb") as stream:
                stream.seek(min(self._sizes.get(file, 0), file.stat().st_size))
                said.append(stream.read().decode(errors="replace"))
        return "".join(said)

    def last_line(self) -> str:
        """The newest line, or nothing."""
        return next(iter(reversed(self.text().strip().splitlines())), "")


def free_port() -> int:
    """A TCP port nobody listens on at 127.0.0.1, below the range outgoing connections take theirs from."""
    for candidate in random.sample(range(15400, 25400), 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            return candidate
    raise PortTaken(0)
