"""Nothing leaves before it is durable, writes overlap, and a crash takes back nothing that was said."""

from __future__ import annotations

from slimjobs.eventlog.raft import HardState, Index, Options, Ready, Role, Term
from slimjobs.eventlog.raft.messages import Append, AppendAnswer, Heartbeat, HeartbeatAnswer, VoteAnswer, VoteRequest
from tests.eventlog.raft.alone import ME, A, B, ack, append, ask_vote, lead, node_with, only, propose, say, terms
from tests.eventlog.raft.simulated import Node


def writes(node: Node) -> list[Ready]:
    return [work for work in node.work if isinstance(work, Ready)]


def test_a_vote_leaves_when_term_and_vote_are_durable() -> None:
    node = node_with()
    node.raft.step(ask_vote(3))
    node.turn()
    assert node.outbox == []
    assert [write.hard_state for write in writes(node)] == [HardState(Term(3), A)]
    assert say(node) == [VoteAnswer(ME, A, Term(3), granted=True)]


def test_an_ack_leaves_when_its_entries_are_durable() -> None:
    node = node_with(term=1)
    node.raft.step(append(1, (0, 0), 1))
    node.turn()
    assert node.outbox == []
    assert only(AppendAnswer, say(node))[0].index == 1


def test_a_repeated_append_is_not_acked_before_the_first_one_is_durable() -> None:
    node = node_with(term=1)
    for _ in range(2):
        node.raft.step(append(1, (0, 0), 1))
        node.turn()
    assert node.outbox == []
    assert [answer.index for answer in only(AppendAnswer, say(node))] == [1, 1]


def test_a_refusal_waits_for_the_term_alone() -> None:
    node = node_with(term=1)
    node.raft.step(append(1, (0, 0), 1))
    node.turn()
    node.raft.step(append(1, (9, 1)))
    node.turn()
    assert [answer.accepted for answer in only(AppendAnswer, node.outbox)] == [False]


def test_a_heartbeat_is_answered_while_entries_are_being_written() -> None:
    node = node_with(term=1)
    node.raft.step(append(1, (0, 0), 1))
    node.turn()
    node.raft.step(Heartbeat(A, ME, Term(1), Index(0), round=4))
    node.turn()
    assert node.outbox == [HeartbeatAnswer(ME, A, Term(1), round=4)]


def test_a_candidate_counts_its_own_vote_when_that_is_durable() -> None:
    node = node_with(voters=1)
    node.raft.campaign()
    node.turn()
    roles = [node.raft.role]
    node.settle()
    assert [*roles, node.raft.role] == [Role.CANDIDATE, Role.LEADER]


def test_a_candidate_asks_for_votes_when_its_own_is_durable() -> None:
    node = node_with()
    node.raft.campaign()
    node.turn()
    assert node.outbox == []
    assert len(only(VoteRequest, say(node))) == 2


def test_a_leader_sends_entries_while_it_writes_them_itself() -> None:
    node = lead(node_with())
    propose(node, b"x")
    node.turn()
    assert {message.to for message in only(Append, node.outbox)} == {A, B}


def test_a_leader_counts_itself_only_for_what_is_durable() -> None:
    node = lead(node_with())
    propose(node, b"x")
    node.turn()
    node.raft.step(ack(node, A))
    assert node.raft.commit == 1
    node.settle()
    assert node.raft.commit == 2


def test_a_majority_of_others_commits_what_the_leader_has_yet_to_write() -> None:
    node = lead(node_with())
    propose(node, b"x")
    node.turn()
    node.raft.step(ack(node, A))
    node.raft.step(ack(node, B))
    node.turn()
    assert (node.raft.commit, node.applied) == (2, [b"x"])


def test_several_writes_may_be_outstanding_and_one_word_ends_them_all() -> None:
    node = lead(node_with(voters=1))
    for payload in (b"x", b"y", b"z"):
        propose(node, payload)
        node.turn()
    tickets = [write.ticket for write in writes(node)]
    assert len(tickets) == 3
    node.raft.persisted(tickets[1])
    assert node.raft.commit == 3
    node.raft.persisted(tickets[2])
    assert node.raft.commit == 4


def test_everything_is_handed_to_the_disk_once() -> None:
    node = lead(node_with(voters=1))
    propose(node, b"x")
    first, second = node.raft.ready(), node.raft.ready()
    assert first is not None
    assert [entry.payload for entry in first.entries] == [b"x"]
    assert second is None


def test_entries_that_were_cut_do_not_count_as_durable_when_their_write_ends() -> None:
    node = node_with(term=1)
    node.raft.step(append(1, (0, 0), 1, 1, 1))
    node.turn()
    node.raft.step(append(2, (1, 1), 2, sender=B))
    node.turn()
    first, second = writes(node)
    node.disk.persist(first)
    node.raft.persisted(first.ticket)
    assert node.raft.log.persisted == 1
    assert (second.truncate_after, [entry.term for entry in second.entries]) == (1, [2])


def test_an_ack_of_entries_that_were_cut_meanwhile_is_never_sent() -> None:
    node = node_with(term=1)
    node.raft.step(append(1, (0, 0), 1, 1, 1))
    node.turn()
    answers = say(node, append(2, (1, 1), 2, sender=B))
    assert [(answer.to, answer.index) for answer in only(AppendAnswer, answers)] == [(B, 2)]


def test_entries_that_never_reached_the_disk_are_replaced_without_a_cut() -> None:
    node = node_with([1], term=1)
    node.raft.step(append(1, (1, 1), 1, 1))
    node.raft.step(append(2, (1, 1), 2, sender=B))
    node.turn()
    (write,) = writes(node)
    assert (write.truncate_after, [entry.term for entry in write.entries]) == (None, [2])


def test_after_a_crash_a_node_knows_its_term_and_vote_and_gives_no_other() -> None:
    node = node_with()
    say(node, ask_vote(3, sender=A))
    node.start(seed=2)
    assert say(node, ask_vote(3, (9, 9), sender=B)) == [VoteAnswer(ME, B, Term(3), granted=False)]


def test_after_a_crash_what_was_not_durable_is_gone_and_was_never_said() -> None:
    node = node_with(term=1)
    say(node, append(1, (0, 0), 1))
    node.raft.step(append(1, (1, 1), 1))
    node.turn()
    node.start(seed=2)
    assert terms(node) == [1]
    assert node.outbox == []


def test_a_leader_whose_disk_stands_still_for_an_election_timeout_steps_down() -> None:
    node = lead(node_with(options=Options(pre_vote=False)))
    propose(node, b"x")
    node.turn()
    for _ in range(node.options.election_ticks + 1):
        assert node.raft.role is Role.LEADER
        node.raft.tick()
        node.turn()
        for voter in (A, B):
            node.raft.step(HeartbeatAnswer(voter, ME, node.raft.term))
    assert node.raft.role is Role.FOLLOWER


def test_a_lone_voter_waits_for_its_disk() -> None:
    node = lead(node_with(voters=1))
    propose(node, b"x")
    node.turn()
    for _ in range(100):
        node.raft.tick()
    assert node.raft.role is Role.LEADER


def test_a_ready_without_a_write_needs_no_disk() -> None:
    node = lead(node_with())
    node.raft.tick()
    ready = node.raft.ready()
    assert ready is not None
    assert not ready.needs_disk
    assert ready.messages


def test_loaded_entries_of_a_branch_that_was_cut_meanwhile_are_not_used() -> None:
    node = node_with([1, 1, 1], term=1)
    node.raft.step(append(1, (3, 1), commit=2))
    node.turn()
    stale = node.disk.load(Index(1), Index(3), 3)
    node.raft.step(append(2, (2, 1), 2, commit=2, sender=B))
    node.raft.loaded(stale)
    node.turn()
    assert node.applied == []
    node.settle()
    assert node.applied == [b"1@1", b"2@1"]
