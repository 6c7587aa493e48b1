"""Those who call the nodes: without pause, some with keys and repeating themselves, some leaving before the answer."""

from __future__ import annotations

from typing import Final

import trio

from slimjobs.core.decide.commands import Accepted, Command, DeleteRun, IdempotencyKey, Requested, Trigger
from slimjobs.core.machine.queries import ListRuns, Query, ShowCluster, ShowRun, ShowStatus
from slimjobs.core.node.service import Reply
from slimjobs.eventlog.events.definitions import Overrides
from slimjobs.eventlog.events.runs import RunId
from tests.simulation.programs.cluster import CAPS, Cluster

KEYS: Final = 8
LONGEST_ARGUMENT: Final = 6_000
PATIENCE_SECONDS: Final = 60.0
"""Longer than any node's: who waits so long was forgotten."""


def run_of(number: int) -> RunId:
    """The run that was asked for as the so-manieth."""
    return RunId(number.to_bytes(10, "big"))


class People:
    """`triggered` is what was asked for, answered or not; `keyed` what a key was given to, by whom it was answered."""

    def __init__(self, cluster: Cluster) -> None:
        self.calls = self.answered = 0
        self.triggered: list[tuple[str, RunId]] = []
        self.keyed: dict[str, set[RunId]] = {}
        self.waiting = 0
        self._cluster, self._random = cluster, cluster.random
        self._jobs_of_keys: dict[str, str] = {}
        self._big_share = self._random.choice([0.0, 0.0, 0.1, 0.4])
        self._pause_seconds = self._random.choice([0.02, 0.1, 0.4])

    async def call(self, most: int | None) -> None:
        """Ask for something, again and again, until so many calls were made; None: for ever."""
        while most is None or self.calls < most:
            await trio.sleep(self._random.uniform(0, 2 * self._pause_seconds))
            self._cluster.nursery.start_soon(self._call)

    async def _call(self) -> None:
        roll = self._random.random()
        if roll < 0.15:
            await self._trigger_with_key()
        elif roll < 0.5 or not self.triggered:
            await self._ask(self._trigger())
        elif roll < 0.6:
            job, run = self._random.choice(self.triggered)
            await self._ask(DeleteRun(job, run, True))
        else:
            await self._ask(self._question(), stale=self._random.random() < 0.2)

    async def _ask(self, said: Command | Query, *, stale: bool = False) -> Reply | None:
        serving = self._cluster.serving
        if not serving:
            return None
        patience = self._random.uniform(0, 2) if self._random.random() < 0.2 else PATIENCE_SECONDS
        self.calls += 1
        self.waiting += 1
        began_at = trio.current_time()
        reply = await self._cluster.ask(self._random.choice(serving), said, patience, stale=stale)
        self.waiting -= 1
        self.answered += reply is not None
        waited = trio.current_time() - began_at
        assert waited < PATIENCE_SECONDS, f"nobody answered {said} for {waited} s"
        return reply

    # What is asked --------------------------------------------------------------------------------------------------

    def _trigger(self) -> Trigger:
        job, overrides = self._random.choice(list(CAPS)), Overrides()
        if self._random.random() < self._big_share:
            overrides = Overrides(args=("x" * self._random.randrange(LONGEST_ARGUMENT),))
        runs = self._mint(job, self._random.choice([1, 1, 3]))
        return Trigger(tuple(Requested(run, job, overrides) for run in runs), True)

    def _mint(self, job: str, count: int) -> list[RunId]:
        first = len(self.triggered) + 1
        runs = [run_of(first + i) for i in range(count)]
        self.triggered += [(job, run) for run in runs]
        return runs

    # A repetition has other ids than the first request: which run it was, the answer says.
    async def _trigger_with_key(self) -> None:
        """Whoever is not answered says the same again, wherever it gets through."""
        key = f"key{self._random.randrange(KEYS)}"
        job = self._jobs_of_keys.setdefault(key, self._random.choice(list(CAPS)))
        named = IdempotencyKey(key.encode().ljust(16), bytes(16))
        for _ in range(self._random.choice([1, 3, 5])):
            (run,) = self._mint(job, 1)
            reply = await self._ask(Trigger((Requested(run, job),), True, named))
            if reply is not None and isinstance(reply.value, Accepted):
                self._compare(key, reply.value)
                return
            await trio.sleep(self._random.uniform(0, 1))

    def _compare(self, key: str, accepted: Accepted) -> None:
        told = self.keyed.setdefault(key, set(accepted.runs))
        assert told == set(accepted.runs), f"of the key {key!r} somebody was told {told}, another {accepted.runs}"

    def _question(self) -> Query:
        job, run = self._random.choice(self.triggered)
        match self._random.randrange(8):
            case 0:
                return ListRuns(job, True)
            case 1:
                return ShowStatus(True)
            case 2:
                return ShowCluster()
            case _:
                return ShowRun(job, run, True, self._random.choice([0.0, 0.0, 0.0, 1.0, 5.0]))
