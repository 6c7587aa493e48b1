"""Why a run has not started, as a table."""

from __future__ import annotations

from slimjobs.core.orchestrators.ports import Phase
from slimjobs.eventlog.events.definitions import Overrides
from slimjobs.eventlog.events.runs import RunId, run_id_text
from slimjobs.projections.views import Why, WhyKind
from slimjobs.projections.why import why_queued
from tests.core.decide.chronicle import FIB, Chronicle

DB, WEB, NOTHING = Overrides(depends_on=("db",)), Overrides(depends_on=("web",)), Overrides()


def told(*overrides: Overrides) -> tuple[Chronicle, list[RunId]]:
    """Two runs hold the slots of fib; then these are triggered."""
    chronicle = Chronicle()
    chronicle.configure({"fib": FIB})
    chronicle.trigger("fib", "fib")
    return chronicle, [chronicle.enqueue("fib", each) for each in overrides]


def why(chronicle: Chronicle, run: RunId) -> list[Why]:
    return list(why_queued(chronicle.state, run, chronicle.observed))


def kinds(reasons: list[Why]) -> list[tuple[str, str]]:
    return [(str(each.kind), each.detail) for each in reasons]


HELD = ("Cap", "2 of 2 slots of 'fib' are held.")


def test_the_first_in_the_queue_waits_for_a_slot_and_sees_who_holds_them() -> None:
    chronicle, (run,) = told(NOTHING)
    (reason,) = why(chronicle, run)
    holders = tuple(run_id_text(each) for _, each in chronicle.runs[:2])
    assert reason == Why(WhyKind.CAP, HELD[1], chronicle.now, holders)


def test_the_others_wait_for_those_ahead_too() -> None:
    chronicle, runs = told(*[NOTHING] * 13)
    assert kinds(why(chronicle, runs[1])) == [("Ahead", "1 run of this queue is ahead."), HELD]
    ahead, _ = why(chronicle, runs[12])
    assert ahead.detail == "12 runs of this queue are ahead."
    assert ahead.ids == tuple(map(run_id_text, runs[:10])), "ten are named"


def test_a_dependency_that_does_not_exist_is_told_since_the_trigger() -> None:
    chronicle, (run,) = told(DB)
    triggered_at = chronicle.now
    chronicle.wait(5)
    assert why(chronicle, run)[0] == Why(WhyKind.DEPENDENCY, "'db' does not exist.", triggered_at)


def test_a_dependency_that_is_not_ready_says_why_and_since_when() -> None:
    chronicle, (run,) = told(DB)
    chronicle.wait(5)
    chronicle.depend("db", ready=False)
    assert why(chronicle, run)[0] == Why(WhyKind.DEPENDENCY, "'db' is not ready: 0 of 1 replicas", chronicle.now)


def test_a_dependency_is_ready_only_once_this_leader_has_seen_it() -> None:
    chronicle, (run,) = told(DB)
    chronicle.depend("db", ready=True)
    chronicle.new_leader()
    said = "'db' has not been observed yet since the leader changed."
    assert kinds(why(chronicle, run)) == [("Dependency", said), HELD]


def test_who_waits_for_a_dependency_counts_as_ahead_of_nobody() -> None:
    chronicle, (blocked, other, last) = told(DB, NOTHING, NOTHING)
    chronicle.depend("db", ready=False)
    assert kinds(why(chronicle, other)) == [HELD]
    (ahead, _) = why(chronicle, last)
    assert ahead.ids == (run_id_text(other),)
    assert [str(each.kind) for each in why(chronicle, blocked)] == ["Dependency", "Cap"]


def test_those_ahead_are_told_in_queue_order_whatever_they_depend_on() -> None:
    chronicle, runs = told(WEB, DB, NOTHING, WEB, NOTHING, NOTHING)
    chronicle.depend("web", ready=True)
    chronicle.depend("db", ready=False)
    ahead = why(chronicle, runs[5])[0]
    assert ahead.ids == tuple(run_id_text(runs[place]) for place in (0, 2, 3, 4))


def test_all_dependencies_that_hold_back_are_told() -> None:
    chronicle, (run,) = told(Overrides(depends_on=("db", "web")))
    chronicle.depend("web", ready=False)
    assert [each.detail for each in why(chronicle, run)][:2] == [
        "'db' does not exist.",
        "'web' is not ready: 0 of 1 replicas",
    ]


def test_with_a_slot_free_only_the_dependency_is_told() -> None:
    chronicle, (run,) = told(DB)
    chronicle.see(chronicle.runs[0][1], Phase.SUCCEEDED)
    assert [str(each.kind) for each in why(chronicle, run)] == ["Dependency"]


def test_a_deleted_run_whose_object_is_not_gone_is_among_the_holders() -> None:
    chronicle, (run,) = told(NOTHING)
    first = chronicle.runs[0][1]
    chronicle.see(first, Phase.RUNNING)
    chronicle.delete("fib", first)
    (reason,) = why(chronicle, run)
    assert run_id_text(first) in reason.ids
