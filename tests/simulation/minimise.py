"""A failure made smaller: it ends sooner, and has fewer kinds of faults and fewer callers. What still fails is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic

import msgspec

from tests.simulation.scenario import Scenario, Told

FEWEST_SECONDS = 5


def minimised(told: Told, within_seconds: float, play: Callable[[Scenario], Told]) -> Told:
    """The smallest that was found within this time of a clock; the failure itself if nothing smaller fails.

    Another rule may be violated than at first: what fails with less is understood sooner, and a failure it is.
    """
    until = monotonic() + within_seconds
    smallest = told
    shrinks = True
    while shrinks:
        shrinks = False
        for candidate in smaller(smallest):
            if monotonic() > until:
                return smallest
            outcome = play(candidate)
            if outcome.failure:
                smallest, shrinks = outcome, True
                break
    return smallest


def smaller(told: Told) -> Iterator[Scenario]:
    """What may fail too, the greatest steps first."""
    scenario = told.scenario
    failed_after = int(told.simulated_seconds) + 1
    for seconds in (failed_after, scenario.seconds // 2, scenario.seconds * 9 // 10):
        if FEWEST_SECONDS <= seconds < scenario.seconds:
            yield msgspec.structs.replace(scenario, seconds=seconds)
    faults = tuple(sorted(name for name, count in told.faults.items() if count))
    if scenario.faults is None or len(faults) < len(scenario.faults):
        yield msgspec.structs.replace(scenario, faults=faults)
    for kept in without_parts(faults):
        yield msgspec.structs.replace(scenario, faults=kept)
    for calls in (told.calls // 2, told.calls * 9 // 10, told.calls - 1):
        if 0 <= calls < (told.calls if scenario.calls is None else min(scenario.calls, told.calls)):
            yield msgspec.structs.replace(scenario, calls=calls)


def without_parts(names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Each half alone, then all but one."""
    if len(names) > 2:
        yield names[: len(names) // 2]
        yield names[len(names) // 2 :]
    for name in names:
        yield tuple(each for each in names if each != name)
