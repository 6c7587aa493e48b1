"""What is needed: counted while a run waits or is under way, so that nobody looks through all runs to know it."""

from __future__ import annotations

import msgspec

from slimjobs.core.orchestrators.ports import Phase
from slimjobs.eventlog.events.definitions import Overrides
from slimjobs.projections.snapshot import restore, snapshot_frames
from slimjobs.projections.state import State
from tests.core.decide.chronicle import FIB, Chronicle

ON_DB = Overrides(depends_on=("db",))


def needs(state: State) -> set[str]:
    """What is needed; a snapshot says the same."""
    restored = restore(snapshot_frames(state))
    assert (restored.needed, restored.named) == (state.needed, state.named)
    return set(state.needed)


def test_a_run_needs_what_it_depends_on_from_its_trigger_to_its_end() -> None:
    chronicle = Chronicle()
    chronicle.configure({"fib": FIB})
    assert needs(chronicle.state) == set()
    run = chronicle.enqueue("fib", ON_DB)
    assert needs(chronicle.state) == {"db"}, "it waits"
    chronicle.depend("db", ready=True)
    assert run in chronicle.state.active
    assert needs(chronicle.state) == {"db"}, "it is under way"
    chronicle.see(run, Phase.SUSPENDED)
    assert needs(chronicle.state) == {"db"}
    chronicle.see(run, Phase.SUCCEEDED)
    assert needs(chronicle.state) == set(), "it has ended"


def test_each_of_several_runs_needs_it_and_the_last_to_end_needs_it_longest() -> None:
    chronicle = Chronicle()
    chronicle.configure({"fib": FIB})
    runs = [chronicle.enqueue("fib", ON_DB) for _ in range(2)]
    chronicle.depend("db", ready=True)
    for run in runs:
        assert needs(chronicle.state) == {"db"}
        chronicle.see(run, Phase.SUSPENDED)
        chronicle.see(run, Phase.SUCCEEDED)
    assert needs(chronicle.state) == set()


def test_what_a_definition_names_is_named_and_needed_only_by_its_runs() -> None:
    chronicle = Chronicle()
    chronicle.configure({"fib": msgspec.structs.replace(FIB, depends_on=("db",))})
    assert (needs(chronicle.state), set(chronicle.state.named)) == (set(), {"db"})
    chronicle.enqueue("fib", Overrides(depends_on=()))
    assert needs(chronicle.state) == set(), "this run depends on nothing"
    chronicle.enqueue("fib")
    assert needs(chronicle.state) == {"db"}
    chronicle.configure({"fib": FIB})
    assert (needs(chronicle.state), set(chronicle.state.named)) == ({"db"}, set()), "a run keeps its version"
