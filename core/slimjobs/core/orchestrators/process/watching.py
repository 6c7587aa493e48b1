"""Who watches the objects: each watcher has a bounded buffer, and whoever is too slow for it gets a new list instead.

Stands beside `store.py`, which publishes here what it has made durable.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final
from weakref import WeakSet

import trio

from slimjobs.core.orchestrators.ports import Changed, Listed, Observation, Unobserved, Vanished

BUFFERED: Final = 1000
"""How many changes wait for a watcher before they are replaced by a list."""


class Watch(AsyncIterator[Observation]):
    """One watcher's view: the word that a list begins, the list, then the changes since; the same again when it is too
    slow. It ends with its last reference; nothing has to be closed.
    """

    def __init__(self, list_all: Callable[[], Listed]) -> None:
        self._list_all = list_all
        self._changes: deque[Changed | Vanished] = deque()
        self._list_next = True
        self._announced = False
        self._news = trio.Event()

    def notify(self, change: Changed | Vanished) -> None:
        """Take a change, or note that a list is due."""
        if not self._list_next and len(self._changes) < BUFFERED:
            self._changes.append(change)
        else:
            self._changes.clear()
            self._list_next = True
        self._news.set()

    async def __anext__(self) -> Observation:
        await trio.lowlevel.checkpoint()
        while not self._list_next and not self._changes:
            self._news = trio.Event()
            await self._news.wait()
        if self._list_next and not self._announced:
            self._announced = True
            return Unobserved("")
        if self._list_next:
            self._list_next = self._announced = False
            return self._list_all()
        return self._changes.popleft()


class Watchers:
    """Everybody who watches now."""

    def __init__(self, list_all: Callable[[], Listed]) -> None:
        self._list_all = list_all
        self._watches: WeakSet[Watch] = WeakSet()

    def watch(self) -> Watch:
        """One more watcher."""
        watch = Watch(self._list_all)
        self._watches.add(watch)
        return watch

    def publish(self, change: Changed | Vanished) -> None:
        """Tell all of them."""
        for watch in self._watches:
            watch.notify(change)
