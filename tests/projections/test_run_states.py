"""The life of a run as a table, and the fold that holds to it: what is not in the table is a broken log."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest

from slimjobs.core.orchestrators.ports import Phase
from slimjobs.eventlog.events.cluster import DefinitionRemoved
from slimjobs.eventlog.events.record import Event, Record, encode_record
from slimjobs.eventlog.events.runs import (
    AttemptEnded,
    AttemptStarted,
    ImageGivenUp,
    ImageNotPulled,
    RunAdmitted,
    RunBound,
    RunDeleted,
    RunEnqueued,
    RunFailed,
    RunGone,
    RunId,
    RunsExpired,
    RunSucceeded,
)
from slimjobs.eventlog.raft.types import Index
from slimjobs.projections.fold import BrokenLog, apply
from slimjobs.projections.run_states import RUN_STATES, RunState
from tests.core.decide.chronicle import FIB, Chronicle, run_of
from tests.core.decide.test_any_history import indexes_are_right

EVENTS: dict[type[Event], Callable[[RunId], Event]] = {
    RunAdmitted: RunAdmitted,
    RunBound: lambda run: RunBound(run, "uid"),
    AttemptStarted: lambda run: AttemptStarted(run, 1, 1),
    AttemptEnded: lambda run: AttemptEnded(run, 1, 2, 0, ""),
    ImageNotPulled: lambda run: ImageNotPulled(run, "detail"),
    ImageGivenUp: ImageGivenUp,
    RunSucceeded: RunSucceeded,
    RunFailed: lambda run: RunFailed(run, "Reason"),
    RunDeleted: RunDeleted,
    RunGone: RunGone,
    RunsExpired: lambda run: RunsExpired((run,)),
}


def in_state(state: RunState) -> tuple[Chronicle, RunId]:
    """A history whose third run is in that state."""
    chronicle = Chronicle()
    chronicle.configure({"fib": FIB})
    if state is RunState.QUEUED:
        chronicle.trigger("fib", "fib")
    run = chronicle.enqueue("fib")
    if state in (RunState.BOUND, RunState.ENDED, RunState.DELETED):
        chronicle.see(run, Phase.SUSPENDED)
    if state is RunState.ENDED:
        chronicle.see(run, Phase.SUCCEEDED)
    if state in (RunState.DELETED, RunState.LEFT):
        chronicle.delete("fib", run)
    assert chronicle.state.run_state(run) is state
    return chronicle, run


def fold(chronicle: Chronicle, event: Event) -> None:
    record = Record(chronicle.now, "test", (event,))
    apply(chronicle.state, Index(chronicle.state.index + 1), encode_record(record), record)


def test_the_table_names_every_state_and_only_events_of_one_run() -> None:
    assert set(RUN_STATES) == set(RunState)
    assert {event for allowed in RUN_STATES.values() for event in allowed} == set(EVENTS)
    assert set(EVENTS) < set(get_args(Event))


@pytest.mark.parametrize("state", RunState)
@pytest.mark.parametrize("kind", EVENTS)
def test_an_event_that_the_table_does_not_have_breaks_the_log_and_the_others_fold(
    state: RunState, kind: type[Event]
) -> None:
    chronicle, run = in_state(state)
    if kind in RUN_STATES[state]:
        fold(chronicle, EVENTS[kind](run))
        indexes_are_right(chronicle.state)
        return
    with pytest.raises(BrokenLog, match=kind.__name__):
        fold(chronicle, EVENTS[kind](run))


@pytest.mark.parametrize("kind", EVENTS)
def test_nothing_can_happen_to_a_run_that_nobody_triggered(kind: type[Event]) -> None:
    chronicle, _ = in_state(RunState.ADMITTED)
    with pytest.raises(BrokenLog):
        fold(chronicle, EVENTS[kind](RunId(bytes(10))))


@pytest.mark.parametrize("state", RunState)
def test_no_run_is_enqueued_twice(state: RunState) -> None:
    chronicle, run = in_state(state)
    with pytest.raises(BrokenLog, match="RunEnqueued"):
        fold(chronicle, RunEnqueued(run, "fib", chronicle.state.current["fib"]))


def test_what_names_an_unknown_definition_breaks_the_log() -> None:
    chronicle, _ = in_state(RunState.ADMITTED)
    for event in (RunEnqueued(run_of(99), "fib", 99), DefinitionRemoved("unheard-of")):
        with pytest.raises(BrokenLog):
            fold(chronicle, event)


@pytest.mark.parametrize(
    ("before", "event", "after"),
    [
        (RunState.QUEUED, RunAdmitted, RunState.ADMITTED),
        (RunState.QUEUED, RunDeleted, RunState.LEFT),
        (RunState.ADMITTED, RunBound, RunState.BOUND),
        (RunState.ADMITTED, RunFailed, RunState.ENDED),
        (RunState.ADMITTED, RunDeleted, RunState.LEFT),
        (RunState.BOUND, RunSucceeded, RunState.ENDED),
        (RunState.BOUND, RunFailed, RunState.ENDED),
        (RunState.BOUND, RunDeleted, RunState.DELETED),
        (RunState.ENDED, RunDeleted, RunState.DELETED),
        (RunState.ENDED, RunsExpired, RunState.LEFT),
        (RunState.DELETED, RunGone, RunState.LEFT),
    ],
)
def test_where_an_event_leads(before: RunState, event: type[Event], after: RunState) -> None:
    chronicle, run = in_state(before)
    fold(chronicle, EVENTS[event](run))
    assert chronicle.state.run_state(run) is after
