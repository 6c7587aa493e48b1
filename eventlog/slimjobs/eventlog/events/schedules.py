"""What can happen to a schedule: it is there, it fires or is skipped, it is paused, it is gone (contract §4).

Every instant of a schedule is accounted for by exactly one event: `ScheduleFired` names it, `ScheduleSkipped` covers a
span of them, and those from `SchedulePaused` on are the pause's until `ScheduleResumed` is preceded by their skip.
`next_due` is in each event that changes it, so that who folds the log needs no calendar; -1: never again.
"""

from __future__ import annotations

import enum
from typing import NewType

import msgspec

from slimjobs.eventlog.events.definitions import Overrides, Source
from slimjobs.eventlog.events.runs import RunId

ScheduleId = NewType("ScheduleId", bytes)
"""10 bytes, shown as a run's id is: minted for what the API makes, derived from what the configuration declares."""


class ConcurrencyPolicy(enum.StrEnum):
    """What a due run does while an earlier one of its schedule is not finished."""

    ALLOW = "Allow"
    FORBID = "Forbid"
    REPLACE = "Replace"


class SkipReason(enum.StrEnum):
    """Why an instant did not fire."""

    DEADLINE = "Deadline"  # seen later than its starting deadline allows
    NO_LEADER = "NoLeader"  # nobody led when it was due, and a later instant fired instead, or none in time
    OVERLAP = "Overlap"  # an earlier run was not finished (Forbid)
    PAUSED = "Paused"
    REFUSED = "Refused"  # a trigger of the same was refused


class Plan(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """When a schedule is due and what its runs override. `expression` is as it was written, `time_zone` never empty."""

    expression: str
    time_zone: str
    overrides: Overrides = Overrides()
    concurrency: ConcurrencyPolicy = ConcurrencyPolicy.ALLOW
    starting_deadline_seconds: int = 200


class ScheduleAdded(msgspec.Struct, frozen=True, array_like=True, tag=40, gc=False):
    """A schedule is in force, from here on. One of a backup brings its past: when it last fired, and since when it is
    paused."""

    schedule: ScheduleId
    job: str
    source: Source
    plan: Plan
    next_due: int
    last_fired: int = -1
    paused_since: int = -1


class ScheduleRemoved(msgspec.Struct, frozen=True, array_like=True, tag=41, gc=False):
    """It is due no more. Its runs go on."""

    schedule: ScheduleId


class SchedulePaused(msgspec.Struct, frozen=True, array_like=True, tag=42, gc=False):
    """Its instants are skipped until it is resumed."""

    schedule: ScheduleId


class ScheduleResumed(msgspec.Struct, frozen=True, array_like=True, tag=43, gc=False):
    """It fires again, at `next_due` first."""

    schedule: ScheduleId
    next_due: int


class ScheduleFired(msgspec.Struct, frozen=True, array_like=True, tag=44, gc=False):
    """An instant fired: this run was enqueued in the same record, and the runs that it replaced were deleted in it."""

    schedule: ScheduleId
    instant: int
    run: RunId
    next_due: int
    replaced: tuple[RunId, ...] = ()


class ScheduleSkipped(msgspec.Struct, frozen=True, array_like=True, tag=45, gc=False):
    """So many instants, from the first to the last, did not fire and never will."""

    schedule: ScheduleId
    first: int
    last: int
    count: int
    reason: SkipReason
    next_due: int
    detail: str = ""


class BackupExpected(msgspec.Struct, frozen=True, array_like=True, tag=47, gc=False):
    """The founding found this backup to be the newest of all nodes': of that time and index, on the node of that name,
    which is to bring it."""

    node: str
    at: int
    index: int


class BackupRestored(msgspec.Struct, frozen=True, array_like=True, tag=46, gc=False):
    """The schedules of a backup, of that cluster and index, came into this log, in the same record."""

    cluster: str
    index: int
    schedules: int
