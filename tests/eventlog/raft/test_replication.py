"""Replication: figure 2's AppendEntries and rules for leaders, §5.3, §5.4.2, §5.5, §8."""

from __future__ import annotations

import pytest

from slimjobs.eventlog.raft import EntryKind, Index, NodeId, Options, Role, Term
from slimjobs.eventlog.raft.messages import Append, AppendAnswer, CommitNotice, Heartbeat, HeartbeatAnswer, VoteAnswer
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
from tests.eventlog.raft.cluster import cluster_of


def accepted(index: int, term: int) -> AppendAnswer:
    return AppendAnswer(ME, A, Term(term), accepted=True, index=Index(index))


# Figure 2, AppendEntries.


def test_entries_behind_a_place_where_the_logs_differ_are_refused() -> None:
    node = node_with([1, 1])
    for prev in ((2, 2), (3, 1)):
        (answer,) = only(AppendAnswer, say(node, append(2, prev, 2)))
        assert not answer.accepted
    assert terms(node) == [1, 1]


def test_new_entries_are_appended() -> None:
    node = node_with([1])
    assert say(node, append(2, (1, 1), 2, 2)) == [accepted(3, 2)]
    assert terms(node) == [1, 2, 2]


def test_a_conflicting_entry_goes_with_all_that_follow_it() -> None:
    node = node_with([1, 1, 1, 1])
    assert say(node, append(3, (1, 1), 2)) == [accepted(2, 3)]
    assert terms(node) == [1, 2]


def test_an_append_that_holds_only_what_is_known_cuts_nothing() -> None:
    node = node_with([1, 1, 1])
    assert say(node, append(1, (0, 0), 1)) == [accepted(1, 1)]
    assert terms(node) == [1, 1, 1]


def test_the_commit_index_is_the_leaders_but_no_further_than_the_append_vouches_for() -> None:
    node = node_with([1, 1, 1])
    say(node, append(1, (1, 1), commit=3))
    assert node.raft.commit == 1
    say(node, append(1, (3, 1), commit=2))
    assert node.raft.commit == 2


def test_the_commit_index_never_goes_back() -> None:
    node = node_with([1, 1, 1])
    say(node, append(1, (3, 1), commit=3), append(1, (3, 1), commit=1), Heartbeat(A, ME, Term(1), Index(2)))
    assert node.raft.commit == 3


def test_an_append_from_before_the_commit_index_is_answered_with_it() -> None:
    node = node_with([1, 1, 1])
    say(node, append(1, (3, 1), commit=3))
    assert say(node, append(1, (1, 1), 1)) == [accepted(3, 1)]


def test_a_committed_entry_is_never_cut() -> None:
    node = node_with([1, 1])
    say(node, append(1, (2, 1), commit=2))
    with pytest.raises(AssertionError, match="committed entry"):
        node.raft.truncate(Index(1))


def test_committed_entries_are_handed_out_in_order_and_once() -> None:
    node = node_with()
    say(node, append(1, (0, 0), 1, 1, commit=1), append(1, (2, 1), 1, commit=3))
    assert node.applied == [b"1@1", b"2@1", b"3@1"]


# §5.3, end: refusals skip a whole term at a time.


@pytest.mark.parametrize(
    ("mine", "prev", "hint"),
    [
        ([1, 1, 1], (9, 4), (3, 1)),
        ([1, 4, 4, 4], (3, 3), (1, 1)),
        ([1, 2, 2, 5], (4, 4), (3, 2)),
        ([], (5, 2), (0, 0)),
    ],
)
def test_a_refusal_hints_at_the_last_place_that_can_agree(
    mine: list[int], prev: tuple[int, int], hint: tuple[int, int]
) -> None:
    (answer,) = only(AppendAnswer, say(node_with(mine), append(9, prev)))
    assert (answer.index, answer.hint_index, answer.hint_term) == (prev[0], *hint)


def test_a_leader_goes_back_to_where_its_own_log_can_agree_with_the_hint() -> None:
    node = lead(node_with([1, 2, 2, 5, 5]), committed=False)
    refusal = AppendAnswer(
        A, ME, node.raft.term, accepted=False, index=Index(5), hint_index=Index(5), hint_term=Term(4)
    )
    (asked, *_) = only(Append, say(node, refusal))
    assert (asked.prev_index, asked.prev_term) == (3, 2)


def test_a_long_divergent_tail_takes_as_many_questions_as_it_has_terms() -> None:
    cluster = cluster_with([1] + [4] * 200, [1] + [2] * 150 + [3] * 150)
    mine, theirs = cluster.live()
    cluster.elect(1)
    assert terms(theirs) == terms(mine) == [1] + [4] * 200 + [5]
    assert len(only(Append, cluster.sent)) < 8


def test_a_stale_refusal_moves_nothing() -> None:
    node = lead(node_with([1, 1, 1]))
    say(node, AppendAnswer(A, ME, node.raft.term, accepted=False, index=Index(2)))
    assert (node.raft.progress[A].next, node.raft.progress[A].sending) == (5, Sending.REPLICATE)


# Figure 2, leaders; §5.4.2; §8.


def test_a_new_leader_appends_an_empty_entry_of_its_term_and_tells_everyone_at_once() -> None:
    node = node_with([1])
    node.raft.campaign()
    node.settle()
    sent = say(node, VoteAnswer(A, ME, Term(2), granted=True))
    assert (node.log()[-1].kind, node.log()[-1].term) == (EntryKind.NO_OP, 2)
    assert {message.to for message in only(Append, sent)} == {A, B}


def test_an_idle_leader_repeats_its_heartbeats() -> None:
    node = lead(node_with())
    node.raft.tick()
    assert {message.to for message in only(Heartbeat, say(node))} == {A, B}


def test_an_entry_commits_when_a_majority_holds_it_and_is_then_handed_out() -> None:
    node = lead(node_with(voters=5))
    propose(node, b"x")
    say(node, ack(node, A))
    assert node.raft.commit == 1
    say(node, ack(node, B))
    assert (node.raft.commit, node.applied) == (2, [b"x"])


def test_acks_of_one_follower_count_once_and_of_learners_never() -> None:
    node = lead(node_with(voters=3, learners=(4, 5), options=PLAIN), committed=False)
    say(node, ack(node, NodeId(4)), ack(node, NodeId(5)))
    assert node.raft.commit == 0


def test_entries_of_older_terms_commit_only_below_one_of_the_own_term() -> None:
    node = lead(node_with([1, 2]), committed=False)
    say(node, ack(node, A, 2), ack(node, B, 2))
    assert node.raft.commit == 0
    say(node, ack(node, A, 3))
    assert node.raft.commit == 3


def test_figure_8_an_entry_of_an_older_term_on_a_majority_may_still_go() -> None:
    cluster = cluster_with([1, 2, 4], [1, 2], [1, 2], [1], [1, 3])  # (c): the entry of term 2 is on three of five
    cluster.crash(1)
    cluster.elect(5)  # (d): node 5 wins by its later last term, and replaces it
    assert {tuple(terms(node)) for node in cluster.live()} == {(1, 3, 5)}


def test_a_commit_is_told_at_once_once_the_follower_is_known_to_hold_it() -> None:
    node = lead(node_with())
    propose(node, b"x")
    say(node, ack(node, A))
    assert only(CommitNotice, say(node, ack(node, B))) == [CommitNotice(ME, B, node.raft.term, Index(2))]


def test_where_commits_come_thick_one_notice_a_tick_is_enough() -> None:
    options = Options(pre_vote=False, check_quorum=False, one_notice_a_tick=True, heartbeat_ticks=5)
    node = lead(node_with(options=options))  # its first commit was told at once
    propose(node, b"x")
    assert not only(CommitNotice, say(node, ack(node, A), ack(node, B)))
    assert node.raft.ticks_until_due == 1
    node.raft.tick()
    assert only(CommitNotice, say(node)) == [CommitNotice(ME, to, node.raft.term, Index(2)) for to in (A, B)]
    assert node.raft.ticks_until_due > 1


def test_late_and_repeated_acks_take_nothing_back() -> None:
    node = lead(node_with())
    propose(node, b"x")
    say(node, ack(node, A), ack(node, A, 1), ack(node, A, 1))
    assert (node.raft.commit, node.raft.progress[A].match) == (2, 2)


def test_a_node_that_does_not_lead_takes_no_entries() -> None:
    assert propose(node_with(), b"x") is None


def test_proposals_that_come_together_travel_together() -> None:
    node = lead(node_with())
    for payload in (b"x", b"y", b"z"):
        propose(node, payload)
    assert [len(m.entries) for m in only(Append, say(node))] == [3, 3]


# The window, and what is lost in it (§5.5).


def test_no_more_appends_than_the_window_are_on_their_way() -> None:
    node = lead(node_with(options=Options(pre_vote=False, check_quorum=False, max_inflight_entries_messages=2)))
    sent = []
    for payload in (b"1", b"2", b"3", b"4"):
        propose(node, payload)
        sent += [m for m in only(Append, say(node)) if m.to == A]
    assert [len(m.entries) for m in sent] == [1, 1]
    assert [len(m.entries) for m in only(Append, say(node, ack(node, A, 2))) if m.to == A] == [2]


def test_an_ack_makes_room_for_what_it_covers_and_no_more() -> None:
    node = lead(node_with(options=Options(pre_vote=False, check_quorum=False, max_inflight_entries_messages=2)))
    for payload in (b"1", b"2", b"3", b"4"):
        propose(node, payload)
        say(node)
    propose(node, b"5")
    assert [len(m.entries) for m in only(Append, say(node, ack(node, A, 2))) if m.to == A] == [3]
    propose(node, b"6")
    assert [m for m in only(Append, say(node)) if m.to == A] == []


def test_no_more_bytes_than_the_window_are_on_their_way() -> None:
    node = lead(node_with(options=Options(pre_vote=False, check_quorum=False, max_inflight_bytes=150)))
    sent = []
    for _ in range(4):
        propose(node, b"x" * 100)
        sent += [m for m in only(Append, say(node)) if m.to == A]
    assert len(sent) == 2


def test_an_append_is_no_larger_than_allowed_but_holds_at_least_one_entry() -> None:
    node = lead(node_with(options=Options(pre_vote=False, check_quorum=False, max_append_bytes=100)))
    propose(node, b"x" * 60, b"x" * 40, b"x" * 500, b"x")
    assert [len(m.entries) for m in only(Append, say(node)) if m.to == A] == [2, 1, 1]


def test_a_lost_append_is_found_by_the_next_answered_heartbeat() -> None:
    cluster = cluster_of(3)
    cluster.elect(1)
    cluster.blocks = [lambda message: isinstance(message, Append) and message.to == A]
    for data in "abc":
        cluster.propose(1, data)
        cluster.settle()
    cluster.heal()
    cluster.tick(1, [1])
    assert cluster.nodes[A].applied == [b"a", b"b", b"c"]


def test_a_follower_that_was_down_is_brought_up_to_date_from_the_disk() -> None:
    cluster = cluster_of(3, options=Options(pre_vote=False, check_quorum=False, max_cached_bytes=500))
    cluster.elect(1)
    cluster.crash(2)
    for number in range(100):
        cluster.propose(1, str(number))
        cluster.settle()
    cluster.restart(2)
    cluster.tick(3)
    assert cluster.nodes[A].applied == [str(number).encode() for number in range(100)]


def test_a_restarted_leader_of_a_long_log_applies_it_from_the_disk() -> None:
    node = lead(node_with([1] * 300, voters=1))
    assert len(node.applied) == 300


def test_an_answered_heartbeat_of_a_level_follower_asks_nothing() -> None:
    node = lead(node_with())
    node.raft.tick()
    say(node)
    assert say(node, HeartbeatAnswer(A, ME, node.raft.term), beat(node, B)) == []


def test_a_leader_keeps_no_more_durable_entries_in_memory_than_allowed() -> None:
    node = lead(node_with(voters=1, options=Options(max_cached_bytes=10_000)))
    for _ in range(100):
        propose(node, *[b"x" * 100] * 10)
        node.settle()
    assert node.raft.log.in_memory(Index(1), Index(1)) is None
    assert node.raft.role is Role.LEADER
    assert node.raft.log.in_memory(Index(960), Index(1001)) is not None
