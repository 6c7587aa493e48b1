"""Stories told by a seed: what is printed where one fails, and that it is the same every time."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.core.machine.chaos import Chaos

TOLD_LINES = 60


def run_or_tell(chaos: Chaos, test: str) -> None:
    """Run it; where it fails, how to repeat it and what came last go with the failure. `test` is `FILE::NAME[SEED]`."""
    came_to_its_end = False
    try:
        chaos.run()
        came_to_its_end = True
    finally:
        if not came_to_its_end:
            sys.stderr.write("\n".join(list(chaos.world.transcript)[-TOLD_LINES:]))
            sys.stderr.write(f"\nTo repeat it: SLIMJOBS_SOAK=1 python -m pytest '{test}'\n")


def traces(module: str, seed: int) -> set[str]:
    """What the module's `tell_the_story` tells of a seed, by processes that hash differently: one, if all is well."""
    told = f"from {module} import tell_the_story; print(tell_the_story({seed}).world.trace)"
    found = set()
    for hashes in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hashes, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run([sys.executable, "-c", told], env=environment, capture_output=True, text=True, check=True)
        found.add(done.stdout)
    return found
