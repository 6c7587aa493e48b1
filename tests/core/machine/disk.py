"""A disk in memory: it keeps what it is told to in that order, and loses the rest in a crash."""

from __future__ import annotations

from collections import deque

import msgspec

from slimjobs.core.machine.outputs import SaveSnapshot
from slimjobs.eventlog.raft import (
    Entry,
    EntryKind,
    HardState,
    Index,
    Membership,
    NodeId,
    Start,
    Term,
    decode_membership,
)
from slimjobs.eventlog.storage.batch import footprint
from slimjobs.eventlog.storage.requests import (
    DiscardSnapshot,
    DiskAnswer,
    DiskRequest,
    Load,
    Loaded,
    Persist,
    Persisted,
    PublishSnapshot,
    Room,
    SnapshotHeader,
    SnapshotPublished,
    SnapshotRefused,
)
from slimjobs.projections.snapshot import restore
from slimjobs.projections.state import State

NODE = NodeId(1)


class Snapshot(msgspec.Struct, frozen=True):
    """A snapshot file."""

    header: SnapshotHeader
    frames: tuple[bytes, ...]


class SimulatedDisk:
    """`pending` are the requests that are not carried out yet; `history` every entry that ever became durable."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.room = room
        self.refuses_snapshots = False
        self.pending: deque[DiskRequest] = deque()
        self.history: dict[Index, Entry] = {}
        self.published: Snapshot | None = None
        self._written: Snapshot | None = None
        self._hard_state = HardState()
        self._log: dict[Index, Entry] = {}

    def take(self, request: DiskRequest) -> None:
        """Carry a request out some time, after those before it."""
        self.pending.append(request)

    def write(self, saved: SaveSnapshot) -> SnapshotRefused | None:
        """Write a snapshot beside the log at once; it counts for nothing before it is published."""
        frames = tuple(saved.frames)
        if self.refuses_snapshots:
            return SnapshotRefused(saved.header.index, "no room")
        self._written = Snapshot(saved.header, frames)
        return None

    def carry_out(self) -> DiskAnswer | None:
        """Carry out the first request that waits."""
        match self.pending.popleft():
            case Persist() as persist:
                self._keep(persist)
                return Persisted(persist.ticket, self.room)
            case Load(low, high):
                return Loaded([self._log[Index(index)] for index in range(low, high + 1)])
            case PublishSnapshot(index):
                return self._publish(index)
            case DiscardSnapshot():
                self._written = None
                return None
            case other:
                raise AssertionError(f"a lone node asks for {other}")

    def grow(self, room: int) -> Room:
        """Somebody made room, or took it."""
        self.room += room
        return Room(self.room)

    def lose_power(self, kept: int = 0) -> None:
        """Forget what was not carried out; some of it may have become durable without an answer."""
        for _ in range(min(kept, len(self.pending))):
            self.carry_out()
        self.pending.clear()
        self._written = None

    @property
    def blank(self) -> bool:
        """Whether nothing was ever written."""
        return not self.history

    def start(self, seed: int) -> tuple[Start, State]:
        """What a node finds here when it starts."""
        snapshot = self.published
        at = snapshot.header.index if snapshot is not None else Index(0)
        terms: list[tuple[Index, Term]] = []
        configurations: list[tuple[Index, Membership]] = []
        for index, entry in self._log.items():
            if not terms or terms[-1][1] != entry.term:
                terms.append((index, entry.term))
            if entry.kind is EntryKind.CONFIGURATION:
                configurations.append((index, decode_membership(entry.payload)))
        start = Start(
            id=NODE,
            seed=seed,
            membership=snapshot.header.membership if snapshot is not None else Membership(),
            hard_state=self._hard_state,
            snapshot_index=at,
            snapshot_term=snapshot.header.term if snapshot is not None else Term(0),
            first_index=min(self._log, default=Index(at + 1)),
            last_index=max(self._log, default=at),
            terms=terms,
            configurations=configurations,
            commit=at,
        )
        return start, restore(snapshot.frames) if snapshot is not None else State()

    def _keep(self, persist: Persist) -> None:
        if persist.hard_state is not None:
            self._hard_state = persist.hard_state
        if persist.truncate_after is not None:
            cut = persist.truncate_after
            self._log = {index: entry for index, entry in self._log.items() if index <= cut}
        for entry in persist.entries:
            self._log[entry.index] = self.history[entry.index] = entry
            self.room -= footprint(len(entry.payload), 1)
        assert self.room >= 0, "the machine writes what does not fit"

    def _publish(self, index: Index) -> DiskAnswer:
        assert self._written is not None
        assert self._written.header.index == index, "what was not written is published"
        assert max(self._log) >= index, "a snapshot is published of what is not in the log"
        self.published, self._written = self._written, None
        self._log = {each: entry for each, entry in self._log.items() if each > index}
        return SnapshotPublished(index, Index(index + 1))
