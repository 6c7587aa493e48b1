"""Carries out the scenarios of `scenarios.json`: black-box stories about a cluster, in neutral terms.

A scenario says who votes, what their disks hold, and then step by step what happens and what must be seen. The steps
are the functions of `STEPS`, the facts that can be expected those of `FACTS`; the safety properties are judged by a
witness after every step that lets something happen. `scenarios.json` explains its own words at its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from slimjobs.eventlog.raft import (
    ChangeKind,
    Entry,
    EntryKind,
    HardState,
    Index,
    Membership,
    MembershipChange,
    Message,
    NodeId,
    Role,
    Term,
)
from slimjobs.eventlog.raft.messages import (
    Append,
    AppendAnswer,
    CommitNotice,
    Heartbeat,
    HeartbeatAnswer,
    PreVoteAnswer,
    PreVoteRequest,
    SnapshotOffer,
    TimeoutNow,
    VoteAnswer,
    VoteRequest,
)
from tests.eventlog.raft.cluster import Blocks, Cluster, with_options
from tests.eventlog.raft.simulated import Disk, Node, Snapshot
from tests.eventlog.raft.witness import Witness

Json = Mapping[str, Any]  # parsed JSON has no narrower type

HEARTBEATS: Final = (Heartbeat, HeartbeatAnswer, CommitNotice)
CLASSES: Final[Mapping[str, tuple[type[Message], ...]]] = {
    "vote": (VoteRequest, VoteAnswer),
    "prevote": (PreVoteRequest, PreVoteAnswer),
    "append": (Append, AppendAnswer, *HEARTBEATS),
    "entries": (Append,),
    "append_req": (Append,),
    "append_resp": (AppendAnswer,),
    "heartbeat": HEARTBEATS,
    "snapshot": (SnapshotOffer,),
    "snap_req": (SnapshotOffer,),
    "timeout_now": (TimeoutNow,),
}
ROLES: Final = {
    Role.FOLLOWER: "follower",
    Role.PRE_CANDIDATE: "candidate",
    Role.CANDIDATE: "candidate",
    Role.LEADER: "leader",
}
KINDS: Final = {
    "add_voter": ChangeKind.ADD_VOTER,
    "add_learner": ChangeKind.ADD_LEARNER,
    "remove": ChangeKind.REMOVE,
}
NEVER_AGAIN: Final = {"not_applied", "commit_at_most", "inflight_entries_max"}
"""Facts that must hold at once: with time a cluster could only come to break them."""


class Scenario:
    """A cluster, and what the story remembers of it."""

    def __init__(self, story: Json) -> None:
        config = story["config"]
        self.cluster = Cluster(with_options(config.get("options", {})))
        self.genesis = Membership(tuple(config["voters"]), tuple(config["learners"]))
        self.witness = Witness(self.cluster)
        self.read_tokens: dict[str, int] = {}
        for node in (*config["voters"], *config["learners"]):
            self.cluster.add(node, self.genesis, disk_with(config.get("initial", {}).get(str(node), {}), self.genesis))
        self.steps = story["steps"]

    def play(self) -> None:
        for number, step in enumerate(self.steps):
            try:
                STEPS[step["op"]](self, step)
            except AssertionError as broken:
                raise AssertionError(f"step {number} {step}: {broken}") from broken

    def node(self, node: int | str) -> Node:
        return self.cluster.nodes[NodeId(int(node))]

    def nodes_of(self, step: Json) -> list[int]:
        return step["nodes"] if "nodes" in step else [step["node"]] if "node" in step else []

    def settle(self, only: list[int] | tuple[()] = ()) -> None:
        self.cluster.settle(only)
        self.witness.look_at_all()

    def tick(self, nodes: list[int], *, settle: bool = True) -> None:
        self.cluster.tick(1, nodes, settle=settle)
        self.witness.look_at_all()


def disk_with(initial: Json, genesis: Membership) -> Disk:
    """A disk as the scenario describes it; a bare term t at index i stands for the payload `t<t>.i<i>`."""
    snap = initial.get("snap", {"index": 0, "term": 0, "applied": []})
    applied = tuple(payload.encode() for payload in snap["applied"])
    disk = Disk(Snapshot(Index(snap["index"]), Term(snap["term"]), genesis, applied))
    disk.hard_state = HardState(Term(initial.get("term", 0)), NodeId(initial.get("vote") or 0))
    disk.commit = Index(initial.get("commit", 0))
    disk.entries = entries_of(initial.get("log", []), disk.first_index)
    return disk


def entries_of(log: list[int | tuple[int, str]], first: int) -> list[Entry]:
    """The entries that a scenario writes as terms, or as terms with payloads."""
    entries = []
    for index, each in enumerate(log, first):
        term, payload = (each, f"t{each}.i{index}") if isinstance(each, int) else each
        entries.append(Entry(Index(index), Term(term), EntryKind.RECORD, payload.encode()))
    return entries


# What happens.


def timeout(scenario: Scenario, step: Json) -> None:
    scenario.node(step["node"]).raft.campaign()


def elect(scenario: Scenario, step: Json) -> None:
    timeout(scenario, step)
    scenario.settle()


def settle(scenario: Scenario, step: Json) -> None:
    scenario.settle(step.get("only", ()))


def tick(scenario: Scenario, step: Json) -> None:
    unit = scenario.cluster.options.election_ticks if step.get("unit") == "election" else 1
    for _ in range(int(step["n"] * unit)):
        scenario.tick(scenario.nodes_of(step), settle=step.get("settle", True))


def converge(scenario: Scenario, step: Json) -> None:
    """Eventually one leader at the highest term, known to all, and the same log everywhere."""
    for _ in range(step.get("election_timeouts", 60) * scenario.cluster.options.election_ticks):
        scenario.tick([])
        leader = scenario.cluster.leader()
        nodes = scenario.nodes_of(step) or list(scenario.cluster.nodes)
        if leader and {place(scenario.node(node)) for node in nodes} == {place(leader)}:
            return
    raise AssertionError("no convergence")


def place(node: Node) -> tuple[int, int, int]:
    return node.raft.leader, node.raft.last_index, node.raft.commit


def propose(scenario: Scenario, step: Json) -> None:
    """A follower passes on what it is asked; here that is the caller's part."""
    node = scenario.node(step["node"]).raft
    accepted = scenario.cluster.propose(step["node"], step["data"])
    if not accepted and node.leader in scenario.cluster.nodes and node.role is not Role.LEADER:
        accepted = scenario.cluster.propose(node.leader, step["data"])
    assert accepted == step.get("accepted", accepted)


def read(scenario: Scenario, step: Json) -> None:
    token = scenario.read_tokens.setdefault(step["id"], len(scenario.read_tokens) + 1)
    scenario.node(step["node"]).raft.read(token)


def transfer(scenario: Scenario, step: Json) -> None:
    scenario.node(step["node"]).raft.transfer(step["to"])


def conf(scenario: Scenario, step: Json) -> None:
    ((kind, node),) = step["changes"]
    taken = scenario.node(step["node"]).raft.change_membership(MembershipChange(KINDS[kind], node))
    assert (taken is not None) == step.get("accepted", taken is not None)


def join(scenario: Scenario, step: Json) -> None:
    scenario.cluster.add(step["node"], scenario.genesis)


def partition(scenario: Scenario, step: Json) -> None:
    scenario.cluster.partition(*step["groups"])


def cut(scenario: Scenario, step: Json) -> None:
    there, back = (step["from"], step["to"]), (step["to"], step["from"])
    scenario.cluster.cut |= {there, back} if step.get("both", True) else {there}


def heal(scenario: Scenario, step: Json) -> None:
    scenario.cluster.heal()


def drop(scenario: Scenario, step: Json) -> None:
    scenario.cluster.blocks.append(blocker(step))


def blocker(step: Json) -> Blocks:
    """Whether a message is among those that a `drop` names."""

    def blocks(message: Message) -> bool:
        if step.get("from") not in (None, message.sender) or step.get("to") not in (None, message.to):
            return False
        if step.get("class") == "entries":
            return isinstance(message, Append) and bool(message.entries)
        return "class" not in step or isinstance(message, CLASSES[step["class"]])

    return blocks


def lose(scenario: Scenario, step: Json) -> None:
    for (sender, to), queue in scenario.cluster.links.items():
        if step.get("from") in (None, sender) and step.get("to") in (None, to):
            queue.clear()


def hold(scenario: Scenario, step: Json) -> None:
    scenario.cluster.stalled.add(step["node"])


def unhold(scenario: Scenario, step: Json) -> None:
    scenario.cluster.stalled.discard(step["node"])


def crash(scenario: Scenario, step: Json) -> None:
    scenario.cluster.crash(*scenario.nodes_of(step))


def restart(scenario: Scenario, step: Json) -> None:
    for node in scenario.nodes_of(step):
        scenario.cluster.restart(node)
        scenario.witness.has_restarted(scenario.node(node))


def compact(scenario: Scenario, step: Json) -> None:
    scenario.node(step["node"]).compact(step.get("keep", 0))


def inject(scenario: Scenario, step: Json) -> None:
    """A message made by hand, and the answer to it, which goes nowhere."""
    node, told = scenario.node(step["node"]), step["msg"]
    if told["kind"] == "snap_req":
        snapshot = Snapshot(told["index"], told["last_term"], Membership(tuple(told["voters"])), tuple(told["applied"]))
        node.fetch = lambda _: snapshot
    node.raft.step(made_by_hand(told, node.id))
    if not step.get("drain", True):
        return
    node.settle()
    answers, node.outbox = [message for message in node.outbox if message.to == told["from"]], []
    scenario.witness.look_at_all()
    if "reply" in step:
        expect_reply(step["reply"], answers)


def made_by_hand(told: Json, to: NodeId) -> Message:
    sender, term = NodeId(told["from"]), Term(told["term"])
    match told["kind"]:
        case "vote_req":
            return VoteRequest(sender, to, term, told["last_index"], told["last_term"])
        case "vote_resp":
            return VoteAnswer(sender, to, term, told["granted"])
        case "append_req":
            entries = tuple(entries_of(told["entries"], told["prev_index"] + 1))
            return Append(sender, to, term, told["prev_index"], told["prev_term"], told["commit"], entries)
        case "append_resp":
            return AppendAnswer(sender, to, term, told["success"], told["match"])
        case "snap_req":
            return SnapshotOffer(sender, to, term, told["index"], told["last_term"], Membership(tuple(told["voters"])))
    raise ValueError(f"no scenario injects {told['kind']}")


def expect_reply(wanted: Json, answers: list[Message]) -> None:
    if not answers:
        refused = wanted.get("granted") is False or wanted.get("success") is False
        assert wanted.get("none") or (wanted.get("silence_ok") and refused), "no answer"
        return
    assert not wanted.get("none"), f"unexpected {answers}"
    match answers[-1]:
        case VoteAnswer() as vote:
            assert vote.granted == wanted["granted"], vote
        case AppendAnswer() as answer:
            assert answer.accepted == wanted["success"], answer
            assert answer.index == wanted.get("match", answer.index), answer
        case other:
            raise AssertionError(f"answered by {other}")


def expect(scenario: Scenario, step: Json) -> None:
    """The facts hold now, or after some heartbeats, which carry what messages alone did not."""
    facts = {name: value for name, value in step.items() if name in FACTS}
    unknown = step.keys() - facts.keys() - {"op", "note", "within", "leader_any_term"}
    assert not unknown, f"no such facts: {unknown}"
    patience = 0 if NEVER_AGAIN & facts.keys() else step.get("within", 3)
    for remaining in range(patience, -1, -1):
        try:
            check(scenario, facts)
        except AssertionError:
            if remaining == 0:
                raise
            scenario.tick([])
        else:
            return


def check(scenario: Scenario, facts: Json) -> None:
    scenario.witness.look_at_all()
    for name, value in facts.items():
        FACTS[name](scenario, value)


# What must be seen. Most facts are a value for each node.


def of_each(view: Callable[[Node], object]) -> Callable[[Scenario, Any], None]:
    """The fact that each named node's view has the value given for it."""

    def fact(scenario: Scenario, values: Json) -> None:
        seen = {node: view(scenario.node(node)) for node in values}
        assert seen == values, f"seen {seen}"

    return fact


def equal_on(view: Callable[[Node], object]) -> Callable[[Scenario, Any], None]:
    """The fact that all named nodes have the same view."""

    def fact(scenario: Scenario, nodes: list[int]) -> None:
        views = [view(scenario.node(node)) for node in nodes]
        assert views == views[:1] * len(views), f"seen {views}"

    return fact


def payloads(node: Node) -> list[str]:
    return [payload.decode() for payload in node.applied]


def payloads_in_log(node: Node) -> list[str]:
    return [entry.payload.decode() for entry in node.log() if entry.kind is EntryKind.RECORD]


def end_of_log(node: Node) -> tuple[object, ...]:
    return node.raft.last_index, *node.log()[-1:]


def leader(scenario: Scenario, wanted: int | None) -> None:
    if wanted is None:
        leaders = [node.id for node in scenario.cluster.live() if node.raft.role is Role.LEADER]
        assert not leaders, f"{leaders} lead"
    else:
        leader_in(scenario, [wanted])


def leader_in(scenario: Scenario, wanted: list[int]) -> None:
    found = scenario.cluster.leader()
    assert found, "nobody leads"
    assert found.id in wanted, f"{found.id} leads"


def roles(scenario: Scenario, wanted: Json) -> None:
    for node, allowed in wanted.items():
        role = ROLES[scenario.node(node).raft.role]
        assert role in (allowed if isinstance(allowed, list) else [allowed]), f"{node} is a {role}"


def applied_includes(scenario: Scenario, wanted: Json) -> None:
    for node, some in wanted.items():
        assert set(some) <= set(payloads(scenario.node(node))), f"{node} has applied {payloads(scenario.node(node))}"


def not_applied(scenario: Scenario, unwanted: list[str]) -> None:
    for node in scenario.cluster.live():
        assert not set(unwanted) & set(payloads(node)), f"{node.id} has applied {payloads(node)}"


def commit_at_most(scenario: Scenario, wanted: Json) -> None:
    for node, most in wanted.items():
        assert scenario.node(node).raft.commit <= most


def first_index_min(scenario: Scenario, wanted: Json) -> None:
    for node, least in wanted.items():
        assert scenario.node(node).raft.log.first_index >= least


def reads(scenario: Scenario, wanted: Json) -> None:
    """A read is answered once its index is applied where it was asked."""
    for name, expected in wanted.items():
        token = scenario.read_tokens[name]
        answered = {
            node.id: payloads(node)
            for node in scenario.cluster.live()
            if node.reads.get(token, node.applied_index + 1) <= node.applied_index
        }
        if expected == "pending":
            assert not answered, f"{name} was answered"
        else:
            assert expected["node"] in answered, f"{name} was answered by {answered.keys()}"
            assert all(set(expected["sees"]) <= set(seen) for seen in answered.values())


def config(scenario: Scenario, wanted: Json) -> None:
    for node, parts in wanted.items():
        membership = scenario.node(node).raft.membership
        seen = {"voters": sorted(membership.voters), "learners": sorted(membership.learners)}
        assert seen | parts == seen, f"{node} has {seen}"


def inflight_entries_max(scenario: Scenario, wanted: Json) -> None:
    for link, most in wanted.items():
        sender, to = map(NodeId, map(int, link.split("->")))
        appends = [m for m in scenario.cluster.links[sender, to] if isinstance(m, Append) and m.entries]
        assert len(appends) <= most, f"{len(appends)} on {link}"


def sent(scenario: Scenario, link: str, kind: str) -> int:
    sender, to = map(int, link.split("->"))
    messages = [m for m in scenario.cluster.sent if (m.sender, m.to) == (sender, to)]
    return sum(isinstance(message, CLASSES[kind]) for message in messages)


def snapshots_sent_min(scenario: Scenario, wanted: Json) -> None:
    for link, least in wanted.items():
        assert sent(scenario, link, "snap_req") >= least


def messages_sent_max(scenario: Scenario, wanted: Json) -> None:
    for link_and_kind, most in wanted.items():
        link, kind = link_and_kind.split(" ")
        assert sent(scenario, link, kind) <= most


STEPS: Final[Mapping[str, Callable[[Scenario, Json], None]]] = {
    each.__name__: each
    for each in (
        *(
            timeout,
            elect,
            settle,
            tick,
            converge,
            propose,
            read,
            transfer,
            conf,
            join,
            partition,
            cut,
            heal,
            drop,
            lose,
        ),
        *(hold, unhold, crash, restart, compact, inject, expect),
    )
}
FACTS: Final[Mapping[str, Callable[[Scenario, Any], None]]] = {
    "leader": leader,
    "leader_in": leader_in,
    "roles": roles,
    "term": of_each(lambda node: node.raft.term),
    "terms_equal": equal_on(lambda node: node.raft.term),
    "vote": of_each(lambda node: node.raft.vote or None),
    "leader_known": of_each(lambda node: node.raft.leader or None),
    "applied": of_each(payloads),
    "applied_includes": applied_includes,
    "applied_equal": equal_on(payloads),
    "not_applied": not_applied,
    "commit_index": of_each(lambda node: node.raft.commit),
    "commit_at_most": commit_at_most,
    "log_terms": of_each(lambda node: [entry.term for entry in node.log()]),
    "last_index": of_each(lambda node: node.raft.last_index),
    "logs_equal": equal_on(end_of_log),
    "data_in_log": of_each(payloads_in_log),
    "first_index_min": first_index_min,
    "reads": reads,
    "config": config,
    "inflight_entries_max": inflight_entries_max,
    "snapshots_sent_min": snapshots_sent_min,
    "messages_sent_max": messages_sent_max,
}
