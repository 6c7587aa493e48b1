"""The disk thread: owns the storage while a node runs, so that no fdatasync ever holds up the loop.

What it does is in `work`. Answers go back in lists, through a callback that runs in this thread (the program passes
something that hands them to its loop). A failing disk is the end: `failed` is called once, and every later request is
refused.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from slimjobs.eventlog.storage.errors import DiskFailed
from slimjobs.eventlog.storage.requests import DiskAnswer, DiskRequest
from slimjobs.eventlog.storage.store import Storage
from slimjobs.eventlog.storage.work import DiskWork

logger: Final = logging.getLogger(__name__)


class DiskThread:
    """Takes requests from any thread and carries them out in order; made in the loop, it starts at `start`."""

    def __init__(
        self,
        storage: Storage,
        deliver: Callable[[Sequence[DiskAnswer]], None],
        failed: Callable[[DiskFailed], None],
    ) -> None:
        self._storage, self._failed = storage, failed
        self._work = DiskWork(storage, deliver)
        self._queue: queue.SimpleQueue[DiskRequest | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="disk", daemon=True)
        self._refusal: DiskFailed | None = None
        self.busy_since: float | None = None
        """Since when (`time.monotonic()`) the thread is at what it does now; None while it waits for requests. What a
        node reads to see that its disk stalls."""

    def start(self) -> None:
        self._thread.start()

    def submit(self, request: DiskRequest) -> None:
        """Have this done; never blocks. Raises `DiskFailed` after a failure or a stop."""
        if self._refusal is not None:
            raise self._refusal
        self._queue.put(request)

    def stop(self, timeout_seconds: float | None = None) -> bool:
        """Do what was asked so far, mark all of it as durable, let go of the directory. Whether that ended in time.

        Blocks; without an answer in time the thread is left to itself, and the process may end without it.
        """
        self._refusal = self._refusal or DiskFailed("the disk thread was stopped")
        self._queue.put(None)
        self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._serve()
            self._storage.close()
        except Exception as error:  # the rim: whatever it is, nobody knows what the disk holds now
            logger.exception("the disk failed")
            self._refusal = DiskFailed(f"the disk failed: {error}")
            self._refusal.__cause__ = error
            self._failed(self._refusal)
            self._storage.abandon()

    def _serve(self) -> None:
        running = True
        while running:
            self.busy_since = time.monotonic()
            self._work.rest()
            self.busy_since = None
            requests, running = self._wait()
            self.busy_since = time.monotonic()
            self._work.serve(requests)

    def _wait(self) -> tuple[list[DiskRequest], bool]:
        """Everything that waits, at least one if nothing else is due; and whether there is more to come."""
        requests: list[DiskRequest] = []
        try:
            request = self._queue.get(timeout=self._work.patience)
            while request is not None:
                requests.append(request)
                request = self._queue.get_nowait()
        except queue.Empty:
            return requests, True
        return requests, False
