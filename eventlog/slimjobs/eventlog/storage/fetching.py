"""A snapshot of another node on its way here: filled piece by piece beside the log, verified, then published.

Where it stands is known by the bytes that are held: a piece that does not follow them changes nothing, and the answer
says where to go on. The file is temporary until it is published, so a start begins without it.
"""

from __future__ import annotations

from typing import Final

from slimjobs.eventlog.raft.types import Index
from slimjobs.eventlog.storage.errors import Damage
from slimjobs.eventlog.storage.files import OUT_OF_DESCRIPTORS, OUT_OF_SPACE, Files
from slimjobs.eventlog.storage.identity import TEMPORARY
from slimjobs.eventlog.storage.requests import PieceSaved, SnapshotInstalled, SnapshotRefused
from slimjobs.eventlog.storage.snapshots import SnapshotReader, publish_file, snapshot_name

_FETCHED: Final = ".fetched" + TEMPORARY
_MAY_PASS: Final = OUT_OF_SPACE | OUT_OF_DESCRIPTORS


class FetchedSnapshot:
    """At most one file at a time: the pieces of the snapshot of one index."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._index: Index | None = None
        self._held = 0

    def save(self, index: Index, offset: int, content: bytes) -> PieceSaved | SnapshotRefused:
        """Write a piece where it belongs, the first one into a new file; or why it could not be written."""
        if offset == 0:
            self._forget()
        elif offset != self._held_of(index):
            return PieceSaved(index, self._held_of(index))
        try:
            self._write(_name(index), offset, content)
        except OSError as error:
            if error.errno not in _MAY_PASS:
                raise
            self._index = index
            self._forget()
            return SnapshotRefused(index, f"a piece of the snapshot could not be written: {error.strerror}")
        self._index, self._held = index, offset + len(content)
        return PieceSaved(index, self._held)

    def install(self, index: Index) -> SnapshotInstalled | SnapshotRefused:
        """Publish what was fetched if all of it is right, or remove it and say why; again is harmless."""
        if snapshot_name(index) in self._files.names():
            self._forget()
            return SnapshotInstalled(SnapshotReader(self._files, index).header)
        if self._index != index:
            return SnapshotRefused(index, "no snapshot was fetched for this index")
        try:
            fetched = SnapshotReader(self._files, index, _name(index))
            fetched.verify()
        except Damage as damage:
            self._forget()
            return SnapshotRefused(index, f"what was fetched is not a whole snapshot: {damage.finding}")
        refused = publish_file(self._files, _name(index), index)
        self._index = None
        return refused or SnapshotInstalled(fetched.header)

    def _held_of(self, index: Index) -> int:
        return self._held if self._index == index else 0

    def _write(self, name: str, offset: int, content: bytes) -> None:
        file = self._files.open_writable(name)
        try:
            self._files.write(file, content, offset)
        finally:
            self._files.close(file)

    def _forget(self) -> None:
        """Remove the file, if there is one."""
        if self._index is not None and _name(self._index) in self._files.names():
            self._files.remove(_name(self._index))
        self._index, self._held = None, 0


def _name(index: Index) -> str:
    return snapshot_name(index) + _FETCHED
