"""A disk in memory for a node of a cluster: log, hard state, snapshots of its own and of others, crashes that tear.

It keeps what it is told to in that order. What was not carried out when the node dies is lost, but for as much of it as
the crash leaves. A wiped disk is another node.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

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
    InstallSnapshot,
    Load,
    Loaded,
    LoadPiece,
    LoadState,
    Persist,
    Persisted,
    PieceLoaded,
    PieceSaved,
    PublishSnapshot,
    Room,
    SavePiece,
    SnapshotHeader,
    SnapshotInstalled,
    SnapshotPublished,
    SnapshotRefused,
    StateLoaded,
)
from slimjobs.projections.snapshot import restore
from slimjobs.projections.state import State


class Snapshot(msgspec.Struct, frozen=True):
    """A snapshot file."""

    header: SnapshotHeader
    frames: tuple[bytes, ...]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Snapshot).decode


class Found(NamedTuple):
    """What a node finds when it starts; `blank`: nothing at all."""

    start: Start
    state: State
    blank: bool


class ClusterDisk:
    """`pending` waits to be carried out; `view` is the log as it will be then. `kept` snapshots stay published,
    those of the indices `refused` could not be written.
    """

    def __init__(self, node: NodeId, room: int = 1 << 30, kept: int = 2) -> None:
        self.node = node
        self.room = room
        self.kept = kept
        self.refuses_snapshots = False
        self.pending: deque[DiskRequest] = deque()
        self.view: dict[Index, Entry] = {}
        self.log: dict[Index, Entry] = {}
        self.hard_state = HardState()
        self.published: dict[Index, Snapshot] = {}
        self._written: dict[Index, Snapshot] = {}
        self.refused: set[Index] = set()
        self._fetched: tuple[Index, bytearray] | None = None

    # Requests -------------------------------------------------------------------------------------------------------

    def take(self, request: DiskRequest) -> None:
        """Carry a request out some time, after those before it."""
        self.pending.append(request)
        if isinstance(request, Persist):
            change(self.view, request)

    def write(self, saved: SaveSnapshot) -> Snapshot | SnapshotRefused:
        """Write a snapshot beside the log at once; it counts for nothing before it is published."""
        snapshot = Snapshot(saved.header, tuple(saved.frames))
        if self.refuses_snapshots:
            self.refused.add(saved.header.index)
            return SnapshotRefused(saved.header.index, "no room")
        self._written[saved.header.index] = snapshot
        return snapshot

    @property
    def is_blank(self) -> bool:
        """Whether nothing at all is on it."""
        return not self.log and not self.published and self.hard_state == HardState()

    @property
    def is_full(self) -> bool:
        """Whether what is to be written next does not fit, so that it has to wait for room."""
        first = self.pending[0] if self.pending else None
        return isinstance(first, Persist) and size_of(first.entries) > self.room

    def carry_out(self, most: int = 1) -> list[DiskAnswer]:
        """Carry out so many of the requests that wait; one answer covers all writes that follow each other."""
        answers: list[DiskAnswer] = []
        for _ in range(min(most, len(self.pending))):
            if self.is_full:
                self._write_hard_states()
                break
            answer = self._carry_out(self.pending.popleft())
            if isinstance(answer, Persisted) and answers and isinstance(answers[-1], Persisted):
                answers.pop()
            answers += [] if answer is None else [answer]
        return answers

    def _write_hard_states(self) -> None:
        """They have their own place: a full disk never stops a vote."""
        for request in self.pending:
            if isinstance(request, Persist):
                self.hard_state = request.hard_state or self.hard_state

    def _carry_out(self, request: DiskRequest) -> DiskAnswer | None:
        match request:
            case Persist() as persist:
                self._persist(persist)
                return Persisted(persist.ticket, self.room)
            case Load(low, high, max_bytes):
                return Loaded(self._load(low, high, max_bytes))
            case PublishSnapshot(index):
                return self._publish(index)
            case DiscardSnapshot(index):
                self._written.pop(index, None)
                return None
            case LoadState():
                newest = self.newest
                return StateLoaded(newest.header, iter(newest.frames)) if newest else StateLoaded(None, iter(()))
            case LoadPiece(index, offset, max_bytes):
                content = _encode(self.published[index]) if index in self.published else b""
                return PieceLoaded(index, offset, len(content), content[offset : offset + max_bytes])
            case SavePiece(index, offset, content):
                return self._save_piece(index, offset, content)
            case InstallSnapshot(index):
                return self._install(index)

    def _persist(self, persist: Persist) -> None:
        self.hard_state = persist.hard_state or self.hard_state
        if persist.restart_after is not None:
            assert persist.restart_after in self.published, "the log restarts behind a snapshot that is not there"
        change(self.log, persist)
        self.room -= size_of(persist.entries)

    def _load(self, low: Index, high: Index, max_bytes: int) -> list[Entry]:
        entries: list[Entry] = []
        size = 0
        for index in range(low, high + 1):
            entry = self.log.get(Index(index))
            if entry is None or (entries and size + len(entry.payload) > max_bytes):
                break
            entries.append(entry)
            size += len(entry.payload)
        return entries

    # Snapshots ------------------------------------------------------------------------------------------------------

    @property
    def newest(self) -> Snapshot | None:
        """The snapshot to start from."""
        return self.published[max(self.published)] if self.published else None

    def _publish(self, index: Index) -> SnapshotPublished | SnapshotRefused:
        snapshot = self._written.pop(index, None)
        if snapshot is None:
            assert index in self.refused, "a snapshot is published that nobody has written"
            return SnapshotRefused(index, "no snapshot was written for this index")
        assert max(self.log, default=0) >= index, "a snapshot is published of what is not in the log"
        return SnapshotPublished(index, self._enter(snapshot))

    def _enter(self, snapshot: Snapshot) -> Index:
        """Publish it, drop what no snapshot that is kept needs; the first index that is kept for replication."""
        self.published[snapshot.header.index] = snapshot
        for old in sorted(self.published)[: -self.kept]:
            del self.published[old]
        if len(self.published) == self.kept:
            for index in [index for index in self.log if index <= min(self.published)]:
                del self.log[index]
                self.view.pop(index, None)
            return Index(min(self.published) + 1)
        return min(self.log, default=Index(snapshot.header.index + 1))

    def _save_piece(self, index: Index, offset: int, content: bytes) -> PieceSaved:
        if offset == 0:
            self._fetched = index, bytearray()
        if self._fetched is None or self._fetched[0] != index:
            return PieceSaved(index, 0)
        held = self._fetched[1]
        if offset == len(held):
            held += content
        return PieceSaved(index, len(held))

    def _install(self, index: Index) -> SnapshotInstalled:
        assert self._fetched is not None, "a snapshot is installed that was not fetched"
        assert self._fetched[0] == index, "another snapshot is installed than was fetched"
        snapshot = _decode(bytes(self._fetched[1]))
        assert snapshot.header.index == index
        self._fetched = None
        self.published[index] = snapshot
        return SnapshotInstalled(snapshot.header)

    # Life and death -------------------------------------------------------------------------------------------------

    def grow(self, room: int) -> Room:
        """Somebody made room, or took it."""
        self.room += room
        return Room(self.room)

    def lose_power(self, done: int = 0, parts: int = 0) -> None:
        """Forget what was not carried out, but for the first `done` requests, and so many parts of the next write."""
        self.carry_out(done)
        if self.pending and isinstance(self.pending[0], Persist):
            self._tear(self.pending[0], parts)
        self.pending.clear()
        self._written, self.refused, self._fetched = {}, set(), None
        self.view = dict(self.log)

    def _tear(self, persist: Persist, parts: int) -> None:
        entries = list(persist.entries[: max(0, parts - 3)])
        while size_of(entries) > self.room:
            entries.pop()
        torn = msgspec.structs.replace(
            persist,
            hard_state=persist.hard_state if parts > 0 else None,
            restart_after=persist.restart_after if parts > 1 else None,
            truncate_after=persist.truncate_after if parts > 2 else None,
            entries=entries,
        )
        self._persist(torn)

    def start(self, seed: int) -> Found:
        """What a node finds here when it starts."""
        snapshot = self.newest
        at = snapshot.header.index if snapshot is not None else Index(0)
        entries = [self.log[index] for index in sorted(self.log)]
        start = Start(
            id=self.node,
            seed=seed,
            membership=snapshot.header.membership if snapshot is not None else Membership(),
            hard_state=self.hard_state,
            snapshot_index=at,
            snapshot_term=snapshot.header.term if snapshot is not None else Term(0),
            first_index=entries[0].index if entries else Index(at + 1),
            last_index=entries[-1].index if entries else at,
            terms=_terms(entries),
            configurations=[
                (entry.index, decode_membership(entry.payload))
                for entry in entries
                if entry.kind is EntryKind.CONFIGURATION
            ],
            commit=at,
        )
        return Found(start, restore(snapshot.frames) if snapshot is not None else State(), self.is_blank)


def size_of(entries: Sequence[Entry]) -> int:
    """What writing these takes of the room."""
    return sum(footprint(len(entry.payload), 1) for entry in entries)


def _terms(entries: Sequence[Entry]) -> list[tuple[Index, Term]]:
    terms: list[tuple[Index, Term]] = []
    for entry in entries:
        if not terms or terms[-1][1] != entry.term:
            terms.append((entry.index, entry.term))
    return terms


def change(log: dict[Index, Entry], persist: Persist) -> None:
    """Do to a log what is asked, in the order in which it is asked."""
    if persist.restart_after is not None:
        log.clear()
    if persist.truncate_after is not None:
        for index in [index for index in log if index > persist.truncate_after]:
            del log[index]
    for entry in persist.entries:
        assert not log or entry.index - 1 in log, "a hole in the log"
        log[entry.index] = entry
