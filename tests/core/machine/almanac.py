"""Invariant 5, judged from the log: every instant of a schedule is accounted for once, in order, and none is left out.

The almanac has timetables of its own, and never asks the machine anything.
"""

from __future__ import annotations

import msgspec

from slimjobs.core.configuration.cron import Timetable, parse_cron
from slimjobs.eventlog.events.record import Record
from slimjobs.eventlog.events.runs import RunEnqueued, RunId
from slimjobs.eventlog.events.schedules import (
    BackupRestored,
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
from tests.core.machine.invariants import Checked, Invariant

NEVER = -1


class Expected(msgspec.Struct):
    """A schedule in force: what it must do next, and when that is due."""

    plan: Plan
    timetable: Timetable
    due: int
    paused: bool


class Almanac:
    """All schedules, as the log has them. `fired` counts runs by instant, over the whole history."""

    def __init__(self, checked: Checked) -> None:
        self.schedules: dict[ScheduleId, Expected] = {}
        self.fired: set[tuple[ScheduleId, int]] = set()
        self._checked = checked

    def read(self, record: Record) -> None:
        """Judge what a record says of schedules."""
        enqueued = {event.run for event in record.events if isinstance(event, RunEnqueued)}
        later = [event for event in record.events if isinstance(event, ScheduleFired)]
        restores = any(isinstance(event, BackupRestored) for event in record.events)
        for event in record.events:
            match event:
                case ScheduleAdded():
                    self._added(event, record.at, restores=restores)
                case ScheduleRemoved(schedule):
                    del self.schedules[schedule]
                case SchedulePaused(schedule):
                    assert not self.schedules[schedule].paused, "it is paused already"
                    self.schedules[schedule].paused = True
                case ScheduleResumed(schedule, next_due):
                    self._resumed(self.schedules[schedule], next_due, record.at)
                case ScheduleFired():
                    self._fired(event, record.at, enqueued)
                case ScheduleSkipped():
                    self._skipped(event, record.at, fires=bool(later), restores=restores)

    def overdue(self, at: int) -> list[ScheduleId]:
        """Those that should have done something before this time."""
        return [
            schedule
            for schedule, expected in self.schedules.items()
            if not expected.paused and expected.due != NEVER and expected.due <= at
        ]

    def _added(self, event: ScheduleAdded, at: int, *, restores: bool) -> None:
        timetable = Timetable(parse_cron(event.plan.expression), event.plan.time_zone)
        after = min(at, event.next_due - 1) if restores and event.next_due != NEVER else at
        assert event.next_due == _next(timetable, after), "it begins with the first instant that is not accounted for"
        paused = event.paused_since != NEVER
        self.schedules[event.schedule] = Expected(event.plan, timetable, event.next_due, paused)

    def _resumed(self, expected: Expected, next_due: int, at: int) -> None:
        assert expected.paused, "it was not paused"
        assert next_due == _next(expected.timetable, at), "it goes on with the next instant"
        assert expected.due in (next_due, NEVER), "what was due while it was paused is not accounted for"
        expected.due, expected.paused = next_due, False

    def _fired(self, event: ScheduleFired, at: int, enqueued: set[RunId]) -> None:
        self._checked.look(Invariant.INSTANTS)
        expected = self.schedules[event.schedule]
        assert not expected.paused, "it fires while it is paused"
        assert event.instant == expected.due, f"{event} is not what is due ({expected.due})"
        assert event.instant <= at, "it fires before its time"
        late_ms = at - event.instant
        assert late_ms <= 1000 * expected.plan.starting_deadline_seconds, f"{event} fires {late_ms} ms late"
        assert (event.schedule, event.instant) not in self.fired, "an instant fires twice"
        assert event.run in enqueued, "a fire and its run are one record"
        self.fired.add((event.schedule, event.instant))
        self._goes_on(expected, event.instant, event.next_due, at)

    def _skipped(self, event: ScheduleSkipped, at: int, *, fires: bool, restores: bool) -> None:
        self._checked.look(Invariant.INSTANTS)
        expected = self.schedules[event.schedule]
        assert event.first == expected.due, f"{event} does not begin with what is due ({expected.due})"
        assert event.last <= at, "it is skipped before its time"
        instants = list(expected.timetable.upto(event.first - 1, event.last))
        assert (instants[-1], len(instants)) == (event.last, event.count), f"{event} is miscounted"
        late_ms = at - event.last
        if event.reason in (SkipReason.DEADLINE, SkipReason.NO_LEADER):
            too_late = late_ms > 1000 * expected.plan.starting_deadline_seconds
            assert too_late or fires or restores, f"{event} could have fired ({late_ms} ms late)"
        assert expected.paused == (event.reason is SkipReason.PAUSED), f"{event}: paused is {expected.paused}"
        self._goes_on(expected, event.last, event.next_due, at, fires=fires)

    def _goes_on(self, expected: Expected, last: int, next_due: int, at: int, *, fires: bool = False) -> None:
        following = _next(expected.timetable, last)
        assert next_due == following, f"the next is {following}, not {next_due}"
        assert fires or next_due == NEVER or next_due > at, "what was due too is passed over"
        expected.due = next_due


def _next(timetable: Timetable, after: int) -> int:
    found = timetable.next_after(after)
    return NEVER if found is None else found
