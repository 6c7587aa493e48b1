"""What a backup has: the schedules that callers made, with their marks, as they were at one index of one log.

What the configuration or a CronJob declares is not in it: that comes back by itself.
"""

from __future__ import annotations

import msgspec

from slimjobs.eventlog.events.definitions import Source
from slimjobs.eventlog.events.schedules import BackupExpected, BackupRestored, Plan, ScheduleId
from slimjobs.projections.state import State


class BackedSchedule(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A schedule and its marks (Unix ms; -1: never, not paused); every instant before `next_due` is accounted for."""

    schedule: ScheduleId
    job: str
    plan: Plan
    next_due: int
    last_fired: int = -1
    paused_since: int = -1


class Backup(msgspec.Struct, frozen=True, array_like=True):
    """The schedules of a cluster at an index of its log, and the time of that record (Unix ms)."""

    cluster: str
    index: int
    at: int
    schedules: tuple[BackedSchedule, ...]


class BackupView(msgspec.Struct, frozen=True, tag=True):
    """The backup that would be taken now, and what the log says of older ones."""

    backup: Backup
    expected: BackupExpected | None
    restored: BackupRestored | None


def backup_of(state: State) -> Backup:
    """The backup of this state."""
    schedules = tuple(
        BackedSchedule(each.schedule, each.job, each.plan, each.next_due, each.last_fired, each.paused_since)
        for each in state.schedules.by_id.values()
        if each.source is Source.API
    )
    return Backup(state.cluster, state.index, state.at, schedules)


def backup_view(state: State) -> BackupView:
    """The same, with what the log says of older ones."""
    return BackupView(backup_of(state), state.schedules.expected, state.schedules.restored)
