"""One queue of everything that will happen in a simulated world, by its own clock; nothing happens by itself."""

from __future__ import annotations

import heapq
from collections.abc import Callable

MILLISECOND, SECOND = 10**6, 10**9


class Timeline:
    """`now_ns` is the world's time, which no node knows. What is due at the same time happens as it was entered."""

    def __init__(self) -> None:
        self.now_ns = 0
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._entered = 0

    def after(self, delay_ns: int, action: Callable[[], None]) -> None:
        """Let this happen so much later."""
        self._entered += 1
        heapq.heappush(self._queue, (self.now_ns + max(delay_ns, 0), self._entered, action))

    def step(self) -> None:
        """Let the next thing happen."""
        self.now_ns, _, action = heapq.heappop(self._queue)
        action()

    def run_for(self, delay_ns: int) -> None:
        """Let everything happen that is due within this time."""
        until_ns = self.now_ns + delay_ns
        while self._queue and self._queue[0][0] <= until_ns:
            self.step()
        self.now_ns = until_ns
