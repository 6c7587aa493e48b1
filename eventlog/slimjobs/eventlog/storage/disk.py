"""The disk thread: owns the storage while a node runs, so that no fdatasync ever holds up the loop.

Everything that waits is one write and one fdatasync; answers go back in lists, through a callback that runs in this
thread (the program passes something that hands them to its loop). Between two writes the thread preallocates the next
segment, so that room is known ahead, and once a second writes the durable marker.

A failing disk is the end: `failed` is called once, and every later request is refused. A full one is not: what finds
no room is held until there is some, tried again every second, while reads, snapshots and hard states go on. (A
machine that respects `room` never gets there.)
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from slimjobs.eventlog.raft.types import Index
from slimjobs.eventlog.storage.batch import footprint_of
from slimjobs.eventlog.storage.coalesce import coalesce
from slimjobs.eventlog.storage.errors import DiskFailed, NoRoom
from slimjobs.eventlog.storage.requests import (
    DiscardSnapshot,
    DiskAnswer,
    DiskRequest,
    InstallSnapshot,
    Load,
    Loaded,
    LoadPiece,
    LoadState,
    Persist,
    Persisted,
    PublishSnapshot,
    Room,
    SavePiece,
    Ticket,
)
from slimjobs.eventlog.storage.store import Storage

GROUP_BYTES: Final = 4 * 1024 * 1024
"""What one write takes together, well below a segment."""

RETRY_SECONDS: Final = 1.0
MARK_SECONDS: Final = 1.0

logger: Final = logging.getLogger(__name__)


class DiskThread:
    """Takes requests from any thread and carries them out in order; made in the loop, it starts at `start`."""

    def __init__(
        self,
        storage: Storage,
        deliver: Callable[[Sequence[DiskAnswer]], None],
        failed: Callable[[DiskFailed], None],
    ) -> None:
        self._storage, self._deliver, self._failed = storage, deliver, failed
        self._queue: queue.SimpleQueue[DiskRequest | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="disk", daemon=True)
        self._refusal: DiskFailed | None = None
        self._answers: list[DiskAnswer] = []
        self._held: list[Persist] = []
        self._written = 0
        self._persisted = 0
        self._retry_at = self._marked_at = time.monotonic()
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
            self._rest()
            self.busy_since = None
            requests, running = self._wait()
            self.busy_since = time.monotonic()
            for request in requests:
                self._carry_out(request)
            self._persist()

    def _wait(self) -> tuple[list[DiskRequest], bool]:
        """Everything that waits, at least one if nothing else is due; and whether there is more to come."""
        requests: list[DiskRequest] = []
        try:
            request = self._queue.get(timeout=self._patience())
            while request is not None:
                requests.append(request)
                request = self._queue.get_nowait()
        except queue.Empty:
            return requests, True
        return requests, False

    def _patience(self) -> float | None:
        now = time.monotonic()
        due = []
        if self._held or self._storage.wants_preallocation:
            due.append(self._retry_at)
        if self._storage.marker_behind:
            due.append(self._marked_at + MARK_SECONDS)
        return max(0.0, min(due) - now) if due else None

    def _carry_out(self, request: DiskRequest) -> None:
        match request:
            case Persist():
                self._held.append(request)
            case Load(low, high, max_bytes):
                self._write_held()
                self._answers.append(Loaded(self._storage.load(low, high, max_bytes)))
            case PublishSnapshot(index):
                self._persist()
                self._publish(index)
            case DiscardSnapshot(index):
                self._storage.discard(index)
            case LoadState():
                self._answers.append(self._storage.load_state())
            case LoadPiece(index, offset, max_bytes):
                self._answers.append(self._storage.load_piece(index, offset, max_bytes))
            case SavePiece(index, offset, content):
                self._answers.append(self._storage.save_piece(index, offset, content))
            case InstallSnapshot(index):
                self._persist()
                self._answers.append(self._storage.install(index))

    def _persist(self) -> None:
        """Write what waits, make it durable, say so."""
        self._write_held()
        if self._persisted < self._written:
            self._storage.sync()
            self._persisted = self._written
            self._answers.append(Persisted(Ticket(self._persisted), self._storage.room))
        self._tell()

    def _publish(self, index: Index) -> None:
        self._answers.append(self._storage.publish(index))
        self._tell()

    def _write_held(self) -> None:
        """Write the requests that wait, as many as find room. The newest hard state needs none and never waits."""
        if not self._held:
            return
        hard_state = coalesce(self._held).hard_state
        if hard_state is not None:
            self._storage.write_hard_state(hard_state)
        try:
            while self._held:
                self._write_group(_group(self._held))
        except NoRoom:
            self._retry_at = time.monotonic() + RETRY_SECONDS

    def _write_group(self, group: Sequence[Persist]) -> None:
        write = coalesce(group)
        try:
            self._storage.append(write.truncate_after, write.entries, write.restart_after)
        except NoRoom:
            least = _dropped(group) + 1
            if len(group) == least:
                raise
            return self._write_group(group[:least])
        self._written = group[-1].ticket
        del self._held[: len(group)]
        return None

    def _rest(self) -> None:
        """What nobody waits for."""
        now = time.monotonic()
        if self._storage.wants_preallocation and now >= self._retry_at:
            self._preallocate(now)
        if self._held and now >= self._retry_at:
            self._persist()
        if self._storage.marker_behind and now >= self._marked_at + MARK_SECONDS:
            self._storage.mark()
            self._marked_at = now

    def _preallocate(self, now: float) -> None:
        try:
            self._storage.preallocate()
        except NoRoom:
            self._retry_at = now + RETRY_SECONDS
        else:
            self._answers.append(Room(self._storage.room))
            self._tell()

    def _tell(self) -> None:
        if self._answers:
            answers, self._answers = self._answers, []
            self._deliver(answers)


def _group(requests: Sequence[Persist]) -> Sequence[Persist]:
    """The first requests that one write takes together, at least one; what a restart drops weighs nothing."""
    size, dropped = 0, _dropped(requests)
    for position, request in enumerate(requests[dropped:], dropped):
        size += footprint_of(request.entries)
        if position > dropped and size > GROUP_BYTES:
            return requests[:position]
    return list(requests)


def _dropped(requests: Sequence[Persist]) -> int:
    """How many of these come before the last one that drops the whole log."""
    return max((position for position, request in enumerate(requests) if request.restart_after is not None), default=0)
