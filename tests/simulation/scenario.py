"""What one run of the simulator is made of, and what came of it: both plain, so that they pass between processes."""

from __future__ import annotations

import msgspec

ELECTION_SECONDS = (1, 5, 5, 10)
SECONDS = 600


class Scenario(msgspec.Struct, frozen=True):
    """A seed, and what of it is left out. `seconds` of simulated time with faults come before the peace.

    `faults` are the only ones that are injected, None for all that the seed draws; `calls` is how many callers come.
    `runner` is the module that plays it.
    """

    seed: int
    seconds: int = SECONDS
    faults: tuple[str, ...] | None = None
    calls: int | None = None
    runner: str = "tests.simulation.run"

    @property
    def command(self) -> str:
        """What repeats it."""
        words = [f"python -m {self.runner} --seeds 1", f"--first {self.seed}", f"--seconds {self.seconds}"]
        if self.faults is not None:
            words.append(f"--faults '{','.join(self.faults)}'")
        if self.calls is not None:
            words.append(f"--calls {self.calls}")
        return " ".join(words)


class Told(msgspec.Struct, frozen=True):
    """What came of a scenario. `failure` is empty if all was well; `story` is told of a failure only.

    `faults` counts what was injected by kind, `harm` what those did, `checks` how often each invariant was looked at.
    """

    scenario: Scenario
    trace: str
    simulated_seconds: float
    seconds: float
    nodes: int
    entries: int
    calls: int
    faults: dict[str, int]
    harm: dict[str, int]
    checks: dict[str, int]
    failure: str = ""
    story: tuple[str, ...] = ()
