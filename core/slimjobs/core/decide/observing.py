"""What an observation means for a run: the events that the log does not have yet.

Level-based: it compares what is seen with what the state says, so it may be asked any number of times, in any order and
after any pause; what the log already has gives nothing.
"""

from __future__ import annotations

import msgspec

from slimjobs.core.orchestrators.ports import ObservedAttempt, ObservedJob, Phase
from slimjobs.eventlog.events.record import Event
from slimjobs.eventlog.events.runs import (
    AttemptEnded,
    AttemptStarted,
    ImageNotPulled,
    RunBound,
    RunFailed,
    RunGone,
    RunId,
    RunSucceeded,
)
from slimjobs.projections.state import Run, State
from slimjobs.projections.views import RunStatus


class Seen(msgspec.Struct, frozen=True):
    """The last that was seen of a run's object. `gone`: it is not there any more, nor anything that ran of it."""

    job: ObservedJob | None
    gone: bool


def events_of(state: State, run: RunId, seen: Seen) -> tuple[Event, ...]:
    """What follows for the run from what was seen."""
    if (active := state.active.get(run)) is not None:
        return _of_active(active, seen)
    if (deleted := state.deleted.get(run)) is not None and _is_gone(seen, deleted.uid):
        return (RunGone(run),)
    return ()


def _of_active(run: Run, seen: Seen) -> tuple[Event, ...]:
    job = seen.job
    if not run.uid:
        return (RunBound(run.run, job.uid),) if job is not None and not seen.gone and not job.ending else ()
    if job is not None and job.uid == run.uid:
        return _progress(run, job) + _end(run, job, seen.gone)
    return (_vanished(run.run),) if _is_gone(seen, run.uid) else ()


# Names are taken once: another object under the name proves that the bound one is gone.
def _is_gone(seen: Seen, uid: str) -> bool:
    return seen.gone or (seen.job is not None and seen.job.uid != uid)


def _progress(run: Run, job: ObservedJob) -> tuple[Event, ...]:
    events: list[Event] = []
    for attempt in job.attempts:
        if attempt.number > run.attempt:
            events.append(AttemptStarted(run.run, attempt.number, attempt.started_at_ms))
        if attempt.ended_at_ms is not None and _end_is_news(run, attempt):
            ended = AttemptEnded(run.run, attempt.number, attempt.ended_at_ms, attempt.exit_code, attempt.reason)
            events.append(ended)
    if job.phase is Phase.WAITING_FOR_IMAGE and run.status is not RunStatus.IMAGE_PULL_BACK_OFF:
        events.append(ImageNotPulled(run.run, job.detail))
    return tuple(events)


def _end_is_news(run: Run, attempt: ObservedAttempt) -> bool:
    return attempt.number > run.attempt or (attempt.number == run.attempt and not run.attempt_ended)


def _end(run: Run, job: ObservedJob, gone: bool) -> tuple[Event, ...]:
    if job.phase is Phase.SUCCEEDED:
        return (RunSucceeded(run.run),)
    if job.phase is Phase.FAILED and run.given_up:
        return (RunFailed(run.run, "ImagePullBackOff", run.detail),)
    if job.phase is Phase.FAILED:
        return (RunFailed(run.run, job.reason or "Failed", job.detail),)
    return (_vanished(run.run),) if gone else ()


def _vanished(run: RunId) -> RunFailed:
    return RunFailed(run, "JobVanished", "Its object was removed by somebody else before it had ended.")
