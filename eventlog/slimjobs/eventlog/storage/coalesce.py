"""Many waiting requests as one write. Pure."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from slimjobs.eventlog.raft.types import Entry, HardState, Index
from slimjobs.eventlog.storage.requests import Persist


class Write(msgspec.Struct, frozen=True):
    """What several `Persist` come to, in the order in which it is written: hard state, restart or cut, entries.

    The newest hard state may so become durable before entries that were asked for earlier. That is harmless: nothing
    that depends on either leaves before both are durable.
    """

    hard_state: HardState | None
    restart_after: Index | None
    truncate_after: Index | None
    entries: list[Entry]


def coalesce(requests: Iterable[Persist]) -> Write:
    """One write that leaves the disk as these would, one after the other."""
    hard_state: HardState | None = None
    restart_after: Index | None = None
    truncate_after: Index | None = None
    entries: list[Entry] = []
    for request in requests:
        hard_state = request.hard_state or hard_state
        if request.restart_after is not None:
            restart_after, truncate_after, entries = request.restart_after, None, []
        if request.truncate_after is not None:
            reaches_back = not entries or request.truncate_after < entries[0].index - 1
            entries = [entry for entry in entries if entry.index <= request.truncate_after]
            if reaches_back and restart_after is None:  # else what was written is dropped anyway
                before = request.truncate_after if truncate_after is None else truncate_after
                truncate_after = min(before, request.truncate_after)
        entries.extend(request.entries)
    return Write(hard_state, restart_after, truncate_after, entries)
