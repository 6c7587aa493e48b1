"""Finding the end of the log after a crash, and telling a torn tail from damage.

What a crash can leave, and what becomes of it. Only what was written since the last fdatasync can be missing or torn:

- nothing torn: the log ends at zeros or at the end of a file, and is continued there.
- the last batch, or several that waited for the same fdatasync, are missing or torn in any of their sectors, perhaps
  with a whole batch behind a torn one: none was acknowledged. From the first bad byte on all is cut, and reported.
- a segment that was preallocated and not used, or not yet complete: removed, a new one is allocated.
- a new segment whose first batch is torn: the same as a torn batch; the segment before it is the last again. If the
  new one was to cut a suffix, the suffix is still there; nobody was told that it was cut.
- a file that a cut (here, after an earlier crash) was about to remove or shorten: judged and cut again the same way.
- a new segment that begins the log anew behind an installed snapshot, while older ones were not yet removed: they are
  superseded, and removed. If that segment is torn or missing, the snapshot is there without it: see `start`.
- a closed segment that was not yet shortened to what is used: zeros behind its last batch mean nothing.
- a snapshot that was not renamed: a temporary file, removed. One that was renamed while old segments were not yet
  removed: they are history, until retention takes them.
- hard state or marker with one slot torn: the other counts (see `slots`).
- batches that are read, but are not on the disk, and no fdatasync will put them there: one has failed, the process
  ended of it, and to the operating system they are clean now. What is not proven (below) is therefore written once
  more, to another file that takes the place of the first: a write over it might tear what is on the disk after all.

Everything else is damage, which no crash leaves and which is never cut: what is missing or unreadable, although it is
*proven* that it was once durable. Proof is by batch numbers: the marker, or the `synced` of any whole batch found
behind the bad place, reaches beyond the last good batch. Within what was not proven, a flipped bit cannot be told
from a torn write; it is cut and reported. A clean stop, and a second of rest, leave nothing unproven.
"""

from __future__ import annotations

from typing import NamedTuple

from slimjobs.eventlog.storage import batch
from slimjobs.eventlog.storage.batch import BatchHeader
from slimjobs.eventlog.storage.errors import Damage
from slimjobs.eventlog.storage.files import OUT_OF_SPACE, Files
from slimjobs.eventlog.storage.identity import TEMPORARY
from slimjobs.eventlog.storage.segments import (
    READ_BYTES,
    FoundBatch,
    Problem,
    Segment,
    Segments,
    SegmentScan,
    segment_name,
    segment_names,
    sequence_of,
)


class TornTail(NamedTuple):
    """What was cut: so many bytes from this place on; they would have begun with the entry at `first_index`."""

    file: str
    offset: int
    dropped_bytes: int
    first_index: int
    found: str


class Chain:
    """The batch that was accepted last, and which one may follow it."""

    def __init__(self) -> None:
        self.number = 0
        self.checksum = batch.NO_CHECKSUM
        self.next_index = 1
        self.synced = 0
        self._started = False

    def refuses(self, header: BatchHeader, starts_segment: bool) -> Problem | None:
        """Why this batch cannot follow; the very first one is taken as it is, and a segment may start anywhere."""
        if not self._started:
            return None
        if header.number != self.number + 1 or header.previous != self.checksum:
            return Problem(f"batch {header.number} in a wrong place", f"batch {self.number + 1} of the chain")
        if header.first != self.next_index and not starts_segment:
            return Problem(f"a batch from index {header.first} on", f"one from index {self.next_index} on")
        return None

    def accept(self, header: BatchHeader) -> None:
        self._started = True
        self.number, self.checksum, self.synced = header.number, header.checksum, header.synced
        self.next_index = header.first + header.entries


class ScannedLog(NamedTuple):
    """The good part of the log: up to where its chain got. `torn` is what must be cut before anything is written.

    `proven`: batches up to this number are surely on the disk.
    """

    segments: Segments
    chain: Chain
    torn: TornTail | None
    leftovers: list[str]
    damage: Damage | None
    proven: int


class _BadPlace(NamedTuple):
    name: str
    offset: int
    problem: Problem


def scan_log(files: Files, key: bytes, low: int, proven: int) -> ScannedLog:
    """Read the log from where `low` is held on, verifying every batch; `proven` is the number that the marker gives.

    Segments that only hold what is older are listed, not read. Damage is found, not raised: what is good may be read.
    """
    names = segment_names(files)
    start = _segment_to_start_with(files, key, names, low)
    scan = _Scan(files, key)
    for name in names[:start]:
        scan.list_unread(name)
    accepted = start
    while accepted < len(names) and scan.read(names[accepted]):
        accepted += 1
    leftovers = names[accepted:]
    bad = scan.bad_place(leftovers)
    damage = scan.judge(bad, leftovers, proven)
    torn = scan.torn_tail(bad, leftovers) if bad is not None and damage is None else None
    return ScannedLog(scan.segments, scan.chain, torn, leftovers, damage, max(proven, scan.chain.synced))


def cut(files: Files, scanned: ScannedLog) -> None:
    """Take away what a crash left behind the good part, and make the good part durable.

    A process that was killed may have left whole batches that no fdatasync covered yet: they are read, so they count.
    Only the last segment can hold such. Interrupted, all this is done again at the next start.
    """
    for name in scanned.leftovers:
        files.remove(name)
    files.sync_names()
    if (last := scanned.segments.last) is not None:
        file = files.open_writable(last.name)
        try:
            if scanned.torn is not None:
                files.truncate(file, last.size)
            files.sync(file)
        finally:
            files.close(file)
        if scanned.chain.number > scanned.proven:
            _write_once_more(files, last)
    remove_superseded(files, scanned.segments)


# A full disk must not keep a node from starting. Then the segment stays as it is, and batches of it are lost only if a
# sync had failed and the power goes too.
def _write_once_more(files: Files, segment: Segment) -> None:
    """Have all of the segment on the disk, whatever became of the writes that filled it."""
    name = segment.name + TEMPORARY
    try:
        _copy(files, segment, name)
    except OSError as error:
        if error.errno not in OUT_OF_SPACE:
            raise
        files.remove(name)
    else:
        files.rename(name, segment.name)
        files.sync_names()


def _copy(files: Files, segment: Segment, name: str) -> None:
    source, copy = files.open(segment.name), files.open_writable(name)
    try:
        files.allocate(copy, files.size(source))
        for offset in range(0, segment.size, READ_BYTES):
            files.write(copy, files.read(source, min(READ_BYTES, segment.size - offset), offset), offset)
        files.sync(copy)
    finally:
        files.close(source)
        files.close(copy)


def remove_superseded(files: Files, segments: Segments) -> None:
    """Remove what was written before the log began anew, which is durable. If a crash undoes it, it is done again."""
    for segment in segments.superseded:
        files.remove(segment.name)
        segments.forget(segment)


def _segment_to_start_with(files: Files, key: bytes, names: list[str], low: int) -> int:
    """The position of the newest segment that starts at or before `low`: what counts from there on is in it or behind.

    Only a verified first batch says where a segment starts.
    """
    for position in range(len(names) - 1, 0, -1):
        first = _first_batch(files, key, names[position])
        if first is not None and first.header.first <= low:
            return position
    return 0


def _first_batch(files: Files, key: bytes, name: str) -> FoundBatch | None:
    return next(iter(SegmentScan(files, name, key)), None)


class _Scan:
    def __init__(self, files: Files, key: bytes) -> None:
        self._files, self._key = files, key
        self.segments = Segments()
        self.chain = Chain()
        self._stops: dict[str, _BadPlace] = {}

    def list_unread(self, name: str) -> None:
        """History: known by its first batch, and read when somebody asks for it."""
        scan = SegmentScan(self._files, name, self._key)
        first = next(iter(scan), None)
        if first is None:
            raise self._damage(name, 0, scan.problem or Problem("zeros", "a batch"))
        restarts = first.header.restarts
        self.segments.append(Segment(sequence_of(name), first.header.first, _size(self._files, name), restarts))

    def read(self, name: str) -> bool:
        """Accept the batches of this segment as far as they are good; whether there was one."""
        scan = SegmentScan(self._files, name, self._key)
        segment: Segment | None = None
        for found in scan:
            refusal = self.chain.refuses(found.header, segment is None)
            if refusal is not None:
                self._stops[name] = _BadPlace(name, found.offset, refusal)
                return segment is not None
            if segment is None:
                segment = Segment(sequence_of(name), found.header.first, 0, found.header.restarts)
                self.segments.append(segment)
            self.chain.accept(found.header)
            segment.grow(found.header.first, found.offset, scan.offset)
        if scan.problem is not None:
            self._stops[name] = _BadPlace(name, scan.offset, scan.problem)
        return segment is not None

    def bad_place(self, leftovers: list[str]) -> _BadPlace | None:
        """The first place behind the good part where something stands."""
        last = self.segments.last
        places = [(last.name, last.size)] if last is not None else []
        for name, offset in places + [(name, 0) for name in leftovers]:
            if _written_bytes(self._files, name, offset):
                unknown = Problem("bytes without the start of a batch", "a batch, or zeros")
                return self._stops.get(name, _BadPlace(name, offset, unknown))
        return None

    def judge(self, bad: _BadPlace | None, leftovers: list[str], proven: int) -> Damage | None:
        """Damage, if what is bad or missing is proven to have been durable once."""
        last = self.segments.last
        for name, offset in _places(bad, last, leftovers):
            proven = max(proven, _proven_by(self._files, self._key, name, offset))
        if proven <= self.chain.number:
            return None
        if bad is None:
            end = _BadPlace(last.name if last else segment_name(1), last.size if last else 0, Problem("nothing", ""))
        else:
            end = bad
        missing = f"batch {self.chain.number + 1} of {proven} (from index {self.chain.next_index} on)"
        return self._damage(end.name, end.offset, Problem(end.problem.found, f"{missing}, which was surely written"))

    def torn_tail(self, bad: _BadPlace, leftovers: list[str]) -> TornTail:
        """What is to be cut."""
        dropped = sum(
            _written_bytes(self._files, name, offset) for name, offset in _places(bad, self.segments.last, leftovers)
        )
        return TornTail(bad.name, bad.offset, dropped, self.chain.next_index, bad.problem.found)

    def _damage(self, name: str, offset: int, problem: Problem) -> Damage:
        return Damage(f"{self._files.location}/{name}", offset, *problem)


def _places(bad: _BadPlace | None, last: Segment | None, leftovers: list[str]) -> list[tuple[str, int]]:
    if bad is None:
        return []
    return ([(last.name, last.size)] if last is not None else []) + [(name, 0) for name in leftovers]


def _proven_by(files: Files, key: bytes, name: str, offset: int) -> int:
    """The highest `synced` of all whole batches that stand anywhere in this file from `offset` on."""
    file = files.open(name)
    try:
        size = files.size(file)
        return max((_synced_at(files, file, key, at, size) for at in _marks(files, file, offset, size)), default=0)
    finally:
        files.close(file)


def _marks(files: Files, file: int, offset: int, size: int) -> list[int]:
    """Every offset at which a batch could start, going by its mark alone."""
    found = []
    overlap = batch.HEADER_BYTES
    for base in range(offset, size, READ_BYTES):
        block = files.read(file, READ_BYTES + overlap, base)
        at = block.find(batch.MAGIC, batch.MAGIC_AT)
        while 0 <= at < READ_BYTES + batch.MAGIC_AT:
            found.append(base + at - batch.MAGIC_AT)
            at = block.find(batch.MAGIC, at + 1)
    return found


def _synced_at(files: Files, file: int, key: bytes, offset: int, size: int) -> int:
    head = files.read(file, batch.HEADER_BYTES, offset)
    if len(head) < batch.HEADER_BYTES:
        return 0
    header = batch.header_at(head, 0)
    length = batch.HEADER_BYTES + header.length
    if length > size - offset:
        return 0
    whole = files.read(file, length, offset)
    return header.synced if batch.verified(memoryview(whole), key, header.checksum) else 0


def _written_bytes(files: Files, name: str, offset: int) -> int:
    """How many bytes from `offset` on to the last one that is not zero."""
    file = files.open(name)
    try:
        last = offset
        for base in range(offset, files.size(file), READ_BYTES):
            block = files.read(file, READ_BYTES, base)
            if block.count(0) != len(block):
                last = base + len(block.rstrip(b"\0"))
        return last - offset
    finally:
        files.close(file)


def _size(files: Files, name: str) -> int:
    file = files.open(name)
    try:
        return files.size(file)
    finally:
        files.close(file)
