"""What a leader knows of each follower, and how much it may have on the way to it."""

from __future__ import annotations

import enum
from collections import deque
from typing import Final

from slimjobs.eventlog.raft.options import Options
from slimjobs.eventlog.raft.types import Index


class Sending(enum.Enum):
    """How entries go to a follower."""

    PROBE = "one append at a time, until the place where the logs agree is found"
    REPLICATE = "a stream of appends, within the window"
    SNAPSHOT = "none, until it has restored a snapshot"


FOLLOWS: Final = {
    Sending.PROBE: frozenset({Sending.REPLICATE, Sending.SNAPSHOT}),
    Sending.REPLICATE: frozenset({Sending.PROBE, Sending.SNAPSHOT}),
    Sending.SNAPSHOT: frozenset({Sending.REPLICATE}),
}
"""What can follow what."""


class Progress:
    """`match` and `next` are figure 2's matchIndex and nextIndex."""

    def __init__(self, last_index: Index) -> None:
        self.match = Index(0)
        self.next = Index(last_index + 1)
        self.sending = Sending.PROBE
        self.silent_ticks = 0
        self.told_commit = Index(0)
        self.was_noticed = False
        self.round = 0
        self.question_due = True
        self._inflight: deque[tuple[Index, int]] = deque()
        self._inflight_bytes = 0

    def tick(self) -> None:
        """A tick has passed, in which it said nothing."""
        self.silent_ticks += 1
        self.was_noticed = False

    def turn(self, sending: Sending) -> None:
        """Go on in another way; what was on the way is no longer counted."""
        if sending not in FOLLOWS[self.sending]:
            raise AssertionError(f"{self.sending.name} cannot become {sending.name}")
        self.sending = sending
        self.next = Index(self.match + 1)
        self.question_due = sending is not Sending.REPLICATE
        self.told_commit = Index(0)
        self._inflight.clear()
        self._inflight_bytes = 0

    def may_send_entries(self, options: Options) -> bool:
        """Whether one more append with entries may be on its way."""
        if self.sending is Sending.PROBE:
            return self.question_due
        return (
            self.sending is Sending.REPLICATE
            and len(self._inflight) < options.max_inflight_entries_messages
            and self._inflight_bytes < options.max_inflight_bytes
        )

    def sent(self, last: Index, size: int) -> None:
        """An append up to `last` left; while streaming, its entries are taken to arrive."""
        self.question_due = False
        if self.sending is Sending.REPLICATE and last >= self.next:
            self.next = Index(last + 1)
            self._inflight.append((last, size))
            self._inflight_bytes += size

    # Figure 2, leaders: a success moves matchIndex and nextIndex; acks come late and twice, so they only move forward.
    def accepted(self, index: Index) -> None:
        """The follower has everything up to `index` durably."""
        self.match = max(self.match, index)
        self.next = max(self.next, Index(self.match + 1))
        while self._inflight and self._inflight[0][0] <= self.match:
            self._inflight_bytes -= self._inflight.popleft()[1]

    # Figure 2, leaders: a refusal moves nextIndex back. A refusal of something older than what is known is stale.
    def refused(self, prev_index: Index, agreed: Index) -> None:
        """The logs differ at `prev_index` and can agree up to `agreed` at most."""
        if self.sending is Sending.REPLICATE and prev_index > self.match:
            self.turn(Sending.PROBE)
            self.next = max(Index(self.match + 1), min(prev_index, Index(agreed + 1)))
        elif self.sending is Sending.PROBE and prev_index == self.next - 1:
            self.question_due = True
            self.next = max(Index(self.match + 1), min(prev_index, Index(agreed + 1)))
