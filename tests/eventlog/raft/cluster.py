"""Simulated nodes and the links between them, in single steps and by the test's own clock."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec

from slimjobs.eventlog.raft import EntryKind, Index, Membership, Message, NodeId, Options, Role, Term
from tests.eventlog.raft.simulated import Disk, Node, Snapshot

Link = tuple[NodeId, NodeId]
Blocks = Callable[[Message], bool]

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


class Cluster:
    """Nodes by id, messages on their way by link. A link is first in, first out unless a test takes from its middle."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.nodes: dict[NodeId, Node] = {}
        self.down: set[NodeId] = set()
        self.stalled: set[NodeId] = set()
        self.links: dict[Link, deque[Message]] = defaultdict(deque)
        self.cut: set[Link] = set()
        self.blocks: list[Blocks] = []
        self.sent: list[Message] = []
        self._seed = 0

    def add(self, node: int, membership: Membership, disk: Disk | None = None) -> Node:
        """Start a node, from an empty disk if none is given; the membership is the one at index 0."""
        disk = disk or Disk(Snapshot(Index(0), Term(0), membership))
        added = Node(NodeId(node), disk, self.options, self.snapshot_of, self._fresh_seed())
        self.nodes[added.id] = added
        return added

    def _fresh_seed(self) -> int:
        self._seed += 1
        return self._seed

    def snapshot_of(self, sender: NodeId) -> Snapshot:
        """The bytes of a snapshot that were asked for."""
        return self.nodes[sender].disk.snapshot

    def live(self) -> list[Node]:
        return [node for node in self.nodes.values() if node.id not in self.down]

    def leader(self) -> Node | None:
        """The one that leads the highest term, if there is one."""
        highest = max(node.raft.term for node in self.live())
        leaders = [n for n in self.live() if n.raft.role is Role.LEADER and n.raft.term == highest]
        return leaders[0] if leaders else None

    def post(self, node: Node) -> bool:
        """Put on the links what the node has let go; as bytes and back, as they would travel."""
        outbox, node.outbox = node.outbox, []
        for message in outbox:
            self.links[message.sender, message.to].append(_decoder.decode(_encoder.encode(message)))
        self.sent += outbox
        return bool(outbox)

    def is_blocked(self, message: Message) -> bool:
        gone = message.to in self.down or message.to not in self.nodes or (message.sender, message.to) in self.cut
        return gone or any(blocks(message) for blocks in self.blocks)

    def deliver(self, message: Message) -> None:
        """Hand the message over, or lose it."""
        if not self.is_blocked(message):
            self.nodes[message.to].raft.step(message)

    def settle(self, only: Collection[int] = (), limit: int = 20_000) -> None:
        """Persist, exchange and deliver until nothing moves; a stalled node receives nothing and does nothing."""
        moving, delivered = True, 0
        while moving:
            moving = False
            for node in self._reachable(only):
                node.settle()
                moving |= self.post(node)
            for message in self._take_arrivals([node.id for node in self._reachable(only)]):
                moving = True
                delivered += 1
                self.deliver(message)
            assert delivered < limit, "the nodes talk without end"

    def _reachable(self, only: Collection[int]) -> list[Node]:
        return [node for node in self.live() if node.id not in self.stalled and (not only or node.id in only)]

    def _take_arrivals(self, receivers: Sequence[NodeId]) -> Iterable[Message]:
        for link in sorted(self.links):
            reaches = link[1] in receivers or link[1] in self.down or link[1] not in self.nodes
            while reaches and self.links[link]:
                yield self.links[link].popleft()

    def elect(self, node: int) -> None:
        """The node's election timeout is over, and everyone does what follows from that."""
        self.nodes[NodeId(node)].raft.campaign()
        self.settle()

    def propose(self, node: int, data: str) -> bool:
        return self.nodes[NodeId(node)].raft.propose([(EntryKind.RECORD, data.encode())]) is not None

    def tick(self, count: int = 1, nodes: Collection[int] = (), *, settle: bool = True) -> None:
        """So many ticks for those nodes, or all; everyone does what follows from each."""
        for _ in range(count):
            for node in self.live():
                if not nodes or node.id in nodes:
                    node.raft.tick()
            if settle:
                self.settle()

    def partition(self, *groups: Sequence[int]) -> None:
        """Cut every link between groups, and none within."""
        side = {NodeId(node): number for number, group in enumerate(groups) for node in group}
        self.cut = {(a, b) for a in side for b in side if side[a] != side[b]}

    def heal(self) -> None:
        self.cut, self.blocks = set(), []

    def crash(self, *nodes: int) -> None:
        """Lose what is not durable, and what is on its way from or to the nodes."""
        self.down |= {NodeId(node) for node in nodes}
        self.stalled -= self.down
        for link, queue in self.links.items():
            if link[0] in self.down or link[1] in self.down:
                queue.clear()

    def restart(self, *nodes: int) -> None:
        for node in map(NodeId, nodes):
            self.down.discard(node)
            self.nodes[node].start(self._fresh_seed())


def cluster_of(voters: int, *, learners: Sequence[int] = (), options: Options | None = None) -> Cluster:
    """So many voters, numbered from 1, and those learners, all with empty logs; plain Raft unless told otherwise."""
    cluster = Cluster(options or Options(pre_vote=False, check_quorum=False))
    membership = Membership(tuple(map(NodeId, range(1, voters + 1))), tuple(map(NodeId, learners)))
    for node in (*membership.voters, *membership.learners):
        cluster.add(node, membership)
    return cluster


def with_options(options: Mapping[str, int]) -> Options:
    """The options of a scenario, in its own words; what it does not name is plain Raft's."""
    return Options(
        election_ticks=options.get("election_ticks", 10),
        heartbeat_ticks=options.get("heartbeat_ticks", 1),
        pre_vote=bool(options.get("prevote", False)),
        check_quorum=bool(options.get("check_quorum", False)),
        max_inflight_entries_messages=options.get("max_inflight", 256),
    )
