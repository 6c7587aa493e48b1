"""Entries and directories for the tests of storage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from slimjobs.eventlog.raft.types import Entry, EntryKind, HardState, Index, Membership, NodeId, Term
from slimjobs.eventlog.storage.files import Files
from slimjobs.eventlog.storage.requests import PieceSaved, SnapshotHeader, SnapshotInstalled
from slimjobs.eventlog.storage.store import Storage, StorageOptions
from tests.eventlog.storage.simulated_files import SimulatedFiles

INCARNATION = "0123456789abcdef" * 2
OTHER_INCARNATION = "fedcba9876543210" * 2
SMALL = StorageOptions(segment_bytes=900)


def entry(index: int, term: int = 1, size: int = 40) -> Entry:
    """An entry whose payload tells index and term."""
    payload = f"{index}@{term} ".encode() * (size // 4 + 1)
    return Entry(Index(index), Term(term), EntryKind.RECORD, payload[:size])


def entries(first: int, last: int, term: int = 1, size: int = 40) -> list[Entry]:
    return [entry(index, term, size) for index in range(first, last + 1)]


def state(term: int, vote: int = 0) -> HardState:
    return HardState(Term(term), NodeId(vote))


def header(index: int, term: int = 1) -> SnapshotHeader:
    return SnapshotHeader(Index(index), Term(term), Membership((NodeId(7),)), b"chain of %d" % index)


def frames_of(index: int) -> list[bytes]:
    return [b"frame %d of %d" % (number, index) for number in range(3)]


def opened(files: Files, options: StorageOptions = SMALL) -> Storage:
    return Storage.open(files, INCARNATION, options)


def append(storage: Storage, new: Sequence[Entry], truncate_after: int | None = None) -> None:
    """Write and sync."""
    storage.append(None if truncate_after is None else Index(truncate_after), new)
    storage.sync()


def snapshot(storage: Storage, index: int, frames: Iterable[bytes] | None = None, term: int = 1) -> bytes:
    """Write the snapshot of `index`; gives its digest."""
    writer = storage.snapshot_writer(header(index, term))
    for frame in frames_of(index) if frames is None else frames:
        writer.write(frame)
    assert writer.finish() is None
    return writer.digest


def snapshot_file(index: int, term: int = 1) -> bytes:
    """What another node has for its snapshot of `index`."""
    files = SimulatedFiles()
    snapshot(opened(files), index, term=term)
    return files.contents(f"snapshot-{index:020}.snap.tmp")


def install(storage: Storage, index: int, term: int = 1) -> None:
    """Fetch the snapshot of `index` from another node, and publish it."""
    content = snapshot_file(index, term)
    assert storage.save_piece(Index(index), 0, content) == PieceSaved(Index(index), len(content))
    assert storage.install(Index(index)) == SnapshotInstalled(header(index, term))


def log_of(storage: Storage, low: int | None = None) -> list[Entry]:
    return list(storage.entries(storage.first_index if low is None else Index(low)))
