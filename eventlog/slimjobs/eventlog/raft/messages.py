"""What nodes say to each other: one tagged union, encoded as arrays; fields are only ever appended, with defaults.

Every message names its sender, its addressee and the sender's term (a pre-vote names the term it asks about).
"""

from __future__ import annotations

import msgspec

from slimjobs.eventlog.raft.types import Entry, Index, Membership, Natural, NodeId, Term


class Addressed(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What every message begins with."""

    sender: NodeId
    to: NodeId
    term: Term


class PreVoteRequest(Addressed, frozen=True, tag=1):
    """Would you vote for me in `term`? It changes nobody's term (thesis §9.6)."""

    last_index: Index
    last_term: Term


class PreVoteAnswer(Addressed, frozen=True, tag=2):
    """A yes carries the term asked about, a no the voter's own."""

    granted: bool


class VoteRequest(Addressed, frozen=True, tag=3):
    """RequestVote (figure 2). `forced`: the leader itself asked for this election (thesis §3.10)."""

    last_index: Index
    last_term: Term
    forced: bool = False


class VoteAnswer(Addressed, frozen=True, tag=4):
    """The answer to a `VoteRequest`."""

    granted: bool


class Append(Addressed, frozen=True, tag=5):
    """AppendEntries (figure 2); without entries it asks whether the logs agree at `prev_index`."""

    prev_index: Index
    prev_term: Term
    commit: Index
    entries: tuple[Entry, ...] = ()


class AppendAnswer(Addressed, frozen=True, tag=6):
    """Accepted: durable and equal up to `index`. Refused: `index` is the `prev_index` that did not match.

    A refusal hints at the last place where the logs may agree: no entry of the follower in `hint_index+1..index` has
    a term that the leader's log could have there (§5.3, end).
    """

    accepted: bool
    index: Index
    hint_index: Index = Index(0)
    hint_term: Term = Term(0)


class Heartbeat(Addressed, frozen=True, tag=7):
    """I still lead; all that you hold up to `commit` is committed. `round` numbers the reads that it confirms."""

    commit: Index
    round: Natural = 0


class HeartbeatAnswer(Addressed, frozen=True, tag=8):
    """You still lead, as far as I know."""

    round: Natural = 0


class CommitNotice(Addressed, frozen=True, tag=9):
    """All that you hold up to `commit` is committed; needs no answer."""

    commit: Index


class SnapshotOffer(Addressed, frozen=True, tag=10):
    """InstallSnapshot (§7) without its bytes: fetch the snapshot of `index`, the log you need is gone."""

    index: Index
    snapshot_term: Term
    membership: Membership


class TimeoutNow(Addressed, frozen=True, tag=11):
    """Stand for election now, you are as far as I am (thesis §3.10)."""


class ReadRequest(Addressed, frozen=True, tag=12):
    """Which index must I have applied to answer this read? `read` is unique over all starts of the sender."""

    read: Natural


class ReadAnswer(Addressed, frozen=True, tag=13):
    """The index for that read; 0 if it has to be asked again."""

    read: Natural
    index: Index


Message = (
    Append
    | AppendAnswer
    | Heartbeat
    | HeartbeatAnswer
    | CommitNotice
    | PreVoteRequest
    | PreVoteAnswer
    | VoteRequest
    | VoteAnswer
    | SnapshotOffer
    | TimeoutNow
    | ReadRequest
    | ReadAnswer
)
