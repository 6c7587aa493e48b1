"""What a node knows of itself when it opens its directory, before it has heard anybody."""

from __future__ import annotations

import pytest

from slimjobs.core.machine.machine import Machine
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.core.node.opening import cluster_in_log, open_machine, start_of
from slimjobs.eventlog.events.cluster import ClusterFounded, MemberNamed
from slimjobs.eventlog.events.record import Event, Record, encode_record
from slimjobs.eventlog.raft import Entry, EntryKind, Index, NodeId, Term
from slimjobs.eventlog.storage.errors import DiskFailed
from slimjobs.eventlog.storage.store import Storage, StorageOptions
from slimjobs.projections.state import State
from tests.eventlog.storage.entries import append, opened, state
from tests.eventlog.storage.simulated_files import SimulatedFiles

PEERS = MachineSettings(name="b", peers={"a": "a:1", "b": "b:1", "c": "c:1"})


def founding(index: int, cluster: str, cause: str) -> Entry:
    events: tuple[Event, ...] = (ClusterFounded(cluster), MemberNamed("a", NodeId(7)))
    return Entry(Index(index), Term(1), EntryKind.RECORD, encode_record(Record(1, cause, events)))


def no_op(index: int) -> Entry:
    return Entry(Index(index), Term(1), EntryKind.NO_OP, b"")


def directory(*entries: Entry) -> Storage:
    """A directory with this log, of which nothing is known to be committed."""
    storage = opened(SimulatedFiles())
    storage.write_hard_state(state(1))
    append(storage, entries)
    return storage


def node_in(storage: Storage) -> Machine:
    """The node of that directory, which has heard nobody yet."""
    start, cluster = start_of(storage, seed=1), cluster_in_log(storage)
    return Machine(start, State(), storage.room, "new", PEERS, storage.blank, cluster)


def test_a_node_that_has_heard_nobody_says_whose_log_it_holds() -> None:
    node = node_in(directory(no_op(1), founding(2, "c1", "founding")))
    assert node.state.cluster == "", "nothing is known to be committed"
    assert (node.greeting.cluster, node.greeting.has_log, node.greeting.empty) == ("c1", True, False)


def test_a_node_with_another_clusters_directory_is_not_talked_to() -> None:
    ours, theirs = (node_in(directory(no_op(1), founding(2, cluster, "founding"))) for cluster in ("c1", "c2"))
    assert ours.objection(theirs.greeting) == "it belongs to another cluster, c2; this one is c1"
    assert theirs.objection(ours.greeting)


def test_what_was_founded_last_counts() -> None:
    recovered = directory(no_op(1), founding(2, "c1", "founding"), no_op(3), founding(4, "c2", "recover"))
    assert cluster_in_log(recovered) == "c2"
    assert node_in(recovered).greeting.cluster == "c2"


def test_a_blank_directory_is_of_no_cluster_and_may_be_joined_to_any() -> None:
    node, member = node_in(opened(SimulatedFiles())), node_in(directory(no_op(1), founding(2, "c1", "founding")))
    assert (node.greeting.cluster, node.greeting.has_log, node.greeting.empty) == ("", False, True)
    assert not member.objection(node.greeting)


async def test_a_disk_that_fails_while_it_is_opened_is_told_as_a_failing_disk() -> None:
    files = SimulatedFiles()
    files.syncs_to_failure = 1
    with pytest.raises(DiskFailed, match=r"the directory simulated cannot be opened: .*Input/output error"):
        async with open_machine(files, StorageOptions(), PEERS):
            pass
