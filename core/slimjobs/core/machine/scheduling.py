"""The leader's look at what is due by the clock: each schedule that is fires, or is skipped, and is due later then.

    not due --- its instant comes ---> due --- a record fires or skips it, and says when next ---> not due

What finds no room in the log stays due, and is looked at again.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from slimjobs.core.decide.commands import DeleteRun, Requested, Trigger
from slimjobs.core.decide.decision import Decision
from slimjobs.core.decide.deleting import decide_deletion
from slimjobs.core.decide.firing import Due, decide_due, to_be_replaced
from slimjobs.core.decide.refusals import Refusal
from slimjobs.core.decide.triggering import decide_trigger
from slimjobs.core.machine.inputs import Now
from slimjobs.core.machine.journal import Journal
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.core.machine.timetables import Timetables
from slimjobs.eventlog.events.record import Event
from slimjobs.eventlog.events.runs import RunId, run_id_text
from slimjobs.projections.schedules import Schedule

FIRED_AT_ONCE: Final = 256
"""More than these wait for the next call: ten thousand at once would keep heartbeats waiting for a second."""


class Scheduling:
    """What is due by the clock."""

    def __init__(self, journal: Journal, timetables: Timetables, settings: MachineSettings) -> None:
        self._journal = journal
        self._timetables = timetables
        self._settings = settings
        self._led_since_ms = 0
        self.has_more = False

    def begin_to_lead(self, now: Now) -> None:
        """What was due before had nobody who would have fired it."""
        self._led_since_ms = now.wall_ms

    @property
    def next_due_ms(self) -> int | None:
        """When the next schedule is due, or was; Unix ms."""
        due = self._journal.state.schedules.next_due()
        return None if due is None else due[0]

    def fire(self, dependencies_seen: Collection[str], now: Now) -> None:
        """Let everything fire that is due, or as much as may be at once: then it `has_more`."""
        self.has_more = False
        at = Due(max(self._journal.state.at, now.wall_ms), self._led_since_ms)
        for _ in range(FIRED_AT_ONCE):
            due = self._journal.state.schedules.next_due()
            if due is None or due[0] > at.at:
                return
            if not self._fire(self._journal.state.schedules.by_id[due[1]], at, dependencies_seen, now):
                return
        self.has_more = True

    def _fire(self, schedule: Schedule, at: Due, seen: Collection[str], now: Now) -> bool:
        """Whether what becomes of a schedule that is due is written."""

        def ask(requested: Requested) -> Decision | Refusal:
            trigger, settings = Trigger((requested,), internal=True), self._settings
            state, limits = self._journal.state, settings.limits
            return decide_trigger(state, trigger, limits, seen, settings.image_required, now.wall_ms)

        timetable = self._timetables(schedule.plan)
        replaced = to_be_replaced(schedule, timetable, at, ask)
        cause = f"schedule {run_id_text(RunId(schedule.schedule))}"
        if not all(self._delete(schedule.job, run, seen, cause, now) for run in replaced):
            return False
        return self._append(decide_due(schedule, timetable, at, ask, replaced), cause, now, new_work=True)

    def _delete(self, job: str, run: RunId, seen: Collection[str], cause: str, now: Now) -> bool:
        decision = decide_deletion(self._journal.state, DeleteRun(job, run, internal=True), seen)
        return not isinstance(decision, Decision) or self._append(decision.events, cause, now, new_work=False)

    def _append(self, events: tuple[Event, ...], cause: str, now: Now, *, new_work: bool) -> bool:
        return self._journal.append(events, cause, now.wall_ms, new_work=new_work) is not None
