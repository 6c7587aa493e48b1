"""The disk of a node of a simulated cluster, with the real storage on simulated files.

It is opened as `core.node.opening` does it, and what the disk thread does is done when the world says so. A directory
that is damaged is set aside, so one disk may be several nodes, one after the other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Final

from slimjobs.core.machine.outputs import SaveSnapshot
from slimjobs.core.node.opening import node_id, start_of
from slimjobs.eventlog.raft import Index, NodeId
from slimjobs.eventlog.storage.errors import StorageError
from slimjobs.eventlog.storage.requests import (
    DiskAnswer,
    SnapshotInstalled,
    SnapshotPublished,
    SnapshotRefused,
)
from slimjobs.eventlog.storage.retention import Retention
from slimjobs.eventlog.storage.snapshots import SnapshotReader
from slimjobs.eventlog.storage.store import Storage, StorageOptions
from slimjobs.eventlog.storage.work import DiskWork
from slimjobs.projections.snapshot import restore
from tests.core.machine.cluster_disk import ClusterDisk, Found, Snapshot
from tests.core.machine.timeline import SECOND, Timeline
from tests.eventlog.storage.simulated_files import PowerLost, SimulatedFiles

OPTIONS: Final = StorageOptions(segment_bytes=(1 << 20) + (1 << 18), retention=Retention(bytes=3 << 20))
"""A segment holds little more than the headroom that new work must leave, so it takes little to fill one."""


def incarnation_of(node: NodeId) -> str:
    """An incarnation by which a directory is this node."""
    return f"{node:015x}{'0' * 17}"


class StoredDisk(ClusterDisk):
    """`files` outlive every process. `mint` gives the next node that this disk is, when its directory is made."""

    def __init__(self, mint: Callable[[], NodeId], timeline: Timeline, chance: Random) -> None:
        super().__init__(mint())
        self.files = SimulatedFiles()
        self._mint, self._timeline, self._chance = mint, timeline, chance
        self._next_node = self.node
        self._answers: list[DiskAnswer] = []
        self._storage: Storage | None = None
        self._work: DiskWork | None = None

    # Requests -------------------------------------------------------------------------------------------------------

    @property
    def storage(self) -> Storage:
        """What the process that lives here holds."""
        assert self._storage is not None, "nobody has opened it"
        return self._storage

    def write(self, saved: SaveSnapshot) -> Snapshot | SnapshotRefused:
        """Write a snapshot beside the log at once; it counts for nothing before it is published."""
        frames, writer = tuple(saved.frames), self.storage.snapshot_writer(saved.header)
        for frame in frames:
            writer.write(frame)
        return writer.finish() or Snapshot(saved.header, frames)

    def carry_out(self, most: int = 1) -> list[DiskAnswer]:
        """What the thread does with so many requests that waited together, and then before it waits again.

        Raises `OSError` or `StorageError` where the disk fails: then the process ends.
        """
        assert self._work is not None, "nobody has opened it"
        requests = [self.pending.popleft() for _ in range(min(most, len(self.pending)))]
        self._work.serve(requests)
        self._work.rest()
        answers, self._answers = self._answers, []
        for answer in answers:
            self._note(answer)
        return answers

    def _deliver(self, answers: Sequence[DiskAnswer]) -> None:
        self._answers += answers

    def _note(self, answer: DiskAnswer) -> None:
        match answer:
            case SnapshotPublished(index):
                self.published[index] = self.read_snapshot(index)
            case SnapshotInstalled(header):
                self.published[header.index] = self.read_snapshot(header.index)

    def read_snapshot(self, index: Index) -> Snapshot:
        """A published snapshot as it is on the disk."""
        reader = SnapshotReader(self.files, index)
        return Snapshot(reader.header, tuple(reader.frames()))

    @property
    def patience_ns(self) -> int | None:
        """After how long the thread would do something although it is asked for nothing."""
        patience = self._work.patience if self._work is not None else None
        return None if patience is None else int(patience * SECOND) + 1

    @property
    def is_blank(self) -> bool:
        """Whether nothing at all is on it."""
        return self.storage.blank

    # Life and death -------------------------------------------------------------------------------------------------

    def start(self, seed: int) -> Found:
        """What a node finds here when it starts. Raises as opening does, and `PowerLost` where that is due."""
        storage = Storage.open_or_set_aside(self.files, incarnation_of(self._next_node), OPTIONS)
        self.files.steps_to_power_loss = None
        self._storage = storage
        self.node = node_id(storage.incarnation)
        if self.node == self._next_node:
            self._next_node = self._mint()
        self._work = DiskWork(storage, self._deliver, lambda: self._timeline.now_ns / SECOND)
        self._answers.clear()
        self.pending.clear()
        self.published.clear()
        self.view = {entry.index: entry for entry in storage.entries(storage.first_index)}
        self.room = storage.room
        return Found(start_of(storage, seed), restore(storage.snapshot_frames()), storage.blank)

    def opened_beside(self) -> Storage:
        """What a start would find here now; the disk itself is left alone."""
        return Storage.open(self.files.copy(), incarnation_of(self._next_node), OPTIONS)

    def die(self, steps: int) -> None:
        """The process is killed, so many operations into what it does; the operating system keeps what was written."""
        self._work_on(steps)
        self.files.kill()

    def lose_power(self, done: int = 0, parts: int = 0) -> None:
        """The power goes, `parts` operations into what comes after the first `done` requests."""
        with contextlib.suppress(OSError, StorageError):
            self.carry_out(done)
        self._work_on(parts)
        self.files.crash(self._chance)

    def fail_sync(self, after: int = 0) -> None:
        """Let a sync fail, after so many that do not."""
        self.files.syncs_to_failure = after + 1

    def has_failed(self) -> None:
        """A sync has failed, and the process ends of it. The disk is as good as new after that."""
        self.syncs_well()
        self.files.forget_unsynced(self._chance)
        self.files.kill()

    def syncs_well(self) -> None:
        """No sync fails any more."""
        self.files.syncs_to_failure = None

    def stop(self) -> None:
        """The process ends as it should."""
        try:
            self.carry_out(len(self.pending))
            self.storage.close()
        except OSError:
            self.has_failed()
        else:
            self.files.kill()

    def _work_on(self, steps: int) -> None:
        self.files.steps_to_power_loss = steps + 1
        with contextlib.suppress(PowerLost, OSError, StorageError):
            self.carry_out(len(self.pending))
