"""What takes the place of the disk thread: the same work on the same storage, done by a task that takes its time.

It answers, fails and stops as `DiskThread` does. Its files lose, tear, stall and fill up as the world wants.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf

import trio

from slimjobs.eventlog.raft import Index
from slimjobs.eventlog.storage.errors import DiskFailed, StorageError
from slimjobs.eventlog.storage.requests import DiskAnswer, DiskRequest, SnapshotInstalled, SnapshotPublished
from slimjobs.eventlog.storage.snapshots import SnapshotReader, snapshot_indices
from slimjobs.eventlog.storage.store import Storage
from slimjobs.eventlog.storage.work import DiskWork
from tests.core.machine.cluster_disk import Snapshot
from tests.eventlog.storage.simulated_files import PowerLost
from tests.simulation.programs.life import here

ALL_AT_ONCE = 100


class DiskTask:
    """Has the interface of `DiskThread`; belongs to the process that makes it."""

    def __init__(
        self,
        storage: Storage,
        deliver: Callable[[Sequence[DiskAnswer]], None],
        failed: Callable[[DiskFailed], None],
    ) -> None:
        self.storage = storage
        self._life = here()
        self._deliver, self._failed = deliver, failed
        self._work = DiskWork(storage, self._answer, trio.current_time)
        self._waiting: deque[DiskRequest] = deque()
        self._asked = trio.Event()
        self._refusal: DiskFailed | None = None
        self._life.disk = self
        self._look_at_start()

    def _look_at_start(self) -> None:
        machine = self._life.machine
        assert machine is not None
        machine.paper.view = {entry.index: entry for entry in self.storage.entries(self.storage.first_index)}
        for index in snapshot_indices(self._life.files):
            if index == machine.committed:
                self._judge_snapshot(index)

    def start(self) -> None:
        """Begin to work."""
        self._life.nursery.start_soon(self._run)

    def submit(self, request: DiskRequest) -> None:
        """Have this done; never blocks. Raises `DiskFailed` after a failure or a stop."""
        if self._refusal is not None:
            raise self._refusal
        self._waiting.append(request)
        self._asked.set()

    def stop(self, timeout_seconds: float | None = None) -> bool:
        """Do what was asked so far and let go of the directory; nothing of it if the process was killed.

        False where the disk stalls for longer than is waited.
        """
        if self._life.dead or self._refusal is not None:
            return True
        self._refusal = DiskFailed("the disk was stopped")
        if timeout_seconds is not None and self._life.host.disk_seconds[0] > timeout_seconds:
            return False
        try:
            self._work.serve(self._take(len(self._waiting)))
            self.storage.close()
        except (OSError, StorageError) as error:
            self._fail(error)
        return True

    def work_on(self, steps: int) -> None:
        """The process is killed so many operations into what it has to do next. What comes of it nobody hears."""
        assert self._life.dead
        self._life.files.steps_to_power_loss = steps + 1
        with suppress(PowerLost, OSError, StorageError):
            self._work.serve(self._take(len(self._waiting)))
        self._life.files.steps_to_power_loss = None

    # What the thread does -------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._serve()
        except PowerLost:
            self._life.cluster.power_went(self._life)
        except (OSError, StorageError) as error:
            self._fail(error)

    async def _serve(self) -> None:
        random, host = self._life.cluster.random, self._life.host
        while True:
            self._work.rest()
            await self._wait()
            await trio.sleep(random.uniform(*host.disk_seconds))
            await self._life.until_awake()
            self._work.serve(self._take(random.choice((1, 2, ALL_AT_ONCE))))

    async def _wait(self) -> None:
        if self._waiting:
            return
        self._asked = trio.Event()
        patience = self._work.patience
        with trio.move_on_after(inf if patience is None else patience):
            await self._asked.wait()

    def _take(self, most: int) -> list[DiskRequest]:
        return [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]

    def _answer(self, answers: Sequence[DiskAnswer]) -> None:
        if self._life.dead:
            return
        for answer in answers:
            match answer:
                case SnapshotPublished(index):
                    self._judge_snapshot(index)
                case SnapshotInstalled(header):
                    self._judge_snapshot(header.index)
        self._deliver(answers)

    def _judge_snapshot(self, index: Index) -> None:
        reader = SnapshotReader(self._life.files, index)
        machine = self._life.machine
        assert machine is not None
        self._life.cluster.chronicle.snapshot_kept(machine.id, Snapshot(reader.header, tuple(reader.frames())))

    def _fail(self, error: Exception) -> None:
        self._life.cluster.disk_failed(self._life, error)
        self._refusal = DiskFailed(f"the disk failed: {error}")
        self._refusal.__cause__ = error
        self.storage.abandon()
        self._failed(self._refusal)
