"""Objects on the disk: a small file each, written whole and renamed, so that a crash leaves the old or the new one.

Stands under `store.py`, which calls this in threads. When a call returns, it is durable: the file by fdatasync, its
name by fsync of the directory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from slimjobs.core.orchestrators.process.states import RunObject

FORMAT: Final = 1
_SUFFIX: Final = ".json"
_NEW: Final = ".new"


class DamagedObject(Exception):
    """An object's file cannot be read; the message names it. Nothing is started beside what is not understood."""


class _File(msgspec.Struct, frozen=True):
    format: int
    object: RunObject


class ObjectFiles:
    """The directory of objects, by name."""

    def __init__(self, directory: Path) -> None:
        """OSError if the directory can neither be found nor made."""
        if not directory.is_dir():
            directory.mkdir(mode=0o700, parents=True)
            sync_directory(directory.parent)
        self._directory = directory

    def load(self) -> Iterator[RunObject]:
        """Every object; what a crash left half-written was never acknowledged and goes. Raises `DamagedObject`."""
        for path in sorted(self._directory.iterdir()):
            if path.suffix == _NEW:
                path.unlink()
            elif path.suffix == _SUFFIX:
                yield _read(path)

    def write(self, run: RunObject) -> None:
        """Make this the object of its name. OSError if the disk refuses; the old one stays then."""
        path = self._path(run.name)
        new = path.with_suffix(_NEW)
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # environments may hold secrets
        try:
            _write_all(fd, msgspec.json.encode(_File(FORMAT, run)))
            os.fdatasync(fd)
        finally:
            os.close(fd)
        os.rename(new, path)
        sync_directory(self._directory)

    def remove(self, name: str) -> None:
        """Remove the object, if there is one."""
        self._path(name).unlink(missing_ok=True)
        sync_directory(self._directory)

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}{_SUFFIX}"


def sync_directory(directory: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _read(path: Path) -> RunObject:
    try:
        file = msgspec.json.decode(path.read_bytes(), type=_File)
    except msgspec.DecodeError as error:
        raise DamagedObject(f"{path}: {error}") from error
    if file.format > FORMAT:
        raise DamagedObject(f"{path}: format {file.format} is newer than {FORMAT}, the newest that is understood here")
    return file.object


def _write_all(fd: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(fd, rest) :]
