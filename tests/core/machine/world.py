"""A world around one real machine: disk, orchestrator, callers and clock, as one deterministic queue of events.

Nothing happens by itself: `step` lets the next thing happen, chosen by whoever drives the world, and every answer is
judged by what callers were told before. Crashes may come anywhere; what the disk has is what the next life starts from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import msgspec

from slimjobs.core.decide.commands import Accepted, Command, Configure, Declared, Deleted, DeleteRun, Trigger
from slimjobs.core.decide.refusals import UnknownRun
from slimjobs.core.machine.inputs import (
    Asked,
    Called,
    EffectEnded,
    Input,
    Now,
    Observed,
    Sighted,
    Started,
    Tick,
    Token,
)
from slimjobs.core.machine.machine import Machine
from slimjobs.core.machine.outputs import (
    Answer,
    Observe,
    SaveSnapshot,
    Send,
    StartEffect,
    StartScaling,
    Stop,
    Tell,
    WakeAt,
)
from slimjobs.core.machine.queries import ListRuns, Query, ShowRun
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.core.orchestrators.ports import Effect, ObservedService, Outcome, ServicesListed, Unavailable
from slimjobs.eventlog.events.definitions import Definition, Source, Visibility
from slimjobs.eventlog.events.record import decode_record
from slimjobs.eventlog.events.runs import RunEnqueued, RunId, run_id_text
from slimjobs.eventlog.raft import EntryKind
from slimjobs.projections.fold import apply
from slimjobs.projections.snapshot import state_hash
from slimjobs.projections.state import State
from slimjobs.projections.views import RunDetail, RunPage, RunStatus
from tests.core.decide.onlooker import Onlooker
from tests.core.machine.disk import SimulatedDisk
from tests.core.machine.orchestrator import SimulatedOrchestrator

FINAL = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED})
FOUNDING_ID = "c1"
DEFAULT = Definition(command=("default",), visibility=Visibility.PUBLIC)
IDLE_WAKES = 100  # the clock is looked at every second, and the longest that is waited for is half a minute
KEPT = 10**9  # seconds: ended runs stay in the lists, so that they can be looked for


def definition(cap: int, ttl_seconds: int = KEPT) -> Definition:
    """A job with this cap."""
    return Definition(command=("run",), number_parallel_job=cap, ttl_seconds_after_finished=ttl_seconds)


class InFlight(msgspec.Struct):
    """A request to the orchestrator, from which life of the node; `outcome` once it has arrived."""

    life: int
    effect_id: int
    effect: Effect
    outcome: Outcome | None = None


class World:
    """One node and everything around it. `asked` waits for an answer; `answers` were given, by token."""

    def __init__(
        self, definitions: dict[str, Definition], settings: MachineSettings | None = None, room: int = 1 << 30
    ) -> None:
        self.settings = settings or MachineSettings()
        self.definitions = {"default": DEFAULT, **definitions}
        self.disk = SimulatedDisk(room)
        caps = {name: each.number_parallel_job for name, each in definitions.items()}
        self.orchestrator = SimulatedOrchestrator(caps)
        self.life = 0
        self.now = Now(1_700_000_000_000, 0)
        self.wake_at: int | None = None
        self.in_flight: list[InFlight] = []
        self.asked: dict[Token, Command | Query] = {}
        self.answers: dict[Token, Answer] = {}
        self.acknowledged: dict[RunId, str] = {}
        self.deletion_asked: set[RunId] = set()
        self._expected: dict[Token, set[RunId]] = {}
        self._last_token = 0
        self.watch_number = 0
        self.scalings: list[StartScaling] = []
        self.boot()

    # The node -------------------------------------------------------------------------------------------------------

    def boot(self) -> None:
        """Start a node from what is durable; its configuration is proposed as after every start."""
        self.life += 1
        start, state = self.disk.start(seed=self.life)
        self.machine = Machine(start, state, self.disk.room, FOUNDING_ID, self.settings, self.disk.blank)
        self.turn(Started())
        declared = {name: Declared(each, Source.CONFIGURATION) for name, each in self.definitions.items()}
        self.call(Configure(declared))

    def crash(self, kept: int = 0) -> None:
        """The node dies, and starts again. Whoever waited for it will never know; requests under way still arrive."""
        self.disk.lose_power(kept)
        self.asked.clear()
        self._expected.clear()
        self.orchestrator.watch = None
        self.boot()

    def turn(self, *inputs: Input) -> None:
        """One call of the machine, with everything that comes out of it."""
        for output in self.machine.handle(inputs, self.now):
            match output:
                case Answer():
                    self._answered(output)
                case StartEffect(effect_id, effect):
                    self.in_flight.append(InFlight(self.life, effect_id, effect))
                case StartScaling():
                    self.scalings.append(output)
                case Observe(watch):
                    assert watch is not None, "a lone voter leads on"
                    self.watch_number = watch
                    self.orchestrator.begin_watch(watch)
                case SaveSnapshot():
                    if (refused := self.disk.write(output)) is not None:
                        self.turn(refused)
                case WakeAt(monotonic_ns):
                    self.wake_at = monotonic_ns
                case Tell():
                    pass
                case Send() | Stop():
                    raise AssertionError(f"a lone voter has no use for {output}")
                case _:
                    self.disk.take(output)

    def sees(self, *services: ObservedService) -> None:
        """The node sees all services there are."""
        self.turn(Sighted(self.watch_number, ServicesListed(services)))

    # Callers --------------------------------------------------------------------------------------------------------

    def call(self, command: Command) -> Token:
        """Ask for something to be done."""
        token = self._token(command)
        if isinstance(command, DeleteRun):
            self.deletion_asked.add(command.run)
        self.turn(Called(token, command, "test"))
        return token

    def ask(self, query: Query) -> Token:
        """Ask to be told something. What was acknowledged before must be in the answer."""
        token = self._token(query)
        self._expected[token] = set(self.acknowledged) - self.deletion_asked
        self.turn(Asked(token, query))
        return token

    def _token(self, said: Command | Query) -> Token:
        self._last_token += 1
        token = Token(self._last_token)
        self.asked[token] = said
        return token

    def _answered(self, answer: Answer) -> None:
        assert answer.token not in self.answers, "a caller is answered twice"
        said = self.asked.pop(answer.token)
        self.answers[answer.token] = answer
        match said, answer.value:
            case Trigger(runs), Accepted(accepted):
                for run, requested in zip(accepted, runs, strict=True):
                    self.acknowledged[run] = requested.job
            case DeleteRun(run=run), Deleted(promised=True):
                self.orchestrator.forbidden.add(run)
            case ShowRun(run=run), value if run in self._expected[answer.token] - self.deletion_asked:
                expired = isinstance(value, UnknownRun) and value.history.startswith("It had ended")
                assert expired or not isinstance(value, UnknownRun), f"an acknowledged run is not there: {value}"
            case ListRuns(job=job), RunPage(rows):
                shown = {row.id for row in rows}
                expected = self._expected[answer.token] - self.deletion_asked
                assert {run_id_text(run) for run in expected if self.acknowledged[run] == job} <= shown

    def value_of(self, token: Token) -> object:
        """What a caller was told."""
        return self.answers[token].value

    def told(self, said: Command | Query) -> object:
        """Ask, let everything happen, and give the answer."""
        token = self.call(said) if isinstance(said, Command) else self.ask(said)
        while token not in self.answers:
            self.write() if self.disk.pending else self.wake()
        return self.value_of(token)

    # What may happen next -------------------------------------------------------------------------------------------

    def possible(self) -> list[Callable[[], None]]:
        """Everything that could happen now, the order is that of a quiet world: disk first, time last."""
        things: list[Callable[[], None]] = []
        if self.disk.pending:
            things.append(self.write)
        things += [partial(self.arrive, sent) for sent in self.in_flight if sent.outcome is None]
        things += [partial(self.reply, sent) for sent in self.in_flight if sent.outcome is not None]
        if self.orchestrator.watch is not None and self.orchestrator.watch.ahead:
            things.append(self.watch)
        things += [partial(self.orchestrator.move, name) for name in self.orchestrator.moving()]
        if self.wake_at is not None:
            things.append(self.wake)
        return things

    def write(self) -> None:
        """The disk does what it was asked first."""
        answer = self.disk.carry_out()
        if answer is not None:
            self.turn(answer)

    def arrive(self, sent: InFlight) -> None:
        """A request arrives at the orchestrator, however late."""
        sent.outcome = self.orchestrator.perform(sent.effect)

    def reply(self, sent: InFlight, outcome: Outcome | None = None) -> None:
        """Its outcome comes back, if whoever asked still lives."""
        self.in_flight.remove(sent)
        if sent.life == self.life:
            self.turn(EffectEnded(sent.effect_id, outcome or sent.outcome or Unavailable("no answer")))

    def watch(self) -> None:
        """The watcher is told something."""
        number = self.orchestrator.watch.number if self.orchestrator.watch is not None else 0
        observation = self.orchestrator.next_observation()
        if observation is not None:
            self.turn(Observed(number, observation))

    def wake(self) -> None:
        """The time that the machine waits for comes."""
        if self.wake_at is not None:
            self.pass_time(max(self.wake_at - self.now.monotonic_ns, 0))

    def pass_time(self, nanoseconds: int) -> None:
        """Let time pass, and tell the machine."""
        monotonic_ns = self.now.monotonic_ns + nanoseconds
        self.now = Now(self.now.wall_ms + nanoseconds // 1_000_000, monotonic_ns)
        self.turn(Tick())

    # Quiet worlds ---------------------------------------------------------------------------------------------------

    def settle(self, steps: int = 100_000) -> None:
        """Let everything happen, in a fixed order, until nothing more comes of it, not even by the clock."""
        idle = 0
        for _ in range(steps):
            things = [thing for thing in self.possible() if thing != self.wake]
            if things:
                idle = 0
                things[0]()
            elif idle < IDLE_WAKES and self.wake_at is not None and (self.unfinished() or self.orphans()):
                idle += 1
                self.wake()
            else:
                return
        raise AssertionError("it never comes to rest")

    def settle_node(self) -> None:
        """Let the disk do everything it was asked; the orchestrator and the clock stand still."""
        while self.disk.pending:
            self.write()

    def orphans(self) -> list[str]:
        """The objects that nobody wants any more."""
        state = self.machine.state
        return [name for name, job in self.orchestrator.objects.items() if state.job_of(job.run) is None]

    def unfinished(self) -> list[RunId]:
        """The runs that have neither ended nor gone."""
        state = self.machine.state
        return [*state.queued, *state.active, *state.deleted]

    # Judgement ------------------------------------------------------------------------------------------------------

    def judge(self) -> None:
        """What callers were told is true, every run has ended once, and any way to the end of the log is the same."""
        assert not self.unfinished(), "somebody waits for ever"
        assert not self.orphans(), "an object is left behind"
        for run, job in self.acknowledged.items():
            value = self.told(ShowRun(job, run, True))
            if run not in self.deletion_asked:
                assert isinstance(value, RunDetail), value
                assert value.row.status in FINAL
        self.judge_log()

    def judge_log(self) -> None:
        """Read the whole log again from its first entry."""
        onlooker, state = Onlooker(), State()
        for index in sorted(self.disk.history):
            entry = self.disk.history[index]
            if entry.kind is EntryKind.RECORD:
                record = decode_record(entry.payload)
                onlooker.read(record, ())
                apply(state, index, entry.payload, record)
        assert set(self.acknowledged) <= set(onlooker.enqueued)
        assert state_hash(state) == state_hash(self.machine.state), "the node knows something that is not in the log"
        onlooker.agrees_with(state)


def runs_in(world: World, runs: Iterable[RunId]) -> set[RunId]:
    """Which of these runs are in the log."""
    logged = [decode_record(entry.payload) for entry in world.disk.history.values() if entry.kind is EntryKind.RECORD]
    enqueued = {event.run for record in logged for event in record.events if isinstance(event, RunEnqueued)}
    return enqueued & set(runs)
