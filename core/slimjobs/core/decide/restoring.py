"""The schedules of a backup come in force: into a new cluster by its first leader, or by hand into any (contract §4).

What fired after the backup was written is in a log that is lost. So nothing fires that was due before the restore: that
is skipped, as one event, and the first instant to fire is the first after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from slimjobs.core.decide.commands import RestoreBackup, Restored
from slimjobs.core.decide.decision import Decision
from slimjobs.core.decide.scheduling import Calendar, following
from slimjobs.eventlog.events.definitions import Source
from slimjobs.eventlog.events.record import Event
from slimjobs.eventlog.events.schedules import BackupRestored, ScheduleAdded, ScheduleSkipped, SkipReason
from slimjobs.projections.backups import BackedSchedule
from slimjobs.projections.schedules import NEVER
from slimjobs.projections.state import State

WHY_SKIPPED: Final = "restored from a backup; whether it fired after that was written is not known"


def decide_restore(state: State, command: RestoreBackup, calendar: Calendar, wall_ms: int) -> Decision:
    """One record: what of the backup is not in force comes in force, and it was restored. Repeated: nothing."""
    backup, at = command.backup, max(state.at, wall_ms)
    new = [each for each in backup.schedules if each.schedule not in state.schedules.by_id]
    known = len(backup.schedules) - len(new)
    awaited = command.expected is not None and command.expected == state.schedules.expected
    if not awaited and (command.expected is not None or not new):
        return Decision(Restored(0, known))
    events: list[Event] = []
    for each in new:
        events += _restored(each, calendar, at)
    events.append(BackupRestored(backup.cluster, backup.index, len(new)))
    return Decision(Restored(len(new), known), tuple(events))


def _restored(backed: BackedSchedule, calendar: Calendar, at: int) -> Iterator[Event]:
    timetable = calendar(backed.plan)
    due = NEVER if backed.next_due == NEVER else following(timetable, backed.next_due - 1)
    marks = backed.last_fired, backed.paused_since
    yield ScheduleAdded(backed.schedule, backed.job, Source.API, backed.plan, due, *marks)
    if due != NEVER and due <= at and backed.paused_since == NEVER:
        last = timetable.latest(at, due)
        count, then = timetable.count(due, last), following(timetable, at)
        yield ScheduleSkipped(backed.schedule, due, last, count, SkipReason.NO_LEADER, then, WHY_SKIPPED)
