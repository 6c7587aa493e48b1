"""One run of the simulator: a world, callers, the faults that a seed draws, peace, and the last judgement.

What is drawn for faults comes from streams of their own, so that a fault that is left out moves no other.
"""

from __future__ import annotations

import traceback
from collections import Counter
from random import Random
from time import process_time
from typing import Final

import msgspec

from slimjobs.core.decide.commands import Configure, RunSchedule, Trigger
from slimjobs.core.decide.decision import Limits
from slimjobs.core.machine.inputs import Token
from slimjobs.eventlog.events.definitions import Definition
from slimjobs.eventlog.events.schedules import ScheduleId
from tests.core.machine.chaos import Chaos, calm, run_of
from tests.core.machine.cluster_world import Host
from tests.core.machine.stored_world import StoredWorld
from tests.core.machine.timeline import MILLISECOND, SECOND
from tests.core.machine.world import definition
from tests.simulation.bounds import judge_bounds
from tests.simulation.cron_jobs import OWN, CronJobs
from tests.simulation.faults import TABLE, Disks, Fault, mend_service
from tests.simulation.scenario import ELECTION_SECONDS, Scenario, Told
from tests.simulation.schedules import draw_command, draw_declared, removals
from tests.simulation.server import Server
from tests.simulation.worlds import DEPENDENCIES, SimulatedStoredWorld, SimulatedWorld

STORED_SHARE: Final = 0.25
NODES: Final = (1, 2, 3, 3, 3, 3, 4, 5)
OF_CRON_JOBS: Final = 0.25
FEW_RUNS: Final = 20
SCHEDULES_GO_ON_NS: Final = 70 * SECOND
OVERDUE_MS: Final = 2000
STUCK_NS: Final = 90 * SECOND


class Simulation(Chaos):
    """A scenario under way. `injected` counts its faults by name."""

    def __init__(self, scenario: Scenario) -> None:
        chance = Random(f"{scenario.seed}")
        self.scenario = scenario
        self.world: SimulatedWorld
        self.version = 1
        self.injected: Counter[str] = Counter()
        self.calls = 0
        self.is_stored = chance.random() < STORED_SHARE
        self.definitions = self._draw_definitions(chance)
        names = [f"node-{number}" for number in range(chance.choice(NODES))]
        kind = SimulatedStoredWorld if self.is_stored else SimulatedWorld
        super().__init__(kind(names, dict(self.definitions), scenario.seed), {})
        self.random = chance
        self._draw(chance)
        self.table = self._draw_faults(Random(f"{scenario.seed} faults"))
        self.server.holds_slot = self.world.chronicle.onlooker.holds_slot
        self.server.queue_of = self.world.chronicle.onlooker.queue_of
        self.schedules = Random(f"{scenario.seed} schedules")
        self.has_schedules = self.schedules.random() < 0.5
        if self.has_schedules:
            self.world.plans = draw_declared(self.schedules, list(self.definitions))
        self.cron_jobs = CronJobs(self.world.surroundings, self.world.chronicle.checked)
        self.world.chronicle.on_read = self.cron_jobs.read
        self._overdue: dict[ScheduleId, int] = {}
        self._last_trigger: Trigger | None = None
        self._harms = 0

    def _draw_definitions(self, chance: Random) -> dict[str, Definition]:
        depends_on = chance.choice([(), DEPENDENCIES[:1]])
        patience = chance.choice([300, 5])
        return {
            "fib": msgspec.structs.replace(
                definition(cap=chance.choice([1, 2, 4])), image_pull_deadline_seconds=patience
            ),
            "web": msgspec.structs.replace(definition(cap=1), depends_on=depends_on),
        }

    def _draw(self, chance: Random) -> None:
        election_seconds = chance.choice(ELECTION_SECONDS)
        self.settling_seconds = 10 * election_seconds
        self.patience_seconds = 120 + 60 * election_seconds
        self.load_ns = chance.choice([1000, 3000, 8000]) * MILLISECOND
        self.calm_ns = chance.choice([1500, 5000, 15_000]) * MILLISECOND
        self.world.moves_ms = chance.choice([(1, 60), (50, 1500), (500, 8000)])
        self.grows = self.grows and len(self.names) > 1
        limits = Limits(finished_jobs=chance.choice([10**6, FEW_RUNS]))
        for host in self.world.hosts.values():
            host.settings = msgspec.structs.replace(
                host.settings, election_milliseconds=1000 * election_seconds, limits=limits
            )

    def _draw_faults(self, chance: Random) -> dict[Fault, float]:
        """Each seed switches a random half of the faults on, each with its own rate."""
        wrong_disks = Disks.IN_MEMORY if self.is_stored else Disks.STORED
        possible = [fault for fault in TABLE if fault.disks is not wrong_disks]
        drawn = {fault: fault.rate * chance.choice([0.3, 1, 3]) for fault in possible if chance.random() < 0.5}
        return drawn or {possible[0]: 1.0}

    @property
    def server(self) -> Server:
        """The orchestrator of this world."""
        return self.world.server

    def run(self) -> None:
        """The whole story."""
        self._begin()
        self.world.timeline.after(0, self._call_again)
        self.world.timeline.after(0, self._harm_again)
        self.world.run_for(self.scenario.seconds)
        self.war = False
        self._make_peace()
        self._judge()

    # Callers --------------------------------------------------------------------------------------------------------

    def _call(self, name: str) -> None:
        if self.scenario.calls is None or self.calls < self.scenario.calls:
            self.calls += 1
            if self.has_schedules and self.schedules.random() < 0.1:
                self._call_about_schedules(name)
            else:
                super()._call(name)

    def _call_about_schedules(self, name: str) -> None:
        run = run_of(len(self.triggered) + 1)
        command = draw_command(self.schedules, self.world.chronicle.state, list(self.definitions), run)
        if isinstance(command, RunSchedule):
            self.triggered.append((command.job, run))
        self.world.call(name, command)

    def call_once(self) -> None:
        """One of many callers."""
        if self.war and (live := self.world.live):
            self._call(self.random.choice(live).name)

    def _trigger(self) -> Trigger:
        trigger = super()._trigger()
        if (
            not trigger.key
            and self.schedules.random() < OF_CRON_JOBS
            and not self.world.surroundings.declared.keys().isdisjoint(OWN)
        ):
            trigger = self._of_cron_job(trigger)
        self._last_trigger = trigger
        return trigger

    def _of_cron_job(self, trigger: Trigger) -> Trigger:
        """The same for a job that perhaps a CronJob declares."""
        job = self.schedules.choice(OWN)
        del self.triggered[-len(trigger.runs) :]
        self.triggered += [(job, each.run) for each in trigger.runs]
        runs = tuple(msgspec.structs.replace(each, job=job) for each in trigger.runs)
        return msgspec.structs.replace(trigger, runs=runs)

    def repeated_trigger(self) -> Trigger | None:
        """The last that somebody has asked for."""
        return self._last_trigger

    def again(self, trigger: Trigger) -> Trigger:
        """The same request as it comes the next time: its runs have other ids."""
        first = len(self.triggered) + 1
        runs = tuple(msgspec.structs.replace(each, run=run_of(first + i)) for i, each in enumerate(trigger.runs))
        self.triggered += [(each.job, each.run) for each in runs]
        return msgspec.structs.replace(trigger, runs=runs)

    def is_configuration(self, token: Token) -> bool:
        """Whether the node itself waits for this, which never goes away."""
        return isinstance(self.world.promises.waiting[token].said, Configure)

    def own_objects(self) -> list[str]:
        """The objects of this cluster that are not ending."""
        strangers = self.server.strangers
        return [name for name, job in self.server.objects.items() if job.uid not in strangers and not job.ending]

    # Faults ---------------------------------------------------------------------------------------------------------

    def _harm_again(self) -> None:
        if not self.war:
            return
        self._harms += 1
        callers, self.random = self.random, Random(f"{self.scenario.seed} fault {self._harms}")
        fault = self.random.choices(list(self.table), list(self.table.values()))[0]
        self.world.timeline.after(self.random.randint(1, 2 * self.calm_ns), self._harm_again)
        if self.scenario.faults is None or fault.name in self.scenario.faults:
            before = self.world.said
            fault.inject(self)
            self.injected[fault.name] += self.world.said > before
        self.random = callers

    # Peace ----------------------------------------------------------------------------------------------------------

    def _make_peace(self) -> None:
        self.server.calm()
        self.server.strangers_leave()
        self.world.effect_delay_ns = (MILLISECOND, 20 * MILLISECOND)
        self.world.moves_ms = (1, 60)
        for name in DEPENDENCIES:
            mend_service(self, name)
        for host in self.world.hosts.values():
            host.clock.drift(0, self.world.timeline.now_ns)
        self.world.orchestrator_changed()
        self.world.surroundings_changed()
        if self.has_schedules:
            self.world.timeline.after(SCHEDULES_GO_ON_NS, self._end_schedules)
        super()._make_peace()

    # In peace every instant is fired in its time; then nothing more is to be due, so that all comes to rest.
    def _end_schedules(self) -> None:
        if not self._all_fired():
            self.world.timeline.after(5 * SECOND, self._end_schedules)
            return
        state = self.world.chronicle.state
        if self.world.plans:
            self.world.plans = {}
            self.world.reload({name: each for name, each in self.world.definitions.items() if name != "default"})
        self.cron_jobs.end_schedules()
        self.world.surroundings_changed()
        for removal in removals(state):
            self.world.call(self.random.choice(self.world.live).name, removal)
        if state.schedules.by_id:
            self.world.timeline.after(5 * SECOND, self._end_schedules)

    def _all_fired(self) -> bool:
        """Whether there is a leader that has nothing overdue; it may not have the same so for long."""
        leader, now_ns = self.world.leader, self.world.timeline.now_ns
        if leader is None or not self.world.live:
            return False
        late = self.world.chronicle.almanac.overdue(leader.clock.now(now_ns).wall_ms - OVERDUE_MS)
        self._overdue = {schedule: self._overdue.get(schedule, now_ns) for schedule in late}
        stuck = [schedule.hex() for schedule, since in self._overdue.items() if now_ns - since > STUCK_NS]
        assert not stuck, f"schedules are due and nothing comes of it: {stuck}"
        return not late

    def troubles(self) -> list[str]:
        """What has not come to rest."""
        state = self.world.chronicle.state
        troubles = [f"schedule {each.hex()} goes on" for each in state.schedules.by_id]
        return super().troubles() + troubles + self.cron_jobs.troubles(state, frozenset(self.world.definitions))

    def heal_disk(self, host: Host) -> None:
        """Its disk does what it is told, and there is room on it."""
        if isinstance(self.world, StoredWorld):
            calm(host)
            disk = self.world.disk_of(host.name)
            disk.files.capacity = None
            disk.syncs_well()
        else:
            super().heal_disk(host)

    def strangers(self) -> list[Host]:
        """Who was removed by command; nobody is where disks may be set aside."""
        return [] if self.is_stored else super().strangers()

    def _judge(self) -> None:
        super()._judge()
        if isinstance(self.world, StoredWorld):
            self.world.run_for(1)
            self.world.judge_disks()
        for host in self.world.hosts.values():
            judge_bounds(host.machine, self.world.chronicle.checked)
        self.world.seal()


def play(scenario: Scenario) -> Told:
    """Run a scenario to its end, whatever that is."""
    began = process_time()
    simulation = Simulation(scenario)
    failure = ""
    try:
        simulation.run()
    except Exception as error:  # noqa: BLE001 - the rim: whatever goes wrong is what the scenario has found
        failure = _described(simulation, error)
    world = simulation.world
    return Told(
        scenario,
        world.trace,
        world.timeline.now_ns / SECOND,
        process_time() - began,
        len(world.hosts),
        len(world.chronicle.entries),
        simulation.calls,
        dict(simulation.injected),
        dict(world.harm + world.network.harm),
        {invariant.value: count for invariant, count in world.chronicle.checked.counts.items()},
        failure,
        tuple(world.story) if failure else (),
    )


def _described(simulation: Simulation, error: Exception) -> str:
    if isinstance(error, AssertionError):
        checked = simulation.world.chronicle.checked.last
        at = traceback.extract_tb(error.__traceback__)[-1]
        rule = f" [{checked.value}]" if checked is not None else ""
        return f"{error} ({at.filename.rpartition('/')[2]}:{at.lineno}){rule}"
    return "".join(traceback.format_exception(error))
