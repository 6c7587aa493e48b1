"""The objects there are: every change durable before it is seen, changes of one object one after another.

Stands between the runner, which decides what should change, and `files.py`. Disk calls run in a few threads of their
own, never in the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from zlib import crc32

import trio

from slimjobs.core.orchestrators.ports import Changed, Listed, Observation, Unobserved, Vanished
from slimjobs.core.orchestrators.process.files import ObjectFiles
from slimjobs.core.orchestrators.process.states import RunObject, observed
from slimjobs.core.orchestrators.process.watching import Watch, Watchers

_DISK_THREADS: Final = 4
# Names share locks, so that none has to be made and forgotten with each object.
_LOCKS: Final = 64

Step = Callable[[RunObject], RunObject]


class ObjectStore:
    """Objects by name. What a method has returned, or a watcher was told, is on the disk."""

    def __init__(self, files: ObjectFiles, objects: dict[str, RunObject]) -> None:
        self._files = files
        self._objects = objects
        self._locks = [trio.Lock() for _ in range(_LOCKS)]
        self._disk = trio.CapacityLimiter(_DISK_THREADS)
        self._watchers: Watchers[Observation] = Watchers(Unobserved(""), self._list)

    def get(self, name: str, uid: str) -> RunObject | None:
        """The object, if it is there under this uid."""
        run = self._objects.get(name)
        return run if run is not None and run.uid == uid else None

    def __iter__(self) -> Iterator[RunObject]:
        return iter(tuple(self._objects.values()))

    def watch(self) -> Watch[Observation]:
        """A list of all objects, then their changes, for ever."""
        return self._watchers.watch()

    async def add(self, run: RunObject) -> RunObject:
        """Add the object if its name is free; the one that has the name now. OSError if the disk refuses."""
        async with self._lock(run.name):
            if run.name in self._objects:
                return self._objects[run.name]
            await self._write(run)
            return run

    async def change(self, name: str, uid: str, step: Step) -> RunObject | None:
        """Take the object one step on: as it is then, or None if it is not there. OSError if the disk refuses."""
        async with self._lock(name):
            run = self.get(name, uid)
            if run is None:
                return None
            changed = step(run)
            if changed != run:
                await self._write(changed)
            return changed

    async def remove(self, name: str, uid: str) -> RunObject | None:
        """Remove the object if it is there and removable: as it was last. OSError if the disk refuses."""
        async with self._lock(name):
            run = self.get(name, uid)
            if run is None or not run.removable:
                return None
            await trio.to_thread.run_sync(self._files.remove, name, limiter=self._disk)
            del self._objects[name]
            self._watchers.publish(Vanished(observed(run)))
            return run

    async def _write(self, run: RunObject) -> None:
        await trio.to_thread.run_sync(self._files.write, run, limiter=self._disk)
        before = self._objects.get(run.name)
        self._objects[run.name] = run
        shown = observed(run)
        if before is None or observed(before) != shown:
            self._watchers.publish(Changed(shown))

    def _lock(self, name: str) -> trio.Lock:
        return self._locks[crc32(name.encode()) % _LOCKS]

    def _list(self) -> Listed:
        return Listed(tuple(observed(run) for run in self))


async def open_store(directory: Path) -> ObjectStore:
    """The store of this directory with what was in it. Raises `DamagedObject`, OSError."""

    def load() -> tuple[ObjectFiles, dict[str, RunObject]]:
        files = ObjectFiles(directory)
        return files, {run.name: run for run in files.load()}

    return ObjectStore(*await trio.to_thread.run_sync(load))
