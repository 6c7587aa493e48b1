"""The supervisor: who is to be looked at, which effects are under way, and what came of them.

It brings together what the committed log wants (`Desired`), what was seen (`Mirror`) and the plan, keeps at most one
effect a run under way, tries again what may pass, and bounds how much is asked of the orchestrator at once. It decides
nothing: what it learns about runs, the node machine turns into records.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from slimjobs.core.decide.observing import Seen
from slimjobs.core.orchestrators.ports import (
    Accepted,
    AlreadyExists,
    Create,
    Created,
    Delete,
    Effect,
    Expire,
    GiveUp,
    Job,
    Missing,
    Observation,
    ObservedJob,
    Outcome,
    Rejected,
    Release,
    Unavailable,
)
from slimjobs.core.supervisor.mirror import Mirror
from slimjobs.core.supervisor.plan import Step, is_stranger, plan
from slimjobs.eventlog.events.record import Record
from slimjobs.eventlog.events.runs import RunId
from slimjobs.projections.desired import Desired, DesiredRun, Wanted

EFFECTS_AT_ONCE = 32
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 1, 30

_STEPS: Final = {
    Create: Step.CREATE,
    Release: Step.RELEASE,
    GiveUp: Step.GIVE_UP,
    Expire: Step.EXPIRE,
    Delete: Step.DELETE,
}


class Progress(msgspec.Struct):
    """How far the work on one run's object is. `trouble` is why the last try failed, since when and how often."""

    under_way: int | None = None
    accepted: Step | None = None
    accepted_uid: str = ""
    failures: int = 0
    retry_at_ns: int = 0
    trouble: str = ""
    trouble_since_ms: int = -1
    rejected: str = ""


_NO_PROGRESS = Progress()


class Wishes(msgspec.Struct, frozen=True):
    """What the supervisor has to ask the state for, since only the state knows it; None where the run has moved on."""

    job: Callable[[RunId], Job | None]
    ttl_seconds: Callable[[RunId], int | None]
    object_name: Callable[[RunId], str | None]


class Supervisor:
    """The work on the orchestrator's objects, as a leader does it; a follower only keeps the books."""

    def __init__(self, desired: Desired) -> None:
        self.desired = desired
        self.mirror = Mirror()
        self._progress: dict[RunId, Progress] = {}
        self._effects: dict[int, tuple[RunId, Effect]] = {}
        self._next_effect = 1
        self._to_look_at: dict[RunId, None] = dict.fromkeys(desired.runs)
        self._crowded_out: dict[RunId, None] = {}
        self._retries: list[tuple[int, RunId]] = []

    # What happened --------------------------------------------------------------------------------------------------

    def commit(self, record: Record) -> list[RunId]:
        """Take a committed record in; gives the runs of which something else is wanted now."""
        touched = self.desired.commit(record)
        for run in touched:
            self._to_look_at[run] = None
            if (progress := self._progress.get(run)) is not None:
                progress.failures, progress.retry_at_ns = 0, 0
        return touched

    def observe(self, cluster: str, observation: Observation) -> None:
        """Take an observation in."""
        for run in self.mirror.observe(cluster, observation, self._bound):
            self._to_look_at[run] = None

    def _bound(self) -> set[RunId]:
        return {run for run, desired in self.desired.runs.items() if desired.uid}

    def ended(self, effect_id: int, outcome: Outcome, now_ns: int, now_ms: int) -> RunId | None:
        """Take the outcome of an effect in; gives the run that it was about, None for an effect of an earlier life."""
        known = self._effects.pop(effect_id, None)
        if known is None:
            return None
        run, effect = known
        progress = self._progress[run]
        progress.under_way = None
        self._to_look_at[run] = None
        match outcome:
            case Unavailable(detail):
                self._try_again(run, progress, detail, now_ns, now_ms)
                return run
            case Rejected(detail) if isinstance(effect, Create):
                progress.rejected = detail
            case Rejected(detail):
                self._try_again(run, progress, detail, now_ns, now_ms)
                return run
            case AlreadyExists(job) if not _is_ours(job, effect):
                self._try_again(run, progress, f"'{job.name}' is taken by another object", now_ns, now_ms)
                return run
            case Created(job) | AlreadyExists(job):
                self.mirror.answered(job)
            case Missing():
                if self._is_about(run, effect):
                    self.mirror.missing(run)
            case Accepted():
                progress.accepted = _STEPS[type(effect)]
                progress.accepted_uid = "" if isinstance(effect, Create) else effect.uid
        progress.failures, progress.trouble, progress.trouble_since_ms = 0, "", -1
        return run

    # Under a name there may be another object than the one that was meant; that it is not this one says nothing of it.
    def _is_about(self, run: RunId, effect: Effect) -> bool:
        job = self.mirror.seen(run).job
        return job is None or isinstance(effect, Create) or job.uid == effect.uid

    def _try_again(self, run: RunId, progress: Progress, detail: str, now_ns: int, now_ms: int) -> None:
        wait = min(FIRST_RETRY_SECONDS << min(progress.failures, 10), LAST_RETRY_SECONDS)
        progress.failures += 1
        progress.trouble = detail
        progress.trouble_since_ms = now_ms if progress.trouble_since_ms < 0 else progress.trouble_since_ms
        progress.retry_at_ns = now_ns + wait * 1_000_000_000
        heapq.heappush(self._retries, (progress.retry_at_ns, run))

    # What to do -----------------------------------------------------------------------------------------------------

    def begin_to_lead(self) -> None:
        """For a new leader: whatever is wanted is worth a look, as soon as it is seen what there is."""
        self.mirror = Mirror()
        for progress in self._progress.values():
            progress.accepted = None
        self._to_look_at.update(dict.fromkeys(self.desired.runs))

    def end_leading(self) -> None:
        """This node leads no more: what it saw grows old from here on. Effects under way still end here."""
        self.mirror = Mirror()

    def begin_anew(self, desired: Desired) -> None:
        """The state was made anew, and what is wanted with it."""
        self.desired = desired

    def follow(self) -> None:
        """For a node that does not lead: forget what is over; a new leader looks at everything anyway."""
        for run in self._to_look_at:
            self._forget_if_over(run)
        self._to_look_at.clear()

    def due(self, now_ns: int) -> Iterator[RunId]:
        """The runs that are worth a look now, each once; then those that found too much under way, while there is room.

        None before there was a list: what is there already would be asked for again.
        Take them one by one, and start what is to be done about one before the next is taken.
        """
        if not self.mirror.listed:
            return
        while self._retries and self._retries[0][0] <= now_ns:
            self._to_look_at[heapq.heappop(self._retries)[1]] = None
        runs = list(self._to_look_at)
        self._to_look_at.clear()
        yield from runs
        while self._crowded_out and self.has_room:
            run = next(iter(self._crowded_out))
            del self._crowded_out[run]
            yield run

    @property
    def has_room(self) -> bool:
        """Whether another effect may be under way."""
        return len(self._effects) < EFFECTS_AT_ONCE

    def look_later(self, run: RunId) -> None:
        """Give this run again at the next call of `due`."""
        self._to_look_at[run] = None

    def next_retry_ns(self) -> int | None:
        """When the next try is due, on the monotonic clock."""
        return self._retries[0][0] if self._retries and self.mirror.listed else None

    def rejected(self, run: RunId) -> str:
        """Why the creation of a run's object was refused for good; empty if it was not."""
        progress = self._progress.get(run)
        return progress.rejected if progress is not None else ""

    def trouble(self, run: RunId) -> tuple[str, int]:
        """Why the last effect for a run failed, and since when (Unix ms); empty and -1 if it did not."""
        progress = self._progress.get(run)
        return (progress.trouble, progress.trouble_since_ms) if progress is not None else ("", -1)

    def deletion_accepted(self, run: RunId) -> bool:
        """Whether the orchestrator has taken the deletion of the run's object on, or it is gone."""
        desired, seen = self.desired.runs.get(run), self.mirror.seen(run)
        if desired is None or seen.gone or is_stranger(desired, seen):
            return True
        progress = self._progress.get(run, _NO_PROGRESS)
        return progress.accepted is Step.DELETE and progress.accepted_uid == desired.uid

    def step(self, run: RunId, now_ns: int) -> Step:
        """The next step for a run; NOTHING while one is under way or a new try is not due yet."""
        desired, seen = self.desired.runs.get(run), self.mirror.seen(run)
        progress = self._progress.get(run, _NO_PROGRESS)
        if progress.under_way is not None:
            return Step.NOTHING
        if self._forget_if_over(run) or progress.retry_at_ns > now_ns:
            return Step.NOTHING
        if progress.rejected and desired is not None and desired.wanted is Wanted.EXISTS:
            return Step.NOTHING
        is_about_it = progress.accepted_uid == _uid_in_question(desired, seen)
        return plan(desired, seen, progress.accepted if is_about_it else None)

    def _forget_if_over(self, run: RunId) -> bool:
        seen, progress = self.mirror.seen(run), self._progress.get(run, _NO_PROGRESS)
        if run in self.desired.runs or progress.under_way is not None or not (seen.gone or seen.job is None):
            return False
        self._progress.pop(run, None)
        self.mirror.forget(run)
        return True

    def start(self, run: RunId, step: Step, wishes: Wishes) -> tuple[int, Effect] | None:
        """Begin a step: its effect with a number of its own; None when it has to wait or the run has moved on."""
        if not self.has_room:
            self._crowded_out[run] = None
            return None
        effect = _effect(run, step, self.desired.runs.get(run), self.mirror.seen(run), wishes)
        if effect is None:
            return None
        effect_id, self._next_effect = self._next_effect, self._next_effect + 1
        self._effects[effect_id] = run, effect
        self._progress.setdefault(run, Progress()).under_way = effect_id
        return effect_id, effect


def _uid_in_question(desired: DesiredRun | None, seen: Seen) -> str:
    """The object that a step would be about: the bound one, or what is there in its place."""
    if desired is not None and not is_stranger(desired, seen):
        return desired.uid
    return seen.job.uid if seen.job is not None else ""


def _is_ours(job: ObservedJob, effect: Effect) -> bool:
    return isinstance(effect, Create) and (job.run, job.cluster) == (effect.job.run, effect.job.cluster)


def _effect(run: RunId, step: Step, desired: DesiredRun | None, seen: Seen, wishes: Wishes) -> Effect | None:
    if step is Step.CREATE:
        job = wishes.job(run)
        return None if job is None else Create(job)
    uid = _uid_in_question(desired, seen)
    name = seen.job.name if seen.job is not None else wishes.object_name(run)
    if name is None or not uid:
        return None
    match step:
        case Step.RELEASE:
            return Release(run, name, uid)
        case Step.GIVE_UP:
            return GiveUp(run, name, uid)
        case Step.EXPIRE:
            ttl = wishes.ttl_seconds(run)
            return None if ttl is None else Expire(run, name, uid, ttl)
        case Step.DELETE:
            return Delete(run, name, uid)
    return None
