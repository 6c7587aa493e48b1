"""One trio run in which nothing is left to chance: its scheduling, its entropy and its threads follow from a seed.

Time is that of a `MockClock`, which stands still while anything can run. Sockets stay real: those of one process are
readable in the moment in which they are written to, so they bring in no time of their own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from random import Random
from typing import Protocol, TypeVar
from unittest.mock import patch

import trio
import trio._core._run as run_of_trio
from trio.testing import MockClock

from slimjobs.core.configuration import source
from slimjobs.core.node import opening
from slimjobs.eventlog.transport import outgoing
from tests.simulation.programs.disk_task import DiskTask
from tests.simulation.programs.judged_machine import JudgedMachine
from tests.simulation.programs.life import configuration_here
from tests.simulation.programs.roads import dial

T = TypeVar("T")
SLOWEST_THREAD_SECONDS = 0.002


class Secrets:
    """What takes the place of `secrets`."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def token_hex(self, size: int) -> str:
        """So many random bytes in hex."""
        return self._random.randbytes(size).hex()

    def randbits(self, size: int) -> int:
        """A random number of so many bits."""
        return self._random.getrandbits(size)


class Run(Protocol):
    """How a thread is asked for."""

    async def __call__(self, work: Callable[..., T], *given: object) -> T: ...


def no_threads(random: Random) -> Run:
    """What a thread would do is done in the loop, a moment later."""

    async def run_sync(work: Callable[..., T], *given: object) -> T:
        await trio.sleep(random.uniform(0, SLOWEST_THREAD_SECONDS))
        return work(*given)

    return run_sync


@contextmanager
def chance_from(seed: int) -> Iterator[None]:
    """While this lasts, whatever trio and the parts of a node leave to chance comes from the seed."""
    scheduling, random = run_of_trio._r, Random(seed)
    before = scheduling.getstate()
    with ExitStack() as stack:
        stack.callback(scheduling.setstate, before)
        scheduling.seed(random.getrandbits(64))
        stack.enter_context(patch.object(run_of_trio, "_ALLOW_DETERMINISTIC_SCHEDULING", True))
        stack.enter_context(patch.object(trio.to_thread, "run_sync", no_threads(random)))
        stack.enter_context(patch.object(opening, "secrets", Secrets(random)))
        stack.enter_context(patch.object(opening, "DiskThread", DiskTask))
        stack.enter_context(patch.object(opening, "Machine", JudgedMachine))
        stack.enter_context(patch.object(source, "_content", configuration_here))
        stack.enter_context(patch.object(outgoing, "random", random))
        stack.enter_context(patch.object(outgoing, "dial", dial))
        yield


def run(seed: int, story: Callable[[], Awaitable[None]]) -> None:
    """Run this to its end, by a clock that jumps whenever everybody waits."""
    clock = MockClock(autojump_threshold=0)
    clock.jump(Random(seed).uniform(1, 1e5))
    with chance_from(seed):
        trio.run(story, clock=clock, strict_exception_groups=True)
