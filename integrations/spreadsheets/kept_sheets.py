"""Uploaded sheets on disk, sealed: they hold names and addresses. Opened only while somebody reads them.

A file is `ORDERSHEET1`, then parts: four bytes of length, the sealed part. Each part is sealed for its own number, the
last one as the last, so that none can be left out or exchanged. Plain copies lie in a directory of their own that
only its owner enters, and go with the block that asked for them; what a killed process left is swept up later.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from models.privacy import seal_part, unseal_part
from models.settings import settings

PART = 1024 * 1024
#: Plain copies older than this belong to nobody: no import lasts so long without being swept around.
_LEFT_AFTER = 24 * 3600.0
_MARK = b"ORDERSHEET1"
_SUFFIX, _OPEN = ".sealed", "open-"


class SheetGone(Exception):
    """The stored file is not on this machine (any more)."""

    def __init__(self) -> None:
        super().__init__("上传的文件已不在这台机器上(过期删除,或在别的机器上传):请重新上传。")
        self.english = "The uploaded file is not on this machine (any more): upload it again."


class Keeper:
    """Writes one upload as it arrives. Use as a context manager; what is not finished is deleted at the end."""

    def __init__(self) -> None:
        self.name = secrets.token_hex(16)
        self.size = 0
        self._digest, self._waiting, self._parts = hashlib.sha256(), bytearray(), 0
        self._finished = False

    def __enter__(self) -> Keeper:
        path = _path(self.name)
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
        self._file.write(_MARK)
        return self

    def write(self, data: bytes) -> None:
        """Add to the file."""
        self.size += len(data)
        self._digest.update(data)
        self._waiting += data
        while len(self._waiting) > PART:
            self._put(bytes(self._waiting[:PART]), last=False)
            del self._waiting[:PART]

    def finish(self) -> str:
        """The file is whole; its sha256 in hex."""
        self._put(bytes(self._waiting), last=True)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._finished = True
        return self._digest.hexdigest()

    def _put(self, data: bytes, *, last: bool) -> None:
        sealed = seal_part(data, _place(self._parts, last))
        self._file.write(len(sealed).to_bytes(4, "big") + sealed)
        self._parts += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._file.close()
        if not self._finished or error is not None:
            drop(self.name)


@contextmanager
def opened(name: str) -> Iterator[Path]:
    """A plain copy while the block runs. Raises `SheetGone` and `PrivacyKeyMissing`."""
    folder = _folder() / f"{_OPEN}{secrets.token_hex(8)}"
    folder.mkdir(mode=0o700)
    try:
        parts = _parts(name)
        first = next(parts, b"")
        # programs that read workbooks go by the ending
        path = folder / ("sheet.xlsx" if first.startswith(b"PK") else "sheet.csv")
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as plain:
            plain.write(first)
            for part in parts:
                plain.write(part)
        yield path
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _parts(name: str) -> Iterator[bytes]:
    try:
        file = _path(name).open("rb")
    except FileNotFoundError as error:
        raise SheetGone from error
    with file:
        if file.read(len(_MARK)) != _MARK:
            raise SheetGone
        number, length = 0, file.read(4)
        while length:
            sealed, length = file.read(int.from_bytes(length, "big")), file.read(4)
            yield unseal_part(sealed, _place(number, last=not length))
            number += 1


def drop(name: str) -> None:
    """Delete a stored file. Twice: it is gone."""
    if name:
        _path(name).unlink(missing_ok=True)


def sweep(kept: set[str]) -> None:
    """Delete what no sheet names any more, and plain copies that a killed process left; young ones stay."""
    for path in _folder().iterdir():
        age = time.time() - path.stat().st_mtime
        if path.name.startswith(_OPEN) and age > _LEFT_AFTER:
            shutil.rmtree(path, ignore_errors=True)
        elif path.suffix == _SUFFIX and path.stem not in kept and age > 3600:
            path.unlink(missing_ok=True)


def _place(number: int, last: bool) -> bytes:
    return number.to_bytes(8, "big") + bytes([last])


def _path(name: str) -> Path:
    return _folder() / f"{name}{_SUFFIX}"


def _folder() -> Path:
    folder = settings().state_dir / "sheets"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder
