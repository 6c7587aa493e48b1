"""The folder of backups, on a volume of its own: one file, replaced as a whole or not at all.

Nothing is ever deleted here: what is in the way is kept under a name of its own.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

import structlog

from slimjobs.core.backups.document import Head, UnusableBackup, document, read_head
from slimjobs.core.backups.keeping import Step, next_step
from slimjobs.eventlog.events.schedules import BackupRestored

NAME: Final = "schedule-jobs-backup.json"

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger("slimjobs.backup")


class BackupFolder:
    """The folder; it need not exist before the first backup is written."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / NAME
        self._directory = directory

    def found(self) -> Head | None:
        """The backup that is there; None if there is none. Raises `UnusableBackup`."""
        try:
            return read_head(self.file.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UnusableBackup(f"it cannot be read: {error.strerror}") from error

    def keep(self, own: Head, restored: BackupRestored | None) -> str:
        """Have the log's own schedules backed up here, if they should be; what is wrong, or nothing."""
        unusable = ""
        try:
            found = self.found()
            is_there = found is not None
        except UnusableBackup as error:
            found, is_there, unusable = None, True, str(error)
        step = next_step(own, restored, found, is_there=is_there)
        if step is Step.REFUSE:
            return f"{self.file} is kept as it is: {unusable or _whose(found)}"
        try:
            if step is Step.SET_ASIDE:
                self._set_aside(unusable or _whose(found))
            if step is not Step.LEAVE:
                write_whole(self.file, document(own))
                _log.info("the schedules are backed up", schedules=len(own.schedules), index=own.index)
        except OSError as error:
            return f"the schedules cannot be backed up in {self._directory}: {error.strerror}; tried again"
        return ""

    def _set_aside(self, why: str) -> None:
        content = self.file.read_bytes()
        kept = self.file.with_name(f"{NAME}.kept-{hashlib.sha256(content).hexdigest()[:16]}")
        write_whole(kept, content)  # a copy: the one in the way goes only when the new one takes its place
        _log.warning("a backup that is not this cluster's is kept under another name", file=str(kept), cause=why)


# A crash leaves the old file or the new one, and perhaps a temporary one, which the next backup writes over.
def write_whole(path: Path, content: bytes) -> None:
    """Make this the content of a file, durably and all at once, for its owner's eyes. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # environments may hold secrets
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    new.rename(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _whose(found: Head | None) -> str:
    return "" if found is None else f"it is of the cluster {found.cluster}, from which this one was not restored"
