"""Secrets that the stack makes for itself at its first start, in one file of mode 0600: `secrets.json`.

The key that opens personal data (`privacy_key`) is among them unless the settings name one: without it a backup's
personal data stay closed, so keep a copy of the file with the backups, apart from them.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from dataclasses import asdict, dataclass, field
from pathlib import Path

FILE = "secrets.json"


@dataclass
class KeptSecrets:
    """What was made once. `staff` holds the first passwords of accounts that the stack made, by name."""

    prefect_auth: str
    prefect_encryption_key: str
    privacy_key: str
    staff: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, state_dir: Path) -> KeptSecrets | None:
        """The secrets of this state directory, or None before the first start."""
        try:
            return cls(**json.loads((state_dir / FILE).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None

    def save(self, state_dir: Path) -> None:
        """Replace the file in one step, readable by us alone."""
        write_privately(state_dir / FILE, json.dumps(asdict(self), indent=2, ensure_ascii=False))

    def password_for(self, name: str) -> tuple[str, bool]:
        """The first password of a staff account, and whether it was made just now (then `save`)."""
        if name in self.staff:
            return self.staff[name], False
        self.staff[name] = new_password()
        return self.staff[name], True


def kept_secrets(state_dir: Path) -> KeptSecrets:
    """The secrets of this state directory, made now if there are none."""
    known = KeptSecrets.load(state_dir)
    if known is None:
        known = KeptSecrets(
            prefect_auth=f"orderloom:{secrets.token_urlsafe(24)}",
            prefect_encryption_key=base64.urlsafe_b64encode(os.urandom(32)).decode(),
            privacy_key=base64.b64encode(os.urandom(32)).decode(),
        )
        known.save(state_dir)
    return known


def new_password() -> str:
    """A password that can be read out: four groups of four letters and digits without look-alikes, 80 bits."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(4)) for _ in range(4))


def write_privately(file: Path, text: str) -> None:
    """Replace `file` in one step with this text, mode 0600: a crash leaves the old text or the new one."""
    unfinished = file.with_name(f"{file.name}.{os.getpid()}.new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    unfinished.replace(file)
