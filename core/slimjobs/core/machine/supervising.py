"""One look at every run that is worth one: what was seen of it becomes records, what is wanted becomes effects."""

from __future__ import annotations

from collections.abc import Collection

from slimjobs.core.decide.admission import with_consequences
from slimjobs.core.decide.observing import events_of
from slimjobs.core.machine.answers import Answers
from slimjobs.core.machine.inputs import Now
from slimjobs.core.machine.journal import Journal
from slimjobs.core.machine.outbox import Outbox
from slimjobs.core.machine.outputs import StartEffect
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.core.orchestrators.ports import Job
from slimjobs.core.supervisor.plan import Step
from slimjobs.core.supervisor.supervisor import Supervisor, Wishes
from slimjobs.eventlog.events.record import Event
from slimjobs.eventlog.events.runs import RunFailed, RunId, job_object_name
from slimjobs.projections.effective import effective
from slimjobs.projections.fold import ttl_seconds
from slimjobs.projections.state import State


class Supervising:
    """The leader's rounds. What cannot be written for want of room is looked at again."""

    def __init__(
        self, journal: Journal, supervisor: Supervisor, answers: Answers, outbox: Outbox, settings: MachineSettings
    ) -> None:
        self._journal = journal
        self._supervisor = supervisor
        self._answers = answers
        self._outbox = outbox
        self._settings = settings
        self._wishes = wishes_of(journal)
        self._orphans: dict[RunId, int] = {}

    def look(self, dependencies_seen: Collection[str], now: Now) -> None:
        """Look at every run that is worth it."""
        self._check_orphans(now)
        for run in self._supervisor.due(now.monotonic_ns):
            self._record(run, dependencies_seen, now)
            step = self._supervisor.step(run, now.monotonic_ns)
            if step is Step.CHECK_ORPHAN:
                self._orphans.pop(run, None)  # barriers rise: it goes to the end
                self._orphans[run] = self._answers.next_barrier()
            elif step is not Step.NOTHING:
                self._start(run, step)

    @property
    def sees(self) -> bool:
        """Whether what there is of objects is seen now."""
        mirror = self._supervisor.mirror
        return mirror.listed and not mirror.trouble

    @property
    def trouble(self) -> str | None:
        """Why objects cannot be seen; empty if they can, None before anything is known of that."""
        mirror = self._supervisor.mirror
        return mirror.trouble or ("" if mirror.listed else None)

    def begin_to_lead(self) -> None:
        """Nothing was seen of the world in this reign yet."""
        self._supervisor.begin_to_lead()

    def end_leading(self) -> None:
        """What was seen is another's to see now, and what was to be asked is asked by another."""
        self._orphans.clear()
        self._supervisor.end_leading()

    def next_retry_ns(self) -> int | None:
        """When an effect that failed is due once more, on the monotonic clock."""
        return self._supervisor.next_retry_ns()

    @property
    def can_go_on(self) -> bool:
        """Whether something can be done that no input will announce: a read has confirmed an orphan."""
        return self._supervisor.has_room and self._confirmed_orphan() is not None

    def _confirmed_orphan(self) -> RunId | None:
        for run, barrier in self._orphans.items():  # barriers rise, so the first is confirmed first
            return run if self._answers.confirmed(barrier) else None
        return None

    def _record(self, run: RunId, dependencies_seen: Collection[str], now: Now) -> None:
        state = self._journal.state
        events = self._events(state, run)
        if not events:
            return
        everything = with_consequences(state, events, dependencies_seen, self._settings.limits.finished_jobs)
        if self._journal.append(everything, "orchestrator", now.wall_ms, new_work=False) is None:
            self._supervisor.look_later(run)

    def _events(self, state: State, run: RunId) -> tuple[Event, ...]:
        active = state.active.get(run)
        if active is not None and not active.uid and (detail := self._supervisor.rejected(run)):
            return (RunFailed(run, "CreateRejected", detail),)
        return events_of(state, run, self._supervisor.mirror.seen(run))

    def _start(self, run: RunId, step: Step) -> None:
        started = self._supervisor.start(run, step, self._wishes)
        if started is not None:
            self._outbox.outputs.append(StartEffect(*started))

    # An object without a wish may be one whose admission this node has not heard of yet. Only when a read that began
    # after it was seen confirms that nothing is wanted of its run is it swept (design §5).
    def _check_orphans(self, now: Now) -> None:
        while self._supervisor.has_room and (run := self._confirmed_orphan()) is not None:
            del self._orphans[run]
            if self._supervisor.step(run, now.monotonic_ns) is Step.CHECK_ORPHAN:
                self._start(run, Step.DELETE)


def wishes_of(journal: Journal) -> Wishes:
    """What the supervisor has to ask the state for."""

    def job(run: RunId) -> Job | None:
        state = journal.state
        active = state.active.get(run)
        if active is None:
            return None
        definition = effective(state.versions[active.definition].definition, active.overrides)
        name = job_object_name(active.job, run)
        return Job(name, state.cluster, run, active.job, active.path, definition)

    def ttl(run: RunId) -> int | None:
        state = journal.state
        left = state.left_queue(run)
        return None if left is None else ttl_seconds(state, left)

    def object_name(run: RunId) -> str | None:
        state = journal.state
        if (deleted := state.deleted.get(run)) is not None:
            return job_object_name(deleted.job, run)
        left = state.left_queue(run)
        return None if left is None else job_object_name(left.job, run)

    return Wishes(job, ttl, object_name)
