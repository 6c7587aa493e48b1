"""Answers that are ready but may not be given yet: results until their record is committed, reads until they are known
to be linearizable.

A read is computed on arrival, at index N, and held until N is committed and a quorum has answered a message that was
sent after the read arrived; a refusal is a read too (design §3). Nobody waits for ever: whose patience is over while
the disk or the quorum is silent is told what is certain then, which for a result is nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec

from slimjobs.core.machine.line import Line
from slimjobs.core.machine.outbox import Outbox
from slimjobs.core.machine.requests import Request, Value, told_too_late
from slimjobs.eventlog.raft.types import Index, Term


class _Promise(msgspec.Struct, frozen=True, gc=False):
    """A result, once the entry of that index and term is committed."""

    request: Request
    index: Index
    term: Term
    value: Value


class _Read(msgspec.Struct, frozen=True, gc=False):
    request: Request
    index: Index
    barrier: int
    value: Value


class Answers:
    """What is held back, in the order in which it will be given. A *barrier* numbers a quorum's confirmation."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._promises: Line[_Promise] = Line()
        self._doubtful: list[_Promise] = []
        self._reads: Line[_Read] = Line()
        self._barrier = 1
        self._used = False
        self._confirmed = 0

    def promise(self, request: Request, index: Index, term: Term, value: Value) -> None:
        """Give this once the entry at the index is committed."""
        self._promises.append(_Promise(request, index, term, value))

    def hold(self, request: Request, index: Index, value: Value) -> None:
        """Give this once everything up to the index is committed and the next barrier is confirmed."""
        self._reads.append(_Read(request, index, self.next_barrier(), value))

    def hold_stale(self, request: Request, index: Index, value: Value) -> None:
        """Give this once everything up to the index is committed, confirmed by nobody."""
        self._reads.append(_Read(request, index, 0, value))

    # Barriers -------------------------------------------------------------------------------------------------------

    def next_barrier(self) -> int:
        """The barrier that will be asked for at the end of this call of the machine."""
        self._used = True
        return self._barrier

    def barrier_to_ask(self) -> int | None:
        """The barrier to ask consensus for now, if somebody waits for it."""
        if not self._used:
            return None
        self._used = False
        self._barrier += 1
        return self._barrier - 1

    def confirm(self, barrier: int) -> None:
        """A quorum has confirmed this barrier, and with it all before."""
        self._confirmed = max(self._confirmed, barrier)

    def confirmed(self, barrier: int) -> bool:
        """Whether this barrier is confirmed."""
        return barrier <= self._confirmed

    # What becomes of them -------------------------------------------------------------------------------------------

    def give_due(self, committed: Index, term_at: Callable[[Index], Term | None]) -> list[Request]:
        """Give what may be given now; the requests that surely came to nothing, to be decided again."""
        while self._promises and self._promises.first.index <= committed:
            promise = self._promises.take()
            self._outbox.answer(promise.request.token, promise.index, promise.value)
        while self._reads and self._reads.first.barrier <= self._confirmed and self._reads.first.index <= committed:
            read = self._reads.take()
            self._outbox.answer(read.request.token, read.index, read.value)
        return list(self._settle_doubts(committed, term_at)) if self._doubtful else []

    # Cut from this log is not gone: a later leader may have the entry and commit it (Raft, figure 8). Only what is
    # committed in its place shows that it never will be.
    def _settle_doubts(self, committed: Index, term_at: Callable[[Index], Term | None]) -> Iterator[Request]:
        doubtful, self._doubtful = self._doubtful, []
        for promise in doubtful:
            term = term_at(promise.index) if promise.index <= committed else None
            if term is None:
                self._doubtful.append(promise)
            elif term == promise.term:
                self._outbox.answer(promise.request.token, promise.index, promise.value)
            else:
                yield promise.request

    def lose_leadership(self) -> list[Request]:
        """This node leads no more: what was promised may still come true; the reads given are to be asked again."""
        self._doubtful += self._promises.take_all()
        self._used = False
        return [read.request for read in self._reads.take_all()]

    def refuse_overdue(self, committed: Index, now_ns: int) -> None:
        """Tell those whose patience is over."""
        for promise in self._promises.take_overdue(now_ns):
            self._doubt(promise, committed)
        for read in self._reads.take_overdue(now_ns):
            self._outbox.answer(read.request.token, committed, told_too_late(read.request, "the log does not answer"))
        if self._doubtful:
            late = [promise for promise in self._doubtful if promise.request.until_ns <= now_ns]
            self._doubtful = [promise for promise in self._doubtful if promise.request.until_ns > now_ns]
            for promise in late:
                self._doubt(promise, committed)

    def _doubt(self, promise: _Promise, committed: Index) -> None:
        request = msgspec.structs.replace(promise.request, passed_on=True)
        self._outbox.answer(request.token, committed, told_too_late(request))

    def deadlines(self) -> Iterator[int]:
        """When the patience of the next ones is over."""
        for line in (self._promises, self._reads):
            if (deadline := line.deadline_ns()) is not None:
                yield deadline
        yield from (promise.request.until_ns for promise in self._doubtful)
