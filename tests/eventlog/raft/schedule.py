"""A random schedule: everything that can happen to a cluster, one thing at a time, all of it from one seed.

Messages are lost, doubled and overtaken, disks lag behind and are torn by crashes, the membership changes, logs are
compacted, and every node's options are drawn too. The witness looks at each node that something happened to. At the
end all faults cease, and the cluster has to find together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Final

from slimjobs.eventlog.raft import ChangeKind, Index, MembershipChange, NodeId, Options, Ready, Role
from tests.eventlog.raft.cluster import cluster_of
from tests.eventlog.raft.simulated import Node
from tests.eventlog.raft.witness import Witness

STEPS: Final = 3_000
PATIENCE_TICKS: Final = 600


def drawn_options(random: Random) -> Options:
    """Small bounds, so that all of them are reached."""
    return Options(
        election_ticks=random.choice([3, 10]),
        pre_vote=random.random() < 0.7,
        check_quorum=random.random() < 0.7,
        max_inflight_entries_messages=random.choice([1, 2, 256]),
        max_inflight_bytes=random.choice([8, 1 << 20]),
        max_append_bytes=random.choice([1, 30, 1 << 20]),
        max_cached_bytes=random.choice([0, 400, 1 << 20]),
    )


class Schedule:
    """One run of a seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        voters = self.random.choice([1, 2, 3, 3, 3, 5])
        self.cluster = cluster_of(voters, learners=self.random.choice([(), (6,)]), options=drawn_options(self.random))
        self.witness = Witness(self.cluster)
        self.floors: dict[int, Index] = {}
        self.proposed = 0
        for node in self.cluster.nodes.values():
            node.most_loaded = self.random.choice([1, 3, 64])

    def run(self) -> None:
        actions, weights = list(ACTIONS), list(ACTIONS.values())
        for action in self.random.choices(actions, weights, k=STEPS):
            action(self)
        self.find_together()

    def any_node(self) -> Node | None:
        live = self.cluster.live()
        return self.random.choice(live) if live else None

    def moved(self, node: Node) -> None:
        """Something happened to the node: take what it has to say, and look at it."""
        node.turn()
        self.cluster.post(node)
        self.witness.look_at(node)
        for token in node.reads.keys() & self.floors.keys():
            assert node.reads[token] >= self.floors.pop(token), f"a read on {node.id} is older than what was committed"

    def find_together(self) -> None:
        """Without faults there is soon one leader, and everyone who belongs has what it has."""
        self.cluster.heal()
        for node in sorted(self.cluster.down):
            restart(self, node)
        for _ in range(PATIENCE_TICKS):
            self.cluster.tick()
            self.witness.look_at_all()
            if self.is_together():
                return
        raise AssertionError(f"no agreement: {[(n.id, n.raft.role, n.raft.term) for n in self.cluster.live()]}")

    def leader(self) -> Node | None:
        """The newest leader; who was removed may stand in terms beyond, and nobody heeds it."""
        leaders = [node for node in self.cluster.live() if node.raft.role is Role.LEADER]
        return max(leaders, key=lambda node: node.raft.term, default=None)

    def is_together(self) -> bool:
        leader = self.leader()
        if leader is None or leader.raft.commit < leader.raft.last_index:
            return False
        membership = leader.raft.membership
        members = [self.cluster.nodes[node] for node in (*membership.voters, *membership.learners)]
        return all((m.applied_index, m.applied) == (leader.raft.commit, leader.applied) for m in members)


def tick(schedule: Schedule) -> None:
    if node := schedule.any_node():
        for _ in range(schedule.random.choice([1, 1, 5])):
            node.raft.tick()
        schedule.moved(node)


def campaign(schedule: Schedule) -> None:
    if node := schedule.any_node():
        node.raft.campaign()
        schedule.moved(node)


def propose(schedule: Schedule) -> None:
    """Several leaders may think that they lead; each is asked."""
    for node in schedule.cluster.live():
        if node.raft.role is Role.LEADER:
            schedule.proposed += 1
            schedule.cluster.propose(node.id, str(schedule.proposed))
            schedule.moved(node)


def read(schedule: Schedule) -> None:
    if node := schedule.any_node():
        token = len(schedule.floors) + schedule.random.randrange(1 << 40)
        schedule.floors[token] = max(each.raft.commit for each in schedule.cluster.nodes.values())
        node.raft.read(token)
        schedule.moved(node)


def arrive(schedule: Schedule) -> None:
    """Some messages of one link arrive: mostly in order, sometimes not, sometimes twice, sometimes never."""
    links = [link for link, queue in schedule.cluster.links.items() if queue]
    if not links:
        return
    _, to = link = schedule.random.choice(links)
    queue = schedule.cluster.links[link]
    for _ in range(min(len(queue), schedule.random.randint(1, 4))):
        place = schedule.random.randrange(len(queue)) if schedule.random.random() < 0.1 else 0
        message = queue[place]
        if schedule.random.random() > 0.05:
            del queue[place]
        if schedule.random.random() > 0.05:
            schedule.cluster.deliver(message)
    if to not in schedule.cluster.down:
        schedule.moved(schedule.cluster.nodes[to])


def sync(schedule: Schedule) -> None:
    if node := schedule.any_node():
        node.sync(schedule.random.randint(1, 4))
        schedule.moved(node)


def crash(schedule: Schedule) -> None:
    """Of what the disk was doing some is done and some is torn."""
    if (node := schedule.any_node()) is None:
        return
    writes = [work for work in node.work if isinstance(work, Ready)]
    done = schedule.random.randint(0, len(writes))
    for write in writes[:done]:
        node.disk.persist(write)
    for write in writes[done : done + 1]:
        node.disk.tear(write, schedule.random.randint(0, 3 + len(write.entries)))
    schedule.cluster.crash(node.id)


def restart(schedule: Schedule, node: NodeId | None = None) -> None:
    down = sorted(schedule.cluster.down)
    if node is None and down:
        node = schedule.random.choice(down)
    if node is not None:
        schedule.cluster.restart(node)
        schedule.witness.has_restarted(schedule.cluster.nodes[node])
        schedule.moved(schedule.cluster.nodes[node])


def partition(schedule: Schedule) -> None:
    nodes = list(schedule.cluster.nodes)
    schedule.random.shuffle(nodes)
    here = schedule.random.randint(0, len(nodes))
    schedule.cluster.partition(nodes[:here], nodes[here:])


def heal(schedule: Schedule) -> None:
    schedule.cluster.heal()


def compact(schedule: Schedule) -> None:
    if node := schedule.any_node():
        node.compact(schedule.random.choice([0, 2, 10]))
        schedule.moved(node)


def transfer(schedule: Schedule) -> None:
    leader, to = schedule.leader(), schedule.any_node()
    if leader and to:
        leader.raft.transfer(to.id)
        schedule.moved(leader)


def change_membership(schedule: Schedule) -> None:
    leader = schedule.leader()
    if leader is None:
        return
    node = NodeId(schedule.random.randint(1, 6))
    leader.raft.change_membership(MembershipChange(schedule.random.choice(list(ChangeKind)), node))
    if node not in schedule.cluster.nodes:
        schedule.cluster.add(node, next(iter(schedule.cluster.nodes.values())).genesis)
    schedule.moved(leader)


ACTIONS: Final[Mapping[Callable[[Schedule], None], float]] = {
    arrive: 60,
    sync: 30,
    tick: 10,
    propose: 8,
    read: 3,
    compact: 2,
    restart: 2,
    heal: 1,
    campaign: 0.5,
    crash: 0.5,
    change_membership: 0.5,
    partition: 0.3,
    transfer: 0.2,
}
"""How often each thing happens."""
