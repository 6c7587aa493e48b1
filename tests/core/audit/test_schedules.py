"""The audit finds every instant that fired twice, or that nothing is said of; and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from slimjobs.core.audit.schedules import Audit, Line, Verdict
from slimjobs.core.machine.timetables import Timetables
from slimjobs.eventlog.events.record import Record
from slimjobs.eventlog.events.runs import RunId
from slimjobs.eventlog.events.schedules import ScheduleFired, ScheduleRemoved, ScheduleSkipped, SkipReason
from slimjobs.projections.schedules import Schedules
from tests.core.decide.test_firing import HOUR, ID, MINUTE, NOON, Clock

END = int(datetime(2030, 1, 1, tzinfo=UTC).timestamp() * 1000)
RUN = RunId(b"0123456789")


def audited(clock: Clock, *more: Record, begun: Schedules | None = None) -> list[Line]:
    audit = Audit(begun or Schedules())
    for written in clock.log.log:
        audit.read(written.record)
    for record in more:
        audit.read(record)
    return list(audit.lines(0, END, Timetables()))


def short(lines: list[Line]) -> Iterator[tuple[int, int, str]]:
    return ((line.instant - NOON, line.count, line.reason or str(line.verdict)) for line in lines)


@pytest.fixture
def clock() -> Clock:
    clock = Clock()
    clock.add()
    return clock


def test_what_fired_late_or_not_and_what_was_skipped_is_told(clock: Clock) -> None:
    clock.at(HOUR + 5).fire()
    clock.at(2 * HOUR + MINUTE).fire()
    clock.led_since = NOON + 6 * HOUR
    clock.at(6 * HOUR).fire()
    assert list(short(audited(clock))) == [
        (HOUR, 1, "Fired"),
        (2 * HOUR, 1, "Late"),
        (3 * HOUR, 3, "NoLeader"),
        (6 * HOUR, 1, "Fired"),
    ]


def test_an_instant_that_nothing_is_said_of_is_found(clock: Clock) -> None:
    clock.at(HOUR).fire()
    skips_one = ScheduleFired(ID, NOON + 3 * HOUR, RUN, NOON + 4 * HOUR)
    [_, missing, _] = audited(clock, Record(NOON + 3 * HOUR, "", (skips_one,)))
    assert (missing.instant, missing.verdict) == (NOON + 2 * HOUR, Verdict.UNACCOUNTED)


def test_an_instant_that_fired_twice_is_found(clock: Clock) -> None:
    clock.at(HOUR).fire()
    again = ScheduleFired(ID, NOON + HOUR, RUN, NOON + 2 * HOUR)
    [line] = audited(clock, Record(NOON + HOUR, "", (again,)))
    assert line.verdict is Verdict.TWICE


def test_what_is_due_after_the_log_ends_is_no_matter(clock: Clock) -> None:
    clock.at(HOUR).fire()
    assert list(short(audited(clock))) == [(HOUR, 1, "Fired")]


def test_a_pause_accounts_for_what_was_due_in_it_while_it_lasts_and_afterwards(clock: Clock) -> None:
    clock.at(MINUTE).pause(True)
    other = Record(NOON + 3 * HOUR + MINUTE, "", ())
    assert list(short(audited(clock, other))) == [(each * HOUR, 1, "Paused") for each in (1, 2, 3)]
    clock.at(3 * HOUR + MINUTE).pause(False)
    assert list(short(audited(clock))) == [(HOUR, 3, "Paused")]


def test_a_removed_schedule_expects_nothing_more(clock: Clock) -> None:
    clock.at(HOUR).fire()
    removed = Record(NOON + 90 * MINUTE, "", (ScheduleRemoved(ID),))
    later = Record(NOON + 9 * HOUR, "", ())
    assert list(short(audited(clock, removed, later))) == [(HOUR, 1, "Fired")]


def test_a_log_that_begins_with_a_snapshot_is_audited_from_there(clock: Clock) -> None:
    clock.at(HOUR).fire()
    audit = Audit(clock.log.state.schedules)
    before = len(clock.log.log)
    clock.at(2 * HOUR).fire()
    clock.at(3 * HOUR).fire()
    for written in clock.log.log[before:]:
        audit.read(written.record)
    assert list(short(list(audit.lines(0, END, Timetables())))) == [(2 * HOUR, 1, "Fired"), (3 * HOUR, 1, "Fired")]


def test_a_period_shows_only_its_own(clock: Clock) -> None:
    for hour in range(1, 6):
        clock.at(hour * HOUR).fire()
    audit = Audit(Schedules())
    for written in clock.log.log:
        audit.read(written.record)
    found = list(audit.lines(NOON + 2 * HOUR, NOON + 3 * HOUR, Timetables()))
    assert list(short(found)) == [(2 * HOUR, 1, "Fired"), (3 * HOUR, 1, "Fired")]


def test_two_skips_one_after_the_other_are_two(clock: Clock) -> None:
    first = ScheduleSkipped(ID, NOON + HOUR, NOON + 2 * HOUR, 2, SkipReason.NO_LEADER, NOON + 3 * HOUR)
    second = ScheduleSkipped(ID, NOON + 3 * HOUR, NOON + 3 * HOUR, 1, SkipReason.REFUSED, NOON + 4 * HOUR)
    found = audited(clock, Record(NOON + 3 * HOUR, "", (first, second)))
    assert list(short(found)) == [(HOUR, 2, "NoLeader"), (3 * HOUR, 1, "Refused")]
