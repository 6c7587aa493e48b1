"""Changes of the membership, one server at a time (thesis, chapter 4)."""

from __future__ import annotations

import pytest

from slimjobs.eventlog.raft import ChangeKind, Entry, EntryKind, Index, Membership, MembershipChange, NodeId, Role, Term
from slimjobs.eventlog.raft.membership import Memberships, changed, decode_membership, encode_membership
from slimjobs.eventlog.raft.messages import Append, CommitNotice
from slimjobs.eventlog.raft.state import NOBODY
from tests.eventlog.raft.alone import ME, A, B, C, ack, append, lead, node_with, only, propose, say, terms
from tests.eventlog.raft.cluster import cluster_of
from tests.eventlog.raft.simulated import Node

THREE = Membership((ME, A, B))


def change(node: Node, kind: ChangeKind, changed: NodeId) -> Index | None:
    return node.raft.change_membership(MembershipChange(kind, changed))


@pytest.mark.parametrize(
    ("kind", "node", "after"),
    [
        (ChangeKind.ADD_LEARNER, 4, Membership((ME, A, B), (C,))),
        (ChangeKind.ADD_VOTER, 4, Membership((ME, A, B, C))),
        (ChangeKind.REMOVE, 2, Membership((ME, B))),
        (ChangeKind.ADD_LEARNER, 2, None),
        (ChangeKind.ADD_VOTER, 2, None),
        (ChangeKind.REMOVE, 4, None),
    ],
)
def test_a_change_moves_one_voter_at_most(kind: ChangeKind, node: int, after: Membership | None) -> None:
    assert changed(THREE, MembershipChange(kind, NodeId(node))) == after


def test_a_learner_is_promoted_or_removed() -> None:
    with_learner = Membership((ME,), (A,))
    assert changed(with_learner, MembershipChange(ChangeKind.ADD_VOTER, A)) == Membership((ME, A))
    assert changed(with_learner, MembershipChange(ChangeKind.REMOVE, A)) == Membership((ME,))


def test_the_last_voter_stays() -> None:
    assert changed(Membership((ME,), (A,)), MembershipChange(ChangeKind.REMOVE, ME)) is None


def test_a_membership_travels_as_an_entry() -> None:
    assert decode_membership(encode_membership(Membership((ME, A), (B,)))) == Membership((ME, A), (B,))


def test_a_membership_is_in_force_when_appended_and_no_longer_when_cut() -> None:
    node, smaller = node_with(term=1), Membership((ME, A))
    change = Entry(Index(1), Term(1), EntryKind.CONFIGURATION, encode_membership(smaller))
    say(node, Append(A, ME, Term(1), Index(0), Term(0), Index(0), (change,)))
    assert node.raft.membership == smaller
    say(node, append(2, (0, 0), 2, sender=B))
    assert node.raft.membership == THREE


def test_a_new_voter_counts_from_the_moment_its_entry_is_appended() -> None:
    node = lead(node_with(voters=1))
    change(node, ChangeKind.ADD_VOTER, A)
    node.settle()
    assert node.raft.commit == 1
    say(node, ack(node, A))
    assert node.raft.commit == 2


def test_a_removed_voter_no_longer_counts() -> None:
    node = lead(node_with(voters=2))
    assert change(node, ChangeKind.REMOVE, A) == 2
    node.settle()
    assert node.raft.commit == 2


def test_a_learner_receives_the_log_and_does_not_count() -> None:
    cluster = cluster_of(2, learners=(3,))
    cluster.elect(1)
    cluster.partition([1, 3], [2])
    cluster.propose(1, "x")
    cluster.settle()
    assert terms(cluster.nodes[B]) == [1, 1]
    assert cluster.nodes[ME].raft.commit == 1


def test_there_is_no_second_change_before_the_first_is_committed() -> None:
    node = lead(node_with())
    assert change(node, ChangeKind.ADD_LEARNER, C)
    assert change(node, ChangeKind.REMOVE, A) is None
    say(node, ack(node, A))
    assert change(node, ChangeKind.REMOVE, A)


def test_there_is_no_change_before_an_entry_of_the_own_term_is_committed() -> None:
    node = lead(node_with([1]), committed=False)
    assert change(node, ChangeKind.ADD_LEARNER, C) is None
    say(node, ack(node, A))
    assert change(node, ChangeKind.ADD_LEARNER, C)


def test_only_a_leader_changes_the_membership() -> None:
    assert change(node_with(), ChangeKind.ADD_LEARNER, C) is None


def test_a_leader_that_removed_itself_leads_without_counting_itself_until_that_is_committed_and_told() -> None:
    node = lead(node_with())
    change(node, ChangeKind.REMOVE, ME)
    node.settle()
    say(node, ack(node, A))
    assert (node.raft.role, node.raft.commit) == (Role.LEADER, 1)
    told = say(node, ack(node, B))
    assert (node.raft.commit, {notice.to for notice in only(CommitNotice, told)}) == (2, {A, B})
    assert node.raft.leader == NOBODY


def test_who_knows_its_removal_to_be_committed_never_stands_again() -> None:
    node = lead(node_with())
    change(node, ChangeKind.REMOVE, ME)
    node.settle()
    say(node, ack(node, A), ack(node, B))
    for _ in range(100):
        node.raft.tick()
    assert node.raft.role is Role.FOLLOWER


def test_a_removed_voter_whose_log_alone_can_win_still_stands() -> None:
    cluster = cluster_of(2)
    cluster.elect(1)
    cluster.partition([1], [2])
    cluster.nodes[ME].raft.change_membership(MembershipChange(ChangeKind.REMOVE, ME))
    cluster.settle()
    cluster.crash(1)
    cluster.restart(1)
    cluster.heal()
    cluster.tick(100)
    assert cluster.leader() is cluster.nodes[A]
    assert cluster.nodes[A].raft.membership == Membership((A,))


def test_a_removed_follower_gets_nothing_more() -> None:
    node = lead(node_with())
    change(node, ChangeKind.REMOVE, A)
    assert {message.to for message in say(node)} == {B}


def test_an_empty_node_joins_as_a_learner_is_promoted_and_leads() -> None:
    cluster = cluster_of(1)
    cluster.elect(1)
    cluster.propose(1, "x")
    joined = cluster.add(2, Membership())
    leader = cluster.nodes[ME]
    for kind in (ChangeKind.ADD_LEARNER, ChangeKind.ADD_VOTER):
        cluster.settle()
        assert change(leader, kind, A)
        cluster.tick(2)
    cluster.elect(2)
    assert (joined.raft.role, joined.applied) == (Role.LEADER, [b"x"])


def test_a_restarted_node_finds_the_membership_in_its_log() -> None:
    node = lead(node_with(voters=1))
    change(node, ChangeKind.ADD_LEARNER, A)
    node.settle()
    node.start(seed=2)
    assert node.raft.membership == Membership((ME,), (A,))


def test_the_membership_of_any_place_behind_the_snapshot_is_known() -> None:
    history = Memberships((Index(0), THREE), [(Index(3), Membership((ME,))), (Index(7), Membership((A,)))])
    assert [history.at(Index(place)) for place in (2, 3, 6, 9)] == [THREE, *[Membership((ME,))] * 2, Membership((A,))]
    history.compact(Index(5))
    assert (history.at(Index(5)), history.current) == (Membership((ME,)), Membership((A,)))


def test_a_leader_that_lost_a_proposal_to_a_change_still_commits_it() -> None:
    node = lead(node_with())
    propose(node, b"x")
    change(node, ChangeKind.REMOVE, B)
    say(node, ack(node, A))
    assert node.applied == [b"x"]
