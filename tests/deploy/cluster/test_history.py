"""What the judges of a history would find, if there were something to be found."""

from __future__ import annotations

import pytest

from slimjobs.eventlog.events.cluster import DefinitionDeclared
from slimjobs.eventlog.events.definitions import Definition, Source
from slimjobs.eventlog.events.record import Record, encode_record
from slimjobs.eventlog.events.runs import RunEnqueued, RunId, run_id_text
from slimjobs.eventlog.raft import Index
from slimjobs.projections.fold import apply
from slimjobs.projections.state import State
from tests.deploy.cluster.history import Answered, Listed, Shown, contradiction, steps_back

RUN = RunId(b"0123456789")
ID = run_id_text(RUN)


def answered(begun: float, ended: float, index: int) -> Answered:
    return Answered(0, begun, ended, index)


def test_who_asks_after_an_answer_came_may_not_be_told_less() -> None:
    first, meanwhile, later, stale = answered(0, 1, 7), answered(0.5, 2, 5), answered(2, 3, 7), answered(1.1, 1.2, 6)
    assert list(steps_back([first, meanwhile, later])) == []
    assert list(steps_back([later, stale, meanwhile, first])) == [(first, stale)]


def state_with_a_run() -> State:
    state = State()
    events = (
        DefinitionDeclared(1, "true", Source.CONFIGURATION, Definition()),
        RunEnqueued(RUN, "true", 1),
    )
    record = Record(1, "test", events)
    apply(state, Index(1), encode_record(record), record)
    return state


ONE = answered(0, 1, 1)
WRONG = (Listed("true", (), ONE), Shown("true", ID, "Running", ONE), Shown("true", ID, None, ONE))
RIGHT = (Listed("true", ((ID, "Queued"),), ONE), Shown("true", ID, "Queued", ONE), Shown("other", ID, None, ONE))


@pytest.mark.parametrize("told", WRONG)
def test_who_is_told_what_the_log_does_not_say_is_told_wrong(told: Listed | Shown) -> None:
    assert contradiction(state_with_a_run(), told)


@pytest.mark.parametrize("told", RIGHT)
def test_who_is_told_what_the_log_says_is_told_right(told: Listed | Shown) -> None:
    assert not contradiction(state_with_a_run(), told)
