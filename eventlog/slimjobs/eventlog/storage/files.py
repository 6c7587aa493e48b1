"""The port between storage and an operating system: one directory of flat files, and nothing else of the disk.

Everything above says what must be durable by `sync` (a file's contents) and `sync_names` (which names exist). A
simulated implementation may lose or tear whatever was not synced; `DirectoryOnDisk` is the real one.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path
from typing import Final, Protocol

from slimjobs.eventlog.storage.errors import DirectoryTaken

OUT_OF_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""A full disk, a full quota, a limit on the size of files: each may pass, and none is a failing disk."""

OUT_OF_DESCRIPTORS: Final = frozenset({errno.EMFILE, errno.ENFILE})
"""No descriptor left, in this process or anywhere: that may pass too."""

LOCK: Final = "lock"
LOCK_RETRY_SECONDS: Final = 0.02

Buffer = bytes | bytearray | memoryview


class Files(Protocol):
    """One directory. Errors are `OSError`, as the operating system gives them; names are plain, without folders."""

    @property
    def location(self) -> str:
        """The directory as a person would name it."""

    def prepare(self) -> None:
        """Make the directory if it is missing, durably."""

    def lock(self, wait_seconds: float) -> int:
        """Hold the directory, trying for so long; the descriptor holds it, and so does any copy of it that a child
        inherits. `DirectoryTaken` if somebody else has it."""

    def unlock(self, descriptor: int) -> None: ...

    def names(self) -> list[str]:
        """The names of all files, sorted."""

    def open(self, name: str) -> int:
        """Open an existing file for reading; `FileNotFoundError` if there is none."""

    def open_writable(self, name: str) -> int:
        """Open a file for reading and writing, made if it is missing."""

    def close(self, file: int) -> None: ...

    def size(self, file: int) -> int: ...

    def read(self, file: int, length: int, offset: int) -> bytes:
        """At most `length` bytes from `offset`; fewer only where the file ends."""

    def write(self, file: int, content: Buffer, offset: int) -> None:
        """All of `content` at `offset`."""

    def allocate(self, file: int, size: int) -> None:
        """Reserve space up to `size`, zeros where nothing was: later writes within it find room."""

    def truncate(self, file: int, size: int) -> None: ...

    def sync(self, file: int) -> None:
        """Return when the file's contents and size are durable. After an error nobody knows what is."""

    def sync_names(self) -> None:
        """Return when creations, renames and removals are durable."""

    def folders(self) -> list[str]:
        """The names of all folders in the directory, sorted; nothing in them is seen."""

    def move_into(self, folder: str, name: str) -> None:
        """Move a file into a folder of the directory, made if it is missing; durable at the return."""

    def rename(self, name: str, to: str) -> None: ...

    def remove(self, name: str) -> None: ...

    def age_seconds(self, name: str) -> float:
        """How long ago the file was last written."""


class DirectoryOnDisk:
    """The real thing: a directory of a local file system."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def location(self) -> str:
        return str(self._directory)

    def prepare(self) -> None:
        missing = [folder for folder in (self._directory, *self._directory.parents) if not folder.exists()]
        self._directory.mkdir(parents=True, exist_ok=True)
        for folder in reversed(missing):
            _sync_directory(folder.parent)

    def lock(self, wait_seconds: float) -> int:
        descriptor = os.open(self._directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        deadline = time.monotonic() + wait_seconds
        while not _flock(descriptor):
            if time.monotonic() >= deadline:
                holder = os.pread(descriptor, 20, 0).strip()
                os.close(descriptor)
                raise DirectoryTaken(self.location, int(holder) if holder.isdigit() else None)
            time.sleep(LOCK_RETRY_SECONDS)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
        return descriptor

    def unlock(self, descriptor: int) -> None:
        # Closed, not LOCK_UN: a child that inherited the descriptor goes on holding the directory.
        os.close(descriptor)

    def names(self) -> list[str]:
        return sorted(entry.name for entry in os.scandir(self._directory) if entry.is_file(follow_symlinks=False))

    def open(self, name: str) -> int:
        return os.open(self._directory / name, os.O_RDONLY | os.O_CLOEXEC)

    def open_writable(self, name: str) -> int:
        return os.open(self._directory / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def close(self, file: int) -> None:
        os.close(file)

    def size(self, file: int) -> int:
        return os.fstat(file).st_size

    def read(self, file: int, length: int, offset: int) -> bytes:
        content = os.pread(file, length, offset)
        while len(content) < length and (more := os.pread(file, length - len(content), offset + len(content))):
            content += more
        return content

    def write(self, file: int, content: Buffer, offset: int) -> None:
        written = os.pwrite(file, content, offset)
        while written < len(content):
            written += os.pwrite(file, memoryview(content)[written:], offset + written)

    def allocate(self, file: int, size: int) -> None:
        os.posix_fallocate(file, 0, size)

    def truncate(self, file: int, size: int) -> None:
        os.ftruncate(file, size)

    def sync(self, file: int) -> None:
        os.fdatasync(file)

    def sync_names(self) -> None:
        _sync_directory(self._directory)

    def folders(self) -> list[str]:
        return sorted(entry.name for entry in os.scandir(self._directory) if entry.is_dir(follow_symlinks=False))

    def move_into(self, folder: str, name: str) -> None:
        (self._directory / folder).mkdir(exist_ok=True)
        os.rename(self._directory / name, self._directory / folder / name)
        _sync_directory(self._directory / folder)
        _sync_directory(self._directory)

    def rename(self, name: str, to: str) -> None:
        os.rename(self._directory / name, self._directory / to)

    def remove(self, name: str) -> None:
        os.unlink(self._directory / name)

    def age_seconds(self, name: str) -> float:
        return max(0.0, time.time() - os.stat(self._directory / name).st_mtime)


def _flock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
