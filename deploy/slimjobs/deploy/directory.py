"""The directory of a process: made if it is missing, and refused in one line where it cannot be used."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import trio

from slimjobs.eventlog.storage.files import DirectoryOnDisk

LOCK_WAIT_SECONDS: Final = 3.0
"""Who was killed may leave a guard behind for a moment, which ends what ran and lets go of the directory then."""


class DirectoryUnusable(Exception):
    """The directory cannot be made or written; the message is for the person who chose it."""

    def __init__(self, directory: Path, reason: str) -> None:
        super().__init__(f"SlimData__Directory: {directory} cannot be used: {reason}")
        self.directory = directory


def usable(directory: Path) -> DirectoryOnDisk:
    """This directory, made if it is missing. Raises `DirectoryUnusable`."""
    files = DirectoryOnDisk(directory)
    try:
        files.prepare()
    except OSError as error:
        raise DirectoryUnusable(directory, error.strerror or str(error)) from error
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise DirectoryUnusable(directory, "it may not be written by this user")
    return files


@asynccontextmanager
async def held(directory: Path) -> AsyncIterator[int]:
    """The descriptor whose lock says that the directory is taken. Raises `DirectoryUnusable`, `DirectoryTaken`."""
    files = usable(directory)
    descriptor = await trio.to_thread.run_sync(files.lock, LOCK_WAIT_SECONDS)
    try:
        yield descriptor
    finally:
        files.unlock(descriptor)
