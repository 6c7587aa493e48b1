"""The safety properties of the paper's figure 3, judged from outside over everything that was ever seen."""

from __future__ import annotations

from slimjobs.eventlog.raft import Entry, Index, NodeId, Role, Term
from tests.eventlog.raft.cluster import Cluster
from tests.eventlog.raft.simulated import Node


class Witness:
    """Looks at a node after it did something; remembers leaders, entries and commits for ever, crashes or not."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._leaders: dict[Term, NodeId] = {}
        self._entries: dict[tuple[Index, Term], tuple[Entry, Term | None]] = {}
        self._chosen: dict[Index, tuple[Entry, Term]] = {}
        self._seen: dict[NodeId, tuple[Term, Index]] = {}
        self._led: dict[NodeId, tuple[Term, list[Entry]]] = {}

    def look_at_all(self) -> None:
        for node in self._cluster.live():
            self.look_at(node)

    def look_at(self, node: Node) -> None:
        log = node.log()
        self._terms_and_commits_only_rise(node)
        self._log_matching(log)
        if node.raft.role is Role.LEADER:
            self._election_safety(node)
            self._leader_append_only(node, log)
        self._state_machine_safety(node, log)
        self._leader_completeness()

    def has_restarted(self, node: Node) -> None:
        """The commit index does not survive a crash, the term does."""
        self._seen[node.id] = (node.raft.term, node.raft.commit)
        self._led.pop(node.id, None)

    def _terms_and_commits_only_rise(self, node: Node) -> None:
        term, commit = self._seen.get(node.id, (Term(0), Index(0)))
        assert node.raft.term >= term, f"the term of {node.id} went back"
        assert node.raft.commit >= commit, f"the commit of {node.id} went back"
        assert node.applied_index <= node.raft.commit <= node.raft.last_index
        self._seen[node.id] = (node.raft.term, node.raft.commit)

    def _election_safety(self, node: Node) -> None:
        leader = self._leaders.setdefault(node.raft.term, node.id)
        assert leader == node.id, f"{leader} and {node.id} lead term {node.raft.term}"

    def _log_matching(self, log: list[Entry]) -> None:
        """Index and term fix an entry and the term before it, and so, step by step, the whole log before it."""
        before: Term | None = None
        for entry in log:
            known, known_before = self._entries.setdefault((entry.index, entry.term), (entry, before))
            assert known == entry, f"{known} and {entry}"
            assert None in (known_before, before) or known_before == before, f"different logs before {entry}"
            if known_before is None:
                self._entries[entry.index, entry.term] = (entry, before)
            before = entry.term

    def _leader_append_only(self, node: Node, log: list[Entry]) -> None:
        term, led = self._led.get(node.id, (Term(0), []))
        if term == node.raft.term and led and log:
            skipped = log[0].index - led[0].index
            assert log[: len(led) - skipped] == led[skipped:], f"the leader {node.id} changed its log"
        self._led[node.id] = (node.raft.term, log)

    def _state_machine_safety(self, node: Node, log: list[Entry]) -> None:
        for entry in log:
            if entry.index <= node.raft.commit:
                chosen, _ = self._chosen.setdefault(entry.index, (entry, node.raft.term))
                assert chosen == entry, f"{node.id} has committed {entry}, elsewhere it was {chosen}"

    def _leader_completeness(self) -> None:
        for node in self._cluster.live():
            log = node.raft.log
            if node.raft.role is Role.LEADER:
                for index, (entry, term) in self._chosen.items():
                    if term < node.raft.term and index >= log.first_index:
                        assert log.matches(index, entry.term), f"the leader {node.id} lacks the committed {entry}"
