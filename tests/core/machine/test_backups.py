"""A cluster that lost all its disks comes back with its schedules: the newest backup of any node, once."""

from __future__ import annotations

import msgspec
import pytest

from slimjobs.core.decide.commands import AddSchedule, RestoreBackup, Restored, ScheduleMade
from slimjobs.core.machine.queries import ListSchedules, ShowBackup, ShowStatus
from slimjobs.eventlog.events.record import decode_record
from slimjobs.eventlog.events.schedules import BackupExpected, BackupRestored, Plan, ScheduleId
from slimjobs.eventlog.raft import EntryKind
from slimjobs.projections.backups import Backup, BackupView
from slimjobs.projections.views import ScheduleList, Status
from tests.core.machine.cluster_world import ClusterWorld
from tests.core.machine.world import definition

NAMES = ("node-0", "node-1", "node-2")
DEFINITIONS = {"fib": definition(cap=2)}
MINUTELY = Plan("* * * * *", "UTC")
ID = ScheduleId(b"schedule-1")
LATER_SECONDS = 150


def world_of(seed: int, **backups: Backup) -> ClusterWorld:
    """Three empty nodes, of which these have backups (by name, `node_1` for node-1)."""
    world = ClusterWorld(NAMES, dict(DEFINITIONS), seed)
    for name, backup in backups.items():
        world.hosts[name.replace("_", "-")].backup = (backup.at, backup.index)
    if backups:
        world.run_for(LATER_SECONDS)
    world.boot_all()
    return world


def is_ready(world: ClusterWorld) -> bool:
    return all(host.process is not None and host.machine.ready for host in world.hosts.values())


def view(world: ClusterWorld, name: str) -> BackupView:
    found = world.told(name, ShowBackup())
    assert isinstance(found, BackupView)
    return found


def restorations(world: ClusterWorld) -> list[BackupRestored]:
    records = [entry.payload for entry in world.chronicle.entries if entry.kind is EntryKind.RECORD]
    events = [event for payload in records for event in decode_record(payload).events]
    return [event for event in events if isinstance(event, BackupRestored)]


def problems(world: ClusterWorld) -> tuple[str, ...]:
    shown = world.told("node-0", ShowStatus(internal=True))
    assert isinstance(shown, Status)
    return shown.problems


@pytest.fixture(scope="module")
def backups() -> tuple[Backup, Backup]:
    """An older and a newer backup of one cluster; the schedule has fired between them."""
    world = world_of(1)
    world.run_until(lambda: is_ready(world))
    made = world.told("node-1", AddSchedule(ID, "fib", MINUTELY, internal=True))
    assert isinstance(made, ScheduleMade)
    world.run_for(2)
    older = view(world, "node-2").backup
    world.run_for(130)
    newer = view(world, "node-2").backup
    assert newer.schedules[0].last_fired > older.schedules[0].last_fired
    return older, newer


@pytest.mark.parametrize("seed", range(20))
def test_the_newest_is_restored_once_through_changes_of_leader(backups: tuple[Backup, Backup], seed: int) -> None:
    older, newer = backups
    world = world_of(seed, node_0=older, node_2=newer)
    world.run_until(lambda: is_ready(world))
    expected = view(world, "node-2").expected
    assert expected == BackupExpected("node-2", newer.at, newer.index)
    assert problems(world) == ("The schedules of the backup that node-2 has are not restored yet",)
    leader = world.leader
    assert leader is not None
    world.run_for(seed / 10)
    for name in ("node-2", "node-1"):
        world.call(name, RestoreBackup(newer, expected))
    world.run_for(seed % 5 / 1000)
    world.crash(leader.name, seed % 3, seed % 4)
    world.run_for(3)
    world.boot(leader.name)
    world.run_until(lambda: is_ready(world))
    if view(world, "node-2").expected is not None:  # the crash took it along; who has it brings it again
        world.call("node-2", RestoreBackup(newer, expected))
        world.run_until(lambda: view(world, "node-2").expected is None)
    assert restorations(world) == [BackupRestored(newer.cluster, newer.index, 1)]
    [schedule] = newer.schedules
    listed = world.told("node-1", ListSchedules("fib", internal=True))
    assert isinstance(listed, ScheduleList)
    assert [(row.plan, row.last_fired) for row in listed.rows] == [(schedule.plan, schedule.last_fired)]
    assert problems(world) == ()


def test_what_fired_before_never_fires_again_and_it_goes_on(backups: tuple[Backup, Backup]) -> None:
    older, newer = backups
    world = world_of(3, node_1=older)  # what fired after the older one was written is known to nobody
    world.run_until(lambda: is_ready(world))
    world.run_for(200)
    restored = world.told("node-1", RestoreBackup(older, view(world, "node-1").expected))
    assert restored == Restored(1, 0)
    at = world.chronicle.state.at
    world.run_for(150)
    fired = sorted(instant for _, instant in world.chronicle.almanac.fired)
    assert len(fired) >= 2
    assert fired[0] > max(at, newer.schedules[0].last_fired)


def test_an_older_one_that_comes_late_is_not_taken(backups: tuple[Backup, Backup]) -> None:
    older, newer = backups
    world = world_of(4, node_0=older, node_2=newer)
    world.run_until(lambda: is_ready(world))
    stale = BackupExpected("node-0", older.at, older.index)
    assert world.told("node-0", RestoreBackup(older, stale)) == Restored(0, 0)
    assert view(world, "node-0").expected is not None


def test_without_backups_nothing_is_waited_for() -> None:
    world = world_of(5)
    world.run_until(lambda: is_ready(world))
    assert view(world, "node-0").expected is None
    assert problems(world) == ()


def test_a_founder_that_is_interrupted_meets_all_again_before_it_founds(backups: tuple[Backup, Backup]) -> None:
    _, newer = backups
    world = world_of(6, node_2=newer)
    world.run_until(lambda: world.hosts["node-0"].raft.last_index > 0)
    world.run_for(0.001)
    world.crash("node-0", done=1000)
    world.crash("node-2")
    world.boot("node-0")
    world.run_for(5)
    assert not world.chronicle.state.cluster or world.chronicle.state.schedules.expected is not None
    world.boot("node-2")
    world.run_until(lambda: is_ready(world))
    assert view(world, "node-0").expected == BackupExpected("node-2", newer.at, newer.index)


def test_a_node_that_joins_with_a_backup_changes_nothing(backups: tuple[Backup, Backup]) -> None:
    _, newer = backups
    world = world_of(7)
    world.run_until(lambda: is_ready(world))
    late = world.hosts["node-2"]
    world.crash(late.name)
    late.backup = (newer.at, newer.index)
    world.boot(late.name)
    world.run_until(lambda: is_ready(world))
    assert view(world, "node-2") == msgspec.structs.replace(view(world, "node-0"), backup=view(world, "node-2").backup)
    assert view(world, "node-2").expected is None
