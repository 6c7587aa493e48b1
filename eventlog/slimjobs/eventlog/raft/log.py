"""The log as consensus sees it: every entry's term, the newest entries themselves, and how far things have got.

Older entries stay on the disk only; who needs one asks for it (`Ready.load`) and finds it in the loaded window.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from slimjobs.eventlog.raft.options import Start
from slimjobs.eventlog.raft.terms import Terms
from slimjobs.eventlog.raft.types import Entry, Index, Term

ENTRY_OVERHEAD_BYTES: Final = 128
"""What an entry costs in memory besides its payload, so that empty ones are bounded too."""


def cost(entries: Sequence[Entry]) -> int:
    """Bytes of memory that these entries take, roughly."""
    return sum([len(entry.payload) for entry in entries]) + ENTRY_OVERHEAD_BYTES * len(entries)


class Log:
    """Indices in rising order: `first_index - 1 <= snapshot_index <= applied <= commit <= last_index`.

    `handed` is how far entries were given to the disk, `persisted` how far they are durable; `applied` is how far
    committed entries were handed out.
    """

    def __init__(self, start: Start, max_cached_bytes: int) -> None:
        self._max_cached_bytes = max_cached_bytes
        self.snapshot_index = start.snapshot_index
        self.snapshot_term = start.snapshot_term
        self.first_index = start.first_index
        self.terms = Terms(known_runs(start), start.last_index)
        self.persisted = self.handed = start.last_index
        self.applied = start.snapshot_index
        self.commit = max(start.snapshot_index, min(start.commit, start.last_index))
        self.restart_after: Index | None = None
        self.truncate_after: Index | None = None
        self._cached: list[Entry] = []
        self._cached_from = Index(start.last_index + 1)
        self._cached_bytes = 0
        self._window: Sequence[Entry] = ()
        if not self.matches(start.snapshot_index, start.snapshot_term):
            self.replace(start.snapshot_index, start.snapshot_term)

    @property
    def last_index(self) -> Index:
        """The last entry, durable or not."""
        return self.terms.last_index

    @property
    def has_unsaved(self) -> bool:
        """Whether the disk has yet to be given something."""
        cut = self.restart_after is not None or self.truncate_after is not None
        return cut or self.handed < self.terms.last_index

    def term_at(self, index: Index) -> Term | None:
        """The term of the entry at `index`; None if it is not there or no longer known."""
        return self.terms.at(index)

    def matches(self, index: Index, term: Term) -> bool:
        """Whether the log has an entry of `term` at `index`; then it is equal up to there (log matching, §5.3)."""
        return self.terms.at(index) == term

    # Raft §5.4.1: the log with the later last term is more up to date; of two with the same, the longer one.
    def is_behind_or_equal(self, last_index: Index, last_term: Term) -> bool:
        """Whether a log with that end is at least as up to date as this one."""
        return (last_term, last_index) >= (self.terms.last_term, self.last_index)

    def append(self, entries: Sequence[Entry]) -> None:
        """Add entries, the first of which follows the last one."""
        for entry in entries if entries[0].term != entries[-1].term else entries[-1:]:
            self.terms.extend(entry.index, entry.term)
        self._cached.extend(entries)
        self._cached_bytes += cost(entries)

    def missing(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """What of these is not in the log: from the first new or conflicting entry on (figure 2)."""
        for position, entry in enumerate(entries):
            if not self.matches(entry.index, entry.term):
                return entries[position:]
        return ()

    def truncate(self, after: Index) -> None:
        """Remove every entry behind `after`; committed ones never go."""
        if after < self.commit:
            raise AssertionError(f"a committed entry would be cut: after {after}, committed {self.commit}")
        self.terms.truncate(after)
        keep = max(0, after + 1 - self._cached_from)
        self._cached_bytes -= cost(self._cached[keep:])
        del self._cached[keep:]
        self._cached_from = min(self._cached_from, Index(after + 1))
        if after < self.handed:
            self.truncate_after = after if self.truncate_after is None else min(after, self.truncate_after)
        self.handed = min(self.handed, after)
        self.persisted = min(self.persisted, after)
        self._window = ()

    # Raft §7: a snapshot replaces a log that does not hold its last entry: that log ends before it or went astray.
    def replace(self, index: Index, term: Term) -> None:
        """Begin anew behind a durable snapshot."""
        self.snapshot_index, self.snapshot_term = index, term
        self.first_index = Index(index + 1)
        self.terms = Terms([(index, term)], index)
        self._cached, self._cached_bytes, self._cached_from = [], 0, self.first_index
        self._window = ()
        self.persisted = self.handed = self.commit = self.applied = index
        self.restart_after, self.truncate_after = index, None

    def compact(self, index: Index, first_index: Index) -> None:
        """A snapshot of `index` is durable, and entries before `first_index` can no longer be loaded."""
        term = self.term_at(index)
        if term is None or index <= self.snapshot_index:
            return
        self.snapshot_index, self.snapshot_term = index, term
        self.first_index = max(self.first_index, first_index)
        self.terms.forget_before(Index(self.first_index - 1))

    def take_unsaved(self) -> tuple[Index | None, Index | None, Sequence[Entry]]:
        """What the disk has to do, in this order: begin anew after this, cut after that, write these."""
        restart_after, self.restart_after = self.restart_after, None
        truncate_after, self.truncate_after = self.truncate_after, None
        entries = self._cached[self.handed + 1 - self._cached_from :] if self.handed < self.last_index else ()
        self.handed = self.last_index
        return restart_after, truncate_after, entries

    def saved(self, index: Index) -> None:
        """Entries up to `index` are durable, so old ones need no longer be kept in memory."""
        self.persisted = max(self.persisted, index)
        count, droppable = 0, self.persisted + 1 - self._cached_from
        while self._cached_bytes > self._max_cached_bytes and count < droppable:
            self._cached_bytes -= len(self._cached[count].payload) + ENTRY_OVERHEAD_BYTES
            count += 1
        del self._cached[:count]
        self._cached_from = Index(self._cached_from + count)

    def loaded(self, entries: Sequence[Entry]) -> None:
        """Keep what was read from the disk, unless the log was cut there meanwhile."""
        self._window = entries if entries and self.matches(entries[-1].index, entries[-1].term) else ()

    @property
    def holds_loaded(self) -> bool:
        """Whether something that was read from the disk is kept."""
        return bool(self._window)

    def forget_loaded_before(self, index: Index) -> None:
        """Nobody needs what was loaded, if that ends before `index`."""
        if self._window and self._window[-1].index < index:
            self._window = ()

    def in_memory(self, low: Index, high: Index) -> Sequence[Entry] | None:
        """Entries `low..high`, or as many from `low` on as are in memory together; None if `low` has to be loaded."""
        if low >= self._cached_from:
            return self._cached[low - self._cached_from : high + 1 - self._cached_from]
        window = self._window
        if not window or not window[0].index <= low <= window[-1].index:
            return None
        return window[low - window[0].index : high + 1 - window[0].index]

    def to_load(self, low: Index, high: Index) -> tuple[Index, Index]:
        """What of `low..high` to read from the disk when `low` is not in memory."""
        return low, min(high, Index(self._cached_from - 1))

    def take_committed(self) -> Sequence[Entry]:
        """Committed entries that are in memory and not yet handed out."""
        taken: list[Entry] = []
        while self.applied < self.commit:
            entries = self.in_memory(Index(self.applied + 1), self.commit)
            if not entries:
                break
            taken += entries
            self.applied = entries[-1].index
        return taken


def known_runs(start: Start) -> Sequence[tuple[Index, Term]]:
    """The runs of a started log, with the place before it, against which its first entry is checked, if known."""
    before = Index(start.first_index - 1)
    if before == start.snapshot_index:
        return [(before, start.snapshot_term), *start.terms]
    return [(before, Term(0)), *start.terms] if before == 0 else start.terms
