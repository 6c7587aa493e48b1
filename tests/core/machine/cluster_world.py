"""A world of several node machines: disks, network, orchestrator, clocks and callers, as one queue of events.

A host keeps name, disk and clocks; the process on it is the machine, and dies with its memory. Whatever happens to a
node comes into its inbox and is taken at its next turn, all of it at once. After every turn the node is judged: its log
and state by the chronicle, its answers by the promises. A world is made of a seed and nothing else.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import partial
from random import Random

import msgspec

from slimjobs.core.decide.commands import Command, Configure, Configured, Declared
from slimjobs.core.machine.inputs import (
    Abandoned,
    Asked,
    Called,
    EffectEnded,
    Input,
    Now,
    Observed,
    ScalingEnded,
    Sighted,
    Started,
    Tick,
    Token,
)
from slimjobs.core.machine.letters import Letter
from slimjobs.core.machine.machine import Machine
from slimjobs.core.machine.outputs import (
    Answer,
    Observe,
    Output,
    SaveSnapshot,
    Send,
    StartEffect,
    StartScaling,
    Stop,
    StopReason,
    Tell,
    WakeAt,
)
from slimjobs.core.machine.queries import Query, ShowRun
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.core.orchestrators.ports import Effect, Outcome, Rejected, Scale, Unavailable
from slimjobs.eventlog.events.definitions import Definition, Source
from slimjobs.eventlog.events.schedules import Plan
from slimjobs.eventlog.raft import NodeId, Raft, Role
from slimjobs.eventlog.storage.requests import InstallSnapshot, PublishSnapshot, SnapshotRefused
from slimjobs.eventlog.transport.greeting import NO_BACKUP
from tests.core.machine.chronicle import Chronicle, consensus_of
from tests.core.machine.cluster_disk import ClusterDisk
from tests.core.machine.network import Door, Network
from tests.core.machine.promises import Promises
from tests.core.machine.shared_orchestrator import SharedOrchestrator
from tests.core.machine.surroundings import SimulatedSurroundings
from tests.core.machine.timeline import MILLISECOND, SECOND, Timeline
from tests.core.machine.world import DEFAULT

THE_YEAR_2023_MS = 1_700_000_000_000
TOKENS_OF_A_LIFE = 1_000_000
"""A process counts its callers from 1, as every process does; the world tells callers of different lives apart."""

LONGEST_LINE = 180

ROUND_TRIP_NS = 5 * SECOND
"""How much longer than its patience a caller may wait: an election, and a slow way there and back."""


class HostClock:
    """The clocks of a host. `drift_ppm` is how much too fast they go; the wall clock may also be wrong, and jump."""

    def __init__(self, drift_ppm: int = 0, skew_ms: int = 0, started_ns: int = 0) -> None:
        self.drift_ppm = drift_ppm
        self.skew_ms = skew_ms
        self._started_ns = started_ns
        self._gained_ns = 0

    def drift(self, ppm: int, true_ns: int) -> None:
        """Go so much too fast from now on; what it says now does not jump."""
        self._gained_ns += true_ns * self.drift_ppm // 1_000_000 - true_ns * ppm // 1_000_000
        self.drift_ppm = ppm

    def now(self, true_ns: int) -> Now:
        """The time that a process on this host reads."""
        passed_ns = true_ns + true_ns * self.drift_ppm // 1_000_000 + self._gained_ns
        return Now(THE_YEAR_2023_MS + passed_ns // MILLISECOND + self.skew_ms, self._started_ns + passed_ns)

    def delay_until(self, monotonic_ns: int, true_ns: int) -> int:
        """How long it really is until its monotonic clock says this."""
        left_ns = monotonic_ns - self.now(true_ns).monotonic_ns
        return left_ns if left_ns <= 0 else left_ns * 1_000_000 // (1_000_000 + self.drift_ppm) + 1


class Host:
    """A host with the process on it, if one lives. `life` counts its processes."""

    def __init__(self, name: str, disk: ClusterDisk, clock: HostClock, settings: MachineSettings) -> None:
        self.name = name
        self.disk = disk
        self.clock = clock
        self.settings = settings
        self.life = 0
        self.first_token = self.last_token = 0
        self.process: Machine | None = None
        self.inbox: deque[Input] = deque()
        self.asleep_since: int | None = None
        self.turn_due = False
        self.disk_busy = False
        self.disk_delay_ns = (100_000, 1_000_000)
        self.wake_at: int | None = None
        self.stopped: Stop | None = None
        self.backup = NO_BACKUP

    @property
    def machine(self) -> Machine:
        """The machine of the process that lives here."""
        assert self.process is not None, f"{self.name} does not live"
        return self.process

    @property
    def raft(self) -> Raft:
        """Its consensus."""
        return consensus_of(self.machine)

    @property
    def awake(self) -> bool:
        """Whether a process lives here and turns."""
        return self.process is not None and self.asleep_since is None

    @property
    def said_it_is_too_old(self) -> bool:
        """Whether its latest process has stopped for that."""
        return self.stopped is not None and self.stopped.reason is StopReason.TOO_OLD


class ClusterWorld:
    """Hosts by name. No node may stop by itself unless `may_stop` says so.

    `trace` is a hash over everything that was said, `transcript` the last of it in words; `story` leaves the turns out.
    `harm` counts what was done to requests of the orchestrator: shares of them are lost, late, or refused with one of
    `refusals`, and of the share `holds` each is kept back until `release_held`.
    """

    def __init__(self, names: Sequence[str], definitions: dict[str, Definition], seed: int = 0) -> None:
        self.random = Random(seed)
        self.timeline = Timeline()
        self.plans: dict[str, tuple[Plan, ...]] = {}
        self.definitions = {"default": DEFAULT, **definitions}
        caps = {name: each.number_parallel_job for name, each in definitions.items()}
        self.orchestrator = self.new_orchestrator(caps)
        self.network = Network(self.timeline, self.random)
        self.network.overheard = self._overhear
        self.chronicle = Chronicle()
        self.orchestrator.checked = self.chronicle.checked
        self.surroundings = SimulatedSurroundings(self.chronicle.checked)
        self.promises = Promises(self.chronicle, self.orchestrator)
        self.effect_delay_ns = (1 * MILLISECOND, 20 * MILLISECOND)
        self.effects_lost = 0.0
        self.effects_late = 0.0
        self.effects_refused = 0.0
        self.refusals: tuple[Outcome, ...] = (Unavailable("503"),)
        self.holds = 0.0
        self.harm: Counter[str] = Counter()
        self._held: list[Callable[[], None]] = []
        self.under_way = 0
        self.may_stop = False
        self.letters: list[Letter] = []
        self.transcript: deque[str] = deque(maxlen=400)
        self.story: deque[str] = deque(maxlen=400)
        self.said = 0
        self._trace = hashlib.blake2b(digest_size=16)
        self._lives = 0
        self._last_node = 0
        self.moves_ms = (1, 60)
        self._objects_move_at: int | None = None
        self.hosts = {name: self._host(name, names) for name in names}

    def _host(self, name: str, peers: Sequence[str]) -> Host:
        clock = HostClock(started_ns=self.random.randrange(10**6) * SECOND)
        settings = MachineSettings(name=name, peers={peer: f"{peer}:3262" for peer in peers}, version="1")
        return Host(name, self.new_disk(), clock, settings)

    def new_orchestrator(self, caps: dict[str, int]) -> SharedOrchestrator:
        """The orchestrator that all nodes share."""
        return SharedOrchestrator(caps)

    def new_disk(self) -> ClusterDisk:
        """An empty disk, which will be another node than any before."""
        return ClusterDisk(self.mint_node())

    def mint_node(self) -> NodeId:
        """A node that never was."""
        self._last_node += 1
        return NodeId(self._last_node)

    @property
    def trace(self) -> str:
        """What two runs of a seed must have in common."""
        return self._trace.hexdigest()

    def say(self, *words: object) -> None:
        """Put something into the transcript and the trace."""
        self.story.append(self._mutter(*words)[:LONGEST_LINE])
        self.said += 1

    def _mutter(self, *words: object) -> str:
        line = f"{self.timeline.now_ns / SECOND:.6f} " + " ".join(map(str, words))
        self.transcript.append(line)
        self._trace.update(line.encode())
        return line

    def seal(self) -> None:
        """Let the trace be of the log too, byte for byte."""
        for entry in self.chronicle.entries:
            self._trace.update(entry.payload)

    # Processes ------------------------------------------------------------------------------------------------------

    def boot(self, name: str) -> None:
        """Start a process from what is durable; its configuration is proposed as after every start."""
        host = self.hosts[name]
        assert host.process is None, f"{name} lives already"
        host.life += 1
        self._lives += 1
        host.first_token = self._lives * TOKENS_OF_A_LIFE
        host.last_token = 0
        start, state, blank = host.disk.start(self.random.getrandbits(64))
        founding_id = f"{name}-{host.life}"
        host.process = Machine(start, state, host.disk.room, founding_id, host.settings, blank, backup=host.backup)
        host.inbox.clear()
        host.turn_due = host.disk_busy = False
        host.wake_at = host.stopped = None
        self.say(name, "boots as", start.id, "blank" if blank else f"with {start.last_index} entries")
        self._hear(host, host.life, Started())
        self.network.open(name, Door(lambda: host.machine.greeting, partial(self._hear, host, host.life)))
        self._configure(host, host.life)

    def boot_all(self) -> None:
        """Start a process on every host where none lives."""
        for name, host in self.hosts.items():
            if host.process is None:
                self.boot(name)

    def crash(self, name: str, done: int = 0, parts: int = 0) -> None:
        """The process dies. Whoever waited for it will never know; what it asked of the orchestrator still arrives."""
        host = self.hosts[name]
        self.say(name, "crashes, of its disk's work", done, "and", parts, "parts are done")
        self._end(host)
        host.disk.lose_power(done, parts)

    def _end(self, host: Host) -> None:
        host.process = None
        host.asleep_since = None
        self.network.close(host.name)
        self.promises.node_died(host.name)
        self.orchestrator.watch_for(host.name, None)

    def wipe(self, name: str) -> None:
        """The disk of a host without a process is replaced by an empty one."""
        host = self.hosts[name]
        assert host.process is None, f"{name} lives"
        self.say(name, "is wiped")
        old, host.disk = host.disk, self.new_disk()
        host.disk.room, host.disk.kept = old.room, old.kept

    def put_to_sleep(self, name: str) -> None:
        """The process stands still (SIGSTOP), while time passes."""
        host = self.hosts[name]
        self.say(name, "stands still")
        host.asleep_since = host.clock.now(self.timeline.now_ns).monotonic_ns
        self.network.sleep(name)

    def wake(self, name: str) -> None:
        """It goes on (SIGCONT)."""
        host = self.hosts[name]
        assert host.asleep_since is not None
        self.say(name, "goes on")
        slept_ns = host.clock.now(self.timeline.now_ns).monotonic_ns - host.asleep_since
        self.promises.node_stood_still(name, slept_ns)
        host.asleep_since = None
        self.network.wake(name)
        if host.inbox:
            self._turn_soon(host)

    # Turns ----------------------------------------------------------------------------------------------------------

    def tell(self, name: str, *inputs: Input) -> None:
        """Let this come into a node's inbox."""
        host = self.hosts[name]
        for each in inputs:
            self._hear(host, host.life, each)

    def _hear(self, host: Host, life: int, heard: Input) -> None:
        if host.life == life and host.process is not None:
            host.inbox.append(heard)
            self._turn_soon(host)

    def _turn_soon(self, host: Host) -> None:
        if not host.turn_due and host.asleep_since is None:
            host.turn_due = True
            self.timeline.after(self.random.randint(10_000, 200_000), partial(self._turn, host, host.life))

    def _turn(self, host: Host, life: int) -> None:
        if host.life != life or host.process is None:
            return
        host.turn_due = False
        if host.asleep_since is not None:
            return
        inputs, now = list(host.inbox), host.clock.now(self.timeline.now_ns)
        host.inbox.clear()
        outputs = host.process.handle(inputs, now)
        self._mutter(host.name, "takes", *map(_named, inputs))
        for output in outputs:
            self._carry_out(host, output)
        self.chronicle.look_at(host.process, host.disk, host.life)
        for output in (each for each in outputs if isinstance(each, Answer)):
            answer = msgspec.structs.replace(output, token=Token(host.first_token + output.token))
            self.say(host.name, "answers", answer.token, answer.index, answer.value)
            self.promises.told(host.name, answer)
        self.promises.nobody_waits_too_long(host.name, now.monotonic_ns)
        if host.stopped is not None:
            assert self.may_stop or self._is_too_old(host), f"{host.name} stops: {host.stopped}"
            self.crash(host.name)

    def _is_too_old(self, host: Host) -> bool:
        """Whether it stops as too old, and rightly: who has no vote is not waited for by who knows more events."""
        newest = max(each.settings.event_level for each in self.hosts.values())
        has_vote = host.disk.node in self.chronicle.membership.voters
        return host.said_it_is_too_old and host.settings.event_level < newest and not has_vote

    def _carry_out(self, host: Host, output: Output) -> None:
        match output:
            case Answer():
                pass  # it is judged after the log was
            case Tell(text, facts):
                self.say(host.name, "tells:", text, dict(facts))
            case Send(letters):
                for letter in letters:
                    self.network.send(host.name, letter)
            case StartEffect(effect_id, effect):
                self._start_effect(host, effect_id, effect)
            case StartScaling(number, scale):
                self._start_scaling(host, number, scale)
            case Observe(watch):
                self.orchestrator.watch_for(host.name, watch)
                self._look_around(host, watch)
                self._observe_soon(host, host.life)
            case SaveSnapshot():
                self._save_snapshot(host, output)
            case WakeAt(monotonic_ns):
                self._wake_at(host, monotonic_ns)
            case Stop():
                self.say(host.name, "stops:", output)
                host.stopped = output
            case _:
                host.disk.take(output)
                self._write_soon(host)

    def _overhear(self, sender: str, letter: Letter, content: bytes) -> None:
        self._trace.update(content)
        self.letters.append(letter)

    # Time -----------------------------------------------------------------------------------------------------------

    def _wake_at(self, host: Host, monotonic_ns: int | None) -> None:
        if monotonic_ns == host.wake_at:
            return
        host.wake_at = monotonic_ns
        if monotonic_ns is not None:
            delay_ns = host.clock.delay_until(monotonic_ns, self.timeline.now_ns)
            self.timeline.after(delay_ns, partial(self._ring, host, host.life, monotonic_ns))

    def _ring(self, host: Host, life: int, monotonic_ns: int) -> None:
        if host.life == life and host.wake_at == monotonic_ns:
            host.wake_at = None
            self._hear(host, life, Tick())

    # Disk -----------------------------------------------------------------------------------------------------------

    def _write_soon(self, host: Host) -> None:
        if not host.disk_busy:
            host.disk_busy = True
            self.timeline.after(self.random.randint(*host.disk_delay_ns), partial(self._write, host, host.life))

    def _write(self, host: Host, life: int) -> None:
        if host.life != life or host.process is None:
            return
        host.disk_busy = False
        publishes = [r for r in host.disk.pending if isinstance(r, PublishSnapshot | InstallSnapshot)]
        answers = host.disk.carry_out(self.random.choice([1, 2, 100]))
        for request in publishes:
            if request not in host.disk.pending and request.index in host.disk.published:
                self.chronicle.snapshot_kept(host.disk.node, host.disk.published[request.index])
        for answer in answers:
            self._hear(host, life, answer)
        if host.disk.pending:
            self._write_soon(host)

    def _save_snapshot(self, host: Host, output: SaveSnapshot) -> None:
        written = host.disk.write(output)
        if isinstance(written, SnapshotRefused):
            self._hear(host, host.life, written)
        else:
            self.chronicle.snapshot_written(host.disk.node, written)

    # Orchestrator ---------------------------------------------------------------------------------------------------

    def _start_effect(self, host: Host, effect_id: int, effect: Effect) -> None:
        self.under_way += 1
        self.say(host.name, "asks for", type(effect).__name__, host.life)
        delay_ns = self.random.randint(*self.effect_delay_ns)
        if self.random.random() < self.effects_refused:
            self._refuse_effect(host, effect_id, delay_ns)
            return
        if self.random.random() < self.holds:
            self._hold(host, effect_id, effect)
            return
        if self.random.random() < self.effects_late:
            self.harm["requests late"] += 1
            delay_ns = self.random.randint(0, 20) * SECOND
        if lost := self.random.random() < self.effects_lost:
            self.harm["answers of requests lost"] += 1
            outcome = Unavailable("no answer")
            self.timeline.after(
                self.random.randint(0, delay_ns), partial(self._reply, host, host.life, effect_id, outcome)
            )
        self.timeline.after(delay_ns, partial(self._arrive, host, host.life, effect_id, effect, told=not lost))

    def _hold(self, host: Host, effect_id: int, effect: Effect) -> None:
        """Keep a request back, while whoever asked gives up on it."""
        self.harm["requests held back"] += 1
        self._held.append(partial(self._arrive, host, host.life, effect_id, effect, told=False))
        self.timeline.after(10 * SECOND, partial(self._reply, host, host.life, effect_id, Unavailable("no answer")))

    def release_held(self, within_seconds: int = 20) -> None:
        """Let what was held back arrive, in any order, whatever has happened meanwhile."""
        held, self._held = self._held, []
        for arrives in held:
            self.timeline.after(self.random.randint(0, within_seconds * SECOND), arrives)

    def _refuse_effect(self, host: Host, effect_id: int, delay_ns: int) -> None:
        outcome = self.random.choice(self.refusals)
        self.harm[
            f"requests answered {outcome.detail}"
            if isinstance(outcome, Unavailable | Rejected)
            else "requests answered 404"
        ] += 1
        self.under_way -= 1
        self.timeline.after(delay_ns, partial(self._reply, host, host.life, effect_id, outcome))

    def _arrive(self, host: Host, life: int, effect_id: int, effect: Effect, *, told: bool) -> None:
        """A request arrives at the orchestrator, however late, whoever has died meanwhile."""
        self.under_way -= 1
        outcome = self.orchestrator.perform(effect)
        self.orchestrator_changed()
        if told:
            delay_ns = self.random.randint(*self.effect_delay_ns)
            self.timeline.after(delay_ns, partial(self._reply, host, life, effect_id, outcome))

    def _reply(self, host: Host, life: int, effect_id: int, outcome: Outcome) -> None:
        self._hear(host, life, EffectEnded(effect_id, outcome))

    def orchestrator_changed(self) -> None:
        """Objects go on by themselves, and watchers hear of it."""
        for host in self.hosts.values():
            if host.process is not None:
                self._observe_soon(host, host.life)
        if self._objects_move_at is None and self.orchestrator.moving():
            self._objects_move_at = self.timeline.now_ns
            self.timeline.after(self.random.randint(*self.moves_ms) * MILLISECOND, self._move)

    def _move(self) -> None:
        self._objects_move_at = None
        if moving := self.orchestrator.moving():
            self.orchestrator.move(self.random.choice(moving), well=self.random.random() < 0.9)
        self.orchestrator_changed()

    def _observe_soon(self, host: Host, life: int) -> None:
        watch = self.orchestrator.watches.get(host.name)
        if watch is not None and watch.ahead:
            self.timeline.after(self.random.randint(1, 20) * MILLISECOND, partial(self._observe, host, life))

    def _observe(self, host: Host, life: int) -> None:
        if host.life == life and (told := self.orchestrator.next_for(host.name)) is not None:
            self._hear(host, life, Observed(*told))
            self._observe_soon(host, life)

    # Surroundings ---------------------------------------------------------------------------------------------------

    def _look_around(self, host: Host, watch: int | None) -> None:
        if watch is None:
            self.surroundings.look_away(host.name)
        else:
            self.surroundings.look_for(host.name)
            self._see_soon(host, host.life, watch)

    def surroundings_changed(self) -> None:
        """Whoever looks sees it, and services that were woken start."""
        for host in self.hosts.values():
            watch = self.orchestrator.watches.get(host.name)
            if host.process is not None and watch is not None:
                self._see_soon(host, host.life, watch.number)
        for name in self.surroundings.starting():
            self.timeline.after(self.random.randint(50, 3000) * MILLISECOND, partial(self._service_starts, name))

    def _service_starts(self, name: str) -> None:
        if name in self.surroundings.starting():
            self.surroundings.change(name, ready=True, reason="")
            self.say(name, "has started")
            self.surroundings_changed()

    def _see_soon(self, host: Host, life: int, watch: int) -> None:
        if self.surroundings.sights.get(host.name):
            self.timeline.after(self.random.randint(1, 500) * MILLISECOND, partial(self._see, host, life, watch))

    def _see(self, host: Host, life: int, watch: int) -> None:
        current = self.orchestrator.watches.get(host.name)
        if host.life != life or current is None or current.number != watch:
            return
        if (sight := self.surroundings.next_for(host.name)) is not None:
            self._hear(host, life, Sighted(watch, sight))
            self._see_soon(host, life, watch)

    def _start_scaling(self, host: Host, number: int, scale: Scale) -> None:
        self.say(host.name, "scales", scale.name, "to", scale.replicas)
        if host is self.leader and (service := self.surroundings.services.get(scale.name)) is not None:
            sleeps = scale.version == service.version and scale.replicas < service.replicas
            assert not (sleeps and scale.name in self.chronicle.state.needed), "put to sleep while a run needs it"
        delay_ns = self.random.randint(*self.effect_delay_ns)
        if self.random.random() < self.effects_late:
            delay_ns = self.random.randint(0, 20) * SECOND
        is_refused = self.random.random() < self.effects_refused
        if lost := is_refused or self.random.random() < self.effects_lost:
            refused = Unavailable("429: too many requests" if is_refused else "no answer")
            self.timeline.after(
                self.random.randint(0, delay_ns), partial(self._scaled, host, host.life, number, refused)
            )
        if not is_refused:
            self.timeline.after(delay_ns, partial(self._scale, host, host.life, number, scale, told=not lost))

    def _scale(self, host: Host, life: int, number: int, scale: Scale, *, told: bool) -> None:
        outcome = self.surroundings.perform(scale)
        self.surroundings_changed()
        if told:
            self._scaled(host, life, number, outcome)

    def _scaled(self, host: Host, life: int, number: int, outcome: Outcome) -> None:
        self._hear(host, life, ScalingEnded(number, outcome))

    def vanish(self, name: str) -> None:
        """Somebody removes an object by hand."""
        self.orchestrator.vanish(name)
        self.orchestrator_changed()

    def lose_watch(self, name: str) -> None:
        """A node's watch breaks."""
        self.orchestrator.lose_watch_of(name)
        self._observe_soon(self.hosts[name], self.hosts[name].life)

    # Callers --------------------------------------------------------------------------------------------------------

    def call(self, name: str, command: Command) -> Token:
        """Ask a node for something to be done."""
        host = self.hosts[name]
        token = self._token(host, command)
        self._hear(host, host.life, Called(Token(host.last_token), command, "test"))
        return token

    def ask(self, name: str, query: Query, *, stale: bool = False) -> Token:
        """Ask a node to be told something."""
        host = self.hosts[name]
        token = self._token(host, query, stale=stale)
        self._hear(host, host.life, Asked(Token(host.last_token), query, stale))
        return token

    def abandon(self, token: Token) -> None:
        """A caller has gone; nobody tells it anything any more."""
        caller = self.promises.waiting.get(token)
        if caller is None:
            return
        self.promises.abandons(token)
        host = self.hosts[caller.node]
        self.say("caller", token, "at", host.name, "has gone")
        self._hear(host, host.life, Abandoned(Token(token - host.first_token)))

    def _token(self, host: Host, said: Command | Query, *, stale: bool = False) -> Token:
        host.last_token += 1
        token = Token(host.first_token + host.last_token)
        wait_seconds = said.wait_seconds if isinstance(said, ShowRun) else 0.0
        patience_ns = int((host.settings.patience_seconds + wait_seconds) * SECOND) + ROUND_TRIP_NS
        until_ns = host.clock.now(self.timeline.now_ns).monotonic_ns + patience_ns
        self.promises.asks(token, host.name, said, until_ns, stale=stale)
        self.say("caller", token, "at", host.name, "says", type(said).__name__)
        return token

    def _configure(self, host: Host, life: int, proposed: Token | None = None) -> None:
        """Propose the configuration, and again every second until it is in force."""
        if host.life != life or host.process is None:
            return
        answer = self.promises.answers.get(proposed) if proposed is not None else None
        if answer is not None and isinstance(answer.value, Configured):
            return
        if proposed is None or answer is not None:
            declared = {name: Declared(each, Source.CONFIGURATION) for name, each in self.definitions.items()}
            proposed = self.call(host.name, Configure(declared, self.plans))
        self.timeline.after(SECOND, partial(self._configure, host, life, proposed))

    def reload(self, definitions: dict[str, Definition]) -> None:
        """Every node that lives reads other definitions, and proposes them."""
        self.definitions = {"default": DEFAULT, **definitions}
        for name, definition in definitions.items():
            self.orchestrator.allow(name, definition.number_parallel_job)
        for host in self.hosts.values():
            self._configure(host, host.life)

    def value_of(self, token: Token) -> object:
        """What a caller was told."""
        return self.promises.answers[token].value

    def told(self, name: str, said: Command | Query) -> object:
        """Ask a node, and let things happen until it answers."""
        token = self.call(name, said) if isinstance(said, Command) else self.ask(name, said)
        self.run_until(lambda: token in self.promises.answers)
        return self.value_of(token)

    # Letting things happen ------------------------------------------------------------------------------------------

    def run_for(self, seconds: float) -> None:
        """Let so much time pass."""
        self.timeline.run_for(int(seconds * SECOND))

    def run_until(self, happens: Callable[[], bool], within_seconds: float = 30.0) -> None:
        """Let things happen until this is so."""
        until_ns = self.timeline.now_ns + int(within_seconds * SECOND)
        while not happens():
            assert self.timeline.now_ns <= until_ns, "it does not happen"
            self.timeline.step()

    @property
    def leader(self) -> Host | None:
        """The one that leads the highest term, if one does."""
        leading = [host for host in self.hosts.values() if host.process is not None and host.raft.role is Role.LEADER]
        return max(leading, key=lambda host: host.raft.term, default=None)

    @property
    def live(self) -> list[Host]:
        """The hosts whose process lives and turns."""
        return [host for host in self.hosts.values() if host.awake]


def _named(heard: Input) -> str:
    letter = getattr(heard, "letter", None)
    return type(heard).__name__ if letter is None else f"{type(letter).__name__}({letter.sender})"
