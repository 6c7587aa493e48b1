"""Schedules from being made to being due: what fires, what is skipped and why, each instant once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise

import msgspec
import pytest

from slimjobs.core.decide.commands import (
    Accepted,
    AddSchedule,
    IdempotencyKey,
    PauseSchedule,
    RemoveSchedule,
    Requested,
    RunSchedule,
    ScheduleMade,
    ScheduleSet,
    Trigger,
)
from slimjobs.core.decide.decision import Decision, Limits
from slimjobs.core.decide.firing import Ask, Due, decide_due, to_be_replaced
from slimjobs.core.decide.refusals import (
    DeclaredElsewhere,
    Forbidden,
    Invalid,
    KeyReused,
    Refusal,
    UnknownSchedule,
)
from slimjobs.core.decide.scheduling import (
    decide_addition,
    decide_declared,
    decide_pause,
    decide_removal_of_schedule,
    run_of,
    trigger_of,
)
from slimjobs.core.decide.triggering import decide_trigger
from slimjobs.core.machine.timetables import Timetables
from slimjobs.core.orchestrators.ports import Phase
from slimjobs.eventlog.events.definitions import Definition, Overrides, Source, Visibility
from slimjobs.eventlog.events.runs import RunId, run_id_text
from slimjobs.eventlog.events.schedules import (
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
from slimjobs.projections.schedules import Schedule
from tests.core.decide.chronicle import Chronicle

HOURLY = Plan("0 * * * *", "UTC")
MINUTE, HOUR = 60_000, 3_600_000
NOON = int(datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp() * 1000)
ID = ScheduleId(b"schedule-1")
FIB = Definition(command=("fib",), visibility=Visibility.PUBLIC)


class Clock:
    """A log that is written at the times that the test says, and who leads there since when."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.log = Chronicle(limits or Limits())
        self.log.now = NOON
        self.log.configure({"fib": FIB, "private": msgspec.structs.replace(FIB, visibility=Visibility.PRIVATE)})
        self.led_since = NOON
        self.calendar = Timetables()
        self.asks: Ask = self.trigger

    def at(self, after_noon_ms: int) -> Clock:
        self.log.now = NOON + after_noon_ms
        return self

    def take(self, decided: Decision | Refusal) -> Decision | Refusal:
        if isinstance(decided, Decision):
            self.log.append(decided.events)
        return decided

    def add(self, plan: Plan = HOURLY, **more: object) -> Decision | Refusal:
        command = msgspec.structs.replace(AddSchedule(ID, "fib", plan, internal=True), **more)
        return self.take(decide_addition(self.log.state, command, self.calendar, False, self.log.now))

    def pause(self, paused: bool) -> Decision | Refusal:
        command = PauseSchedule("fib", ID, paused, internal=True)
        return self.take(decide_pause(self.log.state, command, self.calendar, self.log.now))

    @property
    def schedule(self) -> Schedule:
        return self.log.state.schedules.by_id[ID]

    def trigger(self, requested: Requested) -> Decision | Refusal:
        trigger = Trigger((requested,), internal=True)
        return decide_trigger(self.log.state, trigger, self.log.limits, self.log.observed, False, self.log.now)

    def fire(self) -> Sequence[ScheduleFired | ScheduleSkipped]:
        """Whatever is due is decided, as the leader does it; what was said of the instants."""
        said: list[ScheduleFired | ScheduleSkipped] = []
        while (due := self.log.state.schedules.next_due()) is not None and due[0] <= self.log.now:
            schedule = self.log.state.schedules.by_id[due[1]]
            now, timetable = Due(self.log.now, self.led_since), self.calendar(schedule.plan)
            replaced = to_be_replaced(schedule, timetable, now, self.asks)
            for run in replaced:
                assert isinstance(self.log.delete(schedule.job, run), Decision)
            events = decide_due(schedule, timetable, now, self.asks, replaced)
            self.log.append(events)
            said += (event for event in events if isinstance(event, ScheduleFired | ScheduleSkipped))
        return said


@pytest.fixture
def clock() -> Clock:
    return Clock()


def skipped(first: int, last: int, count: int, reason: SkipReason) -> tuple[int, int, int, SkipReason]:
    return NOON + first, NOON + last, count, reason


def short(events: Sequence[ScheduleFired | ScheduleSkipped]) -> Iterator[object]:
    for event in events:
        if isinstance(event, ScheduleFired):
            yield event.instant - NOON
        else:
            yield event.first, event.last, event.count, event.reason


# Made, paused, removed ------------------------------------------------------------------------------------------------


def test_a_schedule_is_due_at_the_next_instant_after_it_was_made(clock: Clock) -> None:
    made = clock.at(30 * MINUTE).add()
    assert made == Decision(ScheduleMade(ID), (ScheduleAdded(ID, "fib", Source.API, HOURLY, NOON + HOUR),))
    assert clock.schedule.added_at == NOON + 30 * MINUTE


def test_one_that_is_made_at_its_very_instant_is_due_at_the_one_after_it(clock: Clock) -> None:
    clock.at(0).add()
    assert clock.schedule.next_due == NOON + HOUR


def test_the_same_request_again_makes_nothing_new(clock: Clock) -> None:
    clock.add()
    assert clock.add() == Decision(ScheduleMade(ID))


def test_a_key_with_the_same_body_is_answered_as_before(clock: Clock) -> None:
    key = IdempotencyKey(b"k" * 16, b"b" * 16)
    clock.add(key=key)
    again = ScheduleId(b"schedule-2")
    assert clock.add(key=key, schedule=again) == Decision(ScheduleMade(ID, replayed=True))
    assert clock.add(key=IdempotencyKey(b"k" * 16, b"other body")) == KeyReused()


def test_overrides_are_judged_when_it_is_made_as_those_of_a_trigger(clock: Clock) -> None:
    refused = clock.add(Plan("0 * * * *", "UTC", Overrides(image="not/whitelisted")))
    asked = clock.trigger(Requested(RunId(ID), "fib", Overrides(image="not/whitelisted")))
    assert isinstance(refused, Invalid)
    assert refused == asked


def test_an_outsider_can_do_nothing_to_the_schedules_of_a_private_job(clock: Clock) -> None:
    assert isinstance(clock.add(job="private", internal=False), Forbidden)
    clock.add(job="private")
    state, calendar = clock.log.state, clock.calendar
    assert isinstance(decide_removal_of_schedule(state, RemoveSchedule("private", ID, False)), Forbidden)
    assert isinstance(decide_pause(state, PauseSchedule("private", ID, True, False), calendar, 0), Forbidden)
    assert isinstance(trigger_of(state, RunSchedule("private", ID, RunId(b"0123456789"), False)), Forbidden)


def test_a_schedule_is_known_by_its_job_and_its_id(clock: Clock) -> None:
    clock.add()
    state = clock.log.state
    assert decide_removal_of_schedule(state, RemoveSchedule("web", ID, True)) == UnknownSchedule("web", ID)
    other = ScheduleId(b"schedule-2")
    assert decide_removal_of_schedule(state, RemoveSchedule("fib", other, True)) == UnknownSchedule("fib", other)


def test_a_removed_one_is_due_no_more_and_removing_it_twice_is_told(clock: Clock) -> None:
    clock.add()
    removal = decide_removal_of_schedule(clock.log.state, RemoveSchedule("fib", ID, True))
    assert clock.take(removal) == Decision(ScheduleSet(), (ScheduleRemoved(ID),))
    assert clock.at(5 * HOUR).fire() == []
    assert decide_removal_of_schedule(clock.log.state, RemoveSchedule("fib", ID, True)) == UnknownSchedule("fib", ID)
    repeated = RemoveSchedule("fib", ID, internal=True, repeated=True)
    assert decide_removal_of_schedule(clock.log.state, repeated) == Decision(ScheduleSet())


def test_what_is_due_during_a_pause_is_skipped_as_one_when_it_is_over(clock: Clock) -> None:
    clock.add()
    assert clock.at(MINUTE).pause(True) == Decision(ScheduleSet(), (SchedulePaused(ID),))
    assert clock.pause(True) == Decision(ScheduleSet())
    assert clock.at(3 * HOUR + MINUTE).fire() == []
    resumed = clock.pause(False)
    assert isinstance(resumed, Decision)
    skip = ScheduleSkipped(ID, NOON + HOUR, NOON + 3 * HOUR, 3, SkipReason.PAUSED, NOON + 4 * HOUR)
    assert resumed.events == (skip, ScheduleResumed(ID, NOON + 4 * HOUR))
    assert clock.pause(False) == Decision(ScheduleSet())
    assert list(short(clock.at(4 * HOUR).fire())) == [4 * HOUR]


def test_a_pause_between_two_instants_skips_nothing(clock: Clock) -> None:
    clock.add()
    clock.at(MINUTE).pause(True)
    resumed = clock.at(2 * MINUTE).pause(False)
    assert isinstance(resumed, Decision)
    assert resumed.events == (ScheduleResumed(ID, NOON + HOUR),)


def test_run_now_is_a_trigger_with_what_the_schedule_overrides(clock: Clock) -> None:
    clock.add(Plan("0 * * * *", "UTC", Overrides(args=("43",))))
    run = RunId(b"0123456789")
    assert trigger_of(clock.log.state, RunSchedule("fib", ID, run, internal=True)) == Trigger(
        (Requested(run, "fib", Overrides(args=("43",))),), internal=True
    )


# Declared -------------------------------------------------------------------------------------------------------------


def declare(clock: Clock, *plans: Plan, job: str = "fib") -> tuple[object, ...]:
    events = decide_declared(clock.log.state, Source.CONFIGURATION, {job: plans}, clock.calendar, clock.log.now)
    clock.log.append(events)
    return events


def test_declared_schedules_keep_their_ids_and_identical_ones_have_their_own(clock: Clock) -> None:
    declare(clock, HOURLY, HOURLY, Plan("@daily", "UTC"))
    ids = set(clock.log.state.schedules.by_id)
    assert len(ids) == 3
    other = Clock()
    declare(other, HOURLY, HOURLY, Plan("@daily", "UTC"))
    assert set(other.log.state.schedules.by_id) == ids
    assert declare(clock, HOURLY, HOURLY, Plan("@daily", "UTC")) == ()


def test_one_that_is_declared_no_more_stops_and_the_others_go_on(clock: Clock) -> None:
    declare(clock, HOURLY, Plan("@daily", "UTC"))
    clock.add()
    first, _, made = clock.log.state.schedules.by_id
    clock.at(MINUTE)
    changed = declare(clock, HOURLY, Plan("@weekly", "UTC"))
    assert [type(event) for event in changed] == [ScheduleRemoved, ScheduleAdded]
    assert {first, made} < set(clock.log.state.schedules.by_id)
    assert clock.log.state.schedules.by_id[first].added_at == NOON


def test_one_that_is_declared_is_not_removed_by_callers_but_may_be_paused(clock: Clock) -> None:
    declare(clock, HOURLY)
    [declared] = clock.log.state.schedules.by_id
    refused = decide_removal_of_schedule(clock.log.state, RemoveSchedule("fib", declared, True))
    assert refused == DeclaredElsewhere("fib", declared, Source.CONFIGURATION)
    pause = PauseSchedule("fib", declared, paused=True, internal=True)
    clock.take(decide_pause(clock.log.state, pause, clock.calendar, NOON))
    declare(clock, HOURLY, Plan("@daily", "UTC"))
    assert clock.log.state.schedules.by_id[declared].is_paused


# Due ------------------------------------------------------------------------------------------------------------------


def test_it_fires_at_its_instant_in_one_record_with_its_run(clock: Clock) -> None:
    clock.add(Plan("0 * * * *", "UTC", Overrides(args=("42",))))
    assert clock.at(HOUR - 1).fire() == []
    before = len(clock.log.log)
    assert list(short(clock.at(HOUR).fire())) == [HOUR]
    run = run_of(ID, NOON + HOUR)
    assert len(clock.log.log) == before + 1
    assert clock.log.state.active[run].overrides == Overrides(args=("42",))
    assert clock.fire() == []
    assert clock.schedule.next_due == NOON + 2 * HOUR


def test_the_run_of_an_instant_is_the_same_whoever_fires_it() -> None:
    assert run_id_text(run_of(ID, NOON)) == "5shy5kqhv74ws73u"
    assert run_of(ID, NOON) != run_of(ID, NOON + HOUR)


def test_after_a_time_without_leader_the_latest_instant_fires_and_those_before_it_are_accounted_for(
    clock: Clock,
) -> None:
    clock.add()
    clock.led_since = NOON + 4 * HOUR + MINUTE
    said = list(short(clock.at(4 * HOUR + 2 * MINUTE).fire()))
    assert said == [skipped(HOUR, 3 * HOUR, 3, SkipReason.NO_LEADER), 4 * HOUR]
    assert clock.schedule.next_due == NOON + 5 * HOUR


def test_what_is_seen_later_than_its_deadline_is_skipped(clock: Clock) -> None:
    clock.add(Plan("0 * * * *", "UTC", starting_deadline_seconds=60))
    assert list(short(clock.at(HOUR + MINUTE).fire())) == [HOUR]
    assert list(short(clock.at(2 * HOUR + MINUTE + 1).fire())) == [skipped(2 * HOUR, 2 * HOUR, 1, SkipReason.DEADLINE)]
    clock.led_since = NOON + 9 * HOUR + 30 * MINUTE
    said = list(short(clock.at(9 * HOUR + 30 * MINUTE).fire()))
    assert said == [skipped(3 * HOUR, 9 * HOUR, 7, SkipReason.NO_LEADER)]


def test_years_without_leader_are_one_event(clock: Clock) -> None:
    clock.add(Plan("* * * * *", "UTC"))
    clock.led_since = NOON + 3 * 365 * 24 * HOUR
    first, fired = clock.at(3 * 365 * 24 * HOUR).fire()
    assert isinstance(first, ScheduleSkipped)
    assert first.count == 3 * 365 * 24 * 60 - 1
    assert isinstance(fired, ScheduleFired)


def test_a_clock_that_goes_back_fires_nothing_twice(clock: Clock) -> None:
    clock.add()
    clock.at(HOUR).fire()
    assert clock.at(HOUR - 10 * MINUTE).fire() == []
    assert clock.at(HOUR).fire() == []
    assert list(short(clock.at(2 * HOUR).fire())) == [2 * HOUR]


def test_while_an_earlier_run_goes_on_forbid_skips(clock: Clock) -> None:
    clock.add(Plan("0 * * * *", "UTC", concurrency=ConcurrencyPolicy.FORBID))
    clock.at(HOUR).fire()
    assert list(short(clock.at(2 * HOUR).fire())) == [skipped(2 * HOUR, 2 * HOUR, 1, SkipReason.OVERLAP)]
    clock.log.see(run_of(ID, NOON + HOUR), Phase.SUCCEEDED)
    assert list(short(clock.at(3 * HOUR).fire())) == [3 * HOUR]


def test_while_an_earlier_run_goes_on_replace_deletes_it_and_fires(clock: Clock) -> None:
    clock.add(Plan("0 * * * *", "UTC", concurrency=ConcurrencyPolicy.REPLACE))
    clock.at(HOUR).fire()
    [fired] = clock.at(2 * HOUR).fire()
    assert isinstance(fired, ScheduleFired)
    assert fired.replaced == (run_of(ID, NOON + HOUR),)
    assert clock.log.state.job_of(run_of(ID, NOON + HOUR)) is None
    assert clock.schedule.unfinished == [run_of(ID, NOON + 2 * HOUR)]
    assert run_of(ID, NOON + 2 * HOUR) in clock.log.state.active, "the slot that was given back is its own"


def test_nothing_is_deleted_for_a_run_that_would_be_refused() -> None:
    clock = Clock(Limits(queued_jobs=1))
    clock.add(Plan("0 * * * *", "UTC", concurrency=ConcurrencyPolicy.REPLACE))
    clock.at(HOUR).fire()
    clock.log.enqueue("fib")
    [said] = clock.at(2 * HOUR).fire()
    assert isinstance(said, ScheduleSkipped)
    assert said.reason is SkipReason.REFUSED
    assert "MaxQueuedJobs" in said.detail
    assert clock.log.state.job_of(run_of(ID, NOON + HOUR)) == "fib"


def test_one_that_is_refused_is_skipped_with_the_reason_and_stops_no_other() -> None:
    clock = Clock()
    clock.add()
    other = AddSchedule(ScheduleId(b"schedule-2"), "web", Plan("0 * * * *", "UTC", Overrides(image="x")), True)
    clock.log.append((ScheduleAdded(other.schedule, other.job, Source.API, other.plan, NOON + HOUR),))
    said = clock.at(HOUR).fire()
    assert {type(event) for event in said} == {ScheduleFired, ScheduleSkipped}


@pytest.mark.parametrize("zone", ["Europe/Paris", "America/New_York", "UTC"])
@pytest.mark.parametrize("text", ["30 2 * * *", "30 * * * *", "0 */2 * * *"])
def test_over_two_years_every_instant_is_accounted_for_once(zone: str, text: str) -> None:
    clock = Clock()
    clock.add(Plan(text, zone))
    clock.asks = lambda requested: Decision(Accepted((requested.run,)))  # without a run: that is not asked here
    timetable = clock.calendar(clock.schedule.plan)
    end = 2 * 365 * 24 * HOUR
    expected = list(timetable.upto(NOON, NOON + end))
    fired: list[int] = []
    covered = 0
    step = 7 * HOUR + 13 * MINUTE  # now and then several are due at once, in time or too late
    for at in range(0, end + step, step):
        clock.led_since = NOON + at - 5 * MINUTE
        for event in clock.at(min(at, end)).fire():
            if isinstance(event, ScheduleFired):
                fired.append(event.instant)
                covered += 1
            else:
                covered += event.count
    assert covered == len(expected)
    assert set(fired) <= set(expected)
    assert all(one < other for one, other in pairwise(fired))
