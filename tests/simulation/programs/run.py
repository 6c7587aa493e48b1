"""`python -m tests.simulation.programs.run --seeds N --first K`: so many seeds, with progress, until one fails."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.simulation.programs.story import WAR_SECONDS, simulate

TOLD_EVERY_SECONDS = 5.0


def main() -> None:
    """Run the seeds, and sum up."""
    arguments = _arguments()
    faults: Counter[str] = Counter()
    checked: Counter[str] = Counter()
    sums: Counter[str] = Counter()
    simulated, began_at = 0.0, time.monotonic()
    told_at = began_at
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        story = simulate(seed, arguments.seconds)
        simulated += story.simulated_seconds
        faults.update(story.faults)
        checked.update(story.checked)
        sums.update(seeds=1, calls=story.calls, answered=story.answered, runs=story.runs, entries=story.entries)
        if arguments.traces:
            _tell(f"{seed} {story.trace}")
        elif time.monotonic() - told_at > TOLD_EVERY_SECONDS:
            told_at = time.monotonic()
            _tell(f"{sums['seeds']} of {arguments.seeds} seeds, {told_at - began_at:.0f} s")
    if not arguments.traces:
        _sum_up(sums, faults, checked, simulated, time.monotonic() - began_at)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.programs.run", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seconds", type=float, default=WAR_SECONDS, help="how long harm is done, in simulated time")
    parser.add_argument("--traces", action="store_true", help="only a line for each seed: the hash of its story")
    return parser.parse_args()


def _sum_up(sums: Counter[str], faults: Counter[str], checked: Counter[str], simulated: float, seconds: float) -> None:
    _tell(f"{sums['seeds']} seeds clean: {simulated:,.0f} simulated seconds in {seconds:.1f} s")
    _tell(f"{sums['calls']:,} calls, {sums['answered']:,} answered; {sums['runs']:,} runs, {sums['entries']:,} entries")
    for name, count in (*sorted(faults.items()), *sorted(checked.items())):
        _tell(f"{count:12,}  {name.replace('_', ' ')}")


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
