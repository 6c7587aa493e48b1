"""Seeds of the simulator, each twice in processes that hash differently: clean, and the same to the byte.

Some forty-five seconds on two processors. `make sim` runs more and longer ones.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

import msgspec

SEEDS: Final = 150
SECONDS: Final = 60
"""How many seeds every change is tried with, and how long each goes on under faults, in simulated seconds."""

HASHES: Final = ("1", "2")


class Summary(msgspec.Struct):
    """What is wanted of the runner's JSON."""

    seeds: int
    failed: list[str]
    traces: dict[str, str]


def test_seeds_are_clean_and_the_same_whatever_the_hashes() -> None:
    runners = [begin(hashes) for hashes in HASHES]
    told = [(*runner.communicate(), runner.returncode) for runner in runners]
    for _, errors, code in told:
        assert code == 0, errors
    one, two = (msgspec.json.decode(output, type=Summary) for output, _, _ in told)
    assert one.seeds == SEEDS
    assert not one.failed
    assert one.traces == two.traces


def begin(hashes: str) -> subprocess.Popen[str]:
    """A runner in a process of its own that hashes so."""
    words = [
        "-m",
        "tests.simulation.run",
        "--seeds",
        str(SEEDS),
        "--seconds",
        str(SECONDS),
        "--processes",
        "1",
        "--json",
    ]
    environment = {**os.environ, "PYTHONHASHSEED": hashes, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        [sys.executable, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
