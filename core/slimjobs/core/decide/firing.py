"""A schedule that is due: its latest instant fires, in one record with the run that it enqueues; no other is lost.

    due, in time                      fired; those before it, which were missed, are skipped
    due, later than its deadline      skipped, all of them
    an earlier run is not finished    Forbid: skipped. Replace: that run is deleted, in a record before
    a trigger of the same is refused  skipped, with the reason

Whoever decides twice decides the same: the run's id comes from the instant, and what was decided is due no more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from slimjobs.core.configuration.cron import Timetable
from slimjobs.core.decide.commands import Requested
from slimjobs.core.decide.decision import Decision
from slimjobs.core.decide.refusals import Refusal
from slimjobs.core.decide.scheduling import following, run_of, skip
from slimjobs.eventlog.events.record import Event
from slimjobs.eventlog.events.runs import RunId, run_id_text
from slimjobs.eventlog.events.schedules import ConcurrencyPolicy, ScheduleFired, ScheduleSkipped, SkipReason
from slimjobs.projections.schedules import Schedule

DETAIL_CHARACTERS: Final = 500


class Due(msgspec.Struct, frozen=True):
    """When a schedule is looked at: the time that the record will have, and since when this leader leads. Unix ms."""

    at: int
    led_since: int


Ask = Callable[[Requested], Decision | Refusal]
"""Decides a trigger of one run as any other (contract: manual and scheduled runs follow the same rules)."""


def to_be_replaced(schedule: Schedule, timetable: Timetable, now: Due, ask: Ask) -> tuple[RunId, ...]:
    """The runs that have to be deleted before this schedule fires."""
    if schedule.plan.concurrency is not ConcurrencyPolicy.REPLACE or not schedule.unfinished:
        return ()
    latest = timetable.latest(now.at, schedule.next_due)
    if _is_too_late(schedule, latest, now) or not isinstance(ask(_requested(schedule, latest)), Decision):
        return ()
    return tuple(schedule.unfinished)


def decide_due(
    schedule: Schedule, timetable: Timetable, now: Due, ask: Ask, replaced: tuple[RunId, ...] = ()
) -> tuple[Event, ...]:
    """What becomes of the instants of a schedule that are due. Never nothing."""
    first, latest = schedule.next_due, timetable.latest(now.at, schedule.next_due)
    if _is_too_late(schedule, latest, now):
        return (skip(schedule, timetable, now.at, _why_late(latest, now), _how_late(latest, now)),)
    missed: tuple[Event, ...] = ()
    if first < latest:
        last = timetable.latest(latest - 1, first)
        why, said = _why_late(last, now), "a later instant fires instead"
        missed = (ScheduleSkipped(schedule.schedule, first, last, timetable.count(first, last), why, latest, said),)
    return missed + _fire(schedule, latest, following(timetable, now.at), ask, replaced)


def _fire(schedule: Schedule, instant: int, next_due: int, ask: Ask, replaced: tuple[RunId, ...]) -> tuple[Event, ...]:
    def skipped(reason: SkipReason, detail: str) -> tuple[Event, ...]:
        short = detail[:DETAIL_CHARACTERS]
        return (ScheduleSkipped(schedule.schedule, instant, instant, 1, reason, next_due, short),)

    if schedule.plan.concurrency is ConcurrencyPolicy.FORBID and schedule.unfinished:
        return skipped(SkipReason.OVERLAP, f"the run {run_id_text(schedule.unfinished[0])} is not finished")
    requested = _requested(schedule, instant)
    decided = ask(requested)
    if not isinstance(decided, Decision):
        return skipped(SkipReason.REFUSED, decided.detail)
    return (*decided.events, ScheduleFired(schedule.schedule, instant, requested.run, next_due, replaced))


def _requested(schedule: Schedule, instant: int) -> Requested:
    return Requested(run_of(schedule.schedule, instant), schedule.job, schedule.plan.overrides)


def _is_too_late(schedule: Schedule, instant: int, now: Due) -> bool:
    return now.at - instant > 1000 * schedule.plan.starting_deadline_seconds


def _why_late(instant: int, now: Due) -> SkipReason:
    return SkipReason.NO_LEADER if instant < now.led_since else SkipReason.DEADLINE


def _how_late(instant: int, now: Due) -> str:
    return f"seen {(now.at - instant) / 1000:.0f} s after the latest of them"
