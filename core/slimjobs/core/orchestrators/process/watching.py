"""Who watches objects or services: a watcher has a bounded buffer, and who is too slow for it gets a new list instead.

Stands beside `store.py`, which publishes here what it has made durable, and `upkeep.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final, Generic, TypeVar
from weakref import WeakSet

import trio

Word = TypeVar("Word")

BUFFERED: Final = 1000
"""How many changes wait for a watcher before they are replaced by a list."""


class Watch(AsyncIterator[Word], Generic[Word]):
    """One watcher's view: the word that a list begins, the list, then the changes since; the same again when it is too
    slow. It ends with its last reference; nothing has to be closed.
    """

    def __init__(self, beginning: Word, list_all: Callable[[], Word]) -> None:
        self._beginning = beginning
        self._list_all = list_all
        self._changes: deque[Word] = deque()
        self._list_next = True
        self._announced = False
        self._news = trio.Event()

    def notify(self, change: Word) -> None:
        """Take a change, or note that a list is due."""
        if not self._list_next and len(self._changes) < BUFFERED:
            self._changes.append(change)
        else:
            self._changes.clear()
            self._list_next = True
        self._news.set()

    async def __anext__(self) -> Word:
        await trio.lowlevel.checkpoint()
        while not self._list_next and not self._changes:
            self._news = trio.Event()
            await self._news.wait()
        if self._list_next and not self._announced:
            self._announced = True
            return self._beginning
        if self._list_next:
            self._list_next = self._announced = False
            return self._list_all()
        return self._changes.popleft()


class Watchers(Generic[Word]):
    """Everybody who watches now; each is told the same word before a list begins."""

    def __init__(self, beginning: Word, list_all: Callable[[], Word]) -> None:
        self._beginning = beginning
        self._list_all = list_all
        self._watches: WeakSet[Watch[Word]] = WeakSet()

    def watch(self) -> Watch[Word]:
        """One more watcher."""
        watch = Watch(self._beginning, self._list_all)
        self._watches.add(watch)
        return watch

    def publish(self, change: Word) -> None:
        """Tell all of them."""
        for watch in self._watches:
            watch.notify(change)
