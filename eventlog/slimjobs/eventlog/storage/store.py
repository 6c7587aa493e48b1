"""All of a data directory, synchronous: opened once, recovered, then written by one thread at a time.

`Storage.open` takes the directory, or makes it; the state is rebuilt from `snapshot_frames` and `entries`; then the
disk thread (`disk`), or a simulator, owns it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from slimjobs.eventlog.raft.types import Entry, HardState, Index
from slimjobs.eventlog.storage.batch import footprint_of
from slimjobs.eventlog.storage.errors import Damage
from slimjobs.eventlog.storage.files import Files
from slimjobs.eventlog.storage.identity import IDENTITY, TEMPORARY, Identity, read_identity, write_identity
from slimjobs.eventlog.storage.recovery import TornTail, cut
from slimjobs.eventlog.storage.requests import SnapshotHeader, SnapshotPublished, SnapshotRefused
from slimjobs.eventlog.storage.retention import Retention, first_index_for_replication, remove_history
from slimjobs.eventlog.storage.segments import load, read_entries, segment_names
from slimjobs.eventlog.storage.slots import (
    HARD_STATE,
    MARKER,
    HardStateFile,
    MarkerFile,
    create_slots,
    open_slots,
)
from slimjobs.eventlog.storage.snapshots import (
    SnapshotWriter,
    discard_snapshot,
    publish_snapshot,
    set_aside,
    snapshot_indices,
)
from slimjobs.eventlog.storage.start import Start, check_terms, find_start
from slimjobs.eventlog.storage.writer import SEGMENT_BYTES, LogWriter


class StorageOptions(msgspec.Struct, frozen=True):
    """What may be set; the defaults are the contract's."""

    retention: Retention = Retention()
    segment_bytes: int = SEGMENT_BYTES
    lock_wait_seconds: float = 0.0


DEFAULTS: Final = StorageOptions()


class RecoveryReport(msgspec.Struct, frozen=True):
    """What opening found that a person may want to know."""

    created: bool
    torn: TornTail | None
    damaged_snapshots: tuple[str, ...]


class _Origin(NamedTuple):
    """How the directory came to be held."""

    lock: int
    created: bool
    options: StorageOptions


class Storage:
    """A data directory that this process holds."""

    def __init__(
        self, files: Files, key: bytes, start: Start, hard_state: HardStateFile, marker: MarkerFile, origin: _Origin
    ) -> None:
        self._files, self._key, self._hard_state, self._marker = files, key, hard_state, marker
        self._snapshot = start.snapshot
        self._lock, self._retention = origin.lock, origin.options.retention
        self.incarnation = key.hex()
        self._writer = LogWriter(files, key, start.scanned, origin.options.segment_bytes)
        if self._writer.next_index < self.first_index:
            self._writer.start_segment_with(self.first_index)
        damaged = tuple(str(damage) for _, damage in start.damaged)
        self.report = RecoveryReport(origin.created, start.scanned.torn, damaged)

    @classmethod
    def open(cls, files: Files, new_incarnation: str, options: StorageOptions = DEFAULTS) -> Storage:
        """Take the directory and recover what it holds; an empty or missing one becomes a new incarnation.

        `new_incarnation` are 16 random bytes in hex, used only for a new directory. Raises `DirectoryTaken`,
        `NewerFormat` or `Damage`; then nothing was changed.
        """
        files.prepare()
        with contextlib.ExitStack() as undo:
            lock = files.lock(options.lock_wait_seconds)
            undo.callback(files.unlock, lock)
            created = IDENTITY not in files.names()
            if created:
                _create(files, Identity(new_incarnation))
            key = read_identity(files).key
            hard_state = HardStateFile(open_slots(files, HARD_STATE, key))
            undo.callback(hard_state.close)
            marker = MarkerFile(open_slots(files, MARKER, key))
            undo.callback(marker.close)
            start = find_start(files, key, marker.number)
            check_terms(files, key, start.scanned, hard_state.state)
            _settle(files, start, hard_state)
            storage = cls(files, key, start, hard_state, marker, _Origin(lock, created, options))
            undo.pop_all()
        return storage

    @property
    def lock_descriptor(self) -> int:
        """What holds the directory: a child that inherits it holds it on after this process is gone."""
        return self._lock

    @property
    def hard_state(self) -> HardState:
        return self._hard_state.state

    @property
    def snapshot(self) -> SnapshotHeader | None:
        """The snapshot to start from, if there is one."""
        return self._snapshot.header if self._snapshot else None

    @property
    def first_index(self) -> Index:
        """The first index that is not in the snapshot to start from."""
        return Index(self._snapshot.header.index + 1) if self._snapshot else Index(1)

    @property
    def last_index(self) -> Index:
        return Index(self._writer.next_index - 1)

    @property
    def room(self) -> int:
        """How many bytes, as `batch.footprint` counts them, can surely still be written."""
        return self._writer.room

    @property
    def wants_preallocation(self) -> bool:
        return not self._writer.ahead

    @property
    def marker_behind(self) -> bool:
        """Whether more is known to be durable than the marker says."""
        return self._marker.number < self._writer.synced

    def snapshot_frames(self) -> Iterator[bytes]:
        """The frames of the snapshot to start from; it was verified when the directory was opened."""
        return self._snapshot.frames() if self._snapshot else iter(())

    def entries(self, low: Index) -> Iterator[Entry]:
        """The log from `low` to its end, streamed."""
        return read_entries(self._files, self._key, self._writer.segments, low)

    def load(self, low: Index, high: Index, max_bytes: int) -> list[Entry]:
        """The entries `low..high`, as many as fit into `max_bytes` of payload, at least one if `low` is held."""
        return load(self._files, self._key, self._writer.segments, low, high, max_bytes)

    def write_hard_state(self, state: HardState) -> None:
        """Make term and vote durable, whatever room there is."""
        if state != self._hard_state.state:
            self._hard_state.write(state)

    def append(self, truncate_after: Index | None, entries: Sequence[Entry]) -> None:
        """Cut the log after `truncate_after` if given, then write the entries; durable after `sync`.

        Raises `NoRoom`, and then nothing was written.
        """
        cuts = truncate_after is not None and truncate_after < self.last_index
        if not cuts and not entries:
            return
        self._check_follows(truncate_after if cuts else None, entries)
        self._writer.reserve(footprint_of(entries), cuts)
        if cuts and truncate_after is not None:
            self._writer.truncate_after(truncate_after)
        self._writer.append(entries)

    def sync(self) -> None:
        """Return when everything that was appended is durable. An error here is the end: never try again."""
        self._writer.sync()

    def preallocate(self) -> None:
        """Have the next segment ready; `NoRoom` if the disk has none."""
        if not self._writer.ahead:
            self._writer.preallocate()

    def mark(self) -> None:
        """Write the durable marker."""
        if self.marker_behind:
            self._marker.write(self._writer.synced, self.last_index)

    def snapshot_writer(self, header: SnapshotHeader) -> SnapshotWriter:
        """Where the frames of a new snapshot go. The only thing that another thread may use meanwhile."""
        return SnapshotWriter(self._files, header)

    def publish(self, index: Index) -> SnapshotPublished | SnapshotRefused:
        """Make the finished snapshot the one to start from, then remove what retention no longer keeps.

        One that is beyond the log (it came from another node) replaces the log.
        """
        self.sync()
        self.mark()
        refused = publish_snapshot(self._files, index)
        if refused is not None:
            return refused
        if index > self.last_index:
            self._writer.start_segment_with(index + 1)
        remove_history(self._files, self._writer.segments, self._retention)
        first = first_index_for_replication(self._files, self._writer.segments)
        return SnapshotPublished(index, Index(first))

    def discard(self, index: Index) -> None:
        """Forget the snapshot that was written for `index` and not published."""
        discard_snapshot(self._files, index)

    def close(self) -> None:
        """Stop cleanly: all durable, and the marker says so."""
        self.sync()
        self.mark()
        self.abandon()

    def abandon(self) -> None:
        """Let go of the directory without another word to the disk: it failed, or was refused."""
        self._writer.close()
        self._hard_state.close()
        self._marker.close()
        self._files.unlock(self._lock)

    def _check_follows(self, truncate_after: Index | None, entries: Sequence[Entry]) -> None:
        first = (self.last_index if truncate_after is None else truncate_after) + 1
        if entries and (entries[0].index != first or entries[-1].index != first + len(entries) - 1):
            raise AssertionError(f"entries {entries[0].index}..{entries[-1].index} cannot follow {first - 1}")


def _create(files: Files, identity: Identity) -> None:
    """Make a new directory; a crash on the way leaves one without identity, which is made again."""
    if segment_names(files) or snapshot_indices(files):
        at = f"{files.location}/{IDENTITY}"
        raise Damage(at, 0, "no file, although there is a log", "the line that names format and incarnation")
    create_slots(files, HARD_STATE, identity.key)
    create_slots(files, MARKER, identity.key)
    files.sync_names()
    write_identity(files, identity)


def _settle(files: Files, start: Start, hard_state: HardStateFile) -> None:
    """Leave nothing of the crash behind, now that all was judged: only from here on is anything changed."""
    hard_state.repair()
    for index, _ in start.damaged:
        set_aside(files, index)
    for name in files.names():
        if name.endswith(TEMPORARY):
            files.remove(name)
    cut(files, start.scanned)
