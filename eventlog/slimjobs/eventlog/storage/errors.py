"""What the disk can refuse, each with what a person needs to act on it."""

from __future__ import annotations

from typing import Final

REMEDY: Final = (
    "Nothing was changed. A node of a cluster: move the directory aside (keep it) and start again, it will be caught"
    " up by the others. A lone node: `slimjobs log verify` shows how far the log can be read; restore the directory"
    " from a copy."
)


class StorageError(Exception):
    """Anything that keeps a data directory from being used."""


class Damage(StorageError):
    """What was surely written can no longer be read. No crash leaves this: a disk, or a hand, changed it."""

    def __init__(self, file: str, offset: int, found: str, expected: str, remedy: str = REMEDY) -> None:
        self.finding = f"{file} is damaged at byte {offset}: found {found}, expected {expected}"
        super().__init__(f"{self.finding}. {remedy}")
        self.file = file
        self.offset = offset
        self.found = found
        self.expected = expected
        self.remedy = remedy


class DirectoryTaken(StorageError):
    """Another process holds the directory: the one whose id is given, or what it started and left behind."""

    def __init__(self, directory: str, pid: int | None) -> None:
        by = f"process {pid} (or a process it started)" if pid is not None else "another process"
        super().__init__(f"the directory {directory} is held by {by}")
        self.directory = directory
        self.pid = pid


class NewerFormat(StorageError):
    """The directory was written by a later version of this program."""

    def __init__(self, directory: str, found: int, known: int) -> None:
        super().__init__(
            f"the directory {directory} has format {found}, this version reads up to {known}: use a later version"
        )
        self.directory = directory
        self.found = found
        self.known = known


class NotALog(StorageError):
    """The directory holds no event log."""

    def __init__(self, directory: str) -> None:
        super().__init__(f"the directory {directory} holds no event log")
        self.directory = directory


class NoRoom(StorageError):
    """The disk has no space for what should be written; nothing of it was. It may be tried again."""


class DiskFailed(StorageError):
    """The disk no longer does what it is told, so nobody knows what it holds: the node must stop (never a retry)."""
