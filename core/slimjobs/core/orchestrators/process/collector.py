"""Collects objects whose time to live after their end has passed (Kubernetes' TTL-after-finished controller)."""

from __future__ import annotations

import heapq
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
import trio

from slimjobs.core.orchestrators.process.states import RunObject

_log = structlog.get_logger(__name__)

# The wall clock is looked at again this often, since it may be set.
_LONGEST_SLEEP_SECONDS: Final = 30.0
_DISK_AGAIN_MS: Final = 1000


class Collector:
    """Removes objects when they are due."""

    def __init__(self, remove: Callable[[str, str], Awaitable[object]], now_ms: Callable[[], int]) -> None:
        self._remove = remove
        self._now_ms = now_ms
        self._due: dict[str, int] = {}
        self._queue: list[tuple[int, str, str]] = []
        self._news = trio.Event()

    def consider(self, run: RunObject) -> None:
        """Note when this object is due, if that is known."""
        at_ms = run.collected_at_ms
        if at_ms is not None and self._due.get(run.uid) != at_ms:
            self._plan(at_ms, run.name, run.uid)

    async def run(self) -> None:
        """Collect for ever."""
        while True:
            self._news = trio.Event()
            while self._queue and self._queue[0][0] <= self._now_ms():
                await self._collect(*heapq.heappop(self._queue))
            sleep_seconds = (self._queue[0][0] - self._now_ms()) / 1000 if self._queue else float("inf")
            with trio.move_on_after(min(sleep_seconds, _LONGEST_SLEEP_SECONDS) if self._queue else sleep_seconds):
                await self._news.wait()

    async def _collect(self, at_ms: int, name: str, uid: str) -> None:
        if self._due.get(uid) != at_ms:  # another time was set meanwhile
            return
        try:
            await self._remove(name, uid)
        except OSError as error:
            _log.error("object not collected", name=name, error=str(error))
            self._plan(self._now_ms() + _DISK_AGAIN_MS, name, uid)
        else:
            self._due.pop(uid, None)

    def _plan(self, at_ms: int, name: str, uid: str) -> None:
        self._due[uid] = at_ms
        heapq.heappush(self._queue, (at_ms, name, uid))
        self._news.set()
