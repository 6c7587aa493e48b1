"""Schedules as the log has them: what is due next, what became of instants, which runs go on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from slimjobs.eventlog.events.cluster import DefinitionDeclared
from slimjobs.eventlog.events.definitions import Definition, Source
from slimjobs.eventlog.events.record import Event, Record, encode_record
from slimjobs.eventlog.events.runs import RunAdmitted, RunBound, RunDeleted, RunEnqueued, RunId, RunSucceeded
from slimjobs.eventlog.events.schedules import (
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
from slimjobs.eventlog.raft.types import Index
from slimjobs.projections.fold import BrokenLog, apply
from slimjobs.projections.schedules import ROWS_KEPT, LedgerRow, Outcome, Schedule
from slimjobs.projections.snapshot import restore, snapshot_frames
from slimjobs.projections.state import State

FIRST, SECOND = ScheduleId(b"schedule-1"), ScheduleId(b"schedule-2")
PLAN = Plan("* * * * *", "UTC")
MINUTE = 60_000
AT = 1_000 * MINUTE


class Log:
    """A state, and the next place in its log."""

    def __init__(self) -> None:
        self.state = State()
        self.at = AT
        self.write(DefinitionDeclared(1, "fib", Source.CONFIGURATION, Definition()))

    def write(self, *events: Event, at: int | None = None) -> Log:
        self.at = self.at if at is None else at
        record = Record(self.at, "test", events)
        apply(self.state, Index(self.state.index + 1), encode_record(record), record)
        return self

    @property
    def due(self) -> tuple[int, ScheduleId] | None:
        return self.state.schedules.next_due()

    def schedule(self, schedule: ScheduleId = FIRST) -> Schedule:
        return self.state.schedules.by_id[schedule]

    def rows(self) -> list[LedgerRow]:
        return list(self.schedule().rows())


def added(schedule: ScheduleId = FIRST, next_due: int = AT, plan: Plan = PLAN, job: str = "fib") -> ScheduleAdded:
    return ScheduleAdded(schedule, job, Source.API, plan, next_due)


def run(number: int) -> RunId:
    return RunId(number.to_bytes(10, "big"))


def fired(number: int, *replaced: RunId, schedule: ScheduleId = FIRST) -> Iterator[Event]:
    """The instant of this number fires as the run of this number."""
    yield RunEnqueued(run(number), "fib", 1)
    yield ScheduleFired(schedule, AT + number * MINUTE, run(number), AT + (number + 1) * MINUTE, replaced)


def test_the_earliest_is_due_first_and_each_event_says_when_next() -> None:
    log = Log().write(added(FIRST, AT + 2), added(SECOND, AT + 1))
    assert log.due == (AT + 1, SECOND)
    log.write(ScheduleFired(SECOND, AT + 1, run(1), AT + 9), RunEnqueued(run(1), "fib", 1))
    assert log.due == (AT + 2, FIRST)
    log.write(ScheduleSkipped(FIRST, AT + 2, AT + 2, 1, SkipReason.REFUSED, -1))
    assert log.due == (AT + 9, SECOND)
    log.write(ScheduleRemoved(SECOND))
    assert log.due is None


def test_a_paused_one_is_never_due_until_it_is_resumed() -> None:
    log = Log().write(added()).write(SchedulePaused(FIRST), at=AT + 5)
    assert log.due is None
    assert log.schedule().paused_since == AT + 5
    log.write(ScheduleSkipped(FIRST, AT, AT + MINUTE, 2, SkipReason.PAUSED, AT + 2 * MINUTE))
    assert log.due is None
    log.write(ScheduleResumed(FIRST, AT + 3 * MINUTE))
    assert log.due == (AT + 3 * MINUTE, FIRST)
    assert not log.schedule().is_paused


def test_the_ledger_says_what_became_of_every_instant_the_latest_first() -> None:
    log = Log().write(added())
    log.write(*fired(0), at=AT + 30)
    log.write(ScheduleSkipped(FIRST, AT + MINUTE, AT + 3 * MINUTE, 3, SkipReason.NO_LEADER, AT + 4 * MINUTE))
    log.write(*fired(4), at=AT + 4 * MINUTE)
    assert log.rows() == [
        LedgerRow(AT + 4 * MINUTE, AT + 4 * MINUTE, 1, Outcome.FIRED, 0, run(4)),
        LedgerRow(AT + MINUTE, AT + 3 * MINUTE, 3, Outcome.NO_LEADER, 0, None),
        LedgerRow(AT, AT, 1, Outcome.FIRED, 30, run(0)),
    ]
    assert log.schedule().last_fired == AT + 4 * MINUTE


def test_the_latest_rows_are_kept() -> None:
    log = Log().write(added())
    for number in range(ROWS_KEPT + 5):
        log.write(*fired(number))
    assert [row.run for row in log.rows()] == [run(number) for number in range(ROWS_KEPT + 4, 4, -1)]


def test_a_run_that_was_replaced_is_so_in_the_ledger() -> None:
    log = Log().write(added(plan=Plan("* * * * *", "UTC", concurrency=ConcurrencyPolicy.REPLACE)))
    log.write(*fired(1)).write(RunDeleted(run(1))).write(*fired(2, run(1)))
    assert [(row.run, row.outcome) for row in log.rows()] == [(run(2), Outcome.FIRED), (run(1), Outcome.REPLACED)]


@pytest.mark.parametrize("policy", [ConcurrencyPolicy.FORBID, ConcurrencyPolicy.REPLACE])
def test_who_minds_earlier_runs_knows_those_that_are_not_finished(policy: ConcurrencyPolicy) -> None:
    log = Log().write(added(plan=Plan("* * * * *", "UTC", concurrency=policy)))
    for number in range(3):
        log.write(*fired(number))
    log.write(RunAdmitted(run(0)), RunBound(run(0), "uid"))
    assert log.schedule().unfinished == [run(0), run(1), run(2)]
    log.write(RunSucceeded(run(0)))
    log.write(RunDeleted(run(2)))
    assert log.schedule().unfinished == [run(1)]
    log.write(ScheduleRemoved(FIRST))
    log.write(RunDeleted(run(1)))
    assert log.state.schedules.by_job == {}


def test_what_runs_at_once_with_its_earlier_ones_need_not_know_them() -> None:
    assert Log().write(added()).write(*fired(0)).schedule().unfinished == []


def test_a_job_has_its_schedules_in_the_order_in_which_they_came() -> None:
    log = Log().write(added(SECOND), added(FIRST), added(ScheduleId(b"of another"), job="other"))
    assert [each.schedule for each in log.state.schedules.of("fib")] == [SECOND, FIRST]
    assert list(log.state.schedules.of("nobody")) == []


def test_a_restored_snapshot_has_all_of_it() -> None:
    log = Log().write(added(plan=Plan("* * * * *", "UTC", concurrency=ConcurrencyPolicy.FORBID)), added(SECOND))
    log.write(*fired(1)).write(SchedulePaused(SECOND)).write(BackupRestored("before", 9, 2))
    restored = Log()
    restored.state = restore(snapshot_frames(log.state))
    assert list(snapshot_frames(restored.state)) == list(snapshot_frames(log.state))
    for each in (log, restored):
        assert each.due == (AT + 2 * MINUTE, FIRST)
        assert each.state.schedules.restored
        each.write(RunDeleted(run(1)))
        assert each.schedule().unfinished == []


def test_an_unknown_schedule_breaks_the_log() -> None:
    for event in (ScheduleRemoved(FIRST), SchedulePaused(FIRST), ScheduleResumed(FIRST, AT)):
        with pytest.raises(BrokenLog):
            Log().write(event)


def test_however_often_it_is_paused_and_resumed_what_is_remembered_stays_small() -> None:
    log = Log().write(added())
    for _ in range(1000):
        log.write(SchedulePaused(FIRST), ScheduleResumed(FIRST, AT))
    assert log.due == (AT, FIRST)
    assert len(log.state.schedules._due) < 200  # nothing outside shows how many entries there are
