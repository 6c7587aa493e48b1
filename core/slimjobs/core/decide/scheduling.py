"""Schedules that callers make, pause, run and remove, and those that the configuration declares (contract §2, §4)."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from slimjobs.core.configuration.cron import Timetable
from slimjobs.core.decide.commands import (
    AddSchedule,
    PauseSchedule,
    RemoveSchedule,
    Requested,
    RunSchedule,
    ScheduleMade,
    ScheduleSet,
    Trigger,
)
from slimjobs.core.decide.decision import Decision
from slimjobs.core.decide.refusals import DeclaredElsewhere, KeyReused, NoLeader, Refusal, UnknownSchedule
from slimjobs.core.decide.triggering import answered_before, private_to_outsiders, why_not_allowed
from slimjobs.eventlog.events.definitions import Source
from slimjobs.eventlog.events.record import Event
from slimjobs.eventlog.events.runs import KeyUsed, RunId
from slimjobs.eventlog.events.schedules import (
    Plan,
    ScheduleAdded,
    ScheduleId,
    SchedulePaused,
    ScheduleRemoved,
    ScheduleResumed,
    ScheduleSkipped,
    SkipReason,
)
from slimjobs.projections.schedules import NEVER, Schedule
from slimjobs.projections.state import State

Calendar = Callable[[Plan], Timetable]
"""When a plan is due. Timetables are worth keeping: many schedules share one."""

_ID_BYTES: Final = 10
_encode = msgspec.msgpack.Encoder().encode


def decide_addition(
    state: State, command: AddSchedule, calendar: Calendar, image_required: bool, wall_ms: int
) -> Decision | Refusal:
    """Put a schedule in force, if a trigger with its overrides would be allowed. Repeated, it answers as before."""
    if (hidden := private_to_outsiders(state, command.job, command.internal)) is not None:
        return hidden
    at = max(state.at, wall_ms)
    before = answered_before(state, command.key, at)
    if isinstance(before, KeyReused):
        return before
    if before is not None or command.schedule in state.schedules.by_id:
        schedule = ScheduleId(before) if before is not None else command.schedule
        return Decision(ScheduleMade(schedule, replayed=before is not None))
    version = state.definition_for(command.job)
    if version is None:
        return NoLeader("no configuration is in force yet")
    asked = Requested(RunId(command.schedule), command.job, command.plan.overrides)
    trigger = Trigger((asked,), command.internal, problems=command.problems)
    if (refused := why_not_allowed(trigger, [version], image_required)) is not None:
        return refused
    added = _added(command.schedule, command.job, Source.API, command.plan, calendar, at)
    events: tuple[Event, ...] = (msgspec.structs.replace(added, paused_since=at) if command.paused else added,)
    if command.key is not None:
        events += (KeyUsed(command.key.key, command.key.body, command.schedule),)
    return Decision(ScheduleMade(command.schedule), events)


def decide_removal_of_schedule(state: State, command: RemoveSchedule) -> Decision | Refusal:
    """Let a schedule be due no more; one that the configuration declares is removed there only."""
    found = _known(state, command.job, command.schedule, command.internal)
    if not isinstance(found, Schedule):
        return Decision(ScheduleSet()) if command.repeated and isinstance(found, UnknownSchedule) else found
    if found.source is not Source.API:
        return DeclaredElsewhere(command.job, command.schedule, found.source)
    return Decision(ScheduleSet(), (ScheduleRemoved(command.schedule),))


def decide_pause(state: State, command: PauseSchedule, calendar: Calendar, wall_ms: int) -> Decision | Refusal:
    """Pause or resume a schedule; what was due meanwhile is skipped, all of it as one event."""
    found = _known(state, command.job, command.schedule, command.internal)
    if not isinstance(found, Schedule):
        return found
    if command.paused == found.is_paused:
        return Decision(ScheduleSet())
    if command.paused:
        return Decision(ScheduleSet(), (SchedulePaused(command.schedule),))
    at = max(state.at, wall_ms)
    timetable = calendar(found.plan)
    next_due = following(timetable, at)
    events: tuple[Event, ...] = ()
    if found.next_due != NEVER and found.next_due <= at:
        events = (skip(found, timetable, at, SkipReason.PAUSED),)
    return Decision(ScheduleSet(), (*events, ScheduleResumed(command.schedule, next_due)))


def trigger_of(state: State, command: RunSchedule) -> Trigger | Refusal:
    """What it comes to to run a schedule now, beside its instants: a trigger with what it overrides."""
    found = _known(state, command.job, command.schedule, command.internal)
    if not isinstance(found, Schedule):
        return found
    asked = Requested(command.run, command.job, found.plan.overrides)
    return Trigger((asked,), command.internal, command.key)


def _known(state: State, job: str, schedule: ScheduleId, internal: bool) -> Schedule | Refusal:
    if (hidden := private_to_outsiders(state, job, internal)) is not None:
        return hidden
    found = state.schedules.by_id.get(schedule)
    return found if found is not None and found.job == job else UnknownSchedule(job, schedule)


# What the configuration declares --------------------------------------------------------------------------------------


def decide_declared(
    state: State, source: Source, declared: Mapping[str, Sequence[Plan]], calendar: Calendar, wall_ms: int
) -> tuple[Event, ...]:
    """Make these the schedules of this source: those that are new begin, those that are gone end, the rest go on."""
    wanted = dict(_identified(source, declared))
    known = {each.schedule for each in state.schedules.by_id.values() if each.source is source}
    at = max(state.at, wall_ms)
    removed = tuple(ScheduleRemoved(each) for each in sorted(known - wanted.keys()))
    new = ((schedule, job, plan) for schedule, (job, plan) in wanted.items() if schedule not in known)
    return removed + tuple(_added(schedule, job, source, plan, calendar, at) for schedule, job, plan in new)


# The same entry has the same id after every restart, on every node; of identical ones each has its own.
def _identified(
    source: Source, declared: Mapping[str, Sequence[Plan]]
) -> Iterator[tuple[ScheduleId, tuple[str, Plan]]]:
    for job in sorted(declared):
        seen: Counter[bytes] = Counter()
        for plan in declared[job]:
            said = _encode((source, job, plan))
            yield ScheduleId(_digest(_encode((said, seen[said])))), (job, plan)
            seen[said] += 1


def _added(schedule: ScheduleId, job: str, source: Source, plan: Plan, calendar: Calendar, at: int) -> ScheduleAdded:
    return ScheduleAdded(schedule, job, source, plan, following(calendar(plan), at))


def following(timetable: Timetable, at: int) -> int:
    """The first instant after this time, as events have it."""
    due = timetable.next_after(at)
    return NEVER if due is None else due


def skip(schedule: Schedule, timetable: Timetable, at: int, reason: SkipReason, detail: str = "") -> ScheduleSkipped:
    """That every instant of a schedule that is due up to this time is skipped."""
    first = schedule.next_due
    last = timetable.latest(at, first)
    count = timetable.count(first, last)
    return ScheduleSkipped(schedule.schedule, first, last, count, reason, following(timetable, at), detail)


def run_of(schedule: ScheduleId, instant: int) -> RunId:
    """The run of an instant: whoever fires it, it is the same one (contract §4)."""
    return RunId(_digest(schedule + instant.to_bytes(8, "big")))


def _digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_ID_BYTES).digest()
