"""How a log begins, and the few calls by which a caller who knows more than consensus helps it along."""

from __future__ import annotations

import pytest

from slimjobs.eventlog.raft import (
    EntryKind,
    HardState,
    Index,
    Membership,
    NodeId,
    Options,
    Raft,
    Ready,
    Role,
    Start,
    Term,
    decode_membership,
)
from slimjobs.eventlog.raft.messages import Heartbeat, PreVoteAnswer, PreVoteRequest
from tests.eventlog.raft.alone import ME, A

NOT_FOUNDED = Start(id=ME, seed=1, membership=Membership())
FINE = Options(election_ticks=100, heartbeat_ticks=10)


def readied(raft: Raft) -> list[Ready]:
    """Everything that comes out, with the disk at its side."""
    out = []
    while (ready := raft.ready()) is not None:
        out.append(ready)
        if ready.needs_disk:
            raft.persisted(ready.ticket)
    return out


def test_a_node_without_a_log_belongs_to_nobody_and_never_stands() -> None:
    raft = Raft(NOT_FOUNDED, Options())
    for _ in range(100):
        raft.tick()
    raft.campaign()
    assert raft.role is Role.FOLLOWER
    assert not readied(raft)


def test_the_founder_writes_its_membership_first_and_then_leads_alone() -> None:
    raft = Raft(NOT_FOUNDED, Options())
    raft.found()
    first = raft.ready()
    assert first is not None
    assert first.hard_state == HardState(Term(1), NodeId(0)), "a crash before the entry leaves a node that never voted"
    assert [(entry.index, entry.term, entry.kind) for entry in first.entries] == [(1, 1, EntryKind.CONFIGURATION)]
    assert decode_membership(first.entries[0].payload) == Membership((ME,))
    raft.persisted(first.ticket)
    raft.campaign()
    readied(raft)
    assert raft.role is Role.LEADER
    assert raft.term == 2
    assert raft.commit == 2


def test_a_log_is_founded_once() -> None:
    raft = Raft(NOT_FOUNDED, Options())
    raft.found()
    with pytest.raises(AssertionError, match="once"):
        raft.found()


def test_committed_entries_are_handed_out_again_behind_a_snapshot_that_is_begun_from_anew() -> None:
    raft = Raft(NOT_FOUNDED, Options())
    raft.found()
    readied(raft)
    raft.campaign()
    readied(raft)
    raft.propose([(EntryKind.RECORD, b"a"), (EntryKind.RECORD, b"b")])
    assert [entry.index for ready in readied(raft) for entry in ready.committed_entries] == [3, 4]
    raft.replay(Index(1))
    assert [entry.index for ready in readied(raft) for entry in ready.committed_entries] == [2, 3, 4]


def follower() -> Raft:
    """A voter of three that hears a leader."""
    start = Start(id=ME, seed=7, membership=Membership((ME, A, NodeId(3))), hard_state=HardState(Term(2), A))
    raft = Raft(start, FINE)
    raft.step(Heartbeat(A, ME, Term(2), Index(0)))
    readied(raft)
    return raft


def test_who_knows_that_the_leader_is_gone_stands_within_two_heartbeats() -> None:
    raft = follower()
    raft.leader_gone()
    assert raft.ticks_until_due <= 2 * FINE.heartbeat_ticks
    for _ in range(raft.ticks_until_due):
        raft.tick()
    asked = [message for ready in readied(raft) for message in ready.messages]
    assert {message.to for message in asked if isinstance(message, PreVoteRequest)} == {A, NodeId(3)}


def test_who_knows_that_the_leader_is_gone_is_not_loyal_to_it() -> None:
    raft, other = follower(), NodeId(3)
    question = PreVoteRequest(other, ME, Term(3), Index(0), Term(0))
    raft.step(question)
    assert not readied(raft)
    raft.leader_gone()
    raft.step(question)
    answers = [message for ready in readied(raft) for message in ready.messages]
    assert answers == [PreVoteAnswer(ME, other, Term(3), granted=True)]


def test_a_leader_that_is_heard_after_all_is_followed_on() -> None:
    raft = follower()
    raft.leader_gone()
    raft.step(Heartbeat(A, ME, Term(2), Index(0)))
    for _ in range(FINE.election_ticks - 1):
        raft.tick()
    assert raft.role is Role.FOLLOWER


def test_nothing_happens_between_the_ticks_that_are_due() -> None:
    raft = follower()
    while raft.ticks_until_due > 1:
        raft.tick()
        assert not readied(raft)
    raft.tick()
    assert readied(raft)
