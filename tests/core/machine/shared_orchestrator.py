"""The simulated orchestrator as several nodes see it: one set of objects, and a watcher for each node that watches."""

from __future__ import annotations

from collections import deque

from slimjobs.core.orchestrators.ports import Listed, Observation, Unobserved
from tests.core.machine.orchestrator import SimulatedOrchestrator, Watch


class SharedOrchestrator(SimulatedOrchestrator):
    """`watches` by the name of the node, one at most for each; those of `silent` nodes tell nothing for now."""

    def __init__(self, caps: dict[str, int]) -> None:
        super().__init__(caps)
        self.watches: dict[str, Watch] = {}
        self.silent: set[str] = set()

    def watch_for(self, node: str, number: int | None) -> None:
        """This node watches from now on, under another number, or not any more."""
        if number is None:
            self.watches.pop(node, None)
        else:
            self.watches[node] = Watch(number)

    def lose_watch_of(self, node: str) -> None:
        """The thread is lost: it is said, and then a new list begins."""
        if (watch := self.watches.get(node)) is not None:
            watch.ahead, watch.listed = deque([Unobserved("connection lost")]), False

    def next_for(self, node: str) -> tuple[int, Observation] | None:
        """What this node's watcher is told next, with its number; a list is begun when the word of it is taken."""
        watch = self.watches.get(node)
        if watch is None or not watch.ahead or node in self.silent:
            return None
        observation = watch.ahead.popleft()
        if isinstance(observation, Unobserved):
            watch.ahead.append(Listed(tuple(self.objects.values())))
            watch.listed = True
        return watch.number, observation

    def _tell(self, observation: Observation) -> None:
        for watch in self.watches.values():
            if watch.listed:
                watch.ahead.append(observation)
