"""The real programs of three nodes under every kind of harm, told twice by processes that hash differently.

Some fifteen seconds on two cores; `python -m tests.simulation.programs.run` takes as many seeds as it is given.
"""

from __future__ import annotations

import os
import subprocess
import sys

import trio
import trio._core._run as run_of_trio

from tests.simulation.programs.story import simulate

SEEDS = 10
PATIENCE_SECONDS = 240.0


def telling(hashes: str) -> subprocess.Popen[str]:
    """A process that tells all seeds."""
    environment = {**os.environ, "PYTHONHASHSEED": hashes, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    arguments = ["-m", "tests.simulation.programs.run", "--seeds", str(SEEDS), "--traces"]
    warnings = [f"-W{each}" for each in sys.warnoptions] or ["-Werror"]
    command = [sys.executable, *warnings, *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_programs_keep_their_promises_and_tell_the_same_story_whatever_the_hashes() -> None:
    tellers = [telling(hashes) for hashes in ("1", "2")]
    told = []
    try:
        for teller in tellers:
            traces, errors = teller.communicate(timeout=PATIENCE_SECONDS)
            assert teller.returncode == 0, errors
            told.append(traces.splitlines())
    finally:
        for teller in tellers:
            teller.kill()
            teller.communicate()
    assert len(told[0]) == SEEDS
    assert told[0] == told[1]


def test_a_story_leaves_nothing_of_its_chance_and_its_time_behind() -> None:
    before = run_of_trio._ALLOW_DETERMINISTIC_SCHEDULING, run_of_trio._r.getstate(), trio.to_thread.run_sync
    story = simulate(0, seconds=1.0)
    assert story.simulated_seconds > 1
    after = run_of_trio._ALLOW_DETERMINISTIC_SCHEDULING, run_of_trio._r.getstate(), trio.to_thread.run_sync
    assert before == after
