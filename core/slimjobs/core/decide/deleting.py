"""Deletion of a run, in every state it can be in."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime

from slimjobs.core.decide.admission import admit_next
from slimjobs.core.decide.commands import Deleted, DeleteRun
from slimjobs.core.decide.decision import Decision
from slimjobs.core.decide.refusals import Refusal, UnknownRun
from slimjobs.core.decide.triggering import private_to_outsiders
from slimjobs.eventlog.events.record import Event
from slimjobs.eventlog.events.runs import RunDeleted, RunId
from slimjobs.projections.listing import departure_of
from slimjobs.projections.state import State


def decide_deletion(state: State, command: DeleteRun, observed: Collection[str]) -> Decision | Refusal:
    """Delete a run. `promised` is false while its bound object has yet to be deleted by the orchestrator."""
    if (hidden := private_to_outsiders(state, command.job, command.internal)) is not None:
        return hidden
    if state.job_of(command.run) != command.job:
        if command.repeated and _was_deleted(state, command):
            return Decision(Deleted(promised=command.run not in state.deleted))
        return unknown_run(state, command.job, command.run)
    events: tuple[Event, ...] = (RunDeleted(command.run),)
    active = state.active.get(command.run)
    if active is not None and not active.uid:
        queue = state.queue_of(active.definition)
        events += admit_next(state, queue, observed, queue.free + 1)
    left = state.left_queue(command.run)
    return Decision(Deleted(promised=left is None or not left.uid), events)


# The command may be its own predecessor, whose answer was lost.
def _was_deleted(state: State, command: DeleteRun) -> bool:
    departure = departure_of(state, command.run)
    return departure is not None and departure.job == command.job and departure.deleted


def unknown_run(state: State, job: str, run: RunId) -> UnknownRun:
    """That no such run is in the lists, and when and why it left them where that is remembered."""
    departure = departure_of(state, run)
    if departure is None or departure.job != job:
        return UnknownRun(job, run)
    when = datetime.fromtimestamp(departure.at / 1000, UTC).isoformat(timespec="milliseconds")
    if departure.deleted:
        return UnknownRun(job, run, f"It was deleted at {when}.")
    return UnknownRun(job, run, f"It had ended, and left the lists at {when} when its time to live was over.")
