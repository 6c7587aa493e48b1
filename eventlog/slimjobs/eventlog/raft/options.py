"""What the core is given once: how it shall behave, and what the disk held when the node started."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from slimjobs.eventlog.raft.types import HardState, Index, Membership, NodeId, Term


class Options(msgspec.Struct, frozen=True):
    """Times are in ticks, whose length the caller chooses; a short tick gives finely drawn election timeouts.

    An election timeout is drawn from `election_ticks` up to twice that. `max_cached_bytes` bounds the durable entries
    kept in memory; `check_quorum` also makes voters loyal to a leader they hear (thesis §4.2.3, §6.2). Without
    `one_notice_a_tick` every commit that no append tells is told at once.
    """

    election_ticks: int = 10
    heartbeat_ticks: int = 1
    pre_vote: bool = True
    check_quorum: bool = True
    one_notice_a_tick: bool = False
    max_inflight_entries_messages: int = 256
    max_inflight_bytes: int = 4 << 20
    max_append_bytes: int = 256 << 10
    max_cached_bytes: int = 1 << 20


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """What is durable when a node starts.

    `membership` is the one in force at the snapshot (at index 0 without one), `configurations` those of later entries.
    `terms` are the log's terms as runs `(first index, term)`; `commit` is what is known to be committed, the snapshot
    at least; `seed` is fresh entropy for every start.
    """

    id: NodeId
    seed: int
    membership: Membership
    hard_state: HardState = HardState()
    snapshot_index: Index = Index(0)
    snapshot_term: Term = Term(0)
    first_index: Index = Index(1)
    last_index: Index = Index(0)
    terms: Sequence[tuple[Index, Term]] = ()
    configurations: Sequence[tuple[Index, Membership]] = ()
    commit: Index = Index(0)
