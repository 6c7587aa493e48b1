"""The real programs of three nodes under every kind of harm, told twice by processes that hash differently.

Some fifteen seconds on two cores; `python -m tests.simulation.programs.run` takes as many seeds as it is given.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys

import pytest
import trio
import trio._core._run as run_of_trio

from tests.simulation.programs.harm import FAULTS, HARM_NAMES, Harm
from tests.simulation.programs.run import PROGRAMS
from tests.simulation.programs.story import play
from tests.simulation.run import main
from tests.simulation.scenario import Scenario

SEEDS = 10
PATIENCE_SECONDS = 240.0


def telling(hashes: str) -> subprocess.Popen[str]:
    """A process that tells all seeds."""
    environment = {**os.environ, "PYTHONHASHSEED": hashes, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    arguments = ["-m", "tests.simulation.programs.run", "--seeds", str(SEEDS), "--processes", "1", "--json"]
    warnings = [f"-W{each}" for each in sys.warnoptions] or ["-Werror"]
    command = [sys.executable, *warnings, *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_programs_keep_their_promises_and_tell_the_same_story_whatever_the_hashes() -> None:
    tellers = [telling(hashes) for hashes in ("1", "2")]
    told = []
    try:
        for teller in tellers:
            output, errors = teller.communicate(timeout=PATIENCE_SECONDS)
            assert teller.returncode == 0, errors
            told.append(json.loads(output)["traces"])
    finally:
        for teller in tellers:
            teller.kill()
            teller.communicate()
    assert len(told[0]) == SEEDS
    assert told[0] == told[1]


def test_a_story_leaves_nothing_of_its_chance_and_its_time_behind() -> None:
    before = run_of_trio._ALLOW_DETERMINISTIC_SCHEDULING, run_of_trio._r.getstate(), trio.to_thread.run_sync
    told = play(Scenario(0, seconds=1))
    assert not told.failure
    assert told.simulated_seconds > 1
    after = run_of_trio._ALLOW_DETERMINISTIC_SCHEDULING, run_of_trio._r.getstate(), trio.to_thread.run_sync
    assert before == after


def test_a_broken_promise_is_told_and_made_smaller(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(FAULTS, breaks_a_promise, 100)
    names = (*HARM_NAMES, breaks_a_promise.__name__)
    monkeypatch.setattr("tests.simulation.programs.story.HARM_NAMES", names)
    tier = PROGRAMS._replace(faults=names)
    assert main(["--seeds", "1", "--first", "1", "--processes", "1", "--minimise-seconds", "30"], tier) == 1
    told = capsys.readouterr().err
    assert "two and two are five" in told
    assert "node-0" in told
    *_, command = told.splitlines()
    assert "to repeat it: python -m tests.simulation.programs.run --seeds 1 --first 1" in command
    assert "--faults 'breaks_a_promise'" in command

    arguments = shlex.split(command.partition("tests.simulation.programs.run ")[2])
    assert main([*arguments, "--processes", "1", "--minimise-seconds", "0"], tier) == 1
    assert "two and two are five" in capsys.readouterr().err


async def breaks_a_promise(harm: Harm) -> None:
    """What no seed should find."""
    raise AssertionError("two and two are five")
