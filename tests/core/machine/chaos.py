"""Whatever can happen to a cluster, drawn from a seed: callers without pause, faults of every kind, then peace.

In peace everything has to come to an end: one leader, three voters, every run ended once, no object left over, every
caller answered, and the same state on every node. While faults go on, a majority of the voters' disks always stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import msgspec

from slimjobs.core.decide.commands import (
    DeleteRun,
    IdempotencyKey,
    RemoveMember,
    Requested,
    TransferLeadership,
    Trigger,
)
from slimjobs.core.machine.inputs import HandOver
from slimjobs.core.machine.queries import ListRuns, ShowCluster, ShowRun, ShowStatus
from slimjobs.eventlog.events.definitions import Definition
from slimjobs.eventlog.events.runs import RunId
from slimjobs.eventlog.raft import Membership, NodeId
from slimjobs.projections.views import RunDetail, RunStatus
from tests.core.machine.cluster_world import ClusterWorld, Host
from tests.core.machine.invariants import Invariant
from tests.core.machine.network import FAIR, Weather
from tests.core.machine.timeline import MILLISECOND
from tests.core.machine.world import definition

NAMES: Final = ("node-0", "node-1", "node-2")
DEFINITIONS: Final[Mapping[str, Definition]] = {"fib": definition(cap=2), "web": definition(cap=1)}
WAR_SECONDS: Final = (5, 15, 25)
PEACE_SECONDS: Final = 120
GOOD_ENDS: Final = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED})


def run_of(number: int) -> RunId:
    return RunId(number.to_bytes(10, "big"))


class Chaos:
    """One run of a world's seed, with these faults, each as often as its weight says."""

    def __init__(self, world: ClusterWorld, faults: Mapping[Callable[[Chaos], None], float]) -> None:
        self.world = world
        self.names = list(world.hosts)
        self.random = self.world.random
        self.war = True
        self.patience_seconds = PEACE_SECONDS
        self.settling_seconds = 10
        self.triggered: list[tuple[str, RunId]] = []
        self.keys: dict[str, str] = {}
        self.load_ns = self.random.choice([20, 100, 400]) * MILLISECOND
        self.calm_ns = self.random.choice([300, 1000, 3000]) * MILLISECOND
        self.grows = self.random.random() < 0.25
        self._draw_hosts()
        weights = {fault: weight * self.random.choice([0, 1, 1, 3]) for fault, weight in faults.items()}
        self.faults = {fault: weight for fault, weight in weights.items() if weight} or dict(faults)

    def _draw_hosts(self) -> None:
        every = self.random.choice([7, 30, 10**6])
        election = self.random.choice([1000, 1000, 400])
        kept = self.random.choice([1, 2])
        for host in self.world.hosts.values():
            host.clock.drift_ppm = self.random.randint(-500, 500)
            host.clock.skew_ms = self.random.randint(-1000, 1000)
            host.disk.kept = kept
            host.settings = msgspec.structs.replace(
                host.settings, snapshot_interval_entries=every, election_milliseconds=election
            )

    def run(self) -> None:
        """The whole story."""
        self._begin()
        self.world.timeline.after(0, self._call_again)
        self.world.timeline.after(0, self._harm_again)
        self.world.run_for(self.random.choice(WAR_SECONDS))
        self.war = False
        self._make_peace()
        self._judge()

    def _begin(self) -> None:
        if self.grows:
            first = self.world.hosts[self.names[0]]
            peers = first.settings.peers
            first.settings = msgspec.structs.replace(first.settings, peers={first.name: peers[first.name]})
            self.world.boot(first.name)
            self.world.call(first.name, self._trigger())
            self.world.run_for(0.3 * self.settling_seconds)
            self.world.crash(first.name)
            first.settings = msgspec.structs.replace(first.settings, peers=peers)
        self.world.boot_all()
        self.world.run_for(self.random.choice([0, 1, 5]))

    # Callers --------------------------------------------------------------------------------------------------------

    def _call_again(self) -> None:
        if not self.war:
            return
        if live := self.world.live:
            self._call(self.random.choice(live).name)
        self.world.timeline.after(self.random.randint(1, 2 * self.load_ns), self._call_again)

    def _call(self, name: str) -> None:
        roll = self.random.random()
        if roll < 0.45 or not self.triggered:
            self.world.call(name, self._trigger())
            return
        job, run = self.random.choice(self.triggered)
        if roll < 0.55:
            self.world.call(name, DeleteRun(job, run, True))
        elif roll < 0.9:
            wait_seconds = self.random.choice([0.0, 0.0, 0.0, 1.0, 5.0])
            self.world.ask(name, ShowRun(job, run, True, wait_seconds), stale=self.random.random() < 0.2)
        elif roll < 0.97:
            self.world.ask(name, ListRuns(job, True), stale=self.random.random() < 0.2)
        else:
            self.world.ask(name, ShowStatus(True) if self.random.random() < 0.5 else ShowCluster())

    def _trigger(self) -> Trigger:
        job = self.random.choice(list(DEFINITIONS))
        key = self.random.choice(["", "", f"key{self.random.randrange(5)}"])
        if key:
            job = self.keys.setdefault(key, job)
        first = len(self.triggered) + 1
        runs = [run_of(first + i) for i in range(1 if key else self.random.choice([1, 1, 3]))]
        self.triggered += [(job, run) for run in runs]
        named = IdempotencyKey(key.encode().ljust(16), bytes(16)) if key else None
        return Trigger(tuple(Requested(run, job) for run in runs), True, named)

    # Faults ---------------------------------------------------------------------------------------------------------

    def _harm_again(self) -> None:
        if not self.war:
            return
        fault = self.random.choices(list(self.faults), list(self.faults.values()))[0]
        fault(self)
        self.world.timeline.after(self.random.randint(1, 2 * self.calm_ns), self._harm_again)

    def later(self, milliseconds: tuple[int, int], then: Callable[[], None]) -> None:
        """Let a fault end after a while."""
        self.world.timeline.after(self.random.randint(*milliseconds) * MILLISECOND, then)

    def any_live(self) -> Host | None:
        live = self.world.live
        leader = self.world.leader
        if leader is not None and leader.awake and self.random.random() < 0.4:
            return leader
        return self.random.choice(live) if live else None

    def boot(self, name: str) -> None:
        if self.world.hosts[name].process is None:
            self.world.boot(name)

    @property
    def whole(self) -> bool:
        """Whether every host is a voter in the log and on every node, and lives: then one disk of three may be lost."""
        nodes = {host.disk.node for host in self.world.hosts.values()}
        seen = [self.world.chronicle.membership]
        seen += [host.raft.membership for host in self.world.hosts.values() if host.process is not None]
        live = len(seen) == len(self.world.hosts) + 1 > 3
        return live and all(set(membership.voters) == nodes for membership in seen)

    def strangers(self) -> list[Host]:
        """The hosts whose node belongs to the cluster no more, neither in the log nor for any member that lives.

        Before a founding is committed nobody can tell a stranger from the founder.
        """
        belong = {*everybody(self.world.chronicle.membership)}
        if not belong:
            return []
        for host in self.world.hosts.values():
            if host.process is not None and host.disk.node in everybody(self.world.chronicle.membership):
                belong.update(everybody(host.raft.membership))
        return [host for host in self.world.live if host.disk.node not in belong and not host.disk.is_blank]

    # Peace ----------------------------------------------------------------------------------------------------------

    def _make_peace(self) -> None:
        world = self.world
        world.say("peace")
        world.network.heal()
        world.network.weather = FAIR
        world.effects_late = world.effects_lost = world.effects_refused = world.holds = 0.0
        world.release_held()
        for host in world.hosts.values():
            host.clock.skew_ms = 0
            self.heal_disk(host)
            if host.asleep_since is not None:
                world.wake(host.name)
        world.boot_all()
        world.run_for(self.settling_seconds)
        self._replace_strangers()
        self._wait_for_rest()

    def heal_disk(self, host: Host) -> None:
        """Its disk does what it is told, and there is room on it."""
        calm(host)
        if host.process is not None:
            self.world.tell(host.name, host.disk.grow(1 << 30))
        else:
            host.disk.room += 1 << 30

    # Who was removed by command can come back as a new incarnation only.
    def _replace_strangers(self) -> None:
        for host in self.strangers():
            self.world.crash(host.name)
            self.world.wipe(host.name)
            self.world.boot(host.name)

    def _wait_for_rest(self) -> None:
        for _ in range(self.patience_seconds):
            self.world.run_for(1)
            if not self.troubles():
                return
        raise AssertionError(f"no rest: {self.troubles()}")

    def troubles(self) -> list[str]:
        """What has not come to rest."""
        self.world.chronicle.checked.look(Invariant.REST)
        world, state = self.world, self.world.chronicle.state
        membership, nodes = world.chronicle.membership, {host.disk.node for host in world.hosts.values()}
        troubles = [f"{run.hex()} is under way" for run in (*state.queued, *state.active, *state.deleted)]
        troubles += [f"{name} is nobody's" for name in self.orphans()]
        troubles += [f"{caller} waits" for caller in world.promises.waiting.values()]
        if world.under_way:
            troubles.append(f"{world.under_way} requests are under way")
        if set(membership.voters) != nodes or membership.learners:
            troubles.append(f"{membership} instead of {nodes}")
        for host in world.hosts.values():
            if host.process is None or host.raft.commit != world.chronicle.last_index:
                troubles.append(f"{host.name} is behind")
            elif not host.process.ready:
                troubles.append(f"{host.name} is not ready")
        return troubles

    def orphans(self) -> list[str]:
        state = self.world.chronicle.state
        strangers = self.world.orchestrator.strangers
        objects = self.world.orchestrator.objects
        return [name for name, job in objects.items() if job.uid not in strangers and state.job_of(job.run) is None]

    def _judge(self) -> None:
        world = self.world
        for host in world.hosts.values():
            world.chronicle.agrees_with(host.machine)
        world.chronicle.onlooker.agrees_with(world.chronicle.state)
        for run, job in world.promises.acknowledged.items():
            if run in world.promises.deletion_asked or run in world.chronicle.expired:
                continue
            detail = world.told(self.random.choice(self.names), ShowRun(job, run, True))
            assert isinstance(detail, RunDetail), f"an acknowledged run is not there: {detail}"
            assert detail.row.status in GOOD_ENDS


def everybody(membership: Membership) -> tuple[NodeId, ...]:
    """Voters and learners."""
    return (*membership.voters, *membership.learners)


def calm(host: Host) -> None:
    """The disk is as fast as it was, and has room for snapshots."""
    host.disk_delay_ns = (100_000, 1_000_000)
    host.disk.refuses_snapshots = False


# What can happen ----------------------------------------------------------------------------------------------------


def crash(chaos: Chaos) -> None:
    if (host := chaos.any_live()) is not None:
        chaos.world.crash(host.name, chaos.random.randrange(4), chaos.random.randrange(6))
        chaos.later((10, 8000), partial(chaos.boot, host.name))


def wipe(chaos: Chaos) -> None:
    """A disk is lost, and another node comes in the place of the one that had it."""
    if chaos.whole and (host := chaos.any_live()) is not None:
        chaos.world.crash(host.name)
        chaos.world.wipe(host.name)
        chaos.later((10, 3000), partial(chaos.boot, host.name))


def stand_still(chaos: Chaos) -> None:
    if (host := chaos.any_live()) is not None:
        chaos.world.put_to_sleep(host.name)
        chaos.later((10, 6000), partial(go_on, chaos, host, host.life))


def go_on(chaos: Chaos, host: Host, life: int) -> None:
    if host.life == life and host.asleep_since is not None:
        chaos.world.wake(host.name)


def cut(chaos: Chaos) -> None:
    """One direction, all of one node, or one link both ways."""
    if len(chaos.names) == 1:
        return
    network, (one, two, *others) = chaos.world.network, chaos.random.sample(chaos.names, len(chaos.names))
    match chaos.random.randrange(3):
        case 0:
            network.sever(one, two)
        case 1:
            network.split({one}, {two, *others})
        case _:
            network.split({one}, {two})
    chaos.world.say("cut:", *sorted(network.cut))
    chaos.later((100, 8000), network.heal)


def weather(chaos: Chaos) -> None:
    """Letters are lost, doubled, late, or overtake each other for a while."""
    network, random = chaos.world.network, chaos.random
    network.weather = Weather(
        latency_ns=(50_000, random.choice([500_000, 20 * MILLISECOND, 200 * MILLISECOND])),
        lost=random.choice([0.0, 0.02, 0.2]),
        doubled=random.choice([0.0, 0.1]),
        late=random.choice([0.0, 0.01]),
        in_order=random.random() < 0.5,
    )
    chaos.world.say("weather:", network.weather)
    chaos.later((500, 8000), partial(setattr, network, "weather", FAIR))


def clock(chaos: Chaos) -> None:
    """A wall clock jumps; now and then so far that its node must not lead."""
    host = chaos.world.hosts[chaos.random.choice(chaos.names)]
    jump_ms = chaos.random.choice([50, 1000, 1000, 20_000])
    host.clock.skew_ms = chaos.random.randint(-jump_ms, jump_ms)
    chaos.world.say("the clock of", host.name, "is wrong by", host.clock.skew_ms)


def slow_disk(chaos: Chaos) -> None:
    host = chaos.world.hosts[chaos.random.choice(chaos.names)]
    slowest_ms = chaos.random.choice([20, 300, 3000])
    host.disk_delay_ns = (MILLISECOND, slowest_ms * MILLISECOND)
    host.disk.refuses_snapshots = chaos.random.random() < 0.3
    chaos.world.say("the disk of", host.name, "is slow, up to", slowest_ms, "ms")
    chaos.later((100, 6000), partial(calm, host))


def full_disk(chaos: Chaos) -> None:
    host = chaos.any_live()
    if host is None or host.disk.room < 1 << 28:
        return
    taken = host.disk.room - chaos.random.choice([0, 500, 1 << 20, (1 << 20) + 3000])
    chaos.world.say("the disk of", host.name, "is full")
    chaos.world.tell(host.name, host.disk.grow(-taken))
    chaos.later((500, 6000), partial(give_room, chaos, host, taken))


def give_room(chaos: Chaos, host: Host, taken: int) -> None:
    if host.disk.room < 1 << 28:
        room = host.disk.grow(taken)
        chaos.world.tell(host.name, room)


def transfer(chaos: Chaos) -> None:
    if (host := chaos.any_live()) is not None:
        chaos.world.call(host.name, TransferLeadership(chaos.random.choice(["", *chaos.names])))


def restart_politely(chaos: Chaos) -> None:
    """SIGTERM: a leader hands over first."""
    if (host := chaos.any_live()) is not None:
        chaos.world.say(host.name, "is asked to stop")
        chaos.world.tell(host.name, HandOver())
        chaos.later((100, 3000), partial(end, chaos, host, host.life))


def end(chaos: Chaos, host: Host, life: int) -> None:
    if host.life == life and host.process is not None:
        chaos.world.crash(host.name, done=1000)
        chaos.later((10, 3000), partial(chaos.boot, host.name))


def remove(chaos: Chaos) -> None:
    if chaos.whole and (host := chaos.any_live()) is not None:
        chaos.world.call(host.name, RemoveMember(chaos.random.choice(chaos.names)))


def return_removed(chaos: Chaos) -> None:
    """Who was removed comes back with an empty disk."""
    for host in chaos.strangers():
        chaos.world.crash(host.name)
        chaos.world.wipe(host.name)
        chaos.later((10, 3000), partial(chaos.boot, host.name))


def trouble_orchestrator(chaos: Chaos) -> None:
    """Requests get lost or arrive late, watches break, objects vanish."""
    world, random = chaos.world, chaos.random
    match random.randrange(3):
        case 0:
            world.effects_late, world.effects_lost = random.choice([0.0, 0.1]), random.choice([0.0, 0.2])
        case 1:
            world.lose_watch(random.choice(chaos.names))
        case _:
            if world.orchestrator.objects:
                world.vanish(random.choice(list(world.orchestrator.objects)))


FAULTS: Final[Mapping[Callable[[Chaos], None], float]] = {
    crash: 4,
    wipe: 1,
    stand_still: 2,
    cut: 4,
    weather: 3,
    clock: 1,
    slow_disk: 2,
    full_disk: 1,
    transfer: 2,
    restart_politely: 2,
    remove: 0.5,
    return_removed: 2,
    trouble_orchestrator: 3,
}
"""How often each thing happens."""
