"""The term of every entry that the log still knows, as runs: a log of millions of entries has a handful of terms."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from slimjobs.eventlog.raft.types import Index, Term


class Terms:
    """Terms never go down along a log, so each run is the place where a new term begins."""

    def __init__(self, runs: Sequence[tuple[Index, Term]], last_index: Index) -> None:
        """`runs` begins with the lowest index whose term is known."""
        self._starts: list[Index] = [first for first, _ in runs]
        self._terms: list[Term] = [term for _, term in runs]
        self.last_index = last_index

    @property
    def last_term(self) -> Term:
        """The term of the last entry."""
        return self._terms[-1]

    def at(self, index: Index) -> Term | None:
        """The term of the entry at `index`; None if it is not there or no longer known."""
        if index > self.last_index or index < self._starts[0]:
            return None
        if index >= self._starts[-1]:
            return self._terms[-1]
        return self._terms[bisect_right(self._starts, index) - 1]

    def extend(self, index: Index, term: Term) -> None:
        """The log now reaches `index`, with nothing but entries of `term` since `last_index`."""
        if term != self._terms[-1]:
            self._starts.append(Index(self.last_index + 1))
            self._terms.append(term)
        self.last_index = index

    def truncate(self, after: Index) -> None:
        """Forget every entry behind `after`, which itself is known."""
        keep = bisect_right(self._starts, after)
        del self._starts[keep:], self._terms[keep:]
        self.last_index = after

    def forget_before(self, index: Index) -> None:
        """Forget every entry before `index`, if `index` itself is known."""
        if index <= self._starts[0]:
            return
        run = bisect_right(self._starts, index) - 1
        del self._starts[:run], self._terms[:run]
        self._starts[0] = index

    # Raft §5.3, end: all entries of a conflicting term are skipped in one step. Terms only grow along a log, so where
    # this log has a higher term than `term`, a log with `term` at `index` cannot agree with it.
    def last_at_most(self, index: Index, term: Term) -> tuple[Index, Term]:
        """The last entry up to `index` whose term is at most `term`, with its term; term 0 where none is known."""
        index = min(index, self.last_index)
        run = bisect_right(self._starts, index) - 1
        while run >= 0 and self._terms[run] > term:
            index = Index(self._starts[run] - 1)
            run -= 1
        return index, self._terms[run] if run >= 0 else Term(0)
