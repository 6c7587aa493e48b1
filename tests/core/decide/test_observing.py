"""What an observation means for a run: a table of what the log says, what is seen, and the events that follow."""

from __future__ import annotations

import pytest

from slimjobs.core.decide.observing import Seen, events_of
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
from tests.core.decide.chronicle import FIB, Chronicle, run_of

RUN = run_of(1)
UID = f"uid-{RUN.hex()}"


def chronicle_with(*seen: tuple[Phase, tuple[ObservedAttempt, ...]], deleted: bool = False) -> Chronicle:
    chronicle = Chronicle()
    chronicle.configure({"fib": FIB})
    chronicle.trigger("fib")
    for phase, attempts in seen:
        chronicle.see(RUN, phase, *attempts)
    if deleted:
        chronicle.delete("fib", RUN)
    return chronicle


def seen(
    phase: Phase,
    *attempts: ObservedAttempt,
    uid: str = UID,
    gone: bool = False,
    ending: bool = False,
    reason: str = "",
    detail: str = "",
) -> Seen:
    return Seen(ObservedJob("name", uid, "c1", RUN, phase, ending, attempts, reason, detail), gone)


NOTHING_SEEN = Seen(None, gone=False)
GONE = Seen(None, gone=True)
BOUND = (Phase.SUSPENDED, ())
RUNS = (Phase.RUNNING, (ObservedAttempt(1, 10),))
VANISHED = RunFailed(RUN, "JobVanished", "Its object was removed by somebody else before it had ended.")


@pytest.mark.parametrize(
    ("sight", "events"),
    [
        (NOTHING_SEEN, ()),
        (GONE, ()),
        (seen(Phase.SUSPENDED), (RunBound(RUN, UID),)),
        (seen(Phase.SUSPENDED, gone=True), ()),
        (seen(Phase.SUSPENDED, ending=True), ()),
    ],
)
def test_an_admitted_run_is_bound_to_the_object_that_is_there(sight: Seen, events: tuple[Event, ...]) -> None:
    assert events_of(chronicle_with().state, RUN, sight) == events


@pytest.mark.parametrize(
    ("before", "sight", "events"),
    [
        (BOUND, NOTHING_SEEN, ()),
        (BOUND, seen(Phase.SUSPENDED), ()),
        (BOUND, seen(Phase.PENDING), ()),
        (BOUND, seen(Phase.WAITING_FOR_IMAGE, detail="no such image"), (ImageNotPulled(RUN, "no such image"),)),
        ((Phase.WAITING_FOR_IMAGE, ()), seen(Phase.WAITING_FOR_IMAGE, detail="again"), ()),
        (BOUND, seen(Phase.RUNNING, ObservedAttempt(1, 10)), (AttemptStarted(RUN, 1, 10),)),
        (RUNS, seen(Phase.RUNNING, ObservedAttempt(1, 10)), ()),
        (RUNS, seen(Phase.PENDING, ObservedAttempt(1, 10, 20, 3, "Error")), (AttemptEnded(RUN, 1, 20, 3, "Error"),)),
        (
            BOUND,
            seen(Phase.SUCCEEDED, ObservedAttempt(1, 10, 20, 3, "Error"), ObservedAttempt(2, 30, 40, 0)),
            (
                AttemptStarted(RUN, 1, 10),
                AttemptEnded(RUN, 1, 20, 3, "Error"),
                AttemptStarted(RUN, 2, 30),
                AttemptEnded(RUN, 2, 40, 0, ""),
                RunSucceeded(RUN),
            ),
        ),
        (RUNS, seen(Phase.FAILED, reason="BackoffLimit", detail="x"), (RunFailed(RUN, "BackoffLimit", "x"),)),
        (RUNS, seen(Phase.FAILED), (RunFailed(RUN, "Failed"),)),
        (RUNS, seen(Phase.RUNNING, gone=True), (VANISHED,)),
        (RUNS, GONE, (VANISHED,)),
        (RUNS, seen(Phase.SUCCEEDED, gone=True), (RunSucceeded(RUN),)),
        (RUNS, seen(Phase.FAILED, reason="R", gone=True), (RunFailed(RUN, "R"),)),
        (RUNS, seen(Phase.SUCCEEDED, uid="another"), (VANISHED,)),
    ],
)  # fmt: skip
def test_a_bound_run_learns_from_its_own_object_only(
    before: tuple[Phase, tuple[ObservedAttempt, ...]], sight: Seen, events: tuple[Event, ...]
) -> None:
    assert events_of(chronicle_with(BOUND, before).state, RUN, sight) == events


@pytest.mark.parametrize(
    ("sight", "events"),
    [
        (NOTHING_SEEN, ()),
        (seen(Phase.RUNNING), ()),
        (seen(Phase.RUNNING, ending=True), ()),
        (seen(Phase.RUNNING, gone=True), (RunGone(RUN),)),
        (GONE, (RunGone(RUN),)),
        (seen(Phase.SUSPENDED, uid="another"), (RunGone(RUN),)),
    ],
)
def test_a_deleted_run_is_over_when_its_object_is_gone(sight: Seen, events: tuple[Event, ...]) -> None:
    assert events_of(chronicle_with(BOUND, deleted=True).state, RUN, sight) == events


def test_what_is_seen_of_a_run_that_is_in_no_table_means_nothing() -> None:
    assert events_of(Chronicle().state, RunId(bytes(10)), seen(Phase.SUCCEEDED)) == ()


def test_asking_again_gives_nothing_once_the_log_has_it() -> None:
    chronicle = chronicle_with(BOUND, RUNS)
    assert events_of(chronicle.state, RUN, seen(Phase.RUNNING, ObservedAttempt(1, 10))) == ()
