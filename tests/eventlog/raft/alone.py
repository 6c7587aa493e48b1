"""One node without a cluster: the test writes what its disk holds and what it is told, and reads what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from slimjobs.eventlog.raft import Entry, EntryKind, HardState, Index, Membership, Message, NodeId, Options, Term
from slimjobs.eventlog.raft.messages import Append, AppendAnswer, HeartbeatAnswer, VoteAnswer, VoteRequest
from tests.eventlog.raft.cluster import Cluster, cluster_of
from tests.eventlog.raft.simulated import Disk, Node, Snapshot

LEARNER = Membership((NodeId(2), NodeId(3)), (NodeId(1),))
"""Node 1 only follows."""
PLAIN = Options(pre_vote=False, check_quorum=False)
ME, A, B, C, D = map(NodeId, range(1, 6))

M = TypeVar("M", bound=Message)


def entries(*terms: int, after: int = 0) -> tuple[Entry, ...]:
    """Entries of these terms behind that index; the same term and index always hold the same payload."""
    return tuple(
        Entry(Index(index), Term(term), EntryKind.RECORD, f"{index}@{term}".encode())
        for index, term in enumerate(terms, after + 1)
    )


def node_with(
    log: Sequence[int] = (),
    *,
    term: int = 0,
    vote: int = 0,
    voters: int = 3,
    learners: Sequence[int] = (),
    options: Options = PLAIN,
    membership: Membership | None = None,
) -> Node:
    """Node 1 of so many voters, whose disk holds a log of these terms; at least the term of its last entry is known."""
    membership = membership or Membership(tuple(map(NodeId, range(1, voters + 1))), tuple(map(NodeId, learners)))
    disk = Disk(Snapshot(Index(0), Term(0), membership))
    disk.hard_state = HardState(Term(max(term, *log, 0)), NodeId(vote))
    disk.entries = list(entries(*log))
    return Node(ME, disk, options, lambda _: disk.snapshot, seed=1)


def say(node: Node, *messages: Message) -> list[Message]:
    """What the node answers once everything is durable."""
    for message in messages:
        node.raft.step(message)
    node.settle()
    answers, node.outbox = node.outbox, []
    return answers


def only(kind: type[M], messages: Sequence[Message]) -> list[M]:
    return [message for message in messages if isinstance(message, kind)]


def append(term: int, prev: tuple[int, int], *new: int, commit: int = 0, sender: NodeId = A) -> Append:
    """An append of a leader: behind the entry `prev`, which is index and term, entries of these terms."""
    index, prev_term = prev
    return Append(sender, ME, Term(term), Index(index), Term(prev_term), Index(commit), entries(*new, after=index))


def ask_vote(term: int, last: tuple[int, int] = (0, 0), sender: NodeId = A, *, forced: bool = False) -> VoteRequest:
    """A candidate whose last entry is `last`, which is index and term."""
    return VoteRequest(sender, ME, Term(term), Index(last[0]), Term(last[1]), forced)


def vote(term: int, sender: NodeId, *, granted: bool = True) -> VoteAnswer:
    return VoteAnswer(sender, ME, Term(term), granted)


def ack(node: Node, sender: NodeId, index: int | None = None) -> AppendAnswer:
    """The follower holds everything up to that index, or everything."""
    held = node.raft.last_index if index is None else Index(index)
    return AppendAnswer(sender, ME, node.raft.term, accepted=True, index=held)


def beat(node: Node, sender: NodeId) -> HeartbeatAnswer:
    """The follower has answered the newest heartbeat."""
    return HeartbeatAnswer(sender, ME, node.raft.term, node.raft.reads.round)


def lead(node: Node, *, committed: bool = True) -> Node:
    """Make it the leader of its next term; its no-op committed or not."""
    node.raft.campaign()
    node.settle()
    for voter in node.raft.membership.voters:
        if voter != ME:
            say(node, vote(node.raft.term, voter))
    if committed and node.raft.membership.voters != (ME,):
        say(node, *(ack(node, voter) for voter in node.raft.membership.voters if voter != ME))
    return node


def propose(node: Node, *payloads: bytes) -> Index | None:
    return node.raft.propose([(EntryKind.RECORD, payload) for payload in payloads])


def terms(node: Node) -> list[int]:
    return [entry.term for entry in node.log()]


def cluster_with(*logs: Sequence[int], options: Options = PLAIN) -> Cluster:
    """Voters whose disks hold logs of these terms, all of them aware of the highest."""
    cluster = cluster_of(len(logs), options=options)
    for node, log in zip(cluster.live(), logs, strict=True):
        node.disk.entries = list(entries(*log))
        node.disk.hard_state = HardState(Term(max(map(max, filter(None, logs)))))
        cluster.restart(node.id)
    return cluster
