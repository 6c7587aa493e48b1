"""Order statistics of a queue: who is n-th, and how many stand before a given run, in O(log n), in little memory.

A run that joins a queue gets the queue's next *ordinal*. Ordinals are never reused, so the order never changes and a
position is the number of ordinals before it that are still there. They are kept as bit masks of 256 a chunk; a Fenwick
tree over the chunks' counts gives the sum before a chunk.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator

from slimjobs.eventlog.events.runs import RunId

CHUNK_BITS = 8
CHUNK_SIZE = 1 << CHUNK_BITS
_OFFSET = CHUNK_SIZE - 1
_ID_BYTES = 10


class Lane:
    """A set of ordinals that grows at the end and shrinks anywhere; gives its first and iterates in order."""

    __slots__ = ("_chunks", "_masks")

    def __init__(self) -> None:
        self._masks: dict[int, int] = {}
        self._chunks: deque[int] = deque()

    def __bool__(self) -> bool:
        return bool(self._masks)

    def append(self, ordinal: int) -> None:
        """Add an ordinal higher than every one before."""
        chunk = ordinal >> CHUNK_BITS
        if not self._chunks or self._chunks[-1] != chunk:
            self._chunks.append(chunk)
        self._masks[chunk] = self._masks.get(chunk, 0) | 1 << (ordinal & _OFFSET)

    def remove(self, ordinal: int) -> None:
        """Take an ordinal out that is in."""
        chunk = ordinal >> CHUNK_BITS
        mask = self._masks[chunk] ^ (1 << (ordinal & _OFFSET))
        if mask:
            self._masks[chunk] = mask
            return
        del self._masks[chunk]
        self._drop_emptied()

    def before(self, ordinal: int) -> int:
        """How many ordinals are below the given one: one step a chunk."""
        end = ordinal >> CHUNK_BITS
        whole = sum(mask.bit_count() for chunk, mask in self._masks.items() if chunk < end)
        return whole + (self._masks.get(end, 0) & ((1 << (ordinal & _OFFSET)) - 1)).bit_count()

    def after(self, ordinal: int) -> Iterator[int]:
        """The ordinals above the given one, in order."""
        start = ordinal >> CHUNK_BITS
        for chunk in self._chunks:
            if chunk < start or chunk not in self._masks:
                continue
            mask = self._masks[chunk]
            if chunk == start:
                mask &= ~((2 << (ordinal & _OFFSET)) - 1)
            yield from _ordinals(chunk, mask)

    # Emptied chunks are kept in the deque until they come to its front, or until they are most of it: behind one run
    # that waits for long, any number may come and go.
    def _drop_emptied(self) -> None:
        while self._chunks and self._chunks[0] not in self._masks:
            self._chunks.popleft()
        if len(self._chunks) > 2 * len(self._masks) + 64:
            self._chunks = deque(chunk for chunk in self._chunks if chunk in self._masks)


class QueueOrder:
    """The runs of one queue in the order in which they joined it."""

    __slots__ = ("_base", "_ids", "_masks", "_tree", "first_chunk", "length", "next_ordinal")

    def __init__(self, first_ordinal: int = 0) -> None:
        self.next_ordinal = first_ordinal
        self.length = 0
        self.first_chunk = first_ordinal >> CHUNK_BITS
        self._base = self.first_chunk
        self._masks: dict[int, int] = {}
        self._ids: dict[int, bytearray] = {}
        self._tree = array("I", [0])

    def join(self, ordinal: int, run: RunId) -> None:
        """Let a run join at this ordinal, which is higher than every one before: `next_ordinal`, or as it was saved."""
        chunk, offset = ordinal >> CHUNK_BITS, ordinal & _OFFSET
        if chunk not in self._masks:
            self._masks[chunk] = 0
            self._ids[chunk] = bytearray()
            self._grow(chunk)
        ids = self._ids[chunk]
        if len(ids) != offset * _ID_BYTES:
            ids.extend(bytes(offset * _ID_BYTES - len(ids)))
        ids += run
        self._masks[chunk] |= 1 << offset
        self._count(chunk, 1)
        self.length += 1
        self.next_ordinal = max(self.next_ordinal, ordinal + 1)

    def remove(self, ordinal: int) -> None:
        """Let the run at this ordinal, which is in, leave."""
        chunk = ordinal >> CHUNK_BITS
        mask = self._masks[chunk] ^ (1 << (ordinal & _OFFSET))
        self._count(chunk, -1)
        self.length -= 1
        if mask:
            self._masks[chunk] = mask
            return
        del self._masks[chunk], self._ids[chunk]
        self._drop_empty_front()

    def position(self, ordinal: int) -> int:
        """The 1-based place of the run at this ordinal, which is in."""
        chunk = ordinal >> CHUNK_BITS
        ahead = self._masks[chunk] & ((1 << (ordinal & _OFFSET)) - 1)
        return self._sum_before(chunk) + ahead.bit_count() + 1

    def run_at(self, ordinal: int) -> RunId:
        """Which run has this ordinal, which is in."""
        start = (ordinal & _OFFSET) * _ID_BYTES
        return RunId(bytes(self._ids[ordinal >> CHUNK_BITS][start : start + _ID_BYTES]))

    def runs(self) -> Iterator[list[RunId]]:
        """All runs in order, some at a time."""
        for chunk in range(self.first_chunk, (self.next_ordinal >> CHUNK_BITS) + 1):
            mask = self._masks.get(chunk, 0)
            ids = bytes(self._ids.get(chunk, b""))
            runs = [RunId(ids[start : start + _ID_BYTES]) for start in range(0, len(ids), _ID_BYTES)]
            if mask != (1 << len(runs)) - 1:
                runs = [run for offset, run in enumerate(runs) if mask >> offset & 1]
            yield runs

    def after(self, ordinal: int) -> Iterator[int]:
        """The ordinals above the given one, in order; -1 for all."""
        start = max(ordinal >> CHUNK_BITS, self.first_chunk)
        for chunk in range(start, (self.next_ordinal >> CHUNK_BITS) + 1):
            mask = self._masks.get(chunk, 0)
            if chunk == ordinal >> CHUNK_BITS:
                mask &= ~((2 << (ordinal & _OFFSET)) - 1)
            yield from _ordinals(chunk, mask)

    # The Fenwick tree: node i (1-based) sums the chunks of its range; chunk numbers count from `_base`.

    def _count(self, chunk: int, change: int) -> None:
        tree, node = self._tree, chunk - self._base + 1
        while node < len(tree):
            tree[node] += change
            node += node & -node

    def _sum_before(self, chunk: int) -> int:
        tree, node, total = self._tree, chunk - self._base, 0
        while node > 0:
            total += tree[node]
            node -= node & -node
        return total

    def _grow(self, chunk: int) -> None:
        for node in range(len(self._tree), chunk - self._base + 2):
            low, total = node - (node & -node), 0
            below = node - 1
            while below > low:
                total += self._tree[below]
                below -= below & -below
            self._tree.append(total)

    # Queues drain at the front. The tree would grow for ever, so it is built anew once most of it stands for nothing:
    # that costs one step a chunk, and happens only after as many chunks were emptied.
    def _drop_empty_front(self) -> None:
        last = self.next_ordinal >> CHUNK_BITS
        while self.first_chunk < last and self.first_chunk not in self._masks:
            self.first_chunk += 1
        if self.first_chunk - self._base <= max(64, len(self._tree) // 2):
            return
        self._base = self.first_chunk
        counts = (self._masks.get(chunk, 0).bit_count() for chunk in range(self._base, last + 1))
        self._tree = tree = array("I", [0, *counts])
        for node in range(1, len(tree)):
            if (above := node + (node & -node)) < len(tree):
                tree[above] += tree[node]


def _lowest(mask: int) -> int:
    return (mask & -mask).bit_length() - 1


def _ordinals(chunk: int, mask: int) -> Iterator[int]:
    start = chunk << CHUNK_BITS
    while mask:
        yield start | _lowest(mask)
        mask &= mask - 1
