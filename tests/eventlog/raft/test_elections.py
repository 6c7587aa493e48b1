"""Elections: figure 2's rules for voters and candidates, §5.1, §5.2, §5.4.1, and thesis §4.2.3, §6.2, §9.6."""

from __future__ import annotations

import pytest

from slimjobs.eventlog.raft import NodeId, Options, Role, Term
from slimjobs.eventlog.raft.core import HEARD
from slimjobs.eventlog.raft.messages import (
    Append,
    AppendAnswer,
    Heartbeat,
    Message,
    PreVoteAnswer,
    PreVoteRequest,
    TimeoutNow,
    VoteAnswer,
    VoteRequest,
)
from slimjobs.eventlog.raft.quorum import Outcome, majority, outcome, reached_by_majority
from slimjobs.eventlog.raft.state import TURNS
from slimjobs.eventlog.raft.types import Index
from tests.eventlog.raft.alone import (
    LEARNER,
    ME,
    A,
    B,
    append,
    ask_vote,
    beat,
    lead,
    node_with,
    only,
    propose,
    say,
    vote,
)
from tests.eventlog.raft.cluster import cluster_of
from tests.eventlog.raft.simulated import Node

PRE_VOTE = Options(check_quorum=False)
LOYAL = Options(pre_vote=False)


def candidate(term: int = 0) -> Node:
    node = node_with(term=term)
    node.raft.campaign()
    node.settle()
    return node


# Figure 2, RequestVote.


def test_a_vote_request_of_an_older_term_is_refused_with_the_newer_term() -> None:
    assert say(node_with(term=5), ask_vote(4)) == [VoteAnswer(ME, A, Term(5), granted=False)]


def test_the_vote_goes_to_the_first_who_asks() -> None:
    node = node_with()
    (first,) = only(VoteAnswer, say(node, ask_vote(1, sender=A)))
    (second,) = only(VoteAnswer, say(node, ask_vote(1, sender=B)))
    assert (first.granted, second.granted) == (True, False)


def test_the_same_candidate_may_ask_again() -> None:
    assert all(answer.granted for answer in only(VoteAnswer, say(node_with(), ask_vote(1), ask_vote(1))))


def test_a_new_term_brings_a_new_vote() -> None:
    answers = say(node_with(), ask_vote(1, sender=A), ask_vote(2, sender=B))
    assert VoteAnswer(ME, B, Term(2), granted=True) in answers


@pytest.mark.parametrize(
    ("last", "granted"),
    [((1, 2), False), ((9, 1), False), ((3, 2), True), ((2, 2), False), ((4, 2), True), ((1, 3), True)],
)
def test_votes_go_to_logs_with_a_later_term_or_of_the_same_and_as_long(last: tuple[int, int], granted: bool) -> None:
    (answer,) = only(VoteAnswer, say(node_with([1, 2, 2]), ask_vote(4, last)))
    assert answer.granted == granted


def test_a_refused_candidate_raises_the_term_all_the_same() -> None:
    node = node_with([1, 2])
    say(node, ask_vote(7, (1, 1)))
    assert (node.raft.term, node.raft.vote) == (7, 0)


def test_who_knows_the_leader_of_a_term_votes_for_nobody_else_in_it() -> None:
    node = node_with()
    answers = say(node, append(1, (0, 0), sender=A), ask_vote(1, (9, 1), sender=B))
    assert only(VoteAnswer, answers) == [VoteAnswer(ME, B, Term(1), granted=False)]


def test_a_vote_puts_off_the_own_election() -> None:
    node = node_with()
    for _ in range(node.raft.election_timeout - 1):
        node.raft.tick()
    say(node, ask_vote(1))
    node.raft.tick()
    assert node.raft.role is Role.FOLLOWER


# Figure 2, all servers, and §5.1.


def test_a_higher_term_makes_a_follower_of_everyone() -> None:
    for node in (node_with(), candidate(), lead(node_with())):
        say(node, append(9, (0, 0)))
        assert (node.raft.role, node.raft.term, node.raft.leader) == (Role.FOLLOWER, 9, A)


@pytest.mark.parametrize("message", [append(1, (0, 0)), Heartbeat(A, ME, Term(1), Index(0))])
def test_a_leader_of_an_older_term_learns_of_the_newer(message: Message) -> None:
    (answer,) = only(AppendAnswer, say(node_with(term=3), message))
    assert (answer.term, answer.accepted) == (3, False)


def test_answers_of_an_older_term_change_nothing() -> None:
    node = candidate(term=4)
    say(node, vote(4, A), vote(4, B))
    assert node.raft.role is Role.CANDIDATE


def test_messages_to_a_former_incarnation_are_not_for_this_one() -> None:
    node = node_with()
    node.raft.step(VoteRequest(A, NodeId(99), Term(7), Index(0), Term(0)))
    assert node.raft.term == 0


# Figure 2, followers and candidates, and §5.2.


def test_a_follower_that_hears_nothing_stands_for_election() -> None:
    node = node_with()
    for _ in range(node.raft.election_timeout):
        node.raft.tick()
    assert node.raft.role is Role.CANDIDATE


def test_a_follower_that_hears_its_leader_does_not() -> None:
    node = node_with()
    for _ in range(50):
        node.raft.tick()
        say(node, Heartbeat(A, ME, Term(1), Index(0)))
    assert node.raft.role is Role.FOLLOWER


def test_a_candidate_raises_its_term_votes_for_itself_and_asks_all_others() -> None:
    node = candidate(term=4)
    assert (node.raft.term, node.raft.vote) == (5, ME)
    assert [(m.to, m.term) for m in only(VoteRequest, node.outbox)] == [(A, 5), (B, 5)]


def test_a_candidate_with_the_votes_of_a_majority_leads() -> None:
    node = candidate()
    say(node, vote(1, B))
    assert (node.raft.role, node.raft.leader) == (Role.LEADER, ME)


def test_votes_of_one_voter_count_once_and_of_strangers_never() -> None:
    node = node_with(voters=5)
    node.raft.campaign()
    say(node, vote(1, A), vote(1, A), vote(1, NodeId(77)))
    assert node.raft.role is Role.CANDIDATE


def test_a_candidate_refused_by_a_majority_gives_up() -> None:
    node = candidate()
    say(node, vote(1, A, granted=False), vote(1, B, granted=False))
    assert node.raft.role is Role.FOLLOWER


def test_a_candidate_that_hears_a_leader_of_its_term_follows_it() -> None:
    node = candidate()
    say(node, append(1, (0, 0)))
    assert (node.raft.role, node.raft.leader, node.raft.vote) == (Role.FOLLOWER, A, ME)


def test_a_candidate_whose_time_is_over_stands_again_in_a_new_term() -> None:
    node = candidate()
    for _ in range(node.raft.election_timeout):
        node.raft.tick()
    assert (node.raft.role, node.raft.term) == (Role.CANDIDATE, 2)


def test_a_candidate_repeats_what_was_not_answered() -> None:
    node = node_with(voters=4)
    node.raft.campaign()
    say(node, vote(1, A))
    node.raft.tick()
    assert [(request.to, request.term) for request in only(VoteRequest, say(node))] == [(B, 1), (NodeId(4), 1)]


def test_a_voter_that_heard_the_old_leader_a_moment_later_delays_an_election_no_longer_than_that() -> None:
    cluster = cluster_of(3, options=Options())
    cluster.elect(1)
    first, later = cluster.nodes[A], cluster.nodes[B]
    cluster.crash(1)
    first.raft.election_timeout = 10
    cluster.tick(7, [A])
    cluster.tick(3, [A, B])
    assert (first.raft.role, later.raft.role) == (Role.PRE_CANDIDATE, Role.FOLLOWER)
    later.raft.election_timeout = 20
    cluster.tick(7, [A, B])
    assert cluster.leader() is first


def test_election_timeouts_are_drawn_anew_between_once_and_twice_the_shortest() -> None:
    node, drawn = node_with(), set()
    for _ in range(200):
        node.raft.reset_clocks()
        drawn.add(node.raft.election_timeout)
    assert drawn == set(range(10, 20))


def test_a_split_vote_is_resolved_by_the_next_timeouts() -> None:
    cluster = cluster_of(4)
    for node in cluster.live()[:2]:
        node.raft.campaign()
    cluster.tick(100)
    assert cluster.leader()


def test_a_lone_voter_elects_itself_and_commits_alone() -> None:
    node = lead(node_with(voters=1))
    propose(node, b"a")
    node.settle()
    assert (node.raft.role, node.raft.commit, node.applied) == (Role.LEADER, 2, [b"a"])


def test_a_learner_never_stands_but_votes_as_it_may_not_know_its_promotion() -> None:
    node = node_with(membership=LEARNER)
    node.raft.campaign()
    assert node.raft.role is Role.FOLLOWER
    assert only(VoteAnswer, say(node, ask_vote(1)))[0].granted


# Thesis §9.6: pre-vote.


def test_a_node_that_nobody_answers_never_raises_its_term() -> None:
    node = node_with(options=PRE_VOTE)
    for _ in range(200):
        node.raft.tick()
    node.settle()
    assert (node.raft.term, node.raft.role) == (0, Role.PRE_CANDIDATE)


def test_a_pre_vote_changes_neither_term_nor_vote_and_can_be_given_twice() -> None:
    node = node_with(term=3, options=PRE_VOTE)
    answers = say(node, *(PreVoteRequest(each, ME, Term(4), Index(0), Term(0)) for each in (A, B)))
    assert answers == [PreVoteAnswer(ME, each, Term(4), granted=True) for each in (A, B)]
    assert (node.raft.term, node.raft.vote) == (3, 0)


def test_a_pre_vote_is_refused_to_a_log_that_is_behind() -> None:
    answers = say(node_with([1, 2]), PreVoteRequest(A, ME, Term(3), Index(1), Term(1)))
    assert answers == [PreVoteAnswer(ME, A, Term(2), granted=False)]


def test_a_majority_of_pre_votes_leads_to_an_election_in_the_next_term() -> None:
    node = node_with(options=PRE_VOTE)
    node.raft.campaign()
    say(node, PreVoteAnswer(A, ME, Term(1), granted=True))
    assert (node.raft.role, node.raft.term) == (Role.CANDIDATE, 1)


def test_a_refused_pre_vote_of_a_later_term_teaches_that_term() -> None:
    node = node_with(options=PRE_VOTE)
    node.raft.campaign()
    say(node, PreVoteAnswer(A, ME, Term(6), granted=False))
    assert (node.raft.role, node.raft.term) == (Role.FOLLOWER, 6)


# Thesis §6.2 and §4.2.3: check-quorum and loyalty.


def test_a_leader_that_a_majority_does_not_answer_steps_down() -> None:
    node = lead(node_with(options=LOYAL))
    for _ in range(LOYAL.election_ticks):
        node.raft.tick()
    assert (node.raft.role, node.raft.leader) == (Role.FOLLOWER, 0)


def test_a_leader_that_a_majority_answers_stays() -> None:
    node = lead(node_with(options=LOYAL))
    for _ in range(100):
        node.raft.tick()
        say(node, beat(node, A))
    assert node.raft.role is Role.LEADER


def test_learners_do_not_keep_a_leader_in_office() -> None:
    node = lead(node_with(options=LOYAL, learners=(4, 5)))
    for _ in range(LOYAL.election_ticks):
        node.raft.tick()
        say(node, beat(node, NodeId(4)), beat(node, NodeId(5)))
    assert node.raft.role is Role.FOLLOWER


def test_who_hears_a_leader_does_not_even_learn_the_term_of_a_candidate() -> None:
    node = node_with(options=LOYAL)
    assert only(VoteAnswer, say(node, append(1, (0, 0)), ask_vote(9, (9, 9), sender=B))) == []
    assert node.raft.term == 1


def test_who_has_not_heard_its_leader_for_the_shortest_timeout_votes_again() -> None:
    node = node_with(options=LOYAL)
    say(node, append(1, (0, 0)))
    node.raft.election_timeout = 2 * LOYAL.election_ticks
    for _ in range(LOYAL.election_ticks):
        node.raft.tick()
    assert say(node, ask_vote(2, sender=B)) == [VoteAnswer(ME, B, Term(2), granted=True)]


def test_loyalty_ends_for_those_too_who_never_stand_themselves() -> None:
    node = node_with(membership=LEARNER, options=Options())
    say(node, append(1, (0, 0)))
    for _ in range(5 * LOYAL.election_ticks):
        node.raft.tick()
    asked = PreVoteRequest(B, ME, Term(2), Index(0), Term(0))
    assert all(say(node, asked) == [PreVoteAnswer(ME, B, Term(2), granted=True)] for _ in range(3))


def test_an_election_that_the_leader_wanted_overrides_loyalty() -> None:
    node = node_with(options=LOYAL)
    answers = say(node, append(1, (0, 0)), ask_vote(2, (0, 0), sender=B, forced=True))
    assert VoteAnswer(ME, B, Term(2), granted=True) in answers


# The tables.


def test_roles_turn_as_in_figure_4() -> None:
    assert TURNS[Role.LEADER] == {Role.FOLLOWER}
    assert [role for role, turns in TURNS.items() if Role.LEADER in turns] == [Role.CANDIDATE]


def test_only_a_follower_is_told_to_stand_and_only_a_leader_is_told_of_logs() -> None:
    assert [role for role, heard in HEARD.items() if TimeoutNow in heard] == [Role.FOLLOWER]
    assert [role for role, heard in HEARD.items() if AppendAnswer in heard] == [Role.LEADER]
    assert [role for role, heard in HEARD.items() if Append not in heard] == [Role.LEADER]


@pytest.mark.parametrize(("voters", "needed"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)])
def test_a_majority_is_more_than_half(voters: int, needed: int) -> None:
    assert majority(voters) == needed
    assert reached_by_majority([7] * needed + [3] * (voters - needed)) == 7
    assert reached_by_majority([7] * (needed - 1) + [3] * (voters - needed + 1)) == 3


def test_an_election_is_open_until_a_majority_said_yes_or_too_many_no() -> None:
    voters = tuple(map(NodeId, range(1, 5)))
    assert outcome(voters, {}) is Outcome.OPEN
    assert outcome(voters, {ME: True, A: True}) is Outcome.OPEN
    assert outcome(voters, {ME: True, A: True, B: True}) is Outcome.WON
    assert outcome(voters, {ME: True, A: False, B: False}) is Outcome.LOST
