"""Handing leadership to a named voter (thesis §3.10)."""

from __future__ import annotations

import pytest

from slimjobs.eventlog.raft import ChangeKind, MembershipChange, NodeId, Options, Role, Term
from slimjobs.eventlog.raft.messages import TimeoutNow, VoteRequest
from tests.eventlog.raft.alone import LEARNER, ME, A, B, C, ack, append, beat, lead, node_with, only, propose, say
from tests.eventlog.raft.cluster import cluster_of


def test_a_level_target_is_told_to_stand_at_once() -> None:
    node = lead(node_with())
    assert node.raft.transfer(A)
    assert only(TimeoutNow, say(node)) == [TimeoutNow(ME, A, node.raft.term)]


def test_a_target_that_is_behind_is_brought_level_first() -> None:
    node = lead(node_with())
    propose(node, b"x")
    node.raft.transfer(A)
    assert only(TimeoutNow, say(node)) == []
    assert len(only(TimeoutNow, say(node, ack(node, A)))) == 1


def test_nothing_new_is_taken_meanwhile() -> None:
    node = lead(node_with())
    node.raft.transfer(A)
    assert propose(node, b"x") is None
    assert node.raft.change_membership(MembershipChange(ChangeKind.ADD_LEARNER, C)) is None


def test_a_transfer_that_takes_an_election_timeout_is_given_up() -> None:
    node = lead(node_with())
    node.raft.transfer(A)
    for _ in range(node.options.election_ticks):
        node.raft.tick()
        say(node, beat(node, B))
    assert propose(node, b"x")


@pytest.mark.parametrize("to", [ME, NodeId(9), NodeId(4)])
def test_nobody_but_another_voter_can_be_the_target(to: NodeId) -> None:
    node = lead(node_with(learners=(4,)))
    assert not node.raft.transfer(to)
    assert propose(node, b"x")


def test_only_a_leader_hands_over() -> None:
    assert not node_with().raft.transfer(A)


def test_who_is_told_stands_without_asking_first_and_forces_the_vote() -> None:
    node = node_with(options=Options())
    say(node, append(1, (0, 0)))
    asked = only(VoteRequest, say(node, TimeoutNow(A, ME, Term(1))))
    assert [(request.to, request.term, request.forced) for request in asked] == [(A, 2, True), (B, 2, True)]


def test_who_may_not_stand_is_told_in_vain() -> None:
    node = node_with(membership=LEARNER)
    say(node, append(1, (0, 0)), TimeoutNow(A, ME, Term(1)))
    assert node.raft.role is Role.FOLLOWER


def test_leadership_moves_within_one_exchange_although_everyone_is_loyal() -> None:
    cluster = cluster_of(3, options=Options())
    cluster.elect(1)
    cluster.tick(2)
    cluster.nodes[ME].raft.transfer(B)
    cluster.settle()
    assert cluster.leader() is cluster.nodes[B]
    assert cluster.nodes[ME].raft.leader == B


def test_a_leader_may_simply_resign() -> None:
    node = lead(node_with())
    node.raft.resign()
    assert (node.raft.role, node.raft.leader) == (Role.FOLLOWER, 0)


def test_a_target_that_is_removed_is_none_any_more() -> None:
    node = lead(node_with())
    node.raft.change_membership(MembershipChange(ChangeKind.REMOVE, A))
    assert not node.raft.transfer(A)
