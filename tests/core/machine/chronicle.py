"""The one log that all nodes of a cluster must agree on, judged from outside after every turn of a node.

What one node holds to be committed is committed for ever; every other node must come to the same, entry by entry and
state by state, whether it read the log or a snapshot. It is folded here once more, and read by the onlooker.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

from slimjobs.core.machine.machine import Machine
from slimjobs.eventlog.events.record import CHAIN_START, Record, decode_record, runs_of
from slimjobs.eventlog.events.runs import RunDeleted, RunEnqueued, RunId, RunsExpired
from slimjobs.eventlog.raft import Entry, EntryKind, Index, Membership, NodeId, Raft, Role, Term, decode_membership
from slimjobs.projections.fold import apply
from slimjobs.projections.listing import status_of
from slimjobs.projections.snapshot import state_hash
from slimjobs.projections.state import State
from slimjobs.projections.views import RunStatus
from tests.core.machine.almanac import Almanac
from tests.core.machine.cluster_disk import ClusterDisk, Snapshot
from tests.core.machine.distant_onlooker import DistantOnlooker
from tests.core.machine.invariants import Checked, Invariant


def consensus_of(machine: Machine) -> Raft:
    """The node's consensus: the simulator looks into it, as nobody else does."""
    return machine._raft


class Chronicle:
    """`entries` are those that any node ever held to be committed, from index 1; `state` is their fold.

    `memberships` are all that were committed, in order; what `corrupt` nodes write as their state is not compared.
    """

    def __init__(self) -> None:
        self.checked = Checked()
        self.entries: list[Entry] = []
        self.state = State()
        self.onlooker = DistantOnlooker(self.checked)
        self.almanac = Almanac(self.checked)
        self.memberships: list[Membership] = [Membership()]
        self.corrupt: set[NodeId] = set()
        self.enqueued: dict[RunId, Index] = {}
        self.deleted: dict[RunId, Index] = {}
        self.expired: set[RunId] = set()
        self.leaders: dict[Term, NodeId] = {}
        self.on_read: Callable[[Record], None] = lambda record: None
        self.on_record: Callable[[Index, Record], None] = lambda index, record: None
        self._statuses: dict[RunId, tuple[list[Index], list[RunStatus | None]]] = {}
        self._chains: dict[Index, bytes] = {Index(0): CHAIN_START}
        self._commits: dict[tuple[NodeId, int], Index] = {}
        self._written: dict[tuple[Index, Term], Snapshot] = {}

    @property
    def last_index(self) -> Index:
        """How far anything is known to be committed."""
        return Index(len(self.entries))

    @property
    def membership(self) -> Membership:
        """The last that was committed."""
        return self.memberships[-1]

    def look_at(self, machine: Machine, disk: ClusterDisk, life: int) -> None:
        """Judge a node after a turn."""
        raft = consensus_of(machine)
        if raft.role is Role.LEADER:
            leader = self.leaders.setdefault(raft.term, raft.id)
            assert leader == raft.id, f"{leader} and {raft.id} lead term {raft.term}"
        before = self._commits.get((raft.id, life), Index(0))
        assert raft.commit >= before, f"the commit of {raft.id} went back"
        if raft.commit > before:
            self._take(raft, disk, before)
            self._commits[raft.id, life] = raft.commit
        self._judge_state(machine.state, raft)

    def _take(self, raft: Raft, disk: ClusterDisk, before: Index) -> None:
        """Compare what the node newly holds to be committed; what nobody held before becomes the truth."""
        for index in range(before + 1, raft.commit + 1):
            self.checked.look(Invariant.SAME_STATE)
            entry = disk.view.get(Index(index))
            if index <= len(self.entries):
                held = entry is None or entry == self.entries[index - 1]
                assert held, f"{raft.id} has committed {entry}, others {self.entries[index - 1]}"
            else:
                assert entry is not None, f"{raft.id} has committed {index} and does not have it"
                self._append(entry)

    def _append(self, entry: Entry) -> None:
        assert entry.index == len(self.entries) + 1
        self.entries.append(entry)
        if entry.kind is EntryKind.CONFIGURATION:
            self.memberships.append(decode_membership(entry.payload))
        if entry.kind is EntryKind.RECORD:
            self._read(entry)

    def _read(self, entry: Entry) -> None:
        record = decode_record(entry.payload)
        assert record.at >= self.state.at, "the log's time goes back"
        self.onlooker.read(record, ())
        self.almanac.read(record)
        self.on_read(record)
        apply(self.state, entry.index, entry.payload, record)
        self._chains[entry.index] = self.state.chain
        for event in record.events:
            if isinstance(event, RunEnqueued):
                self.enqueued[event.run] = entry.index
            elif isinstance(event, RunDeleted):
                self.deleted[event.run] = entry.index
            elif isinstance(event, RunsExpired):
                self.expired.update(event.runs)
        for run in runs_of(record):
            indices, statuses = self._statuses.setdefault(run, ([], []))
            indices.append(entry.index)
            statuses.append(status_of(self.state, run))
        self.on_record(entry.index, record)

    def status_at(self, run: RunId, index: Index) -> RunStatus | None:
        """What the status of a run was after the entry at this index; None if it was not in the lists."""
        indices, statuses = self._statuses.get(run, ([], []))
        place = bisect_right(indices, index)
        return statuses[place - 1] if place else None

    # A node that leads has applied what is not committed yet; a deposed one, what may never be.
    def _judge_state(self, state: State, raft: Raft) -> None:
        if state.index > raft.commit:
            assert raft.role is Role.LEADER or state.index <= raft.last_index, "more is applied than the log holds"
            return
        self.checked.look(Invariant.SAME_STATE)
        assert state.chain == self._chains.get(state.index), f"{raft.id} has another state at {state.index}"

    # Snapshots ------------------------------------------------------------------------------------------------------

    def snapshot_written(self, node: NodeId, snapshot: Snapshot) -> None:
        """Of the same entry every node writes the same bytes."""
        if node in self.corrupt:
            return
        self.checked.look(Invariant.SAME_STATE)
        at = snapshot.header.index, snapshot.header.term
        assert self._written.setdefault(at, snapshot) == snapshot, f"two snapshots of {at} differ"

    def snapshot_kept(self, node: NodeId, snapshot: Snapshot) -> None:
        """A snapshot that a node would start from is of committed entries."""
        if node in self.corrupt:
            return
        header = snapshot.header
        assert header.index <= self.last_index, f"a snapshot of {header.index} is published before that is committed"
        entry = self.entries[header.index - 1]
        assert (entry.term, self._chains[header.index]) == (header.term, header.chain)
        assert self._written[header.index, header.term] == snapshot

    # The end --------------------------------------------------------------------------------------------------------

    def agrees_with(self, machine: Machine) -> None:
        """The node has all of the log, and knows all that it says, and nothing else."""
        self.checked.look(Invariant.SAME_STATE)
        raft = consensus_of(machine)
        assert raft.commit == self.last_index, f"{raft.id} is at {raft.commit} of {self.last_index}"
        assert state_hash(machine.state) == state_hash(self.state), f"{raft.id} knows something else than the log"
