"""Lists of schedules and of what became of their instants, out of the state."""

from __future__ import annotations

from typing import Final

from slimjobs.eventlog.events.runs import RunId, run_id_text
from slimjobs.projections.schedules import NEVER, ROWS_KEPT, LedgerRow, Outcome, Schedule
from slimjobs.projections.state import State
from slimjobs.projections.views import Fire, FireList, FireOutcome, ScheduleList, ScheduleRow

LATE_MS: Final = 1000
"""Less than this is no lateness that anybody would call one: a log of three nodes takes its time."""

_REASONS: Final = {
    Outcome.DEADLINE: "Deadline",
    Outcome.NO_LEADER: "NoLeader",
    Outcome.OVERLAP: "Overlap",
    Outcome.PAUSED: "Paused",
    Outcome.REFUSED: "Refused",
}


def schedules_of(state: State, job: str) -> ScheduleList:
    """The schedules of a job."""
    return ScheduleList(tuple(map(schedule_row, state.schedules.of(job))))


def schedule_row(schedule: Schedule) -> ScheduleRow:
    """A schedule as lists show it."""
    return ScheduleRow(
        run_id_text(RunId(schedule.schedule)),
        schedule.job,
        schedule.source,
        schedule.plan,
        schedule.next_due,
        schedule.last_fired,
        schedule.is_paused,
    )


def fires_of(schedule: Schedule, from_ms: int, to_ms: int, limit: int) -> FireList:
    """What became of the instants from one time to another, both included."""
    rows = list(schedule.rows())
    shown = [_fire(row) for row in rows if row.last >= from_ms and row.first <= to_ms]
    return FireList(tuple(shown[:limit]), rows[-1].first if len(rows) == ROWS_KEPT else NEVER)


def _fire(row: LedgerRow) -> Fire:
    if row.run is None:
        return Fire(row.first, row.last, row.count, FireOutcome.SKIPPED, 0, _REASONS[row.outcome], "")
    late = FireOutcome.LATE if row.late_ms > LATE_MS else FireOutcome.FIRED
    outcome = FireOutcome.REPLACED if row.outcome is Outcome.REPLACED else late
    return Fire(row.first, row.last, 1, outcome, row.late_ms, "", run_id_text(row.run))
