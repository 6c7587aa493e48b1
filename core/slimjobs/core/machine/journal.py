"""The records that this node writes: stamped, applied at once to the one state, proposed as one batch, taken up later.

The state runs ahead of what is committed, so that decisions that wait for the disk are seen by the next (design §3).
Room on the disk is reserved here before anything is applied, so nothing is applied that cannot be written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec

from slimjobs.eventlog.events.cluster import Checkpoint, ClusterFounded, MemberDropped, MemberNamed
from slimjobs.eventlog.events.record import Event, Record, decode_record, encode_record
from slimjobs.eventlog.raft import Raft
from slimjobs.eventlog.raft.types import Entry, EntryKind, Index, Term
from slimjobs.eventlog.storage.batch import footprint
from slimjobs.eventlog.storage.requests import Persist, Ticket
from slimjobs.projections.fold import apply
from slimjobs.projections.state import State

HEADROOM_BYTES = 1 << 20
"""Kept free of new work, for the ends, bindings and deletions of what is there."""

NAMES_MEMBERS = frozenset({ClusterFounded, MemberNamed, MemberDropped})

_CHECKPOINT = Checkpoint()


FLOOR_BYTES = 64 << 10
"""Kept free of all records: without room for the entry with which it begins to lead, a node alone could not even be
read."""


class Applied(msgspec.Struct, frozen=True, gc=False):
    """A record with its place in the log, applied to the state."""

    index: Index
    term: Term
    record: Record


class Journal:
    """The state, and the way of records into it. `taken_up`: the last committed entry that is in the state.

    `named_at`: the last record of this node that gave or took a member's name.
    """

    def __init__(self, state: State, raft: Raft, room: int) -> None:
        self.state = state
        self._raft = raft
        self._room = room
        self._unwritten: deque[tuple[Ticket, int]] = deque()
        self._unwritten_bytes = 0
        self._batch: list[tuple[EntryKind, bytes]] = []
        self._batch_bytes = 0
        self._uncommitted: deque[Applied] = deque()
        self._state_is_away = False
        self.taken_up = raft.applied
        self.named_at = Index(0)
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

    def term_at(self, index: Index) -> Term | None:
        """The term of the entry at that index; None where the log does not say (any more, or yet)."""
        return self._raft.log.term_at(index)

    @property
    def term(self) -> Term:
        """The term in which a leader writes now."""
        return self._raft.term

    def is_committed(self, index: Index, term: Term) -> bool:
        """Whether the entry of that index and term is committed."""
        return index <= self.committed and self.term_at(index) == term

    @property
    def is_ahead(self) -> bool:
        """Whether the state holds records that are not known to be committed, or is away."""
        return bool(self._uncommitted) or self._state_is_away

    # Logs that have an entry in common are equal up to it (Raft §5.3), so the last one speaks for all.
    @property
    def is_astray(self) -> bool:
        """Whether the state holds a record that is not in the log any more: another leader wrote something else."""
        last = self._uncommitted[-1] if self._uncommitted else None
        return last is not None and not self._batch and self.term_at(last.index) != last.term

    def forget_state(self) -> None:
        """Let go of the state: another one is on its way."""
        self.state = State()
        self._uncommitted.clear()
        self._state_is_away = True

    def begin_anew(self, state: State, index: Index) -> None:
        """Go on from this state, that of a snapshot of `index`: all of it is committed."""
        self.state = state
        self.taken_up = index
        self._state_is_away = False
        self.entries_since_checkpoint = self.bytes_since_checkpoint = 0

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

    @property
    def oldest_unwritten(self) -> Ticket:
        """What the disk has been at for longest; 0 for nothing."""
        return self._unwritten[0][0] if self._unwritten else Ticket(0)

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
        if not self._fits(size, HEADROOM_BYTES if new_work else FLOOR_BYTES):
            return None
        applied = Applied(Index(self.last_index + 1), self._raft.term, record)
        apply(self.state, applied.index, payload, record)
        self._batch.append((EntryKind.RECORD, payload))
        self._batch_bytes += size
        self._uncommitted.append(applied)
        if type(events[0]) in NAMES_MEMBERS:
            self.named_at = applied.index
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
        """Take up a committed entry: applied already if this node wrote it, now if not; None for what is no record.

        Raises `UnreadableRecord` for what a newer version wrote, and `BrokenLog`.
        """
        self.taken_up = entry.index
        if entry.kind is not EntryKind.RECORD:
            return None
        if self._uncommitted and self._uncommitted[0].index == entry.index:
            return self._uncommitted.popleft()
        record = decode_record(entry.payload)
        apply(self.state, entry.index, entry.payload, record)
        self._count(record, entry.payload)
        return Applied(entry.index, entry.term, record)

    def _count(self, record: Record, payload: bytes) -> None:
        self.entries_since_checkpoint += 1
        self.bytes_since_checkpoint += len(payload)
        if _CHECKPOINT in record.events:
            self.entries_since_checkpoint = self.bytes_since_checkpoint = 0
