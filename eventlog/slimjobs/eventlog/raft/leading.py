"""What a leader does: begin, replicate, commit (Raft §5.3, §5.4.2; thesis §3.10, §4.1, §6.2, §6.4, §10.2.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import cast

from slimjobs.eventlog.raft.membership import changed, encode_membership
from slimjobs.eventlog.raft.messages import (
    Append,
    AppendAnswer,
    CommitNotice,
    Heartbeat,
    HeartbeatAnswer,
    ReadAnswer,
    ReadRequest,
    SnapshotOffer,
    TimeoutNow,
)
from slimjobs.eventlog.raft.progress import Progress, Sending
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


def broadcast(state: State) -> None:
    """Give every follower what it may have now; called once for all that came in together."""
    if state.reads.round_due:
        state.reads.round += 1
        state.heartbeat_due = True
    for node, progress in state.progress.items():
        if state.heartbeat_due:
            commit = min(state.log.commit, progress.match)
            state.send(Heartbeat(state.id, node, state.term, commit, state.reads.round))
        replicate(state, node, progress)
    state.heartbeat_due = False
    confirm_reads(state)
    leave_if_removed(state)


def replicate(state: State, node: NodeId, progress: Progress) -> None:
    """Send what the window allows, or one question if nothing is known; then tell a commit that no append told."""
    while progress.next <= state.log.last_index and progress.may_send_entries(state.options):
        entries = next_entries(state, progress)
        if not entries or not send_append(state, node, progress, entries):
            break
    if progress.question_due:
        send_append(state, node, progress, ())
    commit = min(state.log.commit, progress.match)
    if commit > progress.told_commit:
        progress.told_commit = commit
        state.send(CommitNotice(state.id, node, state.term, commit))


def next_entries(state: State, progress: Progress) -> tuple[Entry, ...]:
    """What to send next, within the size of a message; nothing if it has to be loaded first."""
    available = state.log.in_memory(progress.next, state.log.last_index)
    if available is None:
        want_loaded(state, progress)
        return ()
    size, fitting = 0, 0
    for entry in available:
        size += len(entry.payload)
        if size > state.options.max_append_bytes and fitting:
            break
        fitting += 1
    return tuple(available[:fitting])


def want_loaded(state: State, progress: Progress) -> None:
    """Ask for what the follower needs next, once it is known where the logs agree and if the disk still has it."""
    if progress.next < state.log.first_index:
        progress.question_due = True
    elif progress.sending is Sending.REPLICATE:
        state.wanted.append(state.log.to_load(progress.next, state.log.last_index))


# Raft §5.3: an append names the entry before its own. §7: where that entry is gone, only the snapshot helps.
def send_append(state: State, node: NodeId, progress: Progress, entries: tuple[Entry, ...]) -> bool:
    """Send an append, or offer the snapshot if the log no longer reaches back so far; whether an append went."""
    prev_index = Index(progress.next - 1)
    prev_term = state.log.term_at(prev_index)
    if progress.sending is Sending.SNAPSHOT or prev_term is None:
        offer_snapshot(state, node, progress)
        return False
    commit, last = state.log.commit, Index(prev_index + len(entries))
    state.send(Append(state.id, node, state.term, prev_index, prev_term, commit, entries))
    progress.sent(last, sum([len(entry.payload) for entry in entries]))
    progress.told_commit = max(progress.told_commit, min(commit, last))
    return True


def offer_snapshot(state: State, node: NodeId, progress: Progress) -> None:
    """Offer the newest snapshot; again with every answered heartbeat until the follower has it."""
    if progress.sending is not Sending.SNAPSHOT:
        progress.turn(Sending.SNAPSHOT)
    progress.question_due = False
    log = state.log
    membership = state.memberships.at(log.snapshot_index)
    state.send(SnapshotOffer(state.id, node, state.term, log.snapshot_index, log.snapshot_term, membership))


def on_append_answer(state: State, answer: AppendAnswer) -> None:
    """A follower is further, or has to be asked further back."""
    progress = state.progress.get(answer.sender)
    if progress is None:
        return
    progress.silent_ticks = 0
    if answer.accepted:
        on_accepted(state, answer, progress)
    else:
        progress.refused(answer.index, agreed_at_most(state, answer))


def agreed_at_most(state: State, refusal: AppendAnswer) -> Index:
    """The last place where both logs may agree; what a follower has no term for is compacted there, so committed."""
    if refusal.hint_term == 0:
        return refusal.hint_index
    return state.log.terms.last_at_most(refusal.hint_index, refusal.hint_term)[0]


def on_accepted(state: State, answer: AppendAnswer, progress: Progress) -> None:
    """The follower holds everything up to that index durably."""
    progress.accepted(answer.index)
    if progress.sending is not Sending.REPLICATE and state.log.term_at(progress.match) is not None:
        progress.turn(Sending.REPLICATE)
    advance_commit(state)
    if answer.sender == state.transferee:
        hand_over_if_level(state)


# An append may be lost, and with it all that were streamed after it. A follower that answers and is behind is asked
# where it is; the question costs nothing if it is only slow.
def on_heartbeat_answer(state: State, answer: HeartbeatAnswer) -> None:
    """The follower still follows; a majority of such answers confirms reads."""
    progress = state.progress.get(answer.sender)
    if progress is None:
        return
    progress.silent_ticks = 0
    progress.round = max(progress.round, answer.round)
    progress.question_due = progress.match < state.log.last_index or progress.sending is not Sending.REPLICATE
    confirm_reads(state)


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
        progress.silent_ticks += 1
    state.heartbeat_elapsed += 1
    if state.heartbeat_elapsed >= state.options.heartbeat_ticks:
        state.heartbeat_elapsed, state.heartbeat_due = 0, True
    state.transfer_elapsed += 1
    if state.transfer_elapsed >= state.options.election_ticks:
        state.transferee = NOBODY
    if is_disk_stalled(state) or (state.options.check_quorum and not has_quorum(state)):
        state.become_follower(state.term, NOBODY)
