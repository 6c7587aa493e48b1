"""Elections: standing, voting and winning (Raft §5.2, §5.4.1; thesis §4.2.3, §9.6)."""

from __future__ import annotations

from collections.abc import Sequence

from slimjobs.eventlog.raft import leading
from slimjobs.eventlog.raft.messages import PreVoteAnswer, PreVoteRequest, TimeoutNow, VoteAnswer, VoteRequest
from slimjobs.eventlog.raft.quorum import Outcome, outcome
from slimjobs.eventlog.raft.state import NOBODY, State
from slimjobs.eventlog.raft.types import NodeId, Role, Term


def tick(state: State) -> None:
    """One tick of the clocks of a node that does not lead."""
    state.election_elapsed += 1
    state.heartbeat_elapsed += 1
    if state.election_elapsed >= state.election_timeout:
        campaign(state)
    elif state.heartbeat_elapsed >= state.options.heartbeat_ticks:
        state.heartbeat_elapsed = 0
        ask_again(state)


# A timeout guesses that the leader is gone; who knows it owes no loyalty, and need not wait. All learn it at once, so
# they stand one after the other, a heartbeat apart: two that stand together may split the vote.
def expect_no_leader(state: State) -> None:
    """Stand for election within some heartbeats, unless a leader is heard."""
    successors = sorted(voter for voter in state.membership.voters if voter != state.leader)
    turn = successors.index(state.id) if state.id in successors else len(successors)
    wait = 1 + turn * state.options.heartbeat_ticks + state.entropy.below(2)
    state.election_elapsed = max(state.election_elapsed, state.options.election_ticks)
    state.election_timeout = state.election_elapsed + wait


def campaign(state: State) -> None:
    """Stand for election, if this node may and does not lead."""
    if state.role is Role.LEADER or not may_stand(state):
        return
    if state.options.pre_vote:
        stand_provisionally(state)
    else:
        stand(state, forced=False)


# Raft §5.2: voters stand for election; thesis §4.2.1: learners do not. Thesis §4.2.2: a voter that was removed still
# does until it knows that to be committed, for it may be the only one whose log can win; it does not count itself.
def may_stand(state: State) -> bool:
    """Whether this node is a voter by any membership that may be the last committed one."""
    if state.memberships.changed_at <= state.log.commit:
        return state.is_voter
    return any(state.id in each.voters for each in state.memberships.since(state.log.commit))


# Thesis §9.6: only who could win raises the term, so a node that was cut off does not depose a leader on its return.
def stand_provisionally(state: State) -> None:
    """Ask whether the voters would vote for this node in the next term."""
    state.turn(Role.PRE_CANDIDATE, NOBODY)
    term, log = Term(state.term + 1), state.log
    ask(state, [PreVoteRequest(state.id, to, term, log.last_index, log.terms.last_term) for to in others(state)])
    count(state, state.id, granted=True)


# Figure 2, candidates. The own vote is a message to itself, held like any other until it is durable: it is counted
# only when no crash can take it back, nor the log that the others compared with theirs.
def stand(state: State, *, forced: bool) -> None:
    """Begin a new term and ask for votes in it."""
    state.enter_term(Term(state.term + 1))
    state.turn(Role.CANDIDATE, NOBODY)
    state.vote = state.id
    term, log = state.term, state.log
    ask(state, [VoteRequest(state.id, to, term, log.last_index, log.terms.last_term, forced) for to in others(state)])
    state.send(VoteAnswer(state.id, state.id, state.term, granted=True))


def ask(state: State, requests: Sequence[PreVoteRequest | VoteRequest]) -> None:
    """Send the requests of this election, and keep them."""
    state.requests = requests
    for request in requests:
        state.send(request)


# Raft §5.5: requests are repeated until they are answered. It also shortens elections: a voter that heard the old
# leader a moment later than this node is silent at first, out of loyalty.
def ask_again(state: State) -> None:
    """Repeat what was not answered."""
    for request in state.requests:
        if request.to not in state.votes:
            state.send(request)


def others(state: State) -> tuple[NodeId, ...]:
    """The voters besides this node."""
    return tuple(voter for voter in state.membership.voters if voter != state.id)


# Thesis §4.2.3, §6.4.1: who has heard a leader within the shortest election timeout helps nobody to depose it, unless
# the leader itself wants that.
def is_loyal(state: State) -> bool:
    """Whether this node holds to a leader that it hears."""
    hears_it = state.role is Role.LEADER or state.election_elapsed < state.options.election_ticks
    return state.options.check_quorum and state.leader != NOBODY and hears_it


def on_pre_vote_request(state: State, asked: PreVoteRequest) -> None:
    """Say yes as a vote would be given in that term, but promise nothing."""
    free = asked.term > state.term or is_free_to_vote(state, asked.sender)
    granted = free and state.log.is_behind_or_equal(asked.last_index, asked.last_term)
    term = asked.term if granted else state.term
    state.send(PreVoteAnswer(state.id, asked.sender, term, granted))


# Figure 2, RequestVote: first come, first served, and only to a log at least as up to date as the own one.
def on_vote_request(state: State, asked: VoteRequest) -> None:
    """Vote at most once in a term."""
    up_to_date = state.log.is_behind_or_equal(asked.last_index, asked.last_term)
    granted = up_to_date and is_free_to_vote(state, asked.sender)
    if granted:
        state.vote = asked.sender
        state.election_elapsed = 0
    state.send(VoteAnswer(state.id, asked.sender, state.term, granted))


def is_free_to_vote(state: State, candidate: NodeId) -> bool:
    """Whether the vote of this term is still to be given, or was given to that candidate."""
    return state.vote == candidate or (state.vote == NOBODY and state.leader == NOBODY)


def on_answer(state: State, answer: PreVoteAnswer | VoteAnswer) -> None:
    """Count it."""
    count(state, answer.sender, granted=answer.granted)


# Raft §5.2: a majority of the voters decides, each counted once.
def count(state: State, voter: NodeId, *, granted: bool) -> None:
    """Enter a vote, and act if that decides the election."""
    state.votes.setdefault(voter, granted)
    result = outcome(state.membership.voters, state.votes)
    if result is Outcome.LOST:
        state.become_follower(state.term, NOBODY)
    elif result is Outcome.WON and state.role is Role.PRE_CANDIDATE:
        stand(state, forced=False)
    elif result is Outcome.WON:
        leading.begin(state)


def on_timeout_now(state: State, _: TimeoutNow) -> None:
    """Thesis §3.10: the leader wants this node to succeed it, so neither timeout nor pre-vote stands before it."""
    if may_stand(state):
        stand(state, forced=True)
