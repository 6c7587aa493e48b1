"""Linearizable reads without a log entry: ReadIndex (thesis §6.4).

Reads that arrive together share a round of heartbeats; an answer to a round that began after a read arrived shows
that its sender still knew no newer leader then.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import msgspec

from slimjobs.eventlog.raft.types import Index, NodeId


class Asked(msgspec.Struct, frozen=True):
    """A read that waits for its round: `read` is the origin's number for it."""

    round: int
    index: Index
    origin: NodeId
    read: int


class Reads:
    """Reads of this node's callers, and on a leader those of followers too."""

    def __init__(self, first_number: int) -> None:
        """`first_number` differs at every start, so that an answer to a former life never fits."""
        self.round = 0
        self.done: list[tuple[int, Index]] = []
        self.lost: list[int] = []
        self._number = first_number
        self._tokens: dict[int, int] = {}
        self._waiting: deque[Asked] = deque()

    @property
    def round_due(self) -> bool:
        """Whether a read waits that no round of heartbeats covers yet."""
        return bool(self._waiting) and self._waiting[-1].round > self.round

    def number(self, token: int) -> int:
        """Enter a read of an own caller."""
        self._number += 1
        self._tokens[self._number] = token
        return self._number

    def ask(self, origin: NodeId, read: int, commit: Index) -> None:
        """Thesis §6.4, step 2: remember the commit index at the moment of asking, and wait for the next round."""
        self._waiting.append(Asked(self.round + 1, commit, origin, read))

    def confirmed(self, reached: int) -> Sequence[Asked]:
        """The reads whose round a majority has answered."""
        confirmed = []
        while self._waiting and self._waiting[0].round <= reached:
            confirmed.append(self._waiting.popleft())
        return confirmed

    def finish(self, read: int, index: Index) -> None:
        """An own caller's read has its index; 0: it is lost."""
        token = self._tokens.pop(read, None)
        if token is None:
            return
        if index:
            self.done.append((token, index))
        else:
            self.lost.append(token)

    def lose_all(self) -> None:
        """The leader that was asked is none any more, here or elsewhere."""
        self._waiting.clear()
        self.lost += self._tokens.values()
        self._tokens.clear()

    def take(self) -> tuple[Sequence[tuple[int, Index]], Sequence[int]]:
        """What is done and what is lost, each told once."""
        done, lost = self.done, self.lost
        self.done, self.lost = [], []
        return done, lost
