"""What a routine call passes over is looked at soon, though nothing else comes in."""

from __future__ import annotations

from functools import partial

from slimjobs.core.machine.inputs import Input, Now, Started, Tick
from slimjobs.core.machine.journal import HEADROOM_BYTES
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
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.core.orchestrators.ports import Delete, Phase
from slimjobs.eventlog.events.definitions import Overrides
from slimjobs.eventlog.raft import Index, NodeId
from slimjobs.eventlog.storage.requests import Room
from slimjobs.eventlog.transport.greeting import PROTOCOL, Greeting, PeerMet
from tests.core.machine.cluster_world import Host
from tests.core.machine.disk import SimulatedDisk
from tests.core.machine.test_cluster_stories import three_nodes
from tests.core.machine.test_machine import DEFINITIONS, SECOND, run_of, show, trigger
from tests.core.machine.timeline import MILLISECOND
from tests.core.machine.world import World, definition

NAMES = ("node-0", "node-1", "node-2")


OTHERS = Answer | Send | StartEffect | StartScaling | Observe | Tell | SaveSnapshot | Stop


def test_a_founder_whose_disk_is_quick_takes_in_its_peers_by_its_own_wake_ups() -> None:
    disk = SimulatedDisk(1 << 30)
    start, state = disk.start(seed=1)
    settings = MachineSettings(name="node-0", peers={name: f"{name}:1" for name in NAMES}, version="1")
    machine = Machine(start, state, disk.room, "c1", settings, disk.blank)
    now = Now(1_700_000_000_000, 1_003_000_000)
    wakes: list[int | None] = []

    def turn(*inputs: Input) -> None:
        for output in machine.handle(inputs, now):
            if isinstance(output, WakeAt):
                wakes.append(output.monotonic_ns)
            elif not isinstance(
                output, Answer | Send | StartEffect | StartScaling | Observe | Tell | SaveSnapshot | Stop
            ):
                disk.take(output)

    def write_all() -> None:
        while disk.pending:
            if (answer := disk.carry_out()) is not None:
                turn(answer)

    turn(Started())
    for number, name in enumerate(NAMES[1:], 100):
        met = Greeting(PROTOCOL, "", name, NodeId(number), empty=True, guest=False, level=1, version="1", has_log=False)
        turn(PeerMet(met))
    write_all()
    while set(machine.state.members) != set(NAMES):
        assert wakes[-1] is not None, "it sleeps for ever"
        now = Now(now.wall_ms + 10, max(now.monotonic_ns, wakes[-1]))
        turn(Tick())
        write_all()


def test_a_node_alone_is_configured_though_its_orchestrator_says_nothing() -> None:
    world = World(DEFINITIONS)
    world.settle_node()
    assert world.machine.ready


def test_an_object_that_nobody_wants_is_deleted_by_a_node_alone_that_hears_nothing_more() -> None:
    world = World({"fib": definition(cap=2, ttl_seconds=3)})
    world.settle()
    world.told(trigger(1))
    while things := [thing for thing in world.possible() if thing != world.wake and not collects(world, thing)]:
        things[0]()
    for _ in range(100):
        while world.disk.pending:
            world.write()
        if any(isinstance(sent.effect, Delete) for sent in world.in_flight):
            return
        assert world.wake_at is not None, "it sleeps for ever"
        world.wake()
    raise AssertionError(f"nobody deletes {world.orphans()}")


def collects(world: World, thing: object) -> bool:
    """Whether that is the controller that collects what has ended; it is late here."""
    if not isinstance(thing, partial) or thing.func != world.orchestrator.move:
        return False
    return world.orchestrator.objects[thing.args[0]].phase is Phase.SUCCEEDED


def test_who_waits_behind_a_trigger_that_waits_for_the_disk_is_answered_in_time() -> None:
    world = World(DEFINITIONS)
    world.settle()
    world.told(trigger(2, overrides=Overrides(depends_on=("db",))))
    world.turn(Room(HEADROOM_BYTES + 20_000))
    for run in (3, 4):
        world.call(trigger(run, overrides=Overrides(args=("x" * 12_000,), depends_on=("db",))))
    question = world.ask(show(2, wait_seconds=1.0))
    asked_ns = world.now.monotonic_ns
    world.settle_node()
    while question not in world.answers:
        assert world.wake_at is not None, "it sleeps for ever"
        world.wake()
        world.settle_node()
    assert SECOND <= world.now.monotonic_ns - asked_ns < 1.1 * SECOND


def test_a_follower_learns_of_the_last_commit_with_the_next_tick_though_nothing_follows() -> None:
    world = three_nodes()
    leader = world.leader
    assert leader is not None
    follower = next(host for host in world.hosts.values() if host is not leader)
    for first in range(1, 61, 3):
        for run in range(first, first + 3):
            world.call(leader.name, trigger(run))
            world.run_until(partial(is_committed, leader, run))
        committed, since_ns = leader.raft.commit, world.timeline.now_ns
        world.run_until(partial(knows_committed, follower, committed))
        assert world.timeline.now_ns - since_ns <= 12 * MILLISECOND
        world.run_for(0.137)


def is_committed(host: Host, run: int) -> bool:
    known = host.machine.state.run_state(run_of(run)) is not None
    return known and host.raft.commit == host.raft.last_index


def knows_committed(host: Host, index: Index) -> bool:
    return host.raft.commit >= index
