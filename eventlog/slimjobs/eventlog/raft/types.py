"""The words of consensus: indices, terms, entries, and the state that must survive a crash."""

from __future__ import annotations

import enum
from typing import Annotated, NewType

import msgspec

Natural = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
"""What numbers that are sent or stored may be, so that whatever is made of them can be sent and stored too."""

Index = NewType("Index", Natural)
"""Position in the log; the first entry is 1, and 0 stands for "before the log"."""

Term = NewType("Term", Natural)
"""A leader's reign; 0 stands for "none yet"."""

NodeId = NewType("NodeId", Natural)
"""A node as consensus knows it: one incarnation of one name; 0 stands for "nobody"."""


class EntryKind(enum.IntEnum):
    """What an entry's payload is."""

    RECORD = 0
    NO_OP = 1
    CONFIGURATION = 2


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One place of the log. The payload is opaque to consensus."""

    index: Index
    term: Term
    kind: EntryKind
    payload: bytes


class HardState(msgspec.Struct, frozen=True, array_like=True):
    """What a node must know again after a crash before it says anything (Raft, figure 2: persistent state)."""

    term: Term = Term(0)
    vote: NodeId = NodeId(0)


class Membership(msgspec.Struct, frozen=True, array_like=True):
    """Who counts for a majority, and who only follows."""

    voters: tuple[NodeId, ...] = ()
    learners: tuple[NodeId, ...] = ()


class Role(enum.Enum):
    """What a node is in its term (Raft, figure 4; the pre-candidate is of Ongaro's thesis, §9.6)."""

    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre-candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


class ChangeKind(enum.Enum):
    """The steps by which a membership changes; each moves at most one voter."""

    ADD_LEARNER = "add learner"
    ADD_VOTER = "add voter"
    REMOVE = "remove"


class MembershipChange(msgspec.Struct, frozen=True):
    """One step of a membership, for one node."""

    kind: ChangeKind
    node: NodeId
