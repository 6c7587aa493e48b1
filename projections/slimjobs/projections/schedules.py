"""Schedules as the log has them: which are in force and due next, which runs of theirs go on, what became of instants.

The ledger of a schedule is packed: its last rows in a few bytes each, since ten thousand schedules have one each. All
of it is in the log (`slimjobs schedule audit`).
"""

from __future__ import annotations

import enum
import heapq
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec

from slimjobs.eventlog.events.definitions import Source
from slimjobs.eventlog.events.runs import RunId
from slimjobs.eventlog.events.schedules import (
    BackupExpected,
    BackupRestored,
    ConcurrencyPolicy,
    Plan,
    ScheduleAdded,
    ScheduleFired,
    ScheduleId,
    SchedulePaused,
    ScheduleRemoved,
    ScheduleResumed,
    ScheduleSkipped,
    SkipReason,
)

ROWS_KEPT: Final = 32
NEVER: Final = -1


class Outcome(enum.IntEnum):
    """What became of an instant. Numbers are for ever; the reasons of skips follow their enumeration."""

    FIRED = 0
    REPLACED = 1
    DEADLINE = 2
    NO_LEADER = 3
    OVERLAP = 4
    PAUSED = 5
    REFUSED = 6


_SKIPS: Final[Mapping[SkipReason, Outcome]] = {reason: Outcome[reason.name] for reason in SkipReason}


class LedgerRow(msgspec.Struct, frozen=True):
    """One instant that fired, so late, as this run; or several from `first` to `last` that were skipped."""

    first: int
    last: int
    count: int
    outcome: Outcome
    late_ms: int
    run: RunId | None


# first and last instant, how late or how many, outcome, run (zeros for a skip)
_ROW: Final = struct.Struct("<QQIB10s")
_NO_RUN: Final = RunId(bytes(10))
_MOST: Final = (1 << 32) - 1


class Schedule(msgspec.Struct, array_like=True):
    """A schedule in force. Times are Unix ms; -1: never, or not paused."""

    schedule: ScheduleId
    job: str
    source: Source
    plan: Plan
    added_at: int
    next_due: int
    last_fired: int = NEVER
    paused_since: int = NEVER
    ledger: bytes = b""
    unfinished: list[RunId] = []

    @property
    def is_paused(self) -> bool:
        return self.paused_since != NEVER

    def rows(self) -> Iterator[LedgerRow]:
        """What became of its latest instants, the latest first."""
        for start in range(len(self.ledger) - _ROW.size, -1, -_ROW.size):
            first, last, number, outcome, run = _ROW.unpack_from(self.ledger, start)
            if outcome in (Outcome.FIRED, Outcome.REPLACED):
                yield LedgerRow(first, last, 1, Outcome(outcome), number, RunId(run))
            else:
                yield LedgerRow(first, last, number, Outcome(outcome), 0, None)


class Schedules:
    """The tables of schedules. Only the folds below write them, and a restored snapshot through `enter`.

    `expected` is the backup that the founding found and that is not restored yet, `restored` the last one that was.
    """

    def __init__(self) -> None:
        self.by_id: dict[ScheduleId, Schedule] = {}
        self.by_job: dict[str, dict[ScheduleId, None]] = {}
        self.expected: BackupExpected | None = None
        self.restored: BackupRestored | None = None
        self._due: list[tuple[int, ScheduleId]] = []
        self._unfinished: dict[RunId, ScheduleId] = {}

    def of(self, job: str) -> Iterator[Schedule]:
        """The schedules of a job, in the order in which they came."""
        return (self.by_id[schedule] for schedule in self.by_job.get(job, ()))

    def next_due(self) -> tuple[int, ScheduleId] | None:
        """Which one is due first of all that are not paused, and when."""
        return self._due[0] if self._due else None

    def enter(self, schedule: Schedule) -> None:
        """Put a schedule into all tables."""
        self.by_id[schedule.schedule] = schedule
        self.by_job.setdefault(schedule.job, {})[schedule.schedule] = None
        self._unfinished.update(dict.fromkeys(schedule.unfinished, schedule.schedule))
        self.expect(schedule)

    def leave(self, schedule: ScheduleId) -> None:
        """Take a schedule out of all tables. Raises KeyError for an unknown one."""
        left = self.by_id.pop(schedule)
        of_job = self.by_job[left.job]
        del of_job[schedule]
        if not of_job:
            del self.by_job[left.job]
        for run in left.unfinished:
            del self._unfinished[run]
        self._drop_stale()

    def expect(self, schedule: Schedule) -> None:
        """Take note of when it is due next."""
        if schedule.next_due != NEVER and not schedule.is_paused:
            heapq.heappush(self._due, (schedule.next_due, schedule.schedule))
        self._drop_stale()

    # Whoever leaves, is paused or fires leaves an old entry behind: dropped at the top, or when most of them are old.
    def _drop_stale(self) -> None:
        while self._due and not self._is_due(*self._due[0]):
            heapq.heappop(self._due)
        if len(self._due) > 2 * len(self.by_id) + 64:
            self._due = list(dict.fromkeys(due for due in self._due if self._is_due(*due)))
            heapq.heapify(self._due)

    def _is_due(self, at: int, schedule: ScheduleId) -> bool:
        known = self.by_id.get(schedule)
        return known is not None and known.next_due == at and not known.is_paused

    def began(self, schedule: Schedule, run: RunId) -> None:
        """A run of a schedule that minds its earlier ones was enqueued."""
        schedule.unfinished.append(run)
        self._unfinished[run] = schedule.schedule

    def finished(self, run: RunId) -> None:
        """A run, of a schedule or not, ended or was deleted."""
        if (schedule := self._unfinished.pop(run, None)) is not None:
            self.by_id[schedule].unfinished.remove(run)


# The folds: KeyErrors are a broken log. `at` is the record's time. ----------------------------------------------------


def _added(schedules: Schedules, event: ScheduleAdded, at: int) -> None:
    if event.schedule in schedules.by_id:
        schedules.leave(event.schedule)
    added = Schedule(event.schedule, event.job, event.source, event.plan, at, event.next_due)
    added.last_fired, added.paused_since = event.last_fired, event.paused_since
    schedules.enter(added)


def _removed(schedules: Schedules, event: ScheduleRemoved, _: int) -> None:
    schedules.leave(event.schedule)


def _paused(schedules: Schedules, event: SchedulePaused, at: int) -> None:
    schedules.by_id[event.schedule].paused_since = at
    schedules.expect(schedules.by_id[event.schedule])


def _resumed(schedules: Schedules, event: ScheduleResumed, _: int) -> None:
    schedule = schedules.by_id[event.schedule]
    schedule.paused_since, schedule.next_due = NEVER, event.next_due
    schedules.expect(schedule)


def _fired(schedules: Schedules, event: ScheduleFired, at: int) -> None:
    schedule = schedules.by_id[event.schedule]
    late = min(max(at - event.instant, 0), _MOST)
    schedule.last_fired, schedule.next_due = event.instant, event.next_due
    ledger = schedule.ledger
    for run in event.replaced:
        ledger = _with_outcome(ledger, run, Outcome.REPLACED)
    schedule.ledger = _longer(ledger, _ROW.pack(event.instant, event.instant, late, Outcome.FIRED, event.run))
    if schedule.plan.concurrency is not ConcurrencyPolicy.ALLOW:
        schedules.began(schedule, event.run)
    schedules.expect(schedule)


def _skipped(schedules: Schedules, event: ScheduleSkipped, _: int) -> None:
    schedule = schedules.by_id[event.schedule]
    schedule.next_due = event.next_due
    row = _ROW.pack(event.first, event.last, min(event.count, _MOST), _SKIPS[event.reason], _NO_RUN)
    schedule.ledger = _longer(schedule.ledger, row)
    schedules.expect(schedule)


def _expected(schedules: Schedules, event: BackupExpected, _: int) -> None:
    schedules.expected = event


def _restored(schedules: Schedules, event: BackupRestored, _: int) -> None:
    schedules.expected, schedules.restored = None, event


def _longer(ledger: bytes, row: bytes) -> bytes:
    return (ledger + row)[-ROWS_KEPT * _ROW.size :]


def _with_outcome(ledger: bytes, run: RunId, outcome: Outcome) -> bytes:
    """The ledger, with this outcome in the row of a run; as it is if that row is not kept any more."""
    for start in range(0, len(ledger), _ROW.size):
        first, last, number, _, fired = _ROW.unpack_from(ledger, start)
        if fired == run:
            row = _ROW.pack(first, last, number, outcome, run)
            return ledger[:start] + row + ledger[start + _ROW.size :]
    return ledger


SCHEDULE_FOLDS: Final[Mapping[type, Callable[[Schedules, Any, int], None]]] = {
    ScheduleAdded: _added,
    ScheduleRemoved: _removed,
    SchedulePaused: _paused,
    ScheduleResumed: _resumed,
    ScheduleFired: _fired,
    ScheduleSkipped: _skipped,
    BackupExpected: _expected,
    BackupRestored: _restored,
}
