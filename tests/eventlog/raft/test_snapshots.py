"""Snapshots in place of a log that is gone (§7, figure 13)."""

from __future__ import annotations

from slimjobs.eventlog.raft import Index, Membership, Term
from slimjobs.eventlog.raft.messages import Append, AppendAnswer, SnapshotOffer
from slimjobs.eventlog.raft.progress import Sending
from tests.eventlog.raft.alone import (
    ME,
    PLAIN,
    A,
    B,
    ack,
    append,
    beat,
    cluster_with,
    lead,
    node_with,
    only,
    propose,
    say,
    terms,
)
from tests.eventlog.raft.cluster import Cluster, cluster_of
from tests.eventlog.raft.simulated import Node, Snapshot

THREE = Membership((ME, A, B))
TWO_AND_A_LEARNER = Membership((A, B), (ME,))


def receiving(node: Node, index: int, term: int, membership: Membership = THREE) -> list[AppendAnswer]:
    """What it answers to the offer of that snapshot, which it can fetch."""
    node.fetch = lambda _: Snapshot(Index(index), Term(term), membership, (b"state",))
    return only(AppendAnswer, say(node, SnapshotOffer(A, ME, Term(9), Index(index), Term(term), membership)))


def compacted_leader() -> Node:
    node = lead(node_with())
    propose(node, *[b"x"] * 9)
    say(node, ack(node, A))
    node.compact(keep=0)
    return node


def test_a_follower_that_needs_what_is_gone_is_offered_the_snapshot() -> None:
    node = compacted_leader()
    refusal = AppendAnswer(B, ME, node.raft.term, accepted=False, index=node.raft.progress[B].next)
    node.raft.progress[B].turn(Sending.PROBE)
    node.raft.progress[B].next = Index(refusal.index + 1)
    (offered,) = only(SnapshotOffer, say(node, refusal))
    assert (offered.to, offered.index, offered.snapshot_term, offered.membership) == (B, 10, 1, THREE)


def test_the_offer_is_repeated_with_every_answered_heartbeat_until_it_is_taken() -> None:
    cluster, behind = cluster_with_a_follower_behind()
    cluster.blocks = [lambda message: isinstance(message, SnapshotOffer)]
    cluster.tick(3)
    assert behind.applied == []
    cluster.heal()
    cluster.tick(2)
    assert behind.applied == [b"x"] * 5


def cluster_with_a_follower_behind() -> tuple[Cluster, Node]:
    cluster = cluster_of(3)
    cluster.elect(1)
    cluster.crash(3)
    for _ in range(5):
        cluster.propose(1, "x")
    cluster.settle()
    cluster.nodes[ME].compact(keep=0)
    cluster.restart(3)
    return cluster, cluster.nodes[B]


def test_a_follower_is_restored_and_goes_on_by_log() -> None:
    cluster, behind = cluster_with_a_follower_behind()
    cluster.tick(2)
    cluster.propose(1, "y")
    cluster.settle()
    assert behind.applied == [*[b"x"] * 5, b"y"]
    assert behind.raft.log.first_index == 7


def test_a_restored_node_has_the_snapshots_state_membership_and_place() -> None:
    node = node_with([1, 1], term=9)
    (answer,) = receiving(node, 5, 3, TWO_AND_A_LEARNER)
    assert (answer.accepted, answer.index) == (True, 5)
    assert node.raft.membership == TWO_AND_A_LEARNER
    assert (node.applied, node.raft.commit, node.raft.last_index, node.raft.log.first_index) == ([b"state"], 5, 5, 6)


def test_the_whole_log_goes_even_where_it_is_as_long_as_the_snapshot() -> None:
    node = node_with([1, 1, 1], term=9)
    receiving(node, 3, 2)
    assert (node.disk.entries, node.disk.first_index) == ([], 4)
    say(node, append(9, (3, 2), 9))
    assert terms(node) == [9]


def test_a_log_that_goes_on_behind_the_snapshot_on_another_branch_goes_too() -> None:
    node = node_with([1, 1, 1, 1, 1], term=9)
    receiving(node, 3, 2)
    assert (terms(node), node.raft.last_index) == ([], 3)


def test_a_log_that_holds_the_snapshots_last_entry_keeps_what_follows_it_and_needs_no_snapshot() -> None:
    node = node_with([1, 1, 2, 2], term=9)
    (answer,) = receiving(node, 3, 2)
    assert (answer.index, node.raft.commit) == (3, 3)
    assert (terms(node), node.applied) == ([1, 1, 2, 2], [b"1@1", b"2@1", b"3@2"])


def test_a_snapshot_from_before_the_commit_index_changes_nothing() -> None:
    node = node_with([1, 1, 1], term=9)
    say(node, append(9, (3, 1), commit=3))
    (answer,) = receiving(node, 2, 1)
    assert (answer.index, node.applied) == (3, [b"1@1", b"2@1", b"3@1"])


def test_a_snapshot_that_arrives_after_the_log_has_passed_it_is_left_alone() -> None:
    node = node_with(term=9)
    say(node, append(9, (0, 0), 1, 1, commit=2))
    assert not node.raft.restored(Index(1), Term(1), THREE)
    assert node.raft.commit == 2


def test_a_crash_between_snapshot_and_log_leaves_the_snapshot() -> None:
    node = node_with([1, 1, 1, 1, 1], term=9)
    node.disk.publish(Snapshot(Index(3), Term(2), THREE, (b"state",)))
    node.start(seed=2)
    node.settle()
    assert (node.raft.last_index, node.raft.commit, node.applied) == (3, 3, [b"state"])
    assert node.disk.entries == []


def test_a_log_kept_behind_a_snapshot_still_serves_those_who_are_not_far_back() -> None:
    cluster, behind = cluster_with_a_follower_behind()
    cluster.nodes[ME].compact(keep=0)
    cluster.tick(2)
    cluster.crash(3)
    for _ in range(5):
        cluster.propose(1, "y")
    cluster.settle()
    cluster.nodes[ME].compact(keep=20)
    before = len(only(SnapshotOffer, cluster.sent))
    cluster.restart(3)
    cluster.tick(2)
    assert behind.applied == [*[b"x"] * 5, *[b"y"] * 5]
    assert len(only(SnapshotOffer, cluster.sent)) == before


def test_a_node_restarts_from_snapshot_and_the_log_behind_it() -> None:
    node = lead(node_with(voters=1))
    for payload in (b"a", b"b", b"c"):
        propose(node, payload)
        node.settle()
        if payload == b"b":
            node.compact(keep=1)
    node.start(seed=2)
    assert (node.applied, node.raft.commit, node.raft.last_index) == ([b"a", b"b"], 3, 4)
    lead(node)
    assert node.applied == [b"a", b"b", b"c"]


def test_a_leader_that_restarted_in_the_middle_of_its_snapshots_log_offers_what_it_cannot_vouch_for() -> None:
    cluster = cluster_with([1] * 9, [], options=PLAIN)
    cluster.elect(1)
    cluster.tick(2)
    leader = cluster.nodes[ME]
    leader.compact(keep=4)
    cluster.crash(2)
    cluster.nodes[A].disk.entries.clear()
    cluster.restart(1, 2)
    cluster.elect(1)
    cluster.tick(3)
    assert cluster.nodes[A].applied == leader.applied
    assert only(SnapshotOffer, cluster.sent)


def test_no_entries_go_to_a_follower_that_restores_a_snapshot() -> None:
    cluster, behind = cluster_with_a_follower_behind()
    cluster.blocks = [lambda message: isinstance(message, SnapshotOffer)]
    cluster.tick(2)
    cluster.sent.clear()
    cluster.propose(1, "y")
    cluster.tick(1)
    assert not [message for message in only(Append, cluster.sent) if message.to == behind.id]


def test_a_heartbeat_of_who_restores_is_answered_and_keeps_the_leader() -> None:
    node = compacted_leader()
    node.raft.progress[B].turn(Sending.SNAPSHOT)
    node.raft.tick()
    node.raft.progress[B].silent_ticks = 5
    say(node, beat(node, B))
    assert node.raft.progress[B].silent_ticks == 0
