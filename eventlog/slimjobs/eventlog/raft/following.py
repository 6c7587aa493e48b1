"""What a node does with the words of its leader (Raft §5.3, §7; figure 2, AppendEntries)."""

from __future__ import annotations

from slimjobs.eventlog.raft.membership import Memberships
from slimjobs.eventlog.raft.messages import (
    Append,
    AppendAnswer,
    CommitNotice,
    Heartbeat,
    HeartbeatAnswer,
    ReadAnswer,
    SnapshotOffer,
)
from slimjobs.eventlog.raft.state import State
from slimjobs.eventlog.raft.types import Index, Membership, NodeId, Role, Term


# Figure 2, candidates: who hears the leader of its own term gives up and follows.
def heed(state: State, leader: NodeId) -> None:
    """There is a leader of this term: follow it, and wait a whole timeout again."""
    if state.role is not Role.FOLLOWER or state.leader != leader:
        state.become_follower(state.term, leader)
    state.election_elapsed = 0


# Figure 2, AppendEntries 2-5. What is committed here is equal to the leader's log anyway (leader completeness), so an
# append from before that is answered with what is known rather than looked at.
def on_append(state: State, append: Append) -> None:
    """Take up entries if the logs agree before them."""
    heed(state, append.sender)
    log = state.log
    if append.prev_index < log.commit:
        accept(state, append.sender, log.commit)
    elif log.matches(append.prev_index, append.prev_term):
        take_up(state, append)
        last = Index(append.prev_index + len(append.entries))
        state.commit_to(min(append.commit, last))
        accept(state, append.sender, last)
    else:
        refuse(state, append)


# Figure 2, AppendEntries 3-4: cut only at a conflict, for an append may be late and its entries long known.
def take_up(state: State, append: Append) -> None:
    """Add what is missing, in place of what conflicts."""
    missing = state.log.missing(append.entries)
    if not missing:
        return
    before = Index(missing[0].index - 1)
    if before < state.log.last_index:
        state.truncate(before)
    state.append(missing)


def accept(state: State, leader: NodeId, index: Index) -> None:
    """Say that the log is equal up to `index`; it leaves when that is durable."""
    state.send(AppendAnswer(state.id, leader, state.term, accepted=True, index=index))


def refuse(state: State, append: Append) -> None:
    """Say that the logs differ, and where they may agree."""
    hint_index, hint_term = state.log.terms.last_at_most(append.prev_index, append.prev_term)
    prev_index = append.prev_index
    state.send(AppendAnswer(state.id, append.sender, state.term, False, prev_index, hint_index, hint_term))


def on_heartbeat(state: State, heartbeat: Heartbeat) -> None:
    """Stay loyal, and say so."""
    heed(state, heartbeat.sender)
    state.commit_to(heartbeat.commit)
    state.send(HeartbeatAnswer(state.id, heartbeat.sender, state.term, heartbeat.round))


def on_commit_notice(state: State, notice: CommitNotice) -> None:
    """Learn of a commit as soon as there is one, not with the next heartbeat."""
    heed(state, notice.sender)
    state.commit_to(notice.commit)


# Figure 13, InstallSnapshot 6: a log that holds the snapshot's last entry needs no snapshot.
def on_snapshot_offer(state: State, offer: SnapshotOffer) -> None:
    """Have the snapshot fetched, unless the log is as far already."""
    heed(state, offer.sender)
    if state.log.matches(offer.index, offer.snapshot_term):
        state.commit_to(offer.index)
    if offer.index <= state.log.commit:
        accept(state, offer.sender, state.log.commit)
    else:
        state.snapshot = offer


# Figure 13, InstallSnapshot 7-8: else the whole log goes, and state and membership are the snapshot's.
def restore(state: State, index: Index, term: Term, membership: Membership) -> bool:
    """Begin anew behind a durable snapshot; False if the log is as far already."""
    if state.log.matches(index, term):
        state.commit_to(index)
    is_needed = index > state.log.commit
    if is_needed:
        state.log.replace(index, term)
        state.memberships = Memberships((index, membership))
        state.disk.cut(index)
    if state.role is Role.FOLLOWER and state.leader:
        accept(state, state.leader, state.log.commit)
    return is_needed


def on_read_answer(state: State, answer: ReadAnswer) -> None:
    """The leader said which index a read of this node has to see."""
    state.reads.finish(answer.read, answer.index)
