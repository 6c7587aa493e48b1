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
from slimjobs.eventlog.storage.directory import create_if_missing, folders_aside, set_aside, settle, taken
from slimjobs.eventlog.storage.errors import Damage, NoRoom
from slimjobs.eventlog.storage.fetching import FetchedSnapshot
from slimjobs.eventlog.storage.files import Files
from slimjobs.eventlog.storage.identity import read_identity
from slimjobs.eventlog.storage.recovery import TornTail, remove_superseded
from slimjobs.eventlog.storage.requests import (
    PieceLoaded,
    PieceSaved,
    SnapshotHeader,
    SnapshotInstalled,
    SnapshotPublished,
    SnapshotRefused,
    StateLoaded,
)
from slimjobs.eventlog.storage.retention import Retention, first_index_for_replication, remove_history
from slimjobs.eventlog.storage.segments import load, read_entries
from slimjobs.eventlog.storage.slots import HARD_STATE, MARKER, HardStateFile, MarkerFile, open_slots
from slimjobs.eventlog.storage.snapshots import (
    SnapshotReader,
    SnapshotWriter,
    discard_snapshot,
    holds_snapshots,
    load_piece,
    publish_snapshot,
    snapshot_indices,
)
from slimjobs.eventlog.storage.start import Start, check_terms, find_start
from slimjobs.eventlog.storage.writer import RESTART_BYTES, SEGMENT_BYTES, LogWriter


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
    set_aside: str | None = None
    """The folder of the directory into which a damaged one was moved, if it was."""
    damage: str | None = None
    """What was damaged then."""


class _Origin(NamedTuple):
    """How the directory came to be held."""

    lock: int
    options: StorageOptions
    created: bool = False
    set_aside: str | None = None
    damage: str | None = None


class Storage:
    """A data directory that this process holds."""

    def __init__(
        self, files: Files, key: bytes, start: Start, hard_state: HardStateFile, marker: MarkerFile, origin: _Origin
    ) -> None:
        self._files, self._key, self._hard_state, self._marker = files, key, hard_state, marker
        self._snapshot = start.snapshot
        self._lock, self._retention = origin.lock, origin.options.retention
        self._fetched = FetchedSnapshot(files)
        self.incarnation = key.hex()
        self._writer = LogWriter(files, key, start.scanned, origin.options.segment_bytes)
        if start.restarts:
            self._writer.restart_after(self.first_index - 1)
        damaged = tuple(str(damage) for _, damage in start.damaged)
        self.report = RecoveryReport(origin.created, start.scanned.torn, damaged, origin.set_aside, origin.damage)

    @classmethod
    def open(cls, files: Files, new_incarnation: str, options: StorageOptions = DEFAULTS) -> Storage:
        """Take the directory and recover what it holds; an empty or missing one becomes a new incarnation.

        `new_incarnation` are 16 random bytes in hex, used only for a new directory. Raises `DirectoryTaken`,
        `NewerFormat` or `Damage`; then nothing was changed.
        """
        with taken(files, options.lock_wait_seconds) as lock:
            return cls._recovered(files, new_incarnation, _Origin(lock, options))

    @classmethod
    def open_or_set_aside(cls, files: Files, new_incarnation: str, options: StorageOptions = DEFAULTS) -> Storage:
        """`open`; but what is damaged is moved into a folder of the directory, which becomes a new incarnation.

        For a node that is one of several: the others have what it lost. `report` says what was found and where it is
        now. Raises `DirectoryTaken` or `NewerFormat`; then nothing was changed.
        """
        with taken(files, options.lock_wait_seconds) as lock:
            origin = _Origin(lock, options)
            try:
                return cls._recovered(files, new_incarnation, origin)
            except Damage as damage:
                origin = origin._replace(damage=damage.finding, set_aside=set_aside(files))
            return cls._recovered(files, new_incarnation, origin)

    @classmethod
    def _recovered(cls, files: Files, new_incarnation: str, origin: _Origin) -> Storage:
        with contextlib.ExitStack() as undo:
            created = create_if_missing(files, new_incarnation)
            key = read_identity(files).key
            hard_state = HardStateFile(open_slots(files, HARD_STATE, key))
            undo.callback(hard_state.close)
            marker = MarkerFile(open_slots(files, MARKER, key))
            undo.callback(marker.close)
            start = find_start(files, key, marker.number)
            check_terms(files, key, start.scanned, hard_state.state)
            settle(files, start, hard_state, marker)
            storage = cls(files, key, start, hard_state, marker, origin._replace(created=created))
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
    def blank(self) -> bool:
        """Whether the directory never held anything: no entry, no snapshot, no vote, no damage.

        Term 1 alone is nothing yet: it is what the founder of a cluster writes before its first entry.
        """
        state = self._hard_state.state
        held = self._writer.number > 0 or holds_snapshots(self._files) or len(folders_aside(self._files)) > 0
        return not held and state.term <= 1 and not state.vote

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

    def append(
        self, truncate_after: Index | None, entries: Sequence[Entry], restart_after: Index | None = None
    ) -> None:
        """Cut the log after `truncate_after` if given, then write the entries; durable after `sync`.

        With `restart_after`, whose snapshot is installed, the whole log is dropped first, so that the next entry is the
        one behind it; then all of this is durable at the return. Raises `NoRoom`, and then nothing was written.
        """
        if restart_after is not None:
            return self._restart(restart_after, entries)
        cuts = truncate_after is not None and truncate_after < self.last_index
        if not cuts and not entries:
            return None
        self._check_follows(self.last_index if truncate_after is None or not cuts else truncate_after, entries)
        self._writer.reserve(footprint_of(entries), anew=cuts)
        if cuts and truncate_after is not None:
            self._writer.truncate_after(truncate_after)
        self._writer.append(entries)
        return None

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
        """Make the finished snapshot the one to start from, then remove what retention no longer keeps."""
        if index > self.last_index:
            self.discard(index)
            return SnapshotRefused(index, "the log is not yet written up to there")
        self.sync()
        self.mark()
        refused = publish_snapshot(self._files, index)
        if refused is not None:
            return refused
        remove_history(self._files, self._writer.segments, self._retention)
        first = first_index_for_replication(self._files, self._writer.segments)
        return SnapshotPublished(index, Index(first))

    def discard(self, index: Index) -> None:
        """Forget the snapshot that was written for `index` and not published."""
        discard_snapshot(self._files, index)

    def load_state(self) -> StateLoaded:
        """The newest snapshot now. Its frames may be taken in another thread, whatever becomes of the file."""
        indices = snapshot_indices(self._files)
        if not indices:
            return StateLoaded(None, iter(()))
        newest = SnapshotReader(self._files, indices[0])
        return StateLoaded(newest.header, newest.frames())

    def load_piece(self, index: Index, offset: int, max_bytes: int) -> PieceLoaded:
        """A piece of a published snapshot's file, for another node."""
        return load_piece(self._files, index, offset, max_bytes)

    def save_piece(self, index: Index, offset: int, content: bytes) -> PieceSaved | SnapshotRefused:
        """Keep a piece of another node's snapshot; what is kept is gone after a restart."""
        return self._fetched.save(index, offset, content)

    def install(self, index: Index) -> SnapshotInstalled | SnapshotRefused:
        """Publish the fetched snapshot if it is whole. The log is as it was, until `append` restarts it."""
        return self._fetched.install(index)

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

    def _restart(self, index: Index, entries: Sequence[Entry]) -> None:
        if index not in snapshot_indices(self._files):
            raise AssertionError(f"the log cannot begin anew behind {index}: no such snapshot is installed")
        self._check_follows(index, entries)
        size = footprint_of(entries) + RESTART_BYTES
        try:
            self._writer.reserve(size, anew=True)
        except NoRoom:
            self._give_room(index)
            self._writer.reserve(size, anew=True)
        self._writer.restart_after(index)
        self._writer.append(entries)
        self.sync()
        remove_superseded(self._files, self._writer.segments)
        remove_history(self._files, self._writer.segments, self._retention)

    # A crash after this, before the restart, finds what it needs: whether the log agrees with the snapshot at `index`,
    # and the end of the chain of batches. So what remains has to be durable first.
    def _give_room(self, index: Index) -> None:
        """Remove what holds nothing from `index` on, and free what the present segment does not use."""
        self._writer.close_segment()
        for segment in self._writer.segments.behind(index):
            self._files.remove(segment.name)
            self._writer.segments.forget(segment)

    def _check_follows(self, before: Index, entries: Sequence[Entry]) -> None:
        first = before + 1
        if entries and (entries[0].index != first or entries[-1].index != first + len(entries) - 1):
            raise AssertionError(f"entries {entries[0].index}..{entries[-1].index} cannot follow {before}")
