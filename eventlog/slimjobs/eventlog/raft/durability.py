"""Nothing leaves before it is durable: which messages wait for which write."""

from __future__ import annotations

from collections import deque

from slimjobs.eventlog.raft.messages import AppendAnswer, Message, PreVoteAnswer, PreVoteRequest
from slimjobs.eventlog.raft.types import HardState, Index, Term


class Durability:
    """Writes are numbered by tickets, done in order; several may be outstanding.

    `ticket` was handed out last, everything up to `durable` is on the disk.
    """

    def __init__(self, hard_state: HardState) -> None:
        self.ticket = self.durable = 0
        self.hard_state = hard_state
        self._hard_state_ticket = 0
        self._writes: deque[tuple[int, Index]] = deque()
        self.outbox: list[Message] = []
        self._held: list[tuple[int, Message]] = []

    @property
    def oldest_write(self) -> int:
        """The ticket of the write that has been outstanding longest; 0 if there is none."""
        return self._writes[0][0] if self._writes else 0

    # Figure 2: "updated on stable storage before responding to RPCs". An ack promises entries; every other message
    # promises at least the sender's term, and a vote the vote. A pre-vote promises nothing (thesis §9.6).
    def send(self, message: Message, hard_state: HardState, entries_pending: bool) -> None:
        """Let the message leave as soon as what it promises is durable."""
        if isinstance(message, PreVoteRequest | PreVoteAnswer):
            needed = 0
        elif hard_state != self.hard_state:
            needed = self.ticket + 1
        elif isinstance(message, AppendAnswer) and message.accepted:
            needed = self.ticket + 1 if entries_pending else self._writes[-1][0] if self._writes else 0
        else:
            needed = self._hard_state_ticket
        if needed <= self.durable:
            self.outbox.append(message)
        else:
            self._held.append((needed, message))

    # An ack of an older term may speak of entries that were cut since; nobody needs what else an older term held back.
    def drop_held_before(self, term: Term) -> None:
        """Forget held messages of terms before this one."""
        self._held = [(needed, message) for needed, message in self._held if message.term >= term]

    def hand_out(self, hard_state: HardState, last_index: Index, entries_changed: bool) -> HardState | None:
        """Number the next write; the hard state if it is new."""
        self.ticket += 1
        changed = hard_state != self.hard_state
        if changed:
            self.hard_state, self._hard_state_ticket = hard_state, self.ticket
        if changed or entries_changed:
            self._writes.append((self.ticket, last_index))
        return hard_state if changed else None

    def cut(self, after: Index) -> None:
        """The log was cut: writes under way leave nothing behind `after` that counts."""
        self._writes = deque((ticket, min(last, after)) for ticket, last in self._writes)

    def persisted(self, ticket: int) -> tuple[Index, list[Message]]:
        """How far the log is durable now (0: no further than before), and the messages that waited for that."""
        self.durable = max(self.durable, ticket)
        last = Index(0)
        while self._writes and self._writes[0][0] <= ticket:
            last = max(last, self._writes.popleft()[1])
        released = [message for needed, message in self._held if needed <= ticket]
        if released:
            self._held = [(needed, message) for needed, message in self._held if needed > ticket]
        return last, released

    def take_outbox(self) -> list[Message]:
        """The messages that may leave now."""
        outbox, self.outbox = self.outbox, []
        return outbox
