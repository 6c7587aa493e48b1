"""`make sim`: run seeds until one fails, then make it smaller and tell its story; at the end, a table of what was run.

    python -m tests.simulation.run --seeds 100 --first 1 [--seconds 600] [--faults crash,cut] [--calls 40] [--json]

Exit code 0 if every seed was clean, 1 if one failed, 130 if it was interrupted.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from time import monotonic
from typing import Final, NamedTuple

import msgspec

from tests.simulation.faults import NAMES
from tests.simulation.minimise import minimised
from tests.simulation.scenario import SECONDS, Scenario, Told
from tests.simulation.simulation import play

PROCESSES = 2
SEEDS_OF_A_PROCESS = 100
"""A world is one great cycle: whoever made many of them is better replaced."""

STORY_LINES = 60
SECONDS_BETWEEN_LINES = 15


class Tier(NamedTuple):
    """What plays scenarios: by which module it is asked for, and what that takes if nothing else is said."""

    runner: str
    play: Callable[[Scenario], Told]
    seconds: int
    faults: Sequence[str]


MACHINES: Final = Tier("tests.simulation.run", play, SECONDS, NAMES)


def main(arguments: Sequence[str] | None = None, tier: Tier = MACHINES) -> int:
    """Run what is asked for; gives the exit code."""
    asked = parser(tier).parse_args(arguments)
    faults = tuple(asked.faults.split(",")) if asked.faults is not None else None
    scenarios = [
        Scenario(seed, asked.seconds, faults, asked.calls, tier.runner)
        for seed in range(asked.first, asked.first + asked.seeds)
    ]
    summary = Summary()
    try:
        for told in played(scenarios, asked.processes, tier.play):
            summary.add(told)
            summary.show_progress(len(scenarios))
            if told.failure:
                tell(told, asked.minimise_seconds, tier.play)
                break
    except KeyboardInterrupt:
        say("\ninterrupted")
        sys.stdout.write(summary.text(as_json=asked.json) + "\n")
        return 130
    sys.stdout.write(summary.text(as_json=asked.json) + "\n")
    return 1 if summary.failed else 0


def parser(tier: Tier) -> argparse.ArgumentParser:
    """The command line."""
    known = argparse.ArgumentParser(prog=f"python -m {tier.runner}", description="Run seeds of the simulator.")
    fault_names = partial(_fault_names, tier.faults)
    known.add_argument("--seeds", type=int, default=100, help="how many (default: %(default)s)")
    known.add_argument("--first", type=int, default=0, help="the first seed (default: %(default)s)")
    known.add_argument("--seconds", type=int, default=tier.seconds, help="simulated seconds with faults")
    known.add_argument("--faults", type=fault_names, help="only these of what the seed draws, with commas between them")
    known.add_argument("--calls", type=int, help="how many callers come (default: they do not end)")
    known.add_argument("--processes", type=int, default=PROCESSES, help="run so many at once (default: %(default)s)")
    known.add_argument("--minimise-seconds", type=float, default=60.0, help="how long a failure is made smaller")
    known.add_argument("--json", action="store_true", help="the summary as JSON, with every seed's trace")
    return known


def _fault_names(known: Sequence[str], text: str) -> str:
    """Checked names of faults, with commas between them."""
    unknown = [name for name in text.split(",") if name and name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no fault {', '.join(unknown)}; there are: {', '.join(known)}")
    return text


def played(scenarios: Sequence[Scenario], processes: int, play: Callable[[Scenario], Told]) -> Iterator[Told]:
    """Play all of them, in order; with one process, in this one."""
    play_alone = partial(_play_alone, play)
    if processes == 1:
        yield from map(play_alone, scenarios)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, _leave_interrupts_to_the_parent, maxtasksperchild=SEEDS_OF_A_PROCESS) as pool:
        yield from pool.imap(play_alone, scenarios)


def _play_alone(play: Callable[[Scenario], Told], scenario: Scenario) -> Told:
    """Play one, and let go of its world."""
    told = play(scenario)
    gc.collect()
    return told


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class Summary:
    """What was run so far."""

    def __init__(self) -> None:
        self.traces: dict[int, str] = {}
        self.failed: list[str] = []
        self._began = monotonic()
        self._told_after = 0.0
        self._simulated_seconds = self._cpu_seconds = 0.0
        self._counts: dict[str, Counter[str]] = {"world": Counter(), "fault": Counter(), "harm": Counter()}
        self._counts["invariant"] = Counter()

    def add(self, told: Told) -> None:
        """Count one more."""
        self.traces[told.scenario.seed] = told.trace
        self._simulated_seconds += told.simulated_seconds
        self._cpu_seconds += told.seconds
        self._counts["world"].update({f"{told.nodes} nodes": 1, "log entries": told.entries, "callers": told.calls})
        self._counts["fault"].update(told.faults)
        self._counts["harm"].update(told.harm)
        self._counts["invariant"].update(told.checks)
        if told.failure:
            self.failed.append(told.scenario.command)

    def show_progress(self, of: int) -> None:
        """One line that is written over, on a terminal; now and then a line elsewhere."""
        done, passed = len(self.traces), monotonic() - self._began
        line = f"{done}/{of} seeds, {self._simulated_seconds / 3600:.1f} simulated hours, {done / passed:.2f} seeds/s"
        if sys.stderr.isatty():
            say(f"\r{line}", end="\n" if done == of else "")
        elif done == of or passed >= self._told_after:
            self._told_after = passed + SECONDS_BETWEEN_LINES
            say(line)

    def text(self, *, as_json: bool) -> str:
        """The table, or all of it as JSON."""
        return msgspec.json.encode(self._everything()).decode() if as_json else "\n".join(self._lines())

    def _everything(self) -> dict[str, object]:
        return {
            "seeds": len(self.traces),
            "failed": self.failed,
            "simulated_seconds": self._simulated_seconds,
            "cpu_seconds": self._cpu_seconds,
            "seconds": monotonic() - self._began,
            "traces": self.traces,
            **{kind: dict(sorted(counts.items())) for kind, counts in self._counts.items()},
        }

    def _lines(self) -> Iterator[str]:
        yield f"{'seeds':<12}{len(self.traces)}, {len(self.failed)} failed"
        yield f"{'simulated':<12}{self._simulated_seconds / 3600:.1f} hours"
        yield f"{'took':<12}{monotonic() - self._began:.0f} s, {self._cpu_seconds:.0f} s of a processor"
        for kind, counts in self._counts.items():
            for name, count in sorted(counts.items()):
                yield f"{kind:<12}{count:>12,}  {name}"


def say(text: str, end: str = "\n") -> None:
    """Tell whoever waits for the end."""
    sys.stderr.write(text + end)
    sys.stderr.flush()


def tell(told: Told, minimise_seconds: float, play: Callable[[Scenario], Told]) -> None:
    """Say how a failure went, and what repeats it, made as small as there is time for."""
    say(f"\nseed {told.scenario.seed} fails: {told.failure}")
    say(f"to repeat it: {told.scenario.command}")
    smaller = minimised(told, minimise_seconds, play)
    say(f"\nthe story ({smaller.failure}):")
    say("\n".join(smaller.story[-STORY_LINES:]))
    say(f"\nmade smaller, to repeat it: {smaller.scenario.command}")


if __name__ == "__main__":
    sys.exit(main())
