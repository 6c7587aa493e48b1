"""The audit of schedules: every instant that was expected, beside what the log says became of it (contract §4).

The expected instants come from the calendar alone, the actual ones from events: nothing that was computed when they
were decided is used, but when a schedule began and ended.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from slimjobs.core.configuration.cron import Timetable
from slimjobs.eventlog.events.record import Record
from slimjobs.eventlog.events.runs import RunId
from slimjobs.eventlog.events.schedules import (
    Plan,
    ScheduleAdded,
    ScheduleFired,
    ScheduleId,
    SchedulePaused,
    ScheduleRemoved,
    ScheduleResumed,
    ScheduleSkipped,
)
from slimjobs.projections.schedules import NEVER, Schedules

LATE_MS: Final = 1000


class Verdict(enum.StrEnum):
    """What became of an expected instant."""

    FIRED = "Fired"
    LATE = "Late"
    SKIPPED = "Skipped"
    UNACCOUNTED = "Unaccounted"
    TWICE = "Twice"


class Line(msgspec.Struct, frozen=True):
    """An instant, or the `count` ones from it to `until` that were skipped together. `run` is empty unless it fired."""

    schedule: ScheduleId
    job: str
    instant: int
    until: int
    count: int
    verdict: Verdict
    late_ms: int = 0
    reason: str = ""
    run: RunId = RunId(b"")


class _Span(msgspec.Struct, frozen=True):
    first: int
    last: int
    reason: str


class _Life(msgspec.Struct):
    """A schedule from when it was in force, or from where the log begins, to its end (-1: it goes on)."""

    schedule: ScheduleId
    job: str
    plan: Plan
    begin: int
    end: int = NEVER
    paused_since: int = NEVER
    fired: dict[int, list[tuple[int, RunId]]] = {}
    skipped: list[_Span] = []


class Audit:
    """Reads records in order, then tells. `begun` are the schedules that were in force where the log begins."""

    def __init__(self, begun: Schedules) -> None:
        self.at = 0
        self._lives: dict[ScheduleId, _Life] = {}
        self._over: list[_Life] = []
        for each in begun.by_id.values():
            began = each.next_due if each.next_due != NEVER else each.added_at
            life = _Life(each.schedule, each.job, each.plan, began - 1, paused_since=each.paused_since)
            self._lives[each.schedule] = life

    def read(self, record: Record) -> None:
        """Take a record in."""
        self.at = record.at
        for event in record.events:
            match event:
                case ScheduleAdded(schedule, job, _, plan, next_due):
                    self._end(schedule, record.at)
                    # One of a backup may bring instants of its past that are still to be accounted for.
                    begin = record.at if next_due == NEVER else min(record.at, next_due - 1)
                    self._lives[schedule] = _Life(schedule, job, plan, begin, paused_since=event.paused_since)
                case ScheduleRemoved(schedule):
                    self._end(schedule, record.at)
                case SchedulePaused(schedule):
                    self._lives[schedule].paused_since = record.at
                case ScheduleResumed(schedule):
                    self._lives[schedule].paused_since = NEVER
                case ScheduleFired(schedule, instant, run):
                    self._lives[schedule].fired.setdefault(instant, []).append((record.at, run))
                case ScheduleSkipped(schedule, first, last, _, reason):
                    self._lives[schedule].skipped.append(_Span(first, last, str(reason)))

    def _end(self, schedule: ScheduleId, at: int) -> None:
        if (life := self._lives.pop(schedule, None)) is not None:
            life.end = at
            self._over.append(life)

    def lines(self, from_ms: int, to_ms: int, calendar: Callable[[Plan], Timetable]) -> Iterator[Line]:
        """What became of every instant of this period, schedule by schedule; no later than the log reaches."""
        for life in (*self._over, *self._lives.values()):
            yield from _lines(life, max(from_ms, life.begin + 1), min(to_ms, self.at), calendar(life.plan))


def _lines(life: _Life, from_ms: int, to_ms: int, timetable: Timetable) -> Iterator[Line]:
    # What was due while a record that ends it was on its way may be accounted for, and need not.
    last_sure = to_ms if life.end == NEVER else min(to_ms, life.end - LATE_MS)
    spans = iter(life.skipped)
    span = next(spans, None)
    skipped: list[int] = []

    def together() -> Iterator[Line]:
        if skipped and span is not None:
            found = Line(life.schedule, life.job, skipped[0], skipped[-1], len(skipped), Verdict.SKIPPED)
            yield msgspec.structs.replace(found, reason=span.reason)
        skipped.clear()

    for instant in timetable.upto(from_ms - 1, to_ms if life.end == NEVER else min(to_ms, life.end)):
        while span is not None and span.last < instant:
            yield from together()
            span = next(spans, None)
        if span is not None and span.first <= instant and instant not in life.fired:
            skipped.append(instant)
            continue
        yield from together()
        line = _judged(life, instant)
        if line.verdict is not Verdict.UNACCOUNTED or instant <= last_sure:
            yield line
    yield from together()


def _judged(life: _Life, instant: int) -> Line:
    fires = life.fired.get(instant, [])
    if not fires and life.paused_since != NEVER and instant >= life.paused_since:
        return Line(life.schedule, life.job, instant, instant, 1, Verdict.SKIPPED, reason="Paused")
    if not fires:
        return Line(life.schedule, life.job, instant, instant, 1, Verdict.UNACCOUNTED)
    at, run = fires[0]
    late_ms = max(at - instant, 0)
    verdict = Verdict.LATE if late_ms > LATE_MS else Verdict.FIRED
    if len(fires) > 1:
        verdict = Verdict.TWICE
    return Line(life.schedule, life.job, instant, instant, 1, verdict, late_ms, run=run)
