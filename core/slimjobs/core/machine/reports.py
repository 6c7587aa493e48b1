"""What members report to their leader: their clocks, how far they are, which state they were in at a checkpoint.

A leader stamps records with its own clock, so it has to know before the first of them whether that is to be trusted;
a report comes as soon as a new leader is heard, and then with the heartbeats (design §2).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

import msgspec

from slimjobs.core.machine.inputs import Now
from slimjobs.core.machine.letters import Report
from slimjobs.core.machine.outbox import Outbox
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.eventlog.events.cluster import CheckpointAgreed
from slimjobs.eventlog.raft import Index, NodeId, Raft, Role, Term


class Heard(msgspec.Struct, frozen=True):
    """A report, when it came (monotonic), and how far its sender's clock was before ours then (Unix ms)."""

    report: Report
    at_ns: int
    clock_offset_ms: int


class Seen(NamedTuple):
    """The state's hash at a checkpoint; no hash where there was none."""

    at: Index = Index(0)
    digest: bytes = b""


class Reports:
    """The latest report of every member, in this reign. `own`: this node's last checkpoint, as of `now_ns`."""

    def __init__(self, raft: Raft, outbox: Outbox, settings: MachineSettings) -> None:
        self.heard: dict[NodeId, Heard] = {}
        self._raft = raft
        self._outbox = outbox
        self._settings = settings
        self._told: tuple[NodeId, Term] = NodeId(0), Term(0)
        self._tell_again_ns = 0
        self._agreed = Index(0)
        self.own = Seen()
        self.now_ns = 0

    def take(self, report: Report, now: Now) -> None:
        """A member has reported; what it said to another leader, or in another term, is of no use here."""
        self.heard[report.sender] = Heard(report, now.monotonic_ns, report.wall_ms - now.wall_ms)

    def tell(self, checkpoint: Seen, now: Now) -> None:
        """Report to the leader that is heard: at once to a new one, then as often as there are heartbeats."""
        self.own, self.now_ns = checkpoint, now.monotonic_ns
        raft = self._raft
        leader = raft.leader, raft.term
        if raft.role is not Role.FOLLOWER or not raft.leader:
            return
        if leader == self._told and now.monotonic_ns < self._tell_again_ns:
            return
        self._told = leader
        self._tell_again_ns = now.monotonic_ns + self._settings.election_milliseconds * 100_000
        level, version = self._settings.event_level, self._settings.version
        me, to, last_index, commit = raft.id, raft.leader, raft.last_index, raft.commit
        self._outbox.letters.append(
            Report(me, to, now.wall_ms, last_index, commit, *checkpoint, level, version, raft.term)
        )

    @property
    def _others(self) -> Sequence[Heard]:
        """What the other voters have reported in this term."""
        return [self.heard[voter] for voter in self._raft.membership.voters if self.is_heard(voter)]

    def is_heard(self, node: NodeId) -> bool:
        """Whether that node has reported in this term."""
        return node in self.heard and self.heard[node].report.term == self._raft.term

    # Of two clocks that differ nobody can say which is wrong; a third voter is waited for, but not for ever.
    def are_enough(self, reigned_ns: int) -> bool:
        """Whether a majority of the voters, this leader among them, has been heard, and is of one mind about time."""
        voters, others = len(self._raft.membership.voters), self._others
        if len(others) < voters // 2:
            return False
        offsets = [0, *(heard.clock_offset_ms for heard in others)]
        agree = max(offsets) - min(offsets) <= self._limit_ms
        return agree or len(others) == voters - 1 or reigned_ns >= self._settings.election_milliseconds * 1_000_000

    # The middle of all clocks, the own one among them: of three, one that is wrong never decides.
    @property
    def clock_skew_ms(self) -> int:
        """How far the middle of all voters' clocks is before the own one."""
        offsets = sorted([0, *(heard.clock_offset_ms for heard in self._others)])
        low, high = offsets[(len(offsets) - 1) // 2], offsets[len(offsets) // 2]
        return min(low, high, key=abs)

    @property
    def is_skewed(self) -> bool:
        """Whether the own clock is too far from the others' for stamping records."""
        return abs(self.clock_skew_ms) > self._limit_ms

    @property
    def _limit_ms(self) -> float:
        return self._settings.max_clock_skew_seconds * 1000

    def distance_from_middle_ms(self, node: NodeId) -> float:
        """How far that node's clock is from the middle of all; endless where it was not heard."""
        return abs(self.heard[node].clock_offset_ms - self.clock_skew_ms) if self.is_heard(node) else math.inf

    def level(self, nodes: Collection[NodeId]) -> int:
        """The highest event level that each of these understands; 1 as long as not all have been heard."""
        others = {*nodes} - {self._raft.id}
        if not all(self.is_heard(node) for node in others):
            return 1
        return min([self._settings.event_level, *(self.heard[node].report.level for node in others)])

    def agreement(self, own: Seen) -> CheckpointAgreed | None:
        """A checkpoint at which a majority of the voters was in the same state, if there is a new one."""
        voters = self._raft.membership.voters
        seen = [Seen(heard.report.checkpoint, heard.report.digest) for heard in self._others]
        if self._raft.is_voter and len(voters) > 1:  # alone, one agrees with anything
            seen.append(own)
        news = [checkpoint for checkpoint in seen if checkpoint.digest and checkpoint.at > self._agreed]
        for checkpoint, count in Counter(news).items() if news else ():
            if count > len(voters) // 2:
                return CheckpointAgreed(*checkpoint)
        return None

    def agreed(self, index: Index) -> None:
        """What was agreed on is in the log."""
        self._agreed = max(self._agreed, index)
