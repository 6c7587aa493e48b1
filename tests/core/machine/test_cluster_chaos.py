"""Three nodes, and whatever can happen to them: promises are kept, and in peace everything comes to an end.

Some forty seconds; with `SLIMJOBS_SOAK=1` it is 5,000 seeds. A seed that fails prints the command that repeats it.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.core.machine.chaos import DEFINITIONS, FAULTS, NAMES, Chaos
from tests.core.machine.cluster_world import ClusterWorld

SEEDS = 5_000 if os.environ.get("SLIMJOBS_SOAK") else 50
TOLD_LINES = 60


def tell_the_story(seed: int) -> Chaos:
    """Run a seed; where it fails, how to repeat it and what came last go with the failure."""
    chaos = Chaos(ClusterWorld(NAMES, dict(DEFINITIONS), seed), FAULTS)
    came_to_its_end = False
    try:
        chaos.run()
        came_to_its_end = True
    finally:
        if not came_to_its_end:
            sys.stderr.write("\n".join(list(chaos.world.transcript)[-TOLD_LINES:]))
            named = f"{os.path.relpath(__file__)}::test_promises_are_kept_whatever_happens[{seed}]"
            sys.stderr.write(f"\nTo repeat it: SLIMJOBS_SOAK=1 python -m pytest '{named}'\n")
    return chaos


@pytest.mark.parametrize("seed", range(SEEDS))
def test_promises_are_kept_whatever_happens(seed: int) -> None:
    tell_the_story(seed)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_seed_tells_the_same_story_whatever_the_hashes(seed: int) -> None:
    told = f"from {__name__} import tell_the_story; print(tell_the_story({seed}).world.trace)"
    traces = set()
    for hashes in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hashes, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run([sys.executable, "-c", told], env=environment, capture_output=True, text=True, check=True)
        traces.add(done.stdout)
    assert len(traces) == 1
