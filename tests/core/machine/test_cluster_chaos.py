"""Three nodes, and whatever can happen to them: promises are kept, and in peace everything comes to an end.

Some forty seconds; with `SLIMJOBS_SOAK=1` it is 5,000 seeds. A seed that fails prints the command that repeats it.
"""

from __future__ import annotations

import os

import pytest

from tests.core.machine.chaos import DEFINITIONS, FAULTS, NAMES, Chaos
from tests.core.machine.cluster_world import ClusterWorld
from tests.core.machine.telling import run_or_tell, traces

SEEDS = 5_000 if os.environ.get("SLIMJOBS_SOAK") else 50


def tell_the_story(seed: int) -> Chaos:
    """Run a seed."""
    chaos = Chaos(ClusterWorld(NAMES, dict(DEFINITIONS), seed), FAULTS)
    run_or_tell(chaos, f"{os.path.relpath(__file__)}::test_promises_are_kept_whatever_happens[{seed}]")
    return chaos


@pytest.mark.parametrize("seed", range(SEEDS))
def test_promises_are_kept_whatever_happens(seed: int) -> None:
    tell_the_story(seed)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_seed_tells_the_same_story_whatever_the_hashes(seed: int) -> None:
    assert len(traces(__name__, seed)) == 1
