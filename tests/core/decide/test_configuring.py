"""Which definitions are in force, and what becomes of runs whose definition changes or goes."""

from __future__ import annotations

import msgspec

from slimjobs.core.decide.commands import Configured
from slimjobs.core.decide.decision import Decision
from slimjobs.core.orchestrators.ports import Phase
from slimjobs.eventlog.events.cluster import DefinitionDeclared, DefinitionRemoved
from slimjobs.eventlog.events.definitions import Definition
from slimjobs.eventlog.events.runs import RunAdmitted
from slimjobs.projections.listing import detail_of_run
from tests.core.decide.chronicle import DEFAULT, FIB, Chronicle


def with_cap(cap: int) -> Definition:
    return msgspec.structs.replace(FIB, number_parallel_job=cap)


def held(chronicle: Chronicle, queue: str = "fib") -> int:
    return len(chronicle.state.queues[queue].holders)


def test_an_identical_proposal_writes_nothing() -> None:
    chronicle = Chronicle()
    assert chronicle.configure({"fib": FIB}) == Configured(changed=True)
    written = len(chronicle.log)
    assert chronicle.configure({"fib": FIB}) == Configured(changed=False)
    assert len(chronicle.log) == written


def test_only_what_changed_is_declared_and_what_is_gone_removed_in_one_record() -> None:
    chronicle = Chronicle()
    chronicle.configure({"fib": FIB, "kept": FIB, "gone": FIB})
    chronicle.configure({"fib": with_cap(9), "kept": FIB})
    declared, removed = chronicle.log[-1].record.events
    assert isinstance(declared, DefinitionDeclared)
    assert (declared.name, declared.definition) == ("fib", with_cap(9))
    assert removed == DefinitionRemoved("gone")


def test_version_numbers_are_never_used_again() -> None:
    chronicle = Chronicle()
    for cap in (1, 2, 3):
        chronicle.configure({"fib": with_cap(cap), "other": with_cap(cap)})
    numbers = [
        event.number
        for written in chronicle.log
        for event in written.record.events
        if isinstance(event, DefinitionDeclared)
    ]
    assert numbers == sorted(set(numbers))


def test_a_raised_cap_admits_in_the_same_record() -> None:
    chronicle = Chronicle()
    chronicle.configure({"fib": with_cap(1)})
    chronicle.trigger("fib", "fib", "fib", "fib")
    chronicle.configure({"fib": with_cap(3)})
    admitted = [event.run for event in chronicle.log[-1].record.events if isinstance(event, RunAdmitted)]
    assert admitted == [run for _, run in chronicle.runs][1:3]


def test_a_lowered_cap_stops_admissions_not_runs() -> None:
    chronicle = Chronicle()
    chronicle.configure({"fib": with_cap(3)})
    chronicle.trigger("fib", "fib", "fib", "fib")
    chronicle.configure({"fib": with_cap(1)})
    assert held(chronicle) == 3
    for _, run in chronicle.runs[:2]:
        chronicle.see(run, Phase.SUCCEEDED)
        assert len(chronicle.state.queued) == 1
    chronicle.see(chronicle.runs[2][1], Phase.SUCCEEDED)
    assert held(chronicle) == 1
    assert not chronicle.state.queued


def test_a_removed_definition_drains_under_its_last_cap_while_the_name_falls_back_to_default() -> None:
    chronicle = Chronicle()
    chronicle.configure({"fib": with_cap(1)})
    chronicle.trigger("fib", "fib", "fib")
    chronicle.configure({})
    late = chronicle.enqueue("fib")
    assert late in chronicle.state.queues["default"].holders, "a new run of the name is Default's"
    for _, run in chronicle.runs[:3]:
        assert held(chronicle) == 1
        chronicle.see(run, Phase.SUCCEEDED)
    chronicle.wait(60)
    assert "fib" not in chronicle.state.queues, "nothing is left of it"
    assert {version.name for version in chronicle.state.versions.values()} == {"default"}


def test_a_definition_that_comes_back_takes_its_draining_queue_on() -> None:
    chronicle = Chronicle()
    chronicle.configure({"fib": with_cap(1)})
    chronicle.trigger("fib", "fib", "fib")
    chronicle.configure({})
    chronicle.configure({"fib": with_cap(2)})
    assert held(chronicle) == 2


def test_a_run_keeps_the_version_it_was_accepted_with() -> None:
    chronicle = Chronicle()
    chronicle.configure({"fib": FIB})
    run = chronicle.enqueue("fib")
    chronicle.configure({"fib": msgspec.structs.replace(FIB, command=("other",))})
    detail = detail_of_run(chronicle.state, run, ())
    assert detail is not None
    assert detail.definition == FIB


def test_versions_go_when_no_run_in_the_lists_was_accepted_with_them() -> None:
    chronicle = Chronicle()
    chronicle.configure({"fib": FIB})
    run = chronicle.enqueue("fib")
    chronicle.configure({"fib": with_cap(9)})
    assert len(chronicle.state.versions) == 3
    chronicle.see(run, Phase.SUCCEEDED)
    chronicle.wait(60)
    kept = [(version.name, version.definition) for version in chronicle.state.versions.values()]
    assert sorted(kept, key=lambda each: each[0]) == [("default", DEFAULT), ("fib", with_cap(9))]


def test_a_name_that_gets_its_own_definition_leaves_defaults_queue_to_drain() -> None:
    chronicle = Chronicle()
    chronicle.configure({})
    chronicle.trigger("fib", "fib")
    chronicle.configure({"fib": FIB})
    assert isinstance(chronicle.trigger("fib"), Decision)
    assert (held(chronicle, "default"), held(chronicle, "fib")) == (1, 1)
    assert len(chronicle.state.queued) == 1
