"""The core as its caller sees it: things go in by calls, everything comes out of `ready()`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from slimjobs.eventlog.raft import election, following, leading, replication
from slimjobs.eventlog.raft.membership import encode_membership
from slimjobs.eventlog.raft.messages import (
    Append,
    AppendAnswer,
    CommitNotice,
    Heartbeat,
    HeartbeatAnswer,
    Message,
    PreVoteAnswer,
    PreVoteRequest,
    ReadAnswer,
    ReadRequest,
    SnapshotOffer,
    TimeoutNow,
    VoteAnswer,
    VoteRequest,
)
from slimjobs.eventlog.raft.options import Options, Start
from slimjobs.eventlog.raft.ready import Ready
from slimjobs.eventlog.raft.state import NOBODY, State
from slimjobs.eventlog.raft.types import Entry, EntryKind, Index, Membership, MembershipChange, NodeId, Role, Term

FOUNDING_TERM: Final = Term(1)

FOR_ALL: Final = frozenset[type[Message]]({PreVoteRequest, VoteRequest, ReadRequest, ReadAnswer})
OF_A_LEADER: Final = frozenset[type[Message]]({Append, Heartbeat, CommitNotice, SnapshotOffer})

HEARD: Final[Mapping[Role, frozenset[type[Message]]]] = {
    Role.FOLLOWER: FOR_ALL | OF_A_LEADER | {TimeoutNow},
    Role.PRE_CANDIDATE: FOR_ALL | OF_A_LEADER | {PreVoteAnswer},
    Role.CANDIDATE: FOR_ALL | OF_A_LEADER | {VoteAnswer},
    Role.LEADER: FOR_ALL | {AppendAnswer, HeartbeatAnswer},
}
"""What each role listens to; the rest is late or lost its meaning, and is passed over."""


class Raft(State):
    """One node of the consensus. No call blocks, reads a clock or touches a disk.

    To be read at any time: `role`, `term`, `leader` (0: unknown), `membership`, `commit`, `applied`, `last_index`,
    `log.term_at(index)`, `transferee`, and on a leader `progress` (of each follower `match` and `silent_ticks`).
    """

    def __init__(self, start: Start, options: Options) -> None:
        super().__init__(start, options)
        self._told_commit = Index(0)
        self._has_news = True

    @property
    def commit(self) -> Index:
        """How far the log is committed, as far as this node knows."""
        return self.log.commit

    @property
    def last_index(self) -> Index:
        """The last entry of the log, durable or not."""
        return self.log.last_index

    @property
    def applied(self) -> Index:
        """How far committed entries were handed out."""
        return self.log.applied

    def tick(self) -> None:
        """A tick of the clock has passed."""
        self._has_news = True
        if self.role is Role.LEADER:
            leading.tick(self)
        else:
            election.tick(self)

    @property
    def ticks_until_due(self) -> int:
        """After how many ticks something is to be done; until then they may be told late, all at once."""
        if self.role is Role.LEADER:
            until_heartbeat = self.options.heartbeat_ticks - self.heartbeat_elapsed
            return 1 if replication.owes_notice(self) else until_heartbeat
        if not election.may_stand(self):
            return self.options.election_ticks
        until_election = self.election_timeout - self.election_elapsed
        if not self.requests:
            return until_election
        return min(until_election, self.options.heartbeat_ticks - self.heartbeat_elapsed)

    # The first entry says who founded, so that all memberships can be read from the log. Its term is nobody's reign.
    def found(self) -> None:
        """Begin a log whose only voter is this node, where there is none; stand for election once it is durable."""
        self._has_news = True
        if self.last_index or self.term > FOUNDING_TERM:
            raise AssertionError("a log is founded once")
        self.enter_term(FOUNDING_TERM)
        payload = encode_membership(Membership((self.id,)))
        self.append([Entry(Index(1), FOUNDING_TERM, EntryKind.CONFIGURATION, payload)])

    def campaign(self) -> None:
        """The election timeout is over now."""
        self._has_news = True
        election.campaign(self)

    def resign(self) -> None:
        """Stop leading, without a successor."""
        self._has_news = True
        if self.role is Role.LEADER:
            self.become_follower(self.term, NOBODY)

    def transfer(self, to: NodeId) -> bool:
        """Hand leadership to that voter; False if this node does not lead or that one cannot."""
        self._has_news = True
        return leading.transfer(self, to)

    def propose(self, payloads: Sequence[tuple[EntryKind, bytes]]) -> Index | None:
        """Append entries (memberships go by `change_membership`); the index of the first, None if not leading."""
        self._has_news = True
        if self.role is not Role.LEADER or self.transferee:
            return None
        return leading.append(self, payloads)

    def change_membership(self, change: MembershipChange) -> Index | None:
        """Append the changed membership; None if not leading, a change is under way, or it changes nothing."""
        self._has_news = True
        if self.role is not Role.LEADER or self.transferee:
            return None
        return leading.change_membership(self, change)

    def read(self, token: int) -> bool:
        """Ask which index a read has to see; the answer is in `Ready.reads` or `Ready.lost_reads`, or lost with a
        message, so ask again after a while. False: no leader is known, or it does not know yet what is committed.
        """
        self._has_news = True
        if self.role is Role.LEADER and leading.has_committed(self):
            self.reads.ask(self.id, self.reads.number(token), self.log.commit)
            return True
        if self.role is Role.LEADER or self.leader == NOBODY:
            return False
        self.send(ReadRequest(self.id, self.leader, self.term, self.reads.number(token)))
        return True

    def step(self, message: Message) -> None:
        """Take a message of a peer."""
        self._has_news = True
        if message.to == self.id and self._heeds_term(message) and type(message) in HEARD[self.role]:
            self._dispatch(message)

    # Figure 2, all servers: a higher term is taken over, a lower one is refused with the own, so that its sender
    # learns of it. Pre-votes speak of a term that nobody has yet (thesis §9.6).
    def _heeds_term(self, message: Message) -> bool:
        """Settle the term; whether the message is to be looked at."""
        if message.term < self.term:
            self._refuse_old_term(message)
            return False
        if message.term == self.term:
            return True
        if isinstance(message, PreVoteRequest):
            return not election.is_loyal(self)
        if isinstance(message, VoteRequest) and not message.forced and election.is_loyal(self):
            return False
        if not (isinstance(message, PreVoteAnswer) and message.granted):
            self.become_follower(message.term, message.sender if type(message) in OF_A_LEADER else NOBODY)
        return True

    def _refuse_old_term(self, message: Message) -> None:
        """Tell a candidate or leader of an older term that its time is over."""
        if isinstance(message, PreVoteRequest):
            self.send(PreVoteAnswer(self.id, message.sender, self.term, granted=False))
        elif isinstance(message, VoteRequest):
            self.send(VoteAnswer(self.id, message.sender, self.term, granted=False))
        elif type(message) in OF_A_LEADER:
            self.send(AppendAnswer(self.id, message.sender, self.term, accepted=False, index=Index(0)))

    def _dispatch(self, message: Message) -> None:
        match message:
            case AppendAnswer():
                replication.on_append_answer(self, message)
            case Append():
                following.on_append(self, message)
            case HeartbeatAnswer():
                replication.on_heartbeat_answer(self, message)
            case Heartbeat():
                following.on_heartbeat(self, message)
            case CommitNotice():
                following.on_commit_notice(self, message)
            case ReadRequest():
                leading.on_read_request(self, message)
            case ReadAnswer():
                following.on_read_answer(self, message)
            case PreVoteRequest():
                election.on_pre_vote_request(self, message)
            case VoteRequest():
                election.on_vote_request(self, message)
            case PreVoteAnswer() | VoteAnswer():
                election.on_answer(self, message)
            case SnapshotOffer():
                following.on_snapshot_offer(self, message)
            case TimeoutNow():
                election.on_timeout_now(self, message)

    def persisted(self, ticket: int) -> None:
        """Everything that `ready()` gave to persist, up to this ticket, is durable."""
        self._has_news = True
        last, released = self.disk.persisted(ticket)
        self.log.saved(last)
        if self.role is Role.LEADER:
            leading.advance_commit(self)
        for message in released:
            if message.to == self.id:
                self.step(message)
            else:
                self.disk.outbox.append(message)

    def loaded(self, entries: Sequence[Entry]) -> None:
        """The answer to `Ready.load`: entries from its low index on, as many as were read; none if they are gone."""
        self._has_news = True
        self.loading = False
        self.log.loaded(entries)

    def replay(self, after: Index) -> None:
        """Hand out the committed entries behind `after` once more: the caller has the state of a snapshot of there."""
        self._has_news = True
        self.log.applied = after

    def leader_gone(self) -> None:
        """The process of the leader that is followed is known to have ended."""
        self._has_news = True
        if self.role is Role.FOLLOWER and self.leader != NOBODY:
            election.expect_no_leader(self)

    def compacted(self, index: Index, first_index: Index) -> None:
        """A snapshot of `index` is durable, and the log before `first_index` can no longer be loaded."""
        self._has_news = True
        self.log.compact(index, first_index)
        self.memberships.compact(self.log.snapshot_index)

    def restored(self, index: Index, term: Term, membership: Membership) -> bool:
        """A fetched snapshot (`Ready.snapshot`) is durable here. True: the caller's state is to be the snapshot's.

        False: the log is as far already, so the state it has goes on.
        """
        self._has_news = True
        return following.restore(self, index, term, membership)

    def ready(self) -> Ready | None:
        """Everything new, each thing once; None if there is nothing."""
        if not self._has_news:
            return None
        self._has_news = False
        if self.role is Role.LEADER:
            replication.broadcast(self)
        committed_entries, load, messages = self.log.take_committed(), self._next_load(), self.disk.take_outbox()
        reads, lost_reads = self.reads.take()
        snapshot, self.snapshot = self.snapshot, None
        to_persist = self.log.has_unsaved or self.hard_state != self.disk.hard_state
        committed_more = self.log.commit > self._told_commit
        if not (
            to_persist or messages or committed_more or committed_entries or reads or lost_reads or load or snapshot
        ):
            return None
        self._told_commit = self.log.commit
        hard_state = self.disk.hand_out(self.hard_state, self.log.last_index, self.log.has_unsaved)
        restart_after, truncate_after, entries = self.log.take_unsaved()
        return Ready(
            ticket=self.disk.ticket,
            hard_state=hard_state,
            restart_after=restart_after,
            truncate_after=truncate_after,
            entries=entries,
            messages=messages,
            committed=self.log.commit,
            committed_entries=committed_entries,
            reads=reads,
            lost_reads=lost_reads,
            load=load,
            snapshot=snapshot,
        )

    def _next_load(self) -> tuple[Index, Index] | None:
        """What to read from the disk next, one thing at a time: what is to be applied, else for who is furthest."""
        wanted, self.wanted = self.wanted, []
        if self.log.holds_loaded:
            needed_from = min([Index(self.applied + 1), *(progress.next for progress in self.progress.values())])
            self.log.forget_loaded_before(needed_from)
        if self.loading:
            return None
        if self.applied < self.commit:
            wanted = [self.log.to_load(Index(self.applied + 1), self.commit)]
        self.loading = bool(wanted)
        return min(wanted) if wanted else None
