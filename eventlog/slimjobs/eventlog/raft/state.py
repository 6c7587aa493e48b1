"""All that a node remembers, and the turns between roles; the rules in the modules beside this one work on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from slimjobs.eventlog.raft.durability import Durability
from slimjobs.eventlog.raft.entropy import Entropy
from slimjobs.eventlog.raft.log import Log
from slimjobs.eventlog.raft.membership import Memberships
from slimjobs.eventlog.raft.messages import Message, PreVoteRequest, SnapshotOffer, VoteRequest
from slimjobs.eventlog.raft.options import Options, Start
from slimjobs.eventlog.raft.progress import Progress
from slimjobs.eventlog.raft.reads import Reads
from slimjobs.eventlog.raft.types import Entry, HardState, Index, Membership, NodeId, Role, Term

NOBODY: Final = NodeId(0)

TURNS: Final[Mapping[Role, frozenset[Role]]] = {
    Role.FOLLOWER: frozenset({Role.FOLLOWER, Role.PRE_CANDIDATE, Role.CANDIDATE}),
    Role.PRE_CANDIDATE: frozenset({Role.FOLLOWER, Role.PRE_CANDIDATE, Role.CANDIDATE}),
    Role.CANDIDATE: frozenset({Role.FOLLOWER, Role.PRE_CANDIDATE, Role.CANDIDATE, Role.LEADER}),
    Role.LEADER: frozenset({Role.FOLLOWER}),
}
"""Raft, figure 4, with the pre-candidate of thesis §9.6."""


class State:
    """Figure 2's state, the clocks in ticks, and what is on its way to disk and peers."""

    def __init__(self, start: Start, options: Options) -> None:
        self.id = start.id
        self.options = options
        self.term, self.vote = start.hard_state.term, start.hard_state.vote
        self.role = Role.FOLLOWER
        self.leader = NOBODY
        self.log = Log(start, options.max_cached_bytes)
        in_log = [each for each in start.configurations if each[0] <= self.log.last_index]
        self.memberships = Memberships((start.snapshot_index, start.membership), in_log)
        self.disk = Durability(start.hard_state)
        self.entropy = Entropy(start.seed)
        self.reads = Reads(self.entropy.draw() >> 2)
        self.votes: dict[NodeId, bool] = {}
        self.requests: Sequence[PreVoteRequest | VoteRequest] = ()
        self.progress: dict[NodeId, Progress] = {}
        self.transferee = NOBODY
        self.heartbeat_due = False
        self.snapshot: SnapshotOffer | None = None
        self.wanted: list[tuple[Index, Index]] = []
        self.loading = False
        self.stalled_write = self.stalled_ticks = 0
        self.reset_clocks()

    @property
    def membership(self) -> Membership:
        """The one in force here."""
        return self.memberships.current

    @property
    def hard_state(self) -> HardState:
        """What must survive a crash."""
        return HardState(self.term, self.vote)

    @property
    def is_voter(self) -> bool:
        """Whether this node may stand for election and count itself."""
        return self.id in self.membership.voters

    def send(self, message: Message) -> None:
        """Let the message leave when what it promises is durable."""
        self.disk.send(message, self.hard_state, self.log.has_unsaved)

    # Raft §5.2: election timeouts are random, drawn anew each time, so that split votes are rare and do not repeat.
    def reset_clocks(self) -> None:
        """Wait a whole election timeout from now on."""
        self.election_elapsed = self.heartbeat_elapsed = self.transfer_elapsed = 0
        self.election_timeout = self.options.election_ticks + self.entropy.below(self.options.election_ticks)

    def turn(self, role: Role, leader: NodeId) -> None:
        """Take another role; what belonged to the old one is gone."""
        if role not in TURNS[self.role]:
            raise AssertionError(f"a {self.role.value} cannot become a {role.value}")
        self.role, self.leader = role, leader
        self.reads.lose_all()
        self.votes, self.requests, self.progress, self.transferee = {}, (), {}, NOBODY
        self.reset_clocks()

    # Figure 2: a term only rises, and brings a vote that is not yet given.
    def enter_term(self, term: Term) -> None:
        """Go on in this term, if it is a later one."""
        if term > self.term:
            self.term, self.vote = term, NOBODY
            self.disk.drop_held_before(term)

    def become_follower(self, term: Term, leader: NodeId) -> None:
        """Follow that leader in that term, or wait for one."""
        self.enter_term(term)
        self.turn(Role.FOLLOWER, leader)

    def append(self, entries: Sequence[Entry]) -> bool:
        """Add entries behind the last; whether the membership changed by that."""
        self.log.append(entries)
        return self.memberships.learn(entries)

    def truncate(self, after: Index) -> None:
        """Remove entries that another leader's replace."""
        self.log.truncate(after)
        self.memberships.truncate(after)
        self.disk.cut(after)

    def commit_to(self, index: Index) -> None:
        """Everything up to `index` is committed, as far as it is here; this never goes back."""
        self.log.commit = max(self.log.commit, min(index, self.log.last_index))
