"""Checkpoints: every node takes a snapshot of the state at the moment of applying one (design §2).

none --- the leader appends a checkpoint; or one commits on a follower ---> written (its frames are drained next)
written --- its record commits ---> publishing --- the disk says published or refused ---> none
written --- its record is cut from the log ---> none

So all nodes' snapshots are of the same indices, and their hashes are compared: whoever differs from the majority stops.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from slimjobs.core.machine.inputs import Now
from slimjobs.core.machine.journal import Applied, Journal
from slimjobs.core.machine.outbox import Outbox
from slimjobs.core.machine.outputs import SaveSnapshot, Stop, StopReason
from slimjobs.core.machine.reports import Seen
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.eventlog.events.cluster import Checkpoint, CheckpointAgreed
from slimjobs.eventlog.raft import Index, Raft, Role
from slimjobs.eventlog.storage.requests import DiscardSnapshot, PublishSnapshot, SnapshotHeader
from slimjobs.projections.snapshot import snapshot_frames

REMEMBERED = 16

_CHECKPOINT = Checkpoint()


class Checkpoints:
    """One snapshot at a time; the hashes of the last ones."""

    def __init__(self, raft: Raft, journal: Journal, outbox: Outbox, settings: MachineSettings) -> None:
        self._raft = raft
        self._journal = journal
        self._outbox = outbox
        self._settings = settings
        self._written: Applied | None = None
        self._saved_now = self._is_publishing = False
        self._digests: dict[Index, bytes] = {}
        self._hashed_now: tuple[Applied, bytes] | None = None

    @property
    def last(self) -> Seen:
        """The last checkpoint of which this node knows its own state's hash."""
        return Seen(*next(reversed(self._digests.items()), Seen()))

    def write_if_due(self, now: Now) -> None:
        """As a leader: append a checkpoint once enough was written since the last one, and save the state behind it."""
        due = (
            self._journal.entries_since_checkpoint >= self._settings.snapshot_interval_entries
            or self._journal.bytes_since_checkpoint >= self._settings.snapshot_interval_bytes
        )
        if self._written is not None or not due:
            return
        applied = self._journal.append((_CHECKPOINT,), "checkpoint", now.wall_ms, new_work=False)
        if applied is not None:
            self._save(applied)

    def committed(self, applied: Applied) -> bool:
        """A record is committed. True: the state is to be saved before anything else is applied."""
        saves = False
        if _CHECKPOINT in applied.record.events:
            mine = self._written is not None and self._written.index == applied.index
            # A leader writes on in this very call, and one of old that is ahead has no state of this moment; nor is
            # there one while another is written.
            follows = self._raft.role is not Role.LEADER and not self._journal.is_ahead
            saves = follows and not mine and self._written is None
            if saves:
                self._save(applied)
        for event in applied.record.events:
            if isinstance(event, CheckpointAgreed):
                self._remember()
                self._compare(event.index, event.digest)
        return saves

    # Only in the call after the one that saves is it known that the disk took it.
    def publish(self) -> None:
        """At the end of a call: have the snapshot published if one before has saved it and its record is committed."""
        self._remember()
        saved_now, self._saved_now = self._saved_now, False
        if self._written is not None and not saved_now and self.can_be_published:
            self._is_publishing = True
            self._outbox.outputs.append(PublishSnapshot(self._written.index))

    @property
    def can_be_published(self) -> bool:
        """Whether a snapshot is written whose record is committed."""
        written = self._written
        return written is not None and not self._is_publishing and self._is_committed(written)

    def _is_committed(self, applied: Applied) -> bool:
        return self._journal.is_committed(applied.index, applied.term)

    def _save(self, applied: Applied) -> None:
        self._written, self._saved_now, self._is_publishing = applied, True, False
        membership = self._raft.memberships.at(applied.index)
        header = SnapshotHeader(applied.index, applied.term, membership, self._journal.state.chain)
        self._outbox.outputs.append(SaveSnapshot(header, self._hashed(applied)))

    def _hashed(self, applied: Applied) -> Iterator[bytes]:
        digest = hashlib.blake2b(digest_size=32)
        for frame in snapshot_frames(self._journal.state):
            digest.update(frame)
            yield frame
        self._hashed_now = applied, digest.digest()

    # The hash of a record that is cut from the log is of a state that never was.
    def _remember(self) -> None:
        if self._hashed_now is None or not self._is_committed(self._hashed_now[0]):
            return
        (applied, digest), self._hashed_now = self._hashed_now, None
        self._digests[applied.index] = digest
        while len(self._digests) > REMEMBERED:
            del self._digests[next(iter(self._digests))]

    def _compare(self, index: Index, agreed: bytes) -> None:
        own = self._digests.get(index)
        if own is not None and own != agreed:
            said = f"at index {index} the state is {own.hex()[:16]} here and {agreed.hex()[:16]} on a majority of nodes"
            self._outbox.outputs.append(Stop(StopReason.DIFFERS, said))

    def begin_anew(self) -> None:
        """The state is made anew; a snapshot whose record was cut from the log is of no state that ever counted."""
        if self._hashed_now is not None and not self._is_committed(self._hashed_now[0]):
            self._hashed_now = None
        if self._written is not None and not self._is_committed(self._written):
            self._outbox.outputs.append(DiscardSnapshot(self._written.index))
            self._written = None

    def settled(self, index: Index) -> None:
        """The disk has published or refused the snapshot of this index."""
        if self._written is not None and self._written.index == index:
            self._written = None
