"""How a leader's log gets to its followers (Raft §5.3, §7): appends, snapshots, heartbeats, and the answers to them."""

from __future__ import annotations

from slimjobs.eventlog.raft import leading
from slimjobs.eventlog.raft.messages import (
    Append,
    AppendAnswer,
    CommitNotice,
    Heartbeat,
    HeartbeatAnswer,
    SnapshotOffer,
)
from slimjobs.eventlog.raft.progress import Progress, Sending
from slimjobs.eventlog.raft.state import State
from slimjobs.eventlog.raft.types import Entry, Index, NodeId


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
    leading.confirm_reads(state)
    leading.leave_if_removed(state)


def replicate(state: State, node: NodeId, progress: Progress) -> None:
    """Send what the window allows, or one question if nothing is known; then tell a commit that no append told."""
    while progress.next <= state.log.last_index and progress.may_send_entries(state.options):
        entries = next_entries(state, progress)
        if not entries or not send_append(state, node, progress, entries):
            break
    if progress.question_due:
        send_append(state, node, progress, ())
    if has_news(state, progress) and may_notice(state, progress):
        progress.told_commit, progress.was_noticed = min(state.log.commit, progress.match), True
        state.send(CommitNotice(state.id, node, state.term, progress.told_commit))


# Where commits come thick, the next append tells of the one before it, and reads bring their commit with them: so one
# notice a tick may be enough, and saves both sides a turn. A leader that was removed leaves with its last word.
def may_notice(state: State, progress: Progress) -> bool:
    """Whether a follower may be told of a commit now."""
    return not (state.options.one_notice_a_tick and progress.was_noticed and state.is_voter)


def has_news(state: State, progress: Progress) -> bool:
    """Whether more is committed of what a follower holds than it was told."""
    return min(state.log.commit, progress.match) > progress.told_commit


def owes_notice(state: State) -> bool:
    """Whether a follower is to be told of a commit at the next tick."""
    return any(has_news(state, progress) for progress in state.progress.values())


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
    leading.advance_commit(state)
    if answer.sender == state.transferee:
        leading.hand_over_if_level(state)


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
    leading.confirm_reads(state)
