"""Consensus as a library: Raft (Ongaro and Ousterhout 2014; Ongaro's thesis) without any I/O.

Things go in by the calls of `Raft`, everything comes out of `Raft.ready()`: what to persist, what may leave, what is
committed. The package knows no clock, no chance but its seed, no disk, no network, and nothing of what entries mean.
Structure and words are those of the paper and of etcd's raft (`step`, `tick`, `ready`, `Progress`, pre-vote and
check-quorum together), with asynchronous writes: a message that depends on the disk is withheld until `persisted`.

Read `types`, `messages`, `options` and `ready` first, then `state`, `election`, `following`, `leading`, `replication`
beside the paper's figure 2, and `core` last. The others are their tools.
"""

from slimjobs.eventlog.raft.core import Raft
from slimjobs.eventlog.raft.membership import decode_membership, encode_membership
from slimjobs.eventlog.raft.messages import Message, SnapshotOffer
from slimjobs.eventlog.raft.options import Options, Start
from slimjobs.eventlog.raft.ready import Ready
from slimjobs.eventlog.raft.types import (
    ChangeKind,
    Entry,
    EntryKind,
    HardState,
    Index,
    Membership,
    MembershipChange,
    NodeId,
    Role,
    Term,
)

__all__ = [
    "ChangeKind",
    "Entry",
    "EntryKind",
    "HardState",
    "Index",
    "Membership",
    "MembershipChange",
    "Message",
    "NodeId",
    "Options",
    "Raft",
    "Ready",
    "Role",
    "SnapshotOffer",
    "Start",
    "Term",
    "decode_membership",
    "encode_membership",
]
