"""Answers that are ready but may not be given yet: results until their record is committed, reads until they are known
to be linearizable.

A read is computed on arrival, at index N, and held until N is committed and a quorum has answered a message that was
sent after the read arrived; a refusal is a read too (design §3).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec

from slimjobs.core.decide.commands import Result
from slimjobs.core.decide.refusals import Refusal
from slimjobs.core.machine.inputs import Token
from slimjobs.core.machine.outputs import Answer
from slimjobs.core.machine.queries import View
from slimjobs.eventlog.raft.types import Index


class _Read(msgspec.Struct, frozen=True):
    barrier: int
    answer: Answer


class Answers:
    """What is held back, in the order in which it will be given. A *barrier* numbers a quorum's confirmation."""

    def __init__(self) -> None:
        self._results: deque[Answer] = deque()
        self._reads: deque[_Read] = deque()
        self._barrier = 1
        self._used = False
        self._confirmed = 0

    def promise(self, token: Token, index: Index, result: Result) -> None:
        """Give this once the record at the index is committed."""
        self._results.append(Answer(token, index, result))

    def hold(self, token: Token, index: Index, value: Result | View | Refusal) -> None:
        """Give this once everything up to the index is committed and the next barrier is confirmed."""
        self._reads.append(_Read(self.next_barrier(), Answer(token, index, value)))

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
        while self._results and self._results[0].index <= committed:
            yield self._results.popleft()
        while self._reads and self._reads[0].barrier <= self._confirmed and self._reads[0].answer.index <= committed:
            yield self._reads.popleft().answer
