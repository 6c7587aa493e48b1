"""What the node machine asks of its disk, and what the disk answers: plain structs, no I/O.

Requests are carried out in the order in which they are made. `Persisted` covers every request up to its ticket: one
fdatasync may answer many. Nothing that depends on a request may leave the node before its answer (design §4).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NewType

import msgspec

from slimjobs.eventlog.raft.types import Entry, HardState, Index, Membership, Term

Ticket = NewType("Ticket", int)
"""Number of a `Persist`, counted up from 1 by the machine."""


class Persist(msgspec.Struct, frozen=True):
    """Make this durable: the hard state, then the log cut after `truncate_after`, then the entries, as far as given."""

    ticket: Ticket
    entries: Sequence[Entry] = ()
    hard_state: HardState | None = None
    truncate_after: Index | None = None


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


DiskRequest = Persist | Load | PublishSnapshot | DiscardSnapshot


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


DiskAnswer = Persisted | Room | Loaded | SnapshotPublished | SnapshotRefused


class SnapshotHeader(msgspec.Struct, frozen=True, array_like=True):
    """What a snapshot stands for: the state after the entry at `index`, and the chain of hashes up to it."""

    index: Index
    term: Term
    membership: Membership
    chain: bytes
