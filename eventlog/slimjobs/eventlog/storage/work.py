"""The work of a node's disk, done by the thread of `disk` or by a simulator: requests in order, answers in lists.

Everything that waits is one write and one fdatasync. In between it preallocates the next segment, so that room is known
ahead, and once a second writes the durable marker.

A full disk is not the end: what finds no room is held until there is some, tried again every second, while reads,
snapshots and hard states go on. (A machine that respects `room` never gets there.) An error is: nobody knows then what
the disk holds, and nothing here may be called again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from slimjobs.eventlog.raft.types import Index
from slimjobs.eventlog.storage.batch import footprint_of
from slimjobs.eventlog.storage.coalesce import coalesce
from slimjobs.eventlog.storage.errors import NoRoom
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


class DiskWork:
    """`deliver` is given the answers as they come; `clock` is monotonic, in seconds."""

    def __init__(
        self,
        storage: Storage,
        deliver: Callable[[Sequence[DiskAnswer]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage, self._deliver, self._clock = storage, deliver, clock
        self._answers: list[DiskAnswer] = []
        self._held: list[Persist] = []
        self._written = 0
        self._persisted = 0
        self._retry_at = self._marked_at = clock()

    def serve(self, requests: Sequence[DiskRequest]) -> None:
        """Carry these out, which waited together."""
        for request in requests:
            self._carry_out(request)
        self._persist()

    def rest(self) -> None:
        """What nobody waits for."""
        now = self._clock()
        if self._storage.wants_preallocation and now >= self._retry_at:
            self._preallocate(now)
        if self._held and now >= self._retry_at:
            self._persist()
        if self._storage.marker_behind and now >= self._marked_at + MARK_SECONDS:
            self._storage.mark()
            self._marked_at = now

    @property
    def patience(self) -> float | None:
        """After how many seconds there will be something for `rest`, if no request comes; None if never."""
        due = []
        if self._held or self._storage.wants_preallocation:
            due.append(self._retry_at)
        if self._storage.marker_behind:
            due.append(self._marked_at + MARK_SECONDS)
        return max(0.0, min(due) - self._clock()) if due else None

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
            self._retry_at = self._clock() + RETRY_SECONDS

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
