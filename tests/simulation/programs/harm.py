"""What can happen to the programs, each a task that does its harm and takes it back after a while.

A seed draws which of them there are and how often each comes. Of disks at most a minority is lost at a time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final

import trio

from slimjobs.core.decide.commands import TransferLeadership
from tests.core.machine.chronicle import consensus_of
from tests.eventlog.storage.simulated_files import SimulatedFiles
from tests.simulation.programs.cluster import FAST, NAMES, Cluster, configuration
from tests.simulation.programs.life import Life
from tests.simulation.programs.roads import FAIR

STEPS: Final = 14
"""No single thing that a disk does takes many more operations."""


class Harm:
    """The wanted faults of one seed. Fault functions are at the end of this file, with how often each comes."""

    def __init__(self, cluster: Cluster, wanted: Collection[str]) -> None:
        self.cluster, self.random = cluster, cluster.random
        self.calm_seconds = self.random.choice([0.3, 1.0, 3.0])
        weights = {fault: weight * self.random.choice([0, 1, 1, 3]) for fault, weight in FAULTS.items()}
        drawn = {fault: weight for fault, weight in weights.items() if weight} or dict(FAULTS)
        self.faults = {fault: weight for fault, weight in drawn.items() if fault.__name__ in wanted}

    async def harm_forever(self, nursery: trio.Nursery) -> None:
        """One thing after the other; what takes its time goes on beside the next."""
        while self.faults:
            await trio.sleep(self.random.uniform(0.001, 2 * self.calm_seconds))
            (fault,) = self.random.choices(list(self.faults), list(self.faults.values()))
            self.cluster.tale.faults[fault.__name__] += 1
            nursery.start_soon(fault, self)

    def any_life(self) -> Life | None:
        """A process that runs, often the leader's."""
        serving, leader = self.cluster.serving, self.cluster.leader
        if leader is not None and self.random.random() < 0.4:
            return leader
        return self.random.choice(serving) if serving else None

    async def pause(self, least: float, most: float) -> None:
        """Let it last."""
        await trio.sleep(self.random.uniform(least, most))

    @property
    def whole(self) -> bool:
        """Whether every host is a voter, in the log and on every node, and lives: then one disk may be lost."""
        serving = self.cluster.serving
        if len(serving) < len(NAMES):
            return False
        nodes = {life.judged.id for life in serving}
        seen = [self.cluster.chronicle.membership, *(consensus_of(life.judged).membership for life in serving)]
        return all(set(membership.voters) == nodes for membership in seen)


Fault = Callable[[Harm], Awaitable[None]]


async def kill(harm: Harm) -> None:
    """The operating system keeps what was written, synced or not."""
    if (life := harm.any_life()) is not None:
        harm.cluster.kill(life, harm.random.randrange(STEPS))


async def power_loss(harm: Harm) -> None:
    """What was not synced is lost, in parts; now and then once more while the node starts."""
    if (life := harm.any_life()) is not None:
        harm.cluster.kill(life, harm.random.randrange(STEPS), power=True)
        if harm.random.random() < 0.3:
            life.host.files.steps_to_power_loss = harm.random.randint(1, STEPS)


async def power_loss_of_all(harm: Harm) -> None:
    for life in harm.cluster.serving:
        harm.cluster.kill(life, harm.random.randrange(STEPS), power=True)


async def wipe(harm: Harm) -> None:
    """A disk is lost, and another node comes in the place of the one that had it."""
    if harm.whole and (life := harm.any_life()) is not None:
        harm.cluster.kill(life)
        harm.cluster.tale.say(life.name, "has lost its disk")
        life.host.files = SimulatedFiles()


async def stop(harm: Harm) -> None:
    if (life := harm.any_life()) is not None:
        await harm.cluster.stop(life)


async def stand_still(harm: Harm) -> None:
    if (life := harm.any_life()) is not None:
        harm.cluster.put_to_sleep(life)
        await harm.pause(0.01, 6)
        if not life.dead:
            await go_on(harm.cluster, life)


async def go_on(cluster: Cluster, life: Life) -> None:
    """It stood still, and does not any more."""
    cluster.tale.say(life.name, "goes on")
    cluster.wake(life.host)
    await life.go_on()


async def cut(harm: Harm) -> None:
    """One direction, one link, or all of one node."""
    roads, (one, two, three) = harm.cluster.roads, harm.random.sample(NAMES, 3)
    cut = harm.random.choice(
        [{(one, two)}, {(one, two), (two, one)}, {(one, two), (two, one), (one, three), (three, one)}]
    )
    harm.cluster.tale.say("cut:", *sorted(cut))
    roads.cut |= cut
    roads.changed()
    await harm.pause(0.1, 8)
    roads.cut -= cut
    roads.changed()


async def weather(harm: Harm) -> None:
    """Letters are slow or very late for a while."""
    roads = harm.cluster.roads
    roads.latency = (0.00005, harm.random.choice([0.002, 0.02, 0.2]))
    roads.late = harm.random.choice([0.0, 0.01, 0.1])
    harm.cluster.tale.say("weather:", roads.latency, roads.late)
    await harm.pause(0.5, 8)
    roads.latency, roads.late = FAIR, 0.0


async def reset(harm: Harm) -> None:
    """Connections end in the middle of a letter."""
    for _ in range(harm.random.choice([1, 1, 6])):
        harm.cluster.roads.reset()


async def clock(harm: Harm) -> None:
    """A wall clock jumps; now and then so far that its node must not lead."""
    host = harm.cluster.hosts[harm.random.choice(NAMES)]
    jump_ms = harm.random.choice([50, 1000, 1000, 20_000])
    host.skew_ms = harm.random.randint(-jump_ms, jump_ms)
    harm.cluster.tale.say("the clock of", host.name, "is wrong by", host.skew_ms)


async def slow_disk(harm: Harm) -> None:
    """A disk is slow, or stalls for seconds."""
    host = harm.cluster.hosts[harm.random.choice(NAMES)]
    host.disk_seconds = harm.random.choice([(0.001, 0.02), (0.001, 0.3), (0.001, 3.0), (2.0, 5.0)])
    harm.cluster.tale.say("the disk of", host.name, "takes", host.disk_seconds)
    await harm.pause(0.1, 6)
    host.disk_seconds = FAST


async def failing_disk(harm: Harm) -> None:
    """The next sync or one soon after it fails; the node ends with that."""
    if (life := harm.any_life()) is not None:
        harm.cluster.tale.say("the disk of", life.name, "will fail")
        life.files.syncs_to_failure = 1 + harm.random.randrange(6)


async def full_disk(harm: Harm) -> None:
    """At once, or after a little more."""
    host = harm.cluster.hosts[harm.random.choice(NAMES)]
    left = harm.random.choice([0, 500, 20_000, 200_000])
    harm.cluster.tale.say("the disk of", host.name, "has only", left, "bytes left")
    host.files.capacity = host.files.used + left
    await harm.pause(0.5, 6)
    host.files.capacity = None


async def transfer(harm: Harm) -> None:
    if (life := harm.any_life()) is not None:
        await harm.cluster.ask(life, TransferLeadership(harm.random.choice(["", *NAMES])))


async def reload(harm: Harm) -> None:
    """The configuration's file changes, on one host or on all; now and then into something that nobody can read."""
    content = configuration(harm.random.randrange(5)) if harm.random.random() < 0.8 else b'{"Configurations": [}'
    for name in harm.random.choice([NAMES, [harm.random.choice(NAMES)]]):
        harm.cluster.hosts[name].configuration = content
        harm.cluster.tale.say(name, "is configured by", len(content), "bytes")


async def trouble_orchestrator(harm: Harm) -> None:
    """It is down, slow, or loses what it is asked for or answers."""
    server = harm.cluster.server
    match harm.random.randrange(3):
        case 0:
            server.down = True
            for feed in server.objects.feeds.values():
                feed.lose("the server is down")
        case 1:
            server.slowest_seconds = harm.random.choice([0.3, 3.0])
        case _:
            server.lost, server.late = harm.random.choice([0.0, 0.2]), harm.random.choice([0.0, 0.1])
    harm.cluster.tale.say("orchestrator:", server.down, server.slowest_seconds, server.lost, server.late)
    await harm.pause(0.5, 8)
    calm(harm.cluster)


async def lose_watches(harm: Harm) -> None:
    for feed in harm.cluster.server.objects.feeds.values():
        feed.lose("connection lost")


async def vanish(harm: Harm) -> None:
    """Somebody removes an object by hand."""
    objects = harm.cluster.server.objects
    if objects.objects:
        objects.vanish(harm.random.choice(list(objects.objects)))


def calm(cluster: Cluster) -> None:
    """The orchestrator is well."""
    server = cluster.server
    server.down, server.slowest_seconds, server.lost, server.late = False, 0.02, 0.0, 0.0


async def make_peace(cluster: Cluster) -> None:
    """Nothing is wrong any more."""
    cluster.tale.say("peace")
    calm(cluster)
    cluster.roads.cut.clear()
    cluster.roads.latency, cluster.roads.late = FAIR, 0.0
    cluster.roads.changed()
    cluster.slowest_start_seconds = 0.5
    for host in cluster.hosts.values():
        host.configuration = configuration(0)
        host.skew_ms = 0
        host.disk_seconds = FAST
        host.files.capacity = host.files.syncs_to_failure = host.files.steps_to_power_loss = None
        if host.life is not None and host.life.stands_still:
            await go_on(cluster, host.life)


FAULTS: Final[Mapping[Fault, float]] = {
    kill: 3,
    power_loss: 3,
    power_loss_of_all: 0.5,
    wipe: 1,
    stop: 2,
    stand_still: 2,
    cut: 4,
    weather: 3,
    reset: 3,
    clock: 1,
    slow_disk: 3,
    failing_disk: 2,
    full_disk: 1,
    transfer: 2,
    reload: 1,
    trouble_orchestrator: 3,
    lose_watches: 1,
    vanish: 1,
}
"""How often each thing happens."""

HARM_NAMES: Final = tuple(fault.__name__ for fault in FAULTS)
