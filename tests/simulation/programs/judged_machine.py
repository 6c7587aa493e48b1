"""The production machine, heard by the judges in every turn: what it takes, what it answers, what it holds committed.

It also stands still where its process does, and says nothing after its death.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from slimjobs.core.machine.inputs import Abandoned, Asked, Called, Input, Now, Received, Token
from slimjobs.core.machine.letters import Letter
from slimjobs.core.machine.machine import Machine
from slimjobs.core.machine.outputs import Answer, Output, SaveSnapshot, Send, Stop, WakeAt
from slimjobs.core.machine.queries import ShowRun
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.eventlog.raft import Index, NodeId, Start, Term
from slimjobs.eventlog.raft.messages import VoteAnswer, VoteRequest
from slimjobs.eventlog.storage.requests import Persist
from slimjobs.eventlog.transport.greeting import NO_BACKUP
from slimjobs.projections.state import State
from tests.core.machine.chronicle import consensus_of
from tests.core.machine.cluster_disk import ClusterDisk, Snapshot
from tests.simulation.programs.life import here

ROUND_TRIP_NS = 5 * 10**9
"""How much longer than its patience a caller may wait: an election, and a slow way there and back."""

TURNS_AT_ONCE = 20_000


class JudgedMachine(Machine):
    """`paper` is what the log will be when the disk has done what it was asked; `held` came while it stood still."""

    def __init__(
        self,
        start: Start,
        state: State,
        room: int,
        founding_id: str,
        settings: MachineSettings,
        blank: bool,
        cluster: str = "",
        backup: tuple[int, int] = NO_BACKUP,
    ) -> None:
        super().__init__(start, state, room, founding_id, settings, blank, cluster, backup)
        self.id: NodeId = start.id
        self.paper = ClusterDisk(start.id)
        self._patience_seconds = settings.patience_seconds
        self._held: list[Input] = []
        self._still_since: int | None = None
        self._turned_at, self._turns = 0, 0
        self._life = here()
        self._life.machine = self
        self._life.cluster.tale.say(self._life.name, "opens as", start.id, "with", start.last_index, "entries")

    @property
    def committed(self) -> Index:
        """How far it holds the log to be committed."""
        return consensus_of(self).commit

    def handle(self, inputs: Sequence[Input], now: Now) -> list[Output]:
        """A turn, judged."""
        life = self._life
        if life.dead:
            return []
        if life.stands_still:
            self._held += inputs
            self._still_since = self._still_since or now.monotonic_ns
            return [WakeAt(None)]
        taken = [*self._held, *inputs]
        self._held.clear()
        self._go_on(now)
        self._judge_time(now)
        for each in taken:
            self._hear(each, now)
        life.cluster.tale.note(" ".join((life.name, *map(_named, taken))).encode())
        outputs = [self._told(output) for output in super().handle(taken, now)]
        self._judge(outputs, now)
        return outputs

    def _go_on(self, now: Now) -> None:
        if self._still_since is not None:
            self._life.cluster.promises.node_stood_still(self._life.name, now.monotonic_ns - self._still_since)
            self._still_since = None

    def _judge_time(self, now: Now) -> None:
        self._turns = self._turns + 1 if now.monotonic_ns == self._turned_at else 0
        self._turned_at = now.monotonic_ns
        assert self._turns < TURNS_AT_ONCE, f"{self._life.name} turns and turns, and no time passes"

    # What it hears --------------------------------------------------------------------------------------------------

    def _hear(self, heard: Input, now: Now) -> None:
        promises = self._life.cluster.promises
        match heard:
            case Called(token, said, _):
                promises.asks(self._known_as(token), self._life.name, said, self._until(0, now))
            case Asked(token, said, stale):
                wait_seconds = said.wait_seconds if isinstance(said, ShowRun) else 0.0
                until_ns = self._until(wait_seconds, now)
                promises.asks(self._known_as(token), self._life.name, said, until_ns, stale=stale)
            case Abandoned(token):
                self._life.cluster.gone.add(self._known_as(token))

    def _known_as(self, token: Token) -> Token:
        return Token(self._life.first_token + token)

    def _until(self, wait_seconds: float, now: Now) -> int:
        return now.monotonic_ns + int((self._patience_seconds + wait_seconds) * 1e9) + ROUND_TRIP_NS

    # What it says ---------------------------------------------------------------------------------------------------

    def _told(self, output: Output) -> Output:
        """The output as it is carried out: frames can be taken only once, so the judges hand on theirs."""
        match output:
            case SaveSnapshot(header, frames):
                snapshot = Snapshot(header, tuple(frames))
                self._life.cluster.chronicle.snapshot_written(self.id, snapshot)
                return SaveSnapshot(header, iter(snapshot.frames))
            case Persist():
                self.paper.take(output)
                self.paper.pending.clear()
            case Send(letters):
                for letter in letters:
                    self._judge_vote(letter)
            case Stop():
                raise AssertionError(f"{self._life.name} stops: {output}")
        return output

    def _judge(self, outputs: Sequence[Output], now: Now) -> None:
        life, cluster = self._life, self._life.cluster
        cluster.chronicle.look_at(self, self.paper, life.number)
        for output in outputs:
            if isinstance(output, Answer):
                answer = msgspec.structs.replace(output, token=self._known_as(output.token))
                cluster.tale.say(life.name, "answers", answer.token, answer.index, answer.value)
                cluster.promises.told(life.name, answer)
                cluster.gone.discard(answer.token)
        for token in cluster.gone:
            if token in cluster.promises.waiting:
                cluster.promises.waiting[token].until_ns = 1 << 63
        cluster.promises.nobody_waits_too_long(life.name, now.monotonic_ns)

    def _judge_vote(self, letter: Letter) -> None:
        match letter:
            case VoteAnswer(node, candidate, term, granted=True):
                self._judge_durable(node, term, candidate)
            case VoteRequest(node, _, term):
                self._judge_durable(node, term, node)

    def _judge_durable(self, node: NodeId, term: Term, candidate: NodeId) -> None:
        voted = self._life.cluster.votes.setdefault((node, term), candidate)
        assert voted == candidate, f"{node} votes for {voted} and for {candidate} in term {term}"
        assert self._life.disk is not None
        kept = self._life.disk.storage.hard_state
        durable = kept.term > term or (kept.term, kept.vote) == (term, candidate)
        assert durable, f"{node} votes for {candidate} in term {term}, and its disk has {kept}"


def _named(heard: Input) -> str:
    return type(heard.letter if isinstance(heard, Received) else heard).__name__
