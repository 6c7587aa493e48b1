"""Answers that are ready but may not be given yet: results until their record is committed, reads until they are known
to be linearizable.

A read is computed on arrival, at index N, and held until N is committed and a quorum has answered a message that was
sent after the read arrived; a refusal is a read too (design §3). Nobody waits for ever: whose patience is over while
the disk or the quorum is silent is told what is certain then, which for a result is nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec

from slimjobs.core.decide.commands import Accepted, Configured, Deleted, Result
from slimjobs.core.decide.refusals import NoLeader, OutcomeUnknown, Refusal
from slimjobs.core.machine.inputs import Token
from slimjobs.core.machine.outputs import Answer
from slimjobs.core.machine.queries import View
from slimjobs.eventlog.raft.types import Index


class _Held(msgspec.Struct, frozen=True):
    until_ns: int
    answer: Answer
    barrier: int = 0


class Answers:
    """What is held back, in the order in which it will be given. A *barrier* numbers a quorum's confirmation."""

    def __init__(self) -> None:
        self._results: deque[_Held] = deque()
        self._reads: deque[_Held] = deque()
        self._barrier = 1
        self._used = False
        self._confirmed = 0

    def promise(self, token: Token, index: Index, result: Result, until_ns: int) -> None:
        """Give this once the record at the index is committed."""
        self._results.append(_Held(until_ns, Answer(token, index, result)))

    def hold(self, token: Token, index: Index, value: Result | View | Refusal, until_ns: int) -> None:
        """Give this once everything up to the index is committed and the next barrier is confirmed."""
        self._reads.append(_Held(until_ns, Answer(token, index, value), self.next_barrier()))

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

    def due(self, committed: Index) -> Iterator[Answer]:
        """The answers that may be given now."""
        while self._results and self._results[0].answer.index <= committed:
            yield self._results.popleft().answer
        while self._reads and self._reads[0].barrier <= self._confirmed and self._reads[0].answer.index <= committed:
            yield self._reads.popleft().answer

    def overdue(self, committed: Index, now_ns: int) -> Iterator[Answer]:
        """What those are told whose patience is over."""
        for held in (self._results, self._reads):
            while held and held[0].until_ns <= now_ns:
                yield _uncertain(held.popleft().answer, committed)

    def deadlines(self) -> Iterator[int]:
        """When the patience of the next ones is over."""
        return (held[0].until_ns for held in (self._results, self._reads) if held)


def _uncertain(answer: Answer, committed: Index) -> Answer:
    match answer.value:
        case Accepted(runs):
            return Answer(answer.token, committed, OutcomeUnknown(runs))
        case Deleted() | Configured():
            return Answer(answer.token, committed, OutcomeUnknown())
        case _:
            return Answer(answer.token, committed, NoLeader("the log does not answer"))
