"""What disks can do to a cluster, drawn from a seed, under the same callers and judges as every other chaos.

Of the voters at most a minority has a damaged disk at a time. A byte rots only where that can be told from a torn
write: in the last batches, as long as nothing proves that they were durable, it cannot (see `recovery`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, NamedTuple

import msgspec

from slimjobs.core.decide.commands import Trigger
from slimjobs.eventlog.events.definitions import Overrides
from slimjobs.eventlog.raft import HardState, Index
from slimjobs.eventlog.storage.errors import Damage
from slimjobs.eventlog.storage.identity import IDENTITY
from slimjobs.eventlog.storage.segments import segment_names
from slimjobs.eventlog.storage.slots import HARD_STATE, MARKER, SLOT_OFFSETS
from slimjobs.eventlog.storage.snapshots import snapshot_indices, snapshot_name
from slimjobs.eventlog.storage.store import Storage
from tests.core.machine.chaos import Chaos, calm, cut, restart_politely, slow_disk, stand_still, transfer, weather
from tests.core.machine.cluster_world import Host
from tests.core.machine.stored_disk import OPTIONS, StoredDisk
from tests.core.machine.stored_world import StoredWorld
from tests.core.machine.timeline import MILLISECOND
from tests.eventlog.storage.simulated_files import SimulatedFiles

LONGEST_ARGUMENT: Final = 20_000
STEPS: Final = 14
"""No single thing that a disk does takes many more operations."""


class DiskChaos(Chaos):
    """One run of a seed of a world with stored disks."""

    def __init__(self, world: StoredWorld) -> None:
        self.stored = world
        super().__init__(world, DISK_FAULTS)
        self.load_ns = max(self.load_ns, 50 * MILLISECOND)
        self.big_share = self.random.choice([0.0, 0.1, 0.4])

    def disk_of(self, host: Host) -> StoredDisk:
        return self.stored.disk_of(host.name)

    def heal_disk(self, host: Host) -> None:
        """Its disk does what it is told, and there is room on it."""
        calm(host)
        self.disk_of(host).files.capacity = None
        self.disk_of(host).syncs_well()

    def strangers(self) -> list[Host]:
        """Nobody: no node is removed by command here."""
        return []

    def _trigger(self) -> Trigger:
        trigger = super()._trigger()
        if self.random.random() >= self.big_share:
            return trigger
        big = Overrides(args=("x" * self.random.randrange(LONGEST_ARGUMENT),))
        runs = tuple(msgspec.structs.replace(each, overrides=big) for each in trigger.runs)
        return msgspec.structs.replace(trigger, runs=runs)

    def _judge(self) -> None:
        super()._judge()
        self.stored.run_for(1)
        self.stored.judge_disks()


# What can happen ----------------------------------------------------------------------------------------------------


def power_loss(chaos: Chaos) -> None:
    """In the middle of anything; now and then once more while the node starts."""
    if (host := chaos.any_live()) is not None:
        lose_power(chaos, host)


def power_loss_of_all(chaos: Chaos) -> None:
    for host in chaos.world.hosts.values():
        if host.process is not None:
            lose_power(chaos, host)


def lose_power(chaos: Chaos, host: Host) -> None:
    chaos.world.crash(host.name, chaos.random.randrange(4), chaos.random.randrange(STEPS))
    if chaos.random.random() < 0.3:
        disk(chaos, host).files.steps_to_power_loss = chaos.random.randint(1, STEPS)
    chaos.later((10, 8000), partial(chaos.boot, host.name))


def kill(chaos: Chaos) -> None:
    """The operating system keeps what was written, synced or not."""
    if (host := chaos.any_live()) is not None:
        stored(chaos).kill(host.name, chaos.random.randrange(STEPS))
        chaos.later((10, 3000), partial(chaos.boot, host.name))


def fail_sync(chaos: Chaos) -> None:
    """The next sync or one soon after it; the node dies of it, and may lose its power right away too."""
    if (host := chaos.any_live()) is not None:
        chaos.world.say("the disk of", host.name, "will fail")
        disk(chaos, host).fail_sync(after=chaos.random.randrange(6))


def stall(chaos: Chaos) -> None:
    """What is asked of a disk takes seconds."""
    if (host := chaos.any_live()) is not None:
        stall_ns = chaos.random.randint(300, 5000) * MILLISECOND
        chaos.world.say("the disk of", host.name, "stalls for", stall_ns)
        host.disk_delay_ns = (stall_ns, stall_ns)
        chaos.later((10, 6000), partial(calm, host))


def full_disk(chaos: Chaos) -> None:
    """At once, or after a little more: in the middle of a batch, a snapshot, or a piece of one."""
    if (host := chaos.any_live()) is not None:
        files = disk(chaos, host).files
        left = chaos.random.choice([0, 500, 20_000, 200_000, 2_000_000])
        chaos.world.say("the disk of", host.name, "has only", left, "bytes left")
        files.capacity = files.used + left
        chaos.later((500, 6000), partial(setattr, files, "capacity", None))


def rot(chaos: Chaos) -> None:
    """A byte of a node that does not run rots."""
    if not chaos.whole or (host := chaos.any_live()) is None:
        return
    if chaos.random.random() < 0.5:
        stored(chaos).stop(host.name)
    else:
        stored(chaos).kill(host.name, chaos.random.randrange(STEPS))
    rot_somewhere(chaos, disk(chaos, host).files, host.name)
    chaos.later((10, 3000), partial(chaos.boot, host.name))


def rot_somewhere(chaos: Chaos, files: SimulatedFiles, name: str) -> None:
    place = chaos.random.choice([place_in_slots, place_in_log, place_in_log, place_in_snapshot, place_in_identity])
    places = place(chaos, files)
    rotten = files.copy()
    for file, offset in places:
        rotten.flip(file, offset)
    if passes_for_torn(files.copy(), rotten):
        return
    chaos.world.say("of", name, "rots", *places)
    for file, offset in places:
        files.flip(file, offset)


class _Found(NamedTuple):
    last_index: Index
    hard_state: HardState


def passes_for_torn(files: SimulatedFiles, rotten: SimulatedFiles) -> bool:
    """Whether a start would cut what rotted as the torn end of the log. Never does it find other terms or votes."""
    sound, found = found_in(files), found_in(rotten)
    if sound is None or found is None:
        return False
    assert found.hard_state == sound.hard_state, "rot gives back an old vote"
    return found.last_index < sound.last_index


def found_in(files: SimulatedFiles) -> _Found | None:
    """What a start finds here; None for damage."""
    try:
        storage = Storage.open(files, "0" * 32, OPTIONS)
    except Damage:
        return None
    return _Found(storage.last_index, storage.hard_state)


Place = tuple[str, int]


def place_in_slots(chaos: Chaos, _: SimulatedFiles) -> list[Place]:
    """One slot, or both."""
    name, at = chaos.random.choice([HARD_STATE, HARD_STATE, MARKER]), chaos.random.randrange(32)
    offsets = chaos.random.choice([SLOT_OFFSETS, SLOT_OFFSETS, SLOT_OFFSETS[:1], SLOT_OFFSETS[1:]])
    return [(name, offset + at) for offset in offsets]


def place_in_log(chaos: Chaos, files: SimulatedFiles) -> list[Place]:
    return written_place(chaos, files, segment_names(files))


def place_in_snapshot(chaos: Chaos, files: SimulatedFiles) -> list[Place]:
    return written_place(chaos, files, [snapshot_name(index) for index in snapshot_indices(files)])


def place_in_identity(chaos: Chaos, files: SimulatedFiles) -> list[Place]:
    return written_place(chaos, files, [IDENTITY])


def written_place(chaos: Chaos, files: SimulatedFiles, names: list[str]) -> list[Place]:
    sizes = {name: len(files.contents(name).rstrip(b"\0")) for name in names}
    written = [name for name in names if sizes[name]]
    if not written:
        return []
    name = chaos.random.choice(written)
    return [(name, chaos.random.randrange(sizes[name]))]


def stored(chaos: Chaos) -> StoredWorld:
    assert isinstance(chaos.world, StoredWorld)
    return chaos.world


def disk(chaos: Chaos, host: Host) -> StoredDisk:
    return stored(chaos).disk_of(host.name)


DISK_FAULTS: Final[Mapping[Callable[[Chaos], None], float]] = {
    power_loss: 4,
    power_loss_of_all: 1,
    kill: 3,
    fail_sync: 3,
    stall: 3,
    slow_disk: 1,
    full_disk: 3,
    rot: 3,
    cut: 2,
    weather: 1,
    stand_still: 1,
    transfer: 1,
    restart_politely: 1,
}
"""How often each thing happens."""
