"""The simulator itself: what fails is told, repeated by its command and made smaller; what is drawn is counted."""

from __future__ import annotations

import msgspec
import pytest

from slimjobs.core.orchestrators.ports import Effect, Outcome
from tests.simulation import run
from tests.simulation.faults import NAMES, TABLE
from tests.simulation.minimise import minimised
from tests.simulation.scenario import Scenario, Told
from tests.simulation.server import Server
from tests.simulation.simulation import Simulation, play

SHORT = 20


@pytest.fixture
def a_server_that_releases_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug to be found: what is asked to be created is under way at once, so it is released twice."""
    perform = Server.perform

    def releases(server: Server, effect: Effect) -> Outcome:
        outcome = perform(server, effect)
        for job in server.objects.values():
            server.released.setdefault(job.run, set()).add("another")
        return outcome

    monkeypatch.setattr(Server, "perform", releases)


def test_every_fault_has_a_name_of_its_own() -> None:
    assert len(set(NAMES)) == len(TABLE)


def test_each_seed_draws_other_faults() -> None:
    drawn = [frozenset(fault.name for fault in Simulation(Scenario(seed)).table) for seed in range(20)]
    assert len(set(drawn)) == 20
    assert set().union(*drawn) == set(NAMES)


def test_a_fault_that_is_left_out_is_not_injected() -> None:
    told = play(Scenario(3, SHORT, faults=("crash",)))
    assert not told.failure
    assert set(told.faults) <= {"crash"}


def test_no_more_callers_come_than_are_asked_for() -> None:
    assert play(Scenario(3, SHORT, calls=2)).calls == 2


@pytest.mark.usefixtures("a_server_that_releases_twice")
def test_a_violation_names_its_rule_and_tells_a_story() -> None:
    told = play(Scenario(1, SHORT))
    assert "two objects of one run were released" in told.failure
    assert "[2: at most one object of a run is released" in told.failure
    assert told.story


@pytest.mark.usefixtures("a_server_that_releases_twice")
def test_a_violation_ends_the_run_with_one_and_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["--seeds", "3", "--seconds", str(SHORT), "--processes", "1", "--minimise-seconds", "1"]) == 1
    printed = capsys.readouterr()
    assert "to repeat it: python -m tests.simulation.run --seeds 1 --first 0" in printed.err
    assert "seeds       1, 1 failed" in printed.out


def test_a_clean_run_ends_with_zero_and_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main(["--seeds", "2", "--seconds", str(SHORT), "--processes", "1"]) == 0
    printed = capsys.readouterr().out
    assert "seeds       2, 0 failed" in printed
    assert "7: reads show what was at their index" in printed


def test_a_fault_that_is_not_there_is_refused() -> None:
    with pytest.raises(SystemExit):
        run.main(["--faults", "earthquake"])


def fails_with_two_faults(scenario: Scenario) -> Told:
    """Fails whenever two certain faults come, after half a minute."""
    faults = ("crash", "cut", "pause", "reload", "storm") if scenario.faults is None else scenario.faults
    fails = {"crash", "reload"} <= set(faults) and scenario.seconds >= 30
    calls = 50 if scenario.calls is None else scenario.calls
    nothing: dict[str, int] = {}
    told = Told(scenario, "", 31.5, 0.1, 3, 10, calls, dict.fromkeys(faults, 1), nothing, nothing)
    return msgspec.structs.replace(told, failure="it fails") if fails else told


def test_a_failure_is_made_smaller() -> None:
    scenario = minimised(fails_with_two_faults(Scenario(7)), 10.0, fails_with_two_faults).scenario
    assert scenario.faults == ("crash", "reload")
    assert scenario.seconds == 32
    assert scenario.calls == 0
    assert scenario.command.endswith("--first 7 --seconds 32 --faults 'crash,reload' --calls 0")
