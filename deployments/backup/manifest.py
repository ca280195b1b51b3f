"""The manifest of a backup: what is in it, and how to tell that it is all there."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from deployments.backup.errors import damaged

FORMAT = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Dump:
    """One database in the manifest. `rows` by `schema.table`, counted in the same snapshot as the dump."""

    database: str
    main: bool  # the one the URL named; the others are restored under their own name
    file: str
    bytes: int
    sha256: str
    rows: dict[str, int]


@dataclass(frozen=True)
class Manifest:
    """What a backup holds."""

    format: int
    made_at: str  # ISO 8601, UTC
    orderloom: str
    server: str
    dumps: list[Dump]

    def save(self, directory: Path) -> None:
        """Write it into `directory`, 0600."""
        descriptor = os.open(directory / MANIFEST, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(asdict(self), file, indent=2, ensure_ascii=False)


def read_manifest(source: Path) -> Manifest:
    """The manifest of a backup, every file checked against it. Raises `DamagedBackup`."""
    try:
        content = json.loads((source / MANIFEST).read_text(encoding="utf-8"))
        manifest = Manifest(**{**content, "dumps": [Dump(**dump) for dump in content["dumps"]]})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise damaged(source / MANIFEST, str(error)) from error
    if manifest.format != FORMAT:
        raise damaged(source / MANIFEST, f"format {manifest.format}, this program reads {FORMAT}")
    for dump in manifest.dumps:
        file = source / Path(dump.file).name
        if not file.is_file():
            raise damaged(file, "missing")
        found = checksum(file)
        if found != dump.sha256:
            raise damaged(file, f"sha256 {found}, expected {dump.sha256}")
    return manifest


def checksum(file: Path) -> str:
    """SHA-256 of the file, in hex."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
