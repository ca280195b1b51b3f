"""What we remember about a database server of ours, and what can be seen of it."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass
class ServerRecord:
    """One JSON file of mode 0600. `home`, `socket_dir`: set only if they are not in the state directory."""

    admin_password: str
    application_password: str
    port: int
    home: str | None = None
    socket_dir: str | None = None

    @classmethod
    def new(cls, port: int) -> ServerRecord:
        """A record with fresh passwords of 192 bits, safe in a URL."""
        return cls(secrets.token_hex(24), secrets.token_hex(24), port)

    @classmethod
    def load(cls, path: Path) -> ServerRecord | None:
        """The record in `path`, or None when there is no such file."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None

    def save(self, path: Path) -> None:
        """Replace `path` in one step, so that a crash leaves the old record or the new one."""
        unfinished = path.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(self), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)


@dataclass(frozen=True)
class ServerStatus:
    """What is known about the server without changing anything."""

    initialised: bool
    pid: int | None  # of the postmaster, None when it does not run
    ready: bool  # accepts connections
    port: int | None
    version: str | None  # major version of the data directory
    data_dir: Path
    log_dir: Path
