"""What a leader decides: entries, commits, members, reads, and when to go (Raft §5.4.2; thesis §3.10, §4, §6)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import cast

from slimjobs.eventlog.raft.membership import changed, encode_membership
from slimjobs.eventlog.raft.messages import ReadAnswer, ReadRequest, TimeoutNow
from slimjobs.eventlog.raft.progress import Progress
from slimjobs.eventlog.raft.quorum import majority, reached_by_majority
from slimjobs.eventlog.raft.state import NOBODY, State
from slimjobs.eventlog.raft.types import Entry, EntryKind, Index, MembershipChange, NodeId, Role


# Thesis §6.4, step 1 (Raft §8): a new leader commits an empty entry at once, for only by an entry of its own term can
# it learn what is committed.
def begin(state: State) -> None:
    """The election is won."""
    state.turn(Role.LEADER, state.id)
    follow_membership(state)
    append(state, [(EntryKind.NO_OP, b"")])
    state.heartbeat_due = True


def follow_membership(state: State) -> None:
    """Replicate to those who belong now, and to nobody else."""
    members = (*state.membership.voters, *state.membership.learners)
    last_index, known = state.log.last_index, state.progress
    state.progress = {node: known.get(node) or Progress(last_index) for node in members if node != state.id}
    if state.transferee not in state.membership.voters:
        state.transferee = NOBODY


def append(state: State, payloads: Sequence[tuple[EntryKind, bytes]]) -> Index:
    """Write entries of this term behind the last; the index of the first. They reach followers with the next ready."""
    first, term = Index(state.log.last_index + 1), state.term
    indices = cast(Iterator[Index], count(first))
    entries = [Entry(index, term, kind, payload) for index, (kind, payload) in zip(indices, payloads, strict=False)]
    if entries and state.append(entries):
        follow_membership(state)
    return first


# Thesis §4.1 and its erratum of 2015: one change at a time, each in force when appended, and none before an entry of
# this term is committed, else two majorities that do not overlap could both decide.
def change_membership(state: State, change: MembershipChange) -> Index | None:
    """Append the changed membership; None if this cannot be now, or would change nothing."""
    if state.memberships.changed_at > state.log.commit or not has_committed(state):
        return None
    membership = changed(state.membership, change)
    if membership is None:
        return None
    return append(state, [(EntryKind.CONFIGURATION, encode_membership(membership))])


def has_committed(state: State) -> bool:
    """Whether this leader knows what is committed: an entry of its own term is."""
    return state.log.term_at(state.log.commit) == state.term


# Figure 2, leaders, last rule; §5.4.2: replicas are counted only for entries of this term. An older entry on a
# majority can still be overwritten (figure 8), so it commits only by lying below one of this term. The leader counts
# its own disk like anyone's (thesis §10.2.1), and not at all when it is no voter (§4.2.2).
def advance_commit(state: State) -> None:
    """Commit what a majority holds durably."""
    marks = [mark(state, voter) for voter in state.membership.voters]
    index = Index(reached_by_majority(marks))
    if index > state.log.commit and state.log.term_at(index) == state.term:
        state.commit_to(index)


def mark(state: State, voter: NodeId) -> Index:
    """How far that voter's log is known to be durable and equal to this one."""
    return state.log.persisted if voter == state.id else state.progress[voter].match


def on_read_request(state: State, request: ReadRequest) -> None:
    """A follower asks which index a read has to see; only a leader that knows what is committed can say."""
    if state.role is Role.LEADER and has_committed(state):
        state.reads.ask(request.sender, request.read, state.log.commit)
    else:
        state.send(ReadAnswer(state.id, request.sender, state.term, request.read, Index(0)))


# Thesis §6.4, step 3: a leader may have been deposed without knowing; a majority that answers a later heartbeat of
# its term shows that it was not when the read arrived.
def confirm_reads(state: State) -> None:
    """Answer the reads whose round of heartbeats a majority has answered."""
    rounds = [
        state.reads.round if voter == state.id else state.progress[voter].round for voter in state.membership.voters
    ]
    for asked in state.reads.confirmed(reached_by_majority(rounds)):
        if asked.origin == state.id:
            state.reads.finish(asked.read, asked.index)
        else:
            state.send(ReadAnswer(state.id, asked.origin, state.term, asked.read, asked.index))


# Thesis §6.2: a leader that a majority does not answer within an election timeout steps down, so that its callers go
# elsewhere. Its voters' loyalty ends no earlier.
def has_quorum(state: State) -> bool:
    """Whether a majority of the voters answered within the shortest election timeout."""
    limit = state.options.election_ticks
    heard = [v == state.id or state.progress[v].silent_ticks < limit for v in state.membership.voters]
    return sum(heard) >= majority(len(heard))


# A leader whose disk stands still can lead nobody for long, and its successor could; alone it has none.
def is_disk_stalled(state: State) -> bool:
    """Whether one write has taken an election timeout; called once a tick."""
    oldest = state.disk.oldest_write
    state.stalled_ticks = state.stalled_ticks + 1 if oldest and oldest == state.stalled_write else 0
    state.stalled_write = oldest
    return state.stalled_ticks >= state.options.election_ticks and len(state.membership.voters) > 1


# Thesis §3.10: bring the target level with this log, taking no new entries meanwhile, then let it stand at once.
def transfer(state: State, to: NodeId) -> bool:
    """Hand leadership to that voter; whether it was begun. Given up after an election timeout."""
    if state.role is not Role.LEADER or to == state.id or to not in state.membership.voters:
        return False
    state.transferee, state.transfer_elapsed = to, 0
    hand_over_if_level(state)
    return True


def hand_over_if_level(state: State) -> None:
    """Let the target stand for election if it has the whole log."""
    if state.progress[state.transferee].match == state.log.last_index:
        state.send(TimeoutNow(state.id, state.transferee, state.term))


# Thesis §4.2.2: a leader that is no member any more manages the cluster until that is committed, then steps down.
def leave_if_removed(state: State) -> None:
    """Step down once the own removal is committed and told."""
    if not state.is_voter and state.memberships.changed_at <= state.log.commit:
        state.become_follower(state.term, NOBODY)


def tick(state: State) -> None:
    """One tick of a leader's clocks."""
    for progress in state.progress.values():
        progress.tick()
    state.heartbeat_elapsed += 1
    if state.heartbeat_elapsed >= state.options.heartbeat_ticks:
        state.heartbeat_elapsed, state.heartbeat_due = 0, True
    state.transfer_elapsed += 1
    if state.transfer_elapsed >= state.options.election_ticks:
        state.transferee = NOBODY
    if is_disk_stalled(state) or (state.options.check_quorum and not has_quorum(state)):
        state.become_follower(state.term, NOBODY)
