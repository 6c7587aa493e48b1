"""Three nodes on the real storage, and whatever disks can do to it: nothing acknowledged is lost, nobody votes twice.

Some thirty seconds; with `SLIMJOBS_SOAK=1` it is 2,000 seeds. A seed that fails prints the command that repeats it.
"""

from __future__ import annotations

import os
import sys

import pytest

from tests.core.machine.chaos import DEFINITIONS, NAMES
from tests.core.machine.disk_chaos import DiskChaos
from tests.core.machine.stored_world import StoredWorld

SEEDS = 2_000 if os.environ.get("SLIMJOBS_SOAK") else 30
TOLD_LINES = 60


def tell_the_story(seed: int) -> DiskChaos:
    """Run a seed; where it fails, how to repeat it and what came last go with the failure."""
    chaos = DiskChaos(StoredWorld(NAMES, dict(DEFINITIONS), seed))
    came_to_its_end = False
    try:
        chaos.run()
        came_to_its_end = True
    finally:
        if not came_to_its_end:
            sys.stderr.write("\n".join(list(chaos.world.transcript)[-TOLD_LINES:]))
            named = f"{os.path.relpath(__file__)}::test_promises_are_kept_whatever_disks_do[{seed}]"
            sys.stderr.write(f"\nTo repeat it: SLIMJOBS_SOAK=1 python -m pytest '{named}'\n")
    return chaos


@pytest.mark.parametrize("seed", range(SEEDS))
def test_promises_are_kept_whatever_disks_do(seed: int) -> None:
    tell_the_story(seed)
