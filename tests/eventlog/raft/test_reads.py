"""Reads that are linearizable without an entry of the log (thesis §6.4)."""

from __future__ import annotations

from slimjobs.eventlog.raft import Index, Options, Role, Term
from slimjobs.eventlog.raft.messages import Heartbeat, HeartbeatAnswer, ReadAnswer, ReadRequest
from tests.eventlog.raft.alone import ME, A, B, ack, append, beat, lead, node_with, only, propose, say
from tests.eventlog.raft.cluster import cluster_of
from tests.eventlog.raft.simulated import Node


def asked(node: Node, token: int = 7) -> list[Heartbeat]:
    """Ask, and see the round of heartbeats that follows."""
    assert node.raft.read(token)
    return only(Heartbeat, say(node))


def test_a_read_waits_for_a_majority_to_answer_a_heartbeat_sent_after_it() -> None:
    node = lead(node_with(voters=5))
    assert {heartbeat.to for heartbeat in asked(node)} == {2, 3, 4, 5}
    say(node, beat(node, A))
    assert node.reads == {}
    say(node, beat(node, B))
    assert node.reads == {7: 1}


def test_an_answer_to_an_earlier_heartbeat_confirms_nothing() -> None:
    node = lead(node_with())
    earlier = beat(node, A)
    asked(node)
    say(node, earlier)
    assert node.reads == {}


def test_a_read_gets_the_commit_index_of_the_moment_it_was_asked() -> None:
    node = lead(node_with())
    asked(node)
    propose(node, b"x")
    say(node, ack(node, A), beat(node, A))
    assert (node.reads, node.raft.commit) == ({7: 1}, 2)


def test_reads_that_come_together_share_a_round() -> None:
    node = lead(node_with())
    for token in (1, 2, 3):
        node.raft.read(token)
    assert len(only(Heartbeat, say(node))) == 2
    say(node, beat(node, A))
    assert node.reads == {1: 1, 2: 1, 3: 1}


def test_a_lost_round_is_repeated_by_the_next_heartbeats() -> None:
    node = lead(node_with())
    asked(node)
    node.raft.tick()
    say(node, *(HeartbeatAnswer(A, ME, h.term, h.round) for h in only(Heartbeat, say(node)) if h.to == A))
    assert node.reads == {7: 1}


def test_a_lone_voter_answers_at_once() -> None:
    node = lead(node_with(voters=1))
    asked(node)
    assert node.reads == {7: 1}


def test_a_leader_that_has_not_committed_in_its_term_does_not_know_what_to_answer() -> None:
    assert not lead(node_with([1]), committed=False).raft.read(7)


def test_a_node_that_knows_no_leader_takes_no_read() -> None:
    assert not node_with().raft.read(7)


def test_a_deposed_leader_answers_no_read_and_says_so() -> None:
    node = lead(node_with())
    asked(node)
    say(node, append(9, (1, 1)))
    assert (node.reads, node.lost_reads) == ({}, {7})


def test_an_isolated_leader_answers_no_read() -> None:
    cluster = cluster_of(3, options=Options())
    cluster.elect(1)
    cluster.partition([1], [2, 3])
    old = cluster.nodes[ME]
    assert old.raft.read(7)
    cluster.tick(30)
    assert (old.reads, old.lost_reads, old.raft.role is Role.LEADER) == ({}, {7}, False)


def test_a_follower_asks_its_leader_for_the_index() -> None:
    cluster = cluster_of(3)
    cluster.elect(1)
    cluster.propose(1, "x")
    cluster.settle()
    assert cluster.nodes[B].raft.read(7)
    cluster.settle()
    assert (cluster.nodes[B].reads, cluster.nodes[B].applied) == ({7: 2}, [b"x"])


def test_a_leader_that_cannot_say_refuses_a_followers_read() -> None:
    node = lead(node_with([1]), committed=False)
    assert only(ReadAnswer, say(node, ReadRequest(A, ME, node.raft.term, 5))) == [
        ReadAnswer(ME, A, node.raft.term, 5, Index(0))
    ]


def test_a_refused_read_is_lost_at_once() -> None:
    node = node_with(term=1)
    say(node, append(1, (0, 0)))
    node.raft.read(7)
    (request,) = only(ReadRequest, say(node))
    say(node, ReadAnswer(A, ME, Term(1), request.read, Index(0)))
    assert node.lost_reads == {7}


def test_a_read_that_was_passed_on_is_lost_with_the_leader() -> None:
    node = node_with(term=1)
    say(node, append(1, (0, 0)))
    node.raft.read(7)
    say(node, append(2, (0, 0), sender=B))
    assert node.lost_reads == {7}


def test_an_answer_to_a_former_life_fits_no_read_of_this_one() -> None:
    node = node_with(term=1)
    numbers = set()
    for seed in (2, 3):
        node.start(seed)
        say(node, append(1, (0, 0)))
        node.raft.read(7)
        numbers |= {request.read for request in only(ReadRequest, say(node))}
    assert len(numbers) == 2
