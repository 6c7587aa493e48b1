"""A node as a test sees it: the core, a disk that can stall and forget, and a state that is the list of payloads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from slimjobs.eventlog.raft import (
    Entry,
    EntryKind,
    HardState,
    Index,
    Membership,
    Message,
    NodeId,
    Options,
    Raft,
    Ready,
    Start,
    Term,
    decode_membership,
)


class Snapshot(msgspec.Struct, frozen=True):
    """What a node publishes when it compacts: the state is the payloads applied so far."""

    index: Index
    term: Term
    membership: Membership
    applied: tuple[bytes, ...] = ()


class Load(msgspec.Struct, frozen=True):
    """Entries that the core wants from the disk."""

    low: Index
    high: Index


class Disk:
    """What a crash leaves. Entries may reach back behind the snapshot, as far as `first_index`."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.hard_state = HardState()
        self.commit = Index(0)
        self.first_index = Index(snapshot.index + 1)
        self.entries: list[Entry] = []

    @property
    def last_index(self) -> Index:
        return Index(self.first_index + len(self.entries) - 1)

    def persist(self, ready: Ready) -> None:
        """In the order that `Ready` asks for."""
        self.hard_state = ready.hard_state or self.hard_state
        if ready.restart_after is not None:
            self.entries, self.first_index = [], Index(ready.restart_after + 1)
        if ready.truncate_after is not None:
            del self.entries[ready.truncate_after + 1 - self.first_index :]
        if ready.entries:
            assert ready.entries[0].index == self.last_index + 1
            self.entries += ready.entries

    def tear(self, ready: Ready, parts: int) -> None:
        """A crash in the middle: so many parts of it are done, the hard state, the cuts and the entries one by one."""
        done = msgspec.structs.replace(
            ready,
            hard_state=ready.hard_state if parts > 0 else None,
            restart_after=ready.restart_after if parts > 1 else None,
            truncate_after=ready.truncate_after if parts > 2 else None,
            entries=ready.entries[: max(0, parts - 3)],
        )
        self.persist(done)

    def publish(self, snapshot: Snapshot) -> None:
        if snapshot.index > self.snapshot.index:
            self.snapshot = snapshot

    def drop_before(self, index: Index) -> None:
        del self.entries[: index - self.first_index]
        self.first_index = index

    def load(self, low: Index, high: Index, most: int) -> Sequence[Entry]:
        if low < self.first_index:
            return ()
        return self.entries[low - self.first_index :][: min(most, high + 1 - low)]

    def start(self, node: NodeId, seed: int) -> Start:
        """What a node that starts from this disk tells its core."""
        runs: list[tuple[Index, Term]] = []
        for entry in self.entries:
            if not runs or runs[-1][1] != entry.term:
                runs.append((entry.index, entry.term))
        return Start(
            id=node,
            seed=seed,
            hard_state=self.hard_state,
            membership=self.snapshot.membership,
            snapshot_index=self.snapshot.index,
            snapshot_term=self.snapshot.term,
            first_index=self.first_index,
            last_index=self.last_index,
            terms=runs,
            configurations=[
                (entry.index, decode_membership(entry.payload))
                for entry in self.entries
                if entry.kind is EntryKind.CONFIGURATION
            ],
            commit=max(self.snapshot.index, self.commit),
        )


Work = Ready | Load | Snapshot
"""What the disk has to do, in order: persist, load, publish a fetched snapshot."""

Fetch = Callable[[NodeId], Snapshot]
"""How the bytes of a snapshot come from its sender."""


class Node:
    """The loop around one core, in single steps."""

    def __init__(self, node: NodeId, disk: Disk, options: Options, fetch: Fetch, seed: int) -> None:
        self.id, self.disk, self.options, self.fetch = node, disk, options, fetch
        self.genesis = disk.snapshot.membership
        self.most_loaded = 64
        self.start(seed)

    def start(self, seed: int) -> None:
        """Begin with nothing but what the disk holds."""
        self.work: deque[Work] = deque()
        self.outbox: list[Message] = []
        self.reads: dict[int, Index] = {}
        self.lost_reads: set[int] = set()
        self.adopt(self.disk.snapshot)
        self.raft = Raft(self.disk.start(self.id, seed), self.options)

    def adopt(self, snapshot: Snapshot) -> None:
        self.applied, self.applied_index = list(snapshot.applied), snapshot.index

    # The core does not look again before something has come in, so one look has to find everything.
    def _check_that_this_is_all(self) -> None:
        self.raft._has_news = True
        assert self.raft.ready() is None

    def turn(self) -> None:
        """Take everything the core has to give; the disk's part waits for `sync`."""
        while ready := self.raft.ready():
            self._check_that_this_is_all()
            self.outbox += ready.messages
            for entry in ready.committed_entries:
                self.apply(entry)
            self.reads.update(ready.reads)
            self.lost_reads.update(ready.lost_reads)
            if ready.needs_disk:
                self.work.append(ready)
            if ready.load:
                self.work.append(Load(*ready.load))
            if ready.snapshot:
                self.work.append(self.fetch(ready.snapshot.sender))

    def apply(self, entry: Entry) -> None:
        assert entry.index == self.applied_index + 1
        self.applied_index = entry.index
        if entry.kind is EntryKind.RECORD:
            self.applied.append(entry.payload)

    def sync(self, most: int = 1 << 30) -> None:
        """The disk does so much of what waits."""
        for _ in range(min(most, len(self.work))):
            match self.work.popleft():
                case Ready() as ready:
                    self.disk.persist(ready)
                    self.raft.persisted(ready.ticket)
                case Load(low, high):
                    self.raft.loaded(self.disk.load(low, high, self.most_loaded))
                case Snapshot() as snapshot:
                    self.restore(snapshot)

    def restore(self, snapshot: Snapshot) -> None:
        self.disk.publish(snapshot)
        if self.raft.restored(snapshot.index, snapshot.term, snapshot.membership):
            self.adopt(snapshot)

    def settle(self) -> None:
        """Until neither core nor disk has anything to do."""
        self.turn()
        while self.work:
            self.sync()
            self.turn()

    def compact(self, keep: int) -> None:
        """Publish a snapshot of what is applied and durable, and drop the log up to it but for the last `keep`."""
        index = self.applied_index
        if index <= self.disk.snapshot.index or index > self.raft.log.persisted:
            return
        term = self.raft.log.term_at(index)
        assert term is not None
        self.disk.publish(Snapshot(index, term, self.raft.memberships.at(index), tuple(self.applied)))
        self.disk.drop_before(max(self.disk.first_index, Index(index + 1 - keep)))
        self.raft.compacted(index, self.disk.first_index)

    def log(self) -> list[Entry]:
        """Every entry that the node has, durable or not."""
        log, known = self.raft.log, dict[Index, Entry]()
        for entry in [*self.disk.entries, *(e for each in self.work if isinstance(each, Ready) for e in each.entries)]:
            if log.matches(entry.index, entry.term) and entry.index >= log.first_index:
                known[entry.index] = entry
        if log.handed < log.last_index:
            known.update((entry.index, entry) for entry in log.in_memory(Index(log.handed + 1), log.last_index) or ())
        return list(known.values())
