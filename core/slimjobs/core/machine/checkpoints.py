"""When snapshots are taken: at checkpoint records, of the state at the moment of applying them (design §2).

none --- enough was appended ---> written (the frames are drained before the next call)
written --- its record commits ---> publishing --- the disk says published or refused ---> none
"""

from __future__ import annotations

from slimjobs.core.machine.inputs import Now
from slimjobs.core.machine.journal import Applied, Journal
from slimjobs.core.machine.outputs import Output, SaveSnapshot
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.eventlog.events.cluster import Checkpoint
from slimjobs.eventlog.raft import Index, Raft
from slimjobs.eventlog.storage.requests import PublishSnapshot, SnapshotHeader
from slimjobs.projections.snapshot import snapshot_frames


class Checkpoints:
    """One snapshot at a time."""

    def __init__(self, journal: Journal, raft: Raft, settings: MachineSettings) -> None:
        self._journal = journal
        self._raft = raft
        self._settings = settings
        self._written: Index | None = None

    def write_if_due(self, now: Now, out: list[Output]) -> None:
        """As a leader: append a checkpoint once enough was written since the last one, and save the state behind it."""
        due = (
            self._journal.entries_since_checkpoint >= self._settings.snapshot_interval_entries
            or self._journal.bytes_since_checkpoint >= self._settings.snapshot_interval_bytes
        )
        if self._written is not None or not due:
            return
        applied = self._journal.append((Checkpoint(),), "checkpoint", now.wall_ms, new_work=False)
        if applied is None:
            return
        self._written = applied.index
        header = SnapshotHeader(applied.index, self._raft.term, self._raft.membership, self._journal.state.chain)
        out.append(SaveSnapshot(header, snapshot_frames(self._journal.state)))

    def committed(self, applied: Applied, out: list[Output]) -> None:
        """A record is committed; if a snapshot was written for it, that one may be published."""
        if self._written == applied.index:
            out.append(PublishSnapshot(applied.index))

    def settled(self) -> None:
        """The disk has published or refused it."""
        self._written = None
