"""What a routine call passes over is looked at soon, though nothing else comes in."""

from __future__ import annotations

from slimjobs.core.machine.inputs import Input, Now, Started, Tick
from slimjobs.core.machine.machine import Machine
from slimjobs.core.machine.outputs import Answer, Observe, SaveSnapshot, Send, StartEffect, Stop, Tell, WakeAt
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.eventlog.raft import NodeId
from slimjobs.eventlog.transport.greeting import PROTOCOL, Greeting, PeerMet
from tests.core.machine.disk import SimulatedDisk

NAMES = ("node-0", "node-1", "node-2")


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
            elif not isinstance(output, Answer | Send | StartEffect | Observe | Tell | SaveSnapshot | Stop):
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
