"""A backup comes in force: what is not there yet, once, and nothing fires that may have fired before."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from slimjobs.core.audit.schedules import Audit, Verdict
from slimjobs.core.decide.commands import RestoreBackup, Restored
from slimjobs.core.decide.decision import Decision
from slimjobs.core.decide.restoring import decide_restore
from slimjobs.core.machine.timetables import Timetables
from slimjobs.eventlog.events.definitions import Source
from slimjobs.eventlog.events.record import Event, Record, encode_record
from slimjobs.eventlog.events.schedules import (
    BackupExpected,
    BackupRestored,
    Plan,
    ScheduleAdded,
    ScheduleId,
    ScheduleSkipped,
    SkipReason,
)
from slimjobs.eventlog.raft import Index
from slimjobs.projections.backups import BackedSchedule, Backup, backup_of
from slimjobs.projections.fold import apply
from slimjobs.projections.schedules import Schedules
from slimjobs.projections.state import State

HOUR = 3_600_000
NOON = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp() * 1000)
ID = ScheduleId(b"schedule-1")
HOURLY = Plan("0 * * * *", "UTC")
BACKED = BackedSchedule(ID, "fib", HOURLY, NOON + HOUR, NOON)
BACKUP = Backup("before", 500, NOON + 5, (BACKED,))
EXPECTED = BackupExpected("node-1", NOON + 5, 500)


class Log:
    """A log whose records have the times that the test says."""

    def __init__(self) -> None:
        self.state = State()
        self.records: list[Record] = []

    def write(self, at: int, *events: Event) -> None:
        record = Record(at, "test", events)
        apply(self.state, Index(self.state.index + 1), encode_record(record), record)
        self.records.append(record)

    def restore(self, command: RestoreBackup, at: int) -> Restored:
        decision = decide_restore(self.state, command, Timetables(), at)
        assert isinstance(decision, Decision)
        assert isinstance(decision.result, Restored)
        if decision.events:
            self.write(at, *decision.events)
        return decision.result


@pytest.fixture
def log() -> Log:
    return Log()


def test_a_schedule_comes_back_with_its_marks(log: Log) -> None:
    assert log.restore(RestoreBackup(BACKUP), NOON + 10) == Restored(1, 0)
    assert log.records[-1].events == (
        ScheduleAdded(ID, "fib", Source.API, HOURLY, NOON + HOUR, NOON),
        BackupRestored("before", 500, 1),
    )
    assert backup_of(log.state).schedules == (BACKED,)


def test_what_was_due_before_the_restore_never_fires_and_is_accounted_for(log: Log) -> None:
    at = NOON + 3 * HOUR + 1000  # the last instant is a second old, and may have fired
    log.restore(RestoreBackup(BACKUP), at)
    skipped = log.records[-1].events[1]
    assert isinstance(skipped, ScheduleSkipped)
    assert (skipped.first, skipped.last, skipped.count) == (NOON + HOUR, NOON + 3 * HOUR, 3)
    assert (skipped.reason, skipped.next_due) == (SkipReason.NO_LEADER, NOON + 4 * HOUR)
    audit = Audit(Schedules())
    for record in log.records:
        audit.read(record)
    lines = list(audit.lines(0, at, Timetables()))
    assert [(line.instant, line.count, line.verdict) for line in lines] == [(NOON + HOUR, 3, Verdict.SKIPPED)]


def test_one_that_is_paused_stays_so_and_what_it_missed_is_the_pauses(log: Log) -> None:
    paused = msgspec.structs.replace(BACKED, paused_since=NOON + 1)
    log.restore(RestoreBackup(Backup("before", 500, NOON + 5, (paused,))), NOON + 5 * HOUR)
    assert backup_of(log.state).schedules == (paused,)
    assert log.state.schedules.next_due() is None


def test_one_that_is_never_due_again_comes_back_too(log: Log) -> None:
    over = msgspec.structs.replace(BACKED, next_due=-1)
    log.restore(RestoreBackup(Backup("before", 500, NOON + 5, (over,))), NOON + 5 * HOUR)
    assert backup_of(log.state).schedules == (over,)


def test_a_time_that_is_none_of_its_instants_is_read_as_the_next_that_is(log: Log) -> None:
    edited = msgspec.structs.replace(BACKED, next_due=NOON + HOUR + 1)
    log.restore(RestoreBackup(Backup("before", 500, NOON + 5, (edited,))), NOON + 10)
    assert log.state.schedules.by_id[ID].next_due == NOON + 2 * HOUR


def test_by_hand_it_adds_what_is_not_there_and_changes_nothing_else(log: Log) -> None:
    log.restore(RestoreBackup(BACKUP), NOON + 10)
    other = msgspec.structs.replace(BACKED, schedule=ScheduleId(b"schedule-2"))
    changed = msgspec.structs.replace(BACKED, plan=Plan("@daily", "UTC"))
    assert log.restore(RestoreBackup(Backup("x", 9, 9, (changed, other))), NOON + 20) == Restored(1, 1)
    assert backup_of(log.state).schedules == (BACKED, other)
    assert log.restore(RestoreBackup(Backup("x", 9, 9, (changed, other))), NOON + 30) == Restored(0, 2)
    assert len(log.records) == 2


def test_the_one_that_is_waited_for_is_restored_once(log: Log) -> None:
    log.write(NOON, EXPECTED)
    command = RestoreBackup(BACKUP, EXPECTED)
    assert log.restore(command, NOON + 10) == Restored(1, 0)
    assert log.restore(command, NOON + 30) == Restored(0, 1)


def test_another_than_the_one_that_is_waited_for_is_not_taken(log: Log) -> None:
    log.write(NOON, EXPECTED)
    other = BackupExpected("node-2", NOON, 400)
    assert log.restore(RestoreBackup(BACKUP, other), NOON + 10) == Restored(0, 0)
    assert log.state.schedules.expected == EXPECTED


def test_by_hand_any_ends_the_waiting(log: Log) -> None:
    log.write(NOON, EXPECTED)
    log.restore(RestoreBackup(Backup("x", 1, 1, (BACKED,))), NOON + 10)
    assert log.state.schedules.expected is None
    assert log.restore(RestoreBackup(BACKUP, EXPECTED), NOON + 20) == Restored(0, 1)


def test_what_is_declared_elsewhere_is_in_no_backup(log: Log) -> None:
    log.write(NOON, ScheduleAdded(ID, "fib", Source.CONFIGURATION, HOURLY, NOON + HOUR))
    assert backup_of(log.state).schedules == ()
