"""Appending to the log: batches into the present segment, the next one preallocated ahead.

Nothing here waits for space in the middle of a write: `reserve` finds the room first, or says that there is none
before anything was written. What is appended is durable after `sync`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from slimjobs.eventlog.raft.types import Entry
from slimjobs.eventlog.storage import batch
from slimjobs.eventlog.storage.errors import NoRoom
from slimjobs.eventlog.storage.files import OUT_OF_SPACE, Files
from slimjobs.eventlog.storage.recovery import ScannedLog
from slimjobs.eventlog.storage.segments import Segment, segment_name

SEGMENT_BYTES: Final = 8 * 1024 * 1024

RESTART_BYTES: Final = batch.HEADER_BYTES
"""What the batch takes that says that the log begins anew."""


class _Spare(NamedTuple):
    """A segment without batches: its file is durable, its space reserved."""

    sequence: int
    file: int
    capacity: int


class LogWriter:
    """The end of the log. `number` is the batch that was written last, `synced` the last one known to be durable."""

    def __init__(self, files: Files, key: bytes, scanned: ScannedLog, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._files, self._key, self._segment_bytes = files, key, segment_bytes
        self.segments = scanned.segments
        self.next_index = scanned.chain.next_index
        self.number = self.synced = scanned.chain.number
        self._previous = scanned.chain.checksum
        self._buffer = bytearray()
        self._file: int | None = None
        self._capacity = 0
        self._spare: _Spare | None = None
        self._restarting = False
        if (last := self.segments.last) is not None and scanned.torn is None:
            self._file = files.open_writable(last.name)
            self._capacity = files.size(self._file)

    @property
    def room(self) -> int:
        """How many bytes (as `footprint` counts them) surely find room, in whatever portions they come."""
        room = max(self._left, self._spare.capacity if self._spare else 0)
        return max(0, room - RESTART_BYTES) if self._restarting else room

    @property
    def ahead(self) -> bool:
        """Whether the next segment is there already."""
        return self._spare is not None

    def reserve(self, size: int, anew: bool) -> None:
        """See to it that so many bytes can be written, in a new segment if asked so; else `NoRoom`."""
        if self._restarting:
            size += RESTART_BYTES
        if not anew and size <= self._left:
            return
        if self._spare is None:
            self.preallocate(size)
        elif self._spare.capacity < size:
            self._spare = self._spare._replace(capacity=self._allocated(self._spare.file, size))

    def preallocate(self, size: int = 0) -> None:
        """Have the next segment ready, at least as large as asked; `NoRoom` if the disk has none."""
        last = self.segments.last
        sequence = last.sequence + 1 if last is not None else 1
        name = segment_name(sequence)
        file = self._files.open_writable(name)
        try:
            capacity = self._allocated(file, max(size, self._segment_bytes))
        except NoRoom:
            self._files.close(file)
            self._files.remove(name)
            raise
        self._files.sync(file)
        self._files.sync_names()
        self._spare = _Spare(sequence, file, capacity)

    def truncate_after(self, index: int) -> None:
        """Let the log end at `index`; durable with the next batch, which begins a new segment."""
        self.close_segment()
        self.next_index = index + 1

    def restart_after(self, index: int) -> None:
        """Let nothing that was written count; durable with the next batch, which begins a new segment and says so."""
        self.close_segment()
        self.segments.supersede()
        self.next_index = index + 1
        self._restarting = True

    def append(self, entries: Sequence[Entry]) -> None:
        """Write these entries at the end (none: a batch that only says where the log ends); room was reserved."""
        if self._restarting:
            self._write_batch(None)
            if not entries:
                return
        for run in batch.split(entries):
            self._write_batch(run)

    def sync(self) -> None:
        """Return when everything that was appended is durable."""
        if self.synced < self.number and self._file is not None:
            self._files.sync(self._file)
            self.synced = self.number

    def close(self) -> None:
        """Let go of the files; what was not synced may be lost."""
        for file in (self._file, self._spare.file if self._spare else None):
            if file is not None:
                self._files.close(file)
        self._file = self._spare = None

    @property
    def _left(self) -> int:
        last = self.segments.last
        return self._capacity - last.size if self._file is not None and last is not None else 0

    def _write_batch(self, entries: Sequence[Entry] | None) -> None:
        first = self.next_index
        checksum = batch.encode(self._buffer, self._key, entries, first, self.number + 1, self.synced, self._previous)
        if len(self._buffer) > self._left:
            self._start_spare(first)
            return self._write_batch(entries)  # again, for what is synced by now
        file, segment = self._present()
        self._files.write(file, self._buffer, segment.size)
        segment.grow(first, segment.size, segment.size + len(self._buffer))
        self.number, self._previous = self.number + 1, checksum
        self.next_index = first + len(entries or ())
        if len(self._buffer) > 2 * batch.BATCH_BYTES:
            self._buffer = bytearray()
        return None

    def _present(self) -> tuple[int, Segment]:
        last = self.segments.last
        if self._file is None or last is None:
            raise AssertionError("a batch without a segment: nothing was reserved for it")
        return self._file, last

    def _start_spare(self, first: int) -> None:
        self.close_segment()
        if self._spare is None:
            raise AssertionError("a batch beyond what was reserved")
        self._file, self._capacity = self._spare.file, self._spare.capacity
        self.segments.append(Segment(self._spare.sequence, first, 0, self._restarting))
        self._spare, self._restarting = None, False

    def close_segment(self) -> None:
        """Go on in a new one, and let go of the room that was reserved in this.

        Synced before anything is written to the next one: so a torn segment never has a whole one behind it.
        """
        self.sync()
        if self._file is not None:
            file, segment = self._present()
            self._files.truncate(file, segment.size)
            self._files.close(file)
            self._file, self._capacity = None, 0

    def _allocated(self, file: int, size: int) -> int:
        try:
            self._files.allocate(file, size)
        except OSError as error:
            if error.errno not in OUT_OF_SPACE:
                raise
            raise NoRoom(
                f"no room for a segment of {size} bytes in {self._files.location}: {error.strerror}"
            ) from error
        return size
