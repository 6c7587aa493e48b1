"""The records that this node writes: stamped, applied at once to the one state, proposed as one batch, taken up later.

The state runs ahead of what is committed, so that decisions that wait for the disk are seen by the next (design §3).
Room on the disk is reserved here before anything is applied, so nothing is applied that cannot be written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec

from slimjobs.eventlog.events.cluster import Checkpoint
from slimjobs.eventlog.events.record import Event, Record, decode_record, encode_record
from slimjobs.eventlog.raft import Raft
from slimjobs.eventlog.raft.types import Entry, EntryKind, Index
from slimjobs.eventlog.storage.batch import footprint
from slimjobs.eventlog.storage.requests import Persist, Ticket
from slimjobs.projections.fold import apply
from slimjobs.projections.state import State

HEADROOM_BYTES = 1 << 20
"""Kept free of new work, for the ends, bindings and deletions of what is there."""

_CHECKPOINT = Checkpoint()


class Applied(msgspec.Struct, frozen=True):
    """A record with its place in the log, applied to the state."""

    index: Index
    record: Record


class Journal:
    """The state, and the way of records into it."""

    def __init__(self, state: State, raft: Raft, room: int) -> None:
        self.state = state
        self._raft = raft
        self._room = room
        self._unwritten: deque[tuple[Ticket, int]] = deque()
        self._unwritten_bytes = 0
        self._batch: list[tuple[EntryKind, bytes]] = []
        self._batch_bytes = 0
        self._uncommitted: deque[Applied] = deque()
        self.entries_since_checkpoint = 0
        self.bytes_since_checkpoint = 0

    @property
    def last_index(self) -> Index:
        """The last entry there is, those not proposed yet included: what a read computed now reflects."""
        return Index(self._raft.last_index + len(self._batch))

    @property
    def committed(self) -> Index:
        """How far the log is committed: what a refusal that looked at nothing reflects."""
        return self._raft.commit

    # Room -----------------------------------------------------------------------------------------------------------

    def room_is(self, room: int) -> None:
        """The disk says how much can surely still be written."""
        self._room = room

    def written(self, ticket: Ticket) -> None:
        """Everything up to this ticket is on the disk, and no longer counts as reserved."""
        while self._unwritten and self._unwritten[0][0] <= ticket:
            self._unwritten_bytes -= self._unwritten.popleft()[1]

    @property
    def waits_for_disk(self) -> bool:
        """Whether room may come back by itself: what is on its way to the disk counts as taken until it is there."""
        return self._unwritten_bytes + self._batch_bytes > 0

    def reserve(self, persist: Persist) -> None:
        """A batch is on its way to the disk."""
        size = sum(footprint(len(entry.payload), 1) for entry in persist.entries)
        self._unwritten.append((persist.ticket, size))
        self._unwritten_bytes += size

    def _fits(self, size: int, headroom: int) -> bool:
        return self._room - self._unwritten_bytes - self._batch_bytes - size >= headroom

    # Records --------------------------------------------------------------------------------------------------------

    def append(self, events: Sequence[Event], cause: str, wall_ms: int, *, new_work: bool) -> Applied | None:
        """Stamp, encode and apply a record. None, and nothing happened: no events, or no room on the disk for them."""
        if not events:
            return None
        record = Record(max(self.state.at, wall_ms), cause, tuple(events))
        payload = encode_record(record)
        size = footprint(len(payload), 1)
        if not self._fits(size, HEADROOM_BYTES if new_work else 0):
            return None
        applied = Applied(Index(self.last_index + 1), record)
        apply(self.state, applied.index, payload, record)
        self._batch.append((EntryKind.RECORD, payload))
        self._batch_bytes += size
        self._uncommitted.append(applied)
        self._count(record, payload)
        return applied

    def propose(self) -> None:
        """Hand what was appended to consensus, as one batch."""
        if not self._batch:
            return
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        expected = Index(self._uncommitted[-len(batch)].index)
        proposed = self._raft.propose(batch)
        assert proposed == expected, f"records applied for index {expected} were proposed for {proposed}"

    def commit(self, entry: Entry) -> Applied | None:
        """Take up a committed entry: applied already if this node wrote it, now if not; None for what is no record."""
        if entry.kind is not EntryKind.RECORD:
            return None
        if self._uncommitted and self._uncommitted[0].index == entry.index:
            return self._uncommitted.popleft()
        record = decode_record(entry.payload)
        apply(self.state, entry.index, entry.payload, record)
        self._count(record, entry.payload)
        return Applied(entry.index, record)

    def _count(self, record: Record, payload: bytes) -> None:
        self.entries_since_checkpoint += 1
        self.bytes_since_checkpoint += len(payload)
        if _CHECKPOINT in record.events:
            self.entries_since_checkpoint = self.bytes_since_checkpoint = 0
