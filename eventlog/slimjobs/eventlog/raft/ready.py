"""What the core wants done: the one thing that comes out of it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from slimjobs.eventlog.raft.messages import Message, SnapshotOffer
from slimjobs.eventlog.raft.types import Entry, HardState, Index


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """Everything new since the last one, each thing once.

    To persist, in this order: `hard_state`; the whole log dropped, so that the next entry is the one behind
    `restart_after`, for a snapshot stands for everything up to there and what the log had may be of another branch; the
    log cut after `truncate_after`; `entries`. When that is durable,
    `Raft.persisted(ticket)` says so; several may be outstanding. With `needs_disk` false there is nothing to say.
    Everything else may be done at once: `messages` may leave, `committed_entries` may be applied (a majority has
    them durably), `reads` are answered from a state that has applied their index, `lost_reads` have to be asked again,
    `load` is read from the log and given to `Raft.loaded`, `snapshot` is fetched from its sender and, once durable,
    given to `Raft.restored`; it is offered again and again until then.
    """

    ticket: int
    hard_state: HardState | None
    restart_after: Index | None
    truncate_after: Index | None
    entries: Sequence[Entry]
    messages: Sequence[Message]
    committed: Index
    committed_entries: Sequence[Entry]
    reads: Sequence[tuple[int, Index]]
    lost_reads: Sequence[int]
    load: tuple[Index, Index] | None
    snapshot: SnapshotOffer | None

    @property
    def needs_disk(self) -> bool:
        """Whether there is something to persist."""
        cut = self.restart_after is not None or self.truncate_after is not None
        return self.hard_state is not None or cut or len(self.entries) > 0
