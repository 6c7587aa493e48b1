"""What the node machine asks of its disk, and what the disk answers: plain structs, no I/O.

Requests are carried out in the order in which they are made. `Persisted` covers every request up to its ticket: one
fdatasync may answer many. Nothing that depends on a request may leave the node before its answer (design §4).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NewType

import msgspec

from slimjobs.eventlog.raft.types import Entry, HardState, Index, Membership, Term

Ticket = NewType("Ticket", int)
"""Number of a `Persist`, counted up from 1 by the machine."""


class Persist(msgspec.Struct, frozen=True):
    """Make this durable, as far as given and in this order.

    The hard state; the whole log dropped, so that the next entry is the one behind `restart_after`, whose snapshot is
    installed; the log cut after `truncate_after`; the entries.
    """

    ticket: Ticket
    entries: Sequence[Entry] = ()
    hard_state: HardState | None = None
    truncate_after: Index | None = None
    restart_after: Index | None = None


class Load(msgspec.Struct, frozen=True):
    """Read entries `low..high` (inclusive), as many as fit into `max_bytes` of payload, at least one."""

    low: Index
    high: Index
    max_bytes: int


class PublishSnapshot(msgspec.Struct, frozen=True):
    """Make the snapshot that was written for this index the one to start from; then old segments may go."""

    index: Index


class DiscardSnapshot(msgspec.Struct, frozen=True):
    """Forget the snapshot that was written for this index: its checkpoint was truncated."""

    index: Index


class LoadState(msgspec.Struct, frozen=True):
    """Read the newest published snapshot, to make the state of it anew."""


class LoadPiece(msgspec.Struct, frozen=True):
    """Read up to `max_bytes` of a published snapshot's file, from `offset` on, for another node."""

    index: Index
    offset: int
    max_bytes: int


class SavePiece(msgspec.Struct, frozen=True):
    """Write a piece of another node's snapshot file beside the log; pieces come in order, the first at offset 0."""

    index: Index
    offset: int
    content: bytes


class InstallSnapshot(msgspec.Struct, frozen=True):
    """Every piece is written: verify the file and publish it. The log is left as it is, `Persist` restarts it."""

    index: Index


DiskRequest = Persist | Load | PublishSnapshot | DiscardSnapshot | LoadState | LoadPiece | SavePiece | InstallSnapshot


class Persisted(msgspec.Struct, frozen=True):
    """Every `Persist` up to this ticket is durable. `room` is how many bytes can surely still be written."""

    ticket: Ticket
    room: int


class Room(msgspec.Struct, frozen=True):
    """How many bytes can surely still be written; told when it changed without a write."""

    room: int


class Loaded(msgspec.Struct, frozen=True):
    """The entries that a `Load` asked for, from its `low` on."""

    entries: Sequence[Entry]


class SnapshotPublished(msgspec.Struct, frozen=True):
    """The snapshot of this index is durable, and the log before `first_index` is no longer kept for replication."""

    index: Index
    first_index: Index


class SnapshotRefused(msgspec.Struct, frozen=True):
    """The snapshot of this index could not be written (the reason in words); the older one stands."""

    index: Index
    reason: str


class SnapshotHeader(msgspec.Struct, frozen=True, array_like=True):
    """What a snapshot stands for: the state after the entry at `index`, and the chain of hashes up to it."""

    index: Index
    term: Term
    membership: Membership
    chain: bytes


class StateLoaded(msgspec.Struct, frozen=True):
    """The newest published snapshot. `frames` are read and verified as they are taken; no header: there is none."""

    header: SnapshotHeader | None
    frames: Iterator[bytes]


class PieceLoaded(msgspec.Struct, frozen=True):
    """A piece of a snapshot's file, whose whole size is `size` (0: there is no such snapshot any more)."""

    index: Index
    offset: int
    size: int
    content: bytes


class PieceSaved(msgspec.Struct, frozen=True):
    """The file of the fetched snapshot holds so many bytes now."""

    index: Index
    held: int


class SnapshotInstalled(msgspec.Struct, frozen=True):
    """The fetched snapshot is durable and published."""

    header: SnapshotHeader


DiskAnswer = (
    Persisted
    | Room
    | Loaded
    | SnapshotPublished
    | SnapshotRefused
    | StateLoaded
    | PieceLoaded
    | PieceSaved
    | SnapshotInstalled
)
