"""Which file holds which entries, and reading them back.

A segment is a file of batches, named by a sequence number. Within a segment indices only go up. When a suffix of the
log is cut, a new segment starts with the index that comes after the cut; so the entry at an index is in the *newest*
segment that starts at or before it, and the first batches of the segments tell all there is to know about cuts.
When the log begins anew, behind a snapshot of another node, a new segment says so with its first batch: what older
ones hold is superseded, and they are removed.
"""

from __future__ import annotations

import bisect
import re
from array import array
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from slimjobs.eventlog.raft.types import Entry, Index
from slimjobs.eventlog.storage import batch
from slimjobs.eventlog.storage.batch import HEADER_BYTES, BatchHeader
from slimjobs.eventlog.storage.errors import Damage
from slimjobs.eventlog.storage.files import Files

READ_BYTES: Final = 256 * 1024
MARK_BYTES: Final = 64 * 1024
"""One batch in so many bytes is remembered by its offset: 2 KiB of memory a segment, a short way to any entry."""

_NAME: Final = re.compile(r"segment-(\d{12})\.log")


def segment_name(sequence: int) -> str:
    return f"segment-{sequence:012}.log"


def segment_names(files: Files) -> list[str]:
    """The names of all segments, oldest first."""
    return [name for name in files.names() if _NAME.fullmatch(name)]


def sequence_of(name: str) -> int:
    return int(name.removeprefix("segment-").removesuffix(".log"))


class Problem(NamedTuple):
    """What stands where a batch should be."""

    found: str
    expected: str


class FoundBatch(NamedTuple):
    header: BatchHeader
    offset: int
    view: memoryview


class SegmentScan:
    """The verified batches of one segment from an offset on; afterwards `offset` is where they ended, `problem` why.

    No problem means the end of the file or a header of zeros. One batch is in memory at a time, and up to
    256 KiB of what follows it.
    """

    def __init__(self, files: Files, name: str, key: bytes, offset: int = 0, end: int | None = None) -> None:
        self._files, self._name, self._key, self._end = files, name, key, end
        self.offset = offset
        self.problem: Problem | None = None

    def __iter__(self) -> Iterator[FoundBatch]:
        file = self._files.open(self._name)
        try:
            size = self._files.size(file)
            yield from self._batches(file, size if self._end is None else min(size, self._end))
        finally:
            self._files.close(file)

    def _batches(self, file: int, size: int) -> Iterator[FoundBatch]:
        block, base = b"", self.offset
        while size - self.offset >= HEADER_BYTES:
            at = self.offset - base
            if at + HEADER_BYTES > len(block):
                block, base, at = self._files.read(file, READ_BYTES, self.offset), self.offset, 0
            if at + HEADER_BYTES > len(block):
                return  # its node has just closed this segment and shortened it to what is used
            header = batch.header_at(block, at)
            length = HEADER_BYTES + header.length
            if header.magic != batch.MAGIC or length > size - self.offset:
                self.problem = _no_batch(block[at : at + HEADER_BYTES], header, size - self.offset)
                return
            if at + length > len(block):
                block, base, at = self._files.read(file, max(READ_BYTES, length), self.offset), self.offset, 0
            view = memoryview(block)[at : at + length]
            if not batch.verified(view, self._key, header.checksum):
                self.problem = Problem("bytes that do not match their checksum", f"batch {header.number}")
                return
            found = FoundBatch(header, self.offset, view)
            self.offset += length
            yield found


def _no_batch(header_bytes: bytes, header: BatchHeader, left: int) -> Problem | None:
    if not any(header_bytes):
        return None
    if header.magic != batch.MAGIC:
        return Problem(f"the bytes {header_bytes[:16].hex()}", "the start of a batch, or zeros")
    return Problem(f"a batch of {header.length} bytes", f"at most the {left} bytes that are left in the file")


class Segment:
    """One file: the first index in it, how much of it is used, and the offsets of some of its batches."""

    def __init__(self, sequence: int, first: int, size: int, restarts: bool) -> None:
        self.sequence = sequence
        self.name = segment_name(sequence)
        self.first = first
        self.size = size
        self.restarts = restarts
        self._indices = array("Q")
        self._offsets = array("Q")

    def grow(self, first: int, offset: int, end: int) -> None:
        """A batch that starts with the index `first` stands from `offset` to `end`."""
        self.size = end
        if offset - (self._offsets[-1] if self._offsets else 0) >= MARK_BYTES:
            self._indices.append(first)
            self._offsets.append(offset)

    def offset_before(self, index: int) -> int:
        """Where to start reading to come by `index`."""
        position = bisect.bisect_right(self._indices, index)
        return self._offsets[position - 1] if position else 0


class Segments:
    """All segments in the order in which they were written, and for each index the one that counts."""

    def __init__(self) -> None:
        self._written: list[Segment] = []
        self._effective: list[Segment] = []

    def __iter__(self) -> Iterator[Segment]:
        return iter(self._written)

    @property
    def last(self) -> Segment | None:
        return self._written[-1] if self._written else None

    @property
    def first_index(self) -> int | None:
        """The oldest index that is kept."""
        return self._effective[0].first if self._effective else None

    def append(self, segment: Segment) -> None:
        """A segment was begun: what older ones hold from its first index on no longer counts."""
        while self._effective and (segment.restarts or self._effective[-1].first >= segment.first):
            self._effective.pop()
        self._effective.append(segment)
        self._written.append(segment)

    def supersede(self) -> None:
        """Nothing that was written counts any more; the files are still there."""
        self._effective.clear()

    @property
    def superseded(self) -> list[Segment]:
        """The segments, oldest first, that were written before the oldest one that counts, if there is one."""
        return self._written[: self._written.index(self._effective[0])] if self._effective else []

    def holding(self, index: int) -> tuple[Segment, int | None] | None:
        """The segment where `index` is if it is anywhere, and the index with which the next one takes over."""
        position = bisect.bisect_right(self._effective, index, key=lambda segment: segment.first)
        if position == 0:
            return None
        following = self._effective[position].first if position < len(self._effective) else None
        return self._effective[position - 1], following

    def behind(self, index: int) -> list[Segment]:
        """The segments, oldest first, that hold nothing that counts from `index` on."""
        holding = self.holding(index)
        return self._written[: self._written.index(holding[0])] if holding else []

    def forget(self, segment: Segment) -> None:
        """The file of this segment, the oldest, is gone."""
        self._written.remove(segment)
        if segment in self._effective:
            self._effective.remove(segment)


def read_entries(files: Files, key: bytes, segments: Segments, low: int) -> Iterator[Entry]:
    """The entries from `low` to the end of the log, one batch in memory at a time; `Damage` where one cannot be read.

    Nothing if the log does not hold `low`.
    """
    index = low
    while (holding := segments.holding(index)) is not None:
        segment, following = holding
        for entry in _entries_of(files, key, segment, index, following):
            yield entry
            index = entry.index + 1
        if index != following:
            return


def _entries_of(files: Files, key: bytes, segment: Segment, low: int, following: int | None) -> Iterator[Entry]:
    scan = SegmentScan(files, segment.name, key, segment.offset_before(low), segment.size)
    for found in scan:
        if following is not None and found.header.first >= following:
            return
        if found.header.first + found.header.entries > low:
            for entry in entries_in(files, segment.name, found):
                if entry.index >= low and (following is None or entry.index < following):
                    yield entry
    if scan.problem is not None:
        raise Damage(f"{files.location}/{segment.name}", scan.offset, *scan.problem)


def entries_in(files: Files, name: str, found: FoundBatch) -> list[Entry]:
    """The entries of a verified batch. One that still cannot be read was written by something else than this code."""
    try:
        return batch.decode(found.view)
    except msgspec.DecodeError as error:
        at = f"{files.location}/{name}"
        raise Damage(at, found.offset, f"a batch that cannot be decoded ({error})", "entries") from error


def load(files: Files, key: bytes, segments: Segments, low: Index, high: Index, max_bytes: int) -> list[Entry]:
    """The entries `low..high`, as many as fit into `max_bytes` of payload, at least one if `low` is held."""
    entries: list[Entry] = []
    size = 0
    for entry in read_entries(files, key, segments, low):
        size += len(entry.payload)
        if entry.index > high or (entries and size > max_bytes):
            break
        entries.append(entry)
    return entries
