"""Deletion in every state, and what time takes out of the lists."""

from __future__ import annotations

import pytest

from slimjobs.core.decide.commands import Deleted
from slimjobs.core.decide.decision import Decision, Limits
from slimjobs.core.decide.expiring import next_expiry
from slimjobs.core.decide.refusals import Forbidden, UnknownRun
from slimjobs.core.orchestrators.ports import Phase
from slimjobs.eventlog.events.definitions import Definition, Overrides
from slimjobs.eventlog.events.runs import RunAdmitted, RunDeleted, RunGone, RunId
from slimjobs.projections.run_states import RunState
from tests.core.decide.chronicle import FIB, Chronicle


@pytest.fixture
def chronicle() -> Chronicle:
    chronicle = Chronicle()
    chronicle.configure({"fib": FIB, "secret": Definition(command=("secret",))})
    return chronicle


def in_state(chronicle: Chronicle, state: RunState) -> RunId:
    """A run of fib in that state."""
    if state is RunState.QUEUED:
        chronicle.trigger("fib", "fib")
    run = chronicle.enqueue("fib")
    if state in (RunState.BOUND, RunState.ENDED):
        chronicle.see(run, Phase.SUSPENDED)
    if state is RunState.ENDED:
        chronicle.see(run, Phase.SUCCEEDED)
    assert chronicle.state.run_state(run) is state
    return run


@pytest.mark.parametrize(
    ("state", "promised", "then"),
    [
        (RunState.QUEUED, True, RunState.LEFT),
        (RunState.ADMITTED, True, RunState.LEFT),
        (RunState.BOUND, False, RunState.DELETED),
        (RunState.ENDED, False, RunState.DELETED),
    ],
)
def test_a_run_can_be_deleted_in_every_state(
    chronicle: Chronicle, state: RunState, promised: bool, then: RunState
) -> None:
    run = in_state(chronicle, state)
    decided = chronicle.delete("fib", run)
    assert isinstance(decided, Decision)
    assert decided.result == Deleted(promised)
    assert chronicle.state.run_state(run) is then
    assert chronicle.state.job_of(run) is None, "it left the lists"


@pytest.mark.parametrize("state", [RunState.QUEUED, RunState.ADMITTED, RunState.BOUND, RunState.ENDED])
def test_a_second_deletion_finds_nothing_and_says_when_the_first_was(chronicle: Chronicle, state: RunState) -> None:
    run = in_state(chronicle, state)
    chronicle.delete("fib", run)
    refused = chronicle.delete("fib", run)
    assert isinstance(refused, UnknownRun)
    assert refused.history == "It was deleted at 2023-11-14T22:13:20.000+00:00."


def test_another_names_id_and_an_unknown_id_are_unknown(chronicle: Chronicle) -> None:
    run = chronicle.enqueue("fib")
    assert chronicle.delete("other", run) == UnknownRun("other", run)
    assert chronicle.delete("fib", RunId(bytes(10))) == UnknownRun("fib", RunId(bytes(10)))


def test_outsiders_may_not_delete_what_is_private_known_or_not(chronicle: Chronicle) -> None:
    run = chronicle.enqueue("secret")
    assert isinstance(chronicle.delete("secret", run, internal=False), Forbidden)
    assert isinstance(chronicle.delete("secret", RunId(bytes(10)), internal=False), Forbidden)


def test_an_unbound_run_gives_its_slot_back_in_the_record_that_deletes_it(chronicle: Chronicle) -> None:
    chronicle.trigger("fib", "fib", "fib")
    first, _, third = (run for _, run in chronicle.runs)
    chronicle.delete("fib", first)
    assert chronicle.log[-1].record.events == (RunDeleted(first), RunAdmitted(third))


def test_a_bound_run_holds_its_slot_until_its_object_is_gone(chronicle: Chronicle) -> None:
    chronicle.trigger("fib", "fib", "fib")
    first, _, third = (run for _, run in chronicle.runs)
    chronicle.see(first, Phase.RUNNING)
    chronicle.delete("fib", first)
    assert chronicle.state.run_state(third) is RunState.QUEUED
    chronicle.see_nothing(first)
    assert chronicle.log[-1].record.events == (RunGone(first), RunAdmitted(third))


def test_an_ended_runs_deletion_frees_nothing_twice(chronicle: Chronicle) -> None:
    run = in_state(chronicle, RunState.ENDED)
    chronicle.trigger("fib", "fib", "fib")
    chronicle.delete("fib", run)
    chronicle.see_nothing(run)
    assert len(chronicle.state.queues["fib"].holders) == 2
    assert len(chronicle.state.queued) == 1


# Time ---------------------------------------------------------------------------------------------------------------


def test_an_ended_run_leaves_the_lists_when_its_time_to_live_is_over(chronicle: Chronicle) -> None:
    run = in_state(chronicle, RunState.ENDED)
    assert next_expiry(chronicle.state) == chronicle.now + 60_000
    chronicle.wait(59.999)
    assert chronicle.state.run_state(run) is RunState.ENDED
    chronicle.wait(0.001)
    assert chronicle.state.run_state(run) is RunState.LEFT
    assert next_expiry(chronicle.state) is None
    refused = chronicle.delete("fib", run)
    assert isinstance(refused, UnknownRun)
    assert "had ended" in refused.history


def test_a_triggers_own_time_to_live_wins(chronicle: Chronicle) -> None:
    run = chronicle.enqueue("fib", Overrides(ttl_seconds_after_finished=1))
    chronicle.see(run, Phase.SUCCEEDED)
    chronicle.wait(1)
    assert chronicle.state.run_state(run) is RunState.LEFT


def test_ended_runs_expire_a_thousand_at_a_time() -> None:
    chronicle = Chronicle(Limits(finished_jobs=10_000))
    chronicle.configure({"fib": FIB})
    for _ in range(2500):
        chronicle.see(chronicle.enqueue("fib"), Phase.SUCCEEDED)
    left = []
    for _ in range(3):
        chronicle.wait(60)
        left.append(len(chronicle.state.finished))
    assert left == [1500, 500, 0]


def test_the_oldest_ended_runs_of_a_definition_leave_a_list_that_is_full() -> None:
    chronicle = Chronicle(Limits(finished_jobs=3))
    chronicle.configure({"fib": FIB, "other": FIB})
    for job in ("fib", "other") * 5:
        chronicle.see(chronicle.enqueue(job), Phase.SUCCEEDED)
    for name in ("fib", "other"):
        kept = [run for job, run in chronicle.runs if job == name][-3:]
        assert list(chronicle.state.queues[name].finished) == kept


def test_a_lower_limit_takes_effect_with_the_next_leader() -> None:
    chronicle = Chronicle()
    chronicle.configure({"fib": FIB})
    for _ in range(5):
        chronicle.see(chronicle.enqueue("fib"), Phase.SUCCEEDED)
    chronicle.limits = Limits(finished_jobs=2)
    chronicle.new_leader()
    assert len(chronicle.state.finished) == 2
