"""Who belongs: the founding, new nodes by their greetings, old ones that leave; one way in, as a learner (design §4).

blank, all peers met and blank, lowest of them --- found ---> the only voter
greeted by a node without a cluster, its name free or its bearer silent --- MemberNamed commits ---> named
named --- learner added ---> learner --- caught up ---> voter
name taken by another node, or dropped --- removed ---> nobody

A leader takes one step at a time, each from what the log and the links say now, so a new leader goes on where the old
one stopped.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final

from slimjobs.core.decide.commands import Removed, Transferred
from slimjobs.core.decide.decision import Decision
from slimjobs.core.decide.refusals import NotPossible, Refusal
from slimjobs.core.machine.journal import Journal
from slimjobs.core.machine.queries import ClusterView, MemberRow
from slimjobs.core.machine.reports import Heard, Reports, Seen
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.eventlog.events.cluster import ClusterFounded, MemberDropped, MemberNamed
from slimjobs.eventlog.events.record import Event
from slimjobs.eventlog.events.schedules import BackupExpected
from slimjobs.eventlog.raft import ChangeKind, MembershipChange, NodeId, Raft, Role
from slimjobs.eventlog.raft.core import FOUNDING_TERM
from slimjobs.eventlog.transport.greeting import NO_BACKUP, PROTOCOL, Greeting, PeerLost

CAUGHT_UP_ENTRIES: Final = 1_000
"""A learner that is no further behind than this is promoted."""

NOBODY: Final = NodeId(0)


class Members:
    """The members as the log names them, the peers as they are met, and what is to be done about the difference."""

    def __init__(
        self,
        raft: Raft,
        journal: Journal,
        reports: Reports,
        blank: bool,
        cluster: str,
        backup: tuple[int, int],
        settings: MachineSettings,
    ) -> None:
        self._raft = raft
        self._journal = journal
        self._reports = reports
        self._blank = blank
        self._settings = settings
        self._met: dict[str, Greeting] = {}
        self._cluster = cluster
        self._backup = backup
        self.successor = NOBODY

    # Peers ----------------------------------------------------------------------------------------------------------

    def meet(self, greeting: Greeting) -> None:
        """A connection to this peer stands."""
        self._met[greeting.name] = greeting

    def lose(self, lost: PeerLost) -> None:
        """It ended."""
        met = self._met.get(lost.name)
        if met is not None and met.node == lost.node:
            del self._met[lost.name]

    def reaches(self, node: NodeId) -> bool:
        """Whether letters to that node leave."""
        return any(greeting.node == node for greeting in self._met.values())

    @property
    def greeting(self) -> Greeting:
        """How this node introduces itself."""
        raft, settings = self._raft, self._settings
        has_log = bool(raft.last_index)
        empty = self._blank and not has_log and raft.term <= FOUNDING_TERM and raft.vote == NOBODY
        return Greeting(
            PROTOCOL,
            self.cluster,
            settings.name,
            raft.id,
            empty=empty,
            guest=False,
            level=settings.event_level,
            version=settings.version,
            has_log=has_log,
            backup=self._backup,
        )

    # What the log says last counts, and that may be more than is known to be committed.
    @property
    def cluster(self) -> str:
        """The cluster that this node belongs to; empty for none yet."""
        founded = self._journal.state.cluster
        if founded and self._raft.log.term_at(self._raft.commit) == self._raft.term:
            self._cluster = founded
        return self._cluster or founded

    def objection(self, greeting: Greeting) -> str:
        """Why this node will not talk to that one; empty if it will."""
        own = self.cluster
        if own and greeting.cluster and own != greeting.cluster:
            return f"it belongs to another cluster, {greeting.cluster}; this one is {own}"
        if greeting.node in self._journal.state.former_members:
            return "it was removed from this cluster; it can join again with an empty directory"
        if not greeting.guest and greeting.name not in self._settings.configured:
            return f"'{greeting.name}' is none of the names in SlimData__Peers"
        return ""

    # Founding -------------------------------------------------------------------------------------------------------

    # A node that ever held anything never says that it is empty, so a cluster whose disks are damaged is not founded
    # over. All have to be asked: one that is away may be what is left of an older cluster.
    def may_found(self) -> bool:
        """Whether there surely is no cluster, and this node is the one to found it."""
        if not self.greeting.empty or self._settings.name != min(self._settings.configured, key=_ordinal):
            return False
        return self.has_met_all and all(met.empty for met in self._others_met())

    @property
    def has_met_all(self) -> bool:
        """Whether a connection to every other configured node stands."""
        return len([*self._others_met()]) == len(self._settings.configured) - 1

    def _others_met(self) -> Iterator[Greeting]:
        others = (name for name in self._settings.configured if name != self._settings.name)
        return (self._met[name] for name in others if name in self._met)

    def founding(self, cluster: str) -> tuple[Event, ...]:
        """What founds a cluster of this name. Of all nodes' backups it waits for the newest."""
        founded: tuple[Event, ...] = (ClusterFounded(cluster), MemberNamed(self._settings.name, self._raft.id))
        newest = max((self.greeting, *self._others_met()), key=lambda each: each.backup)
        return founded if newest.backup == NO_BACKUP else (*founded, BackupExpected(newest.name, *newest.backup))

    # As a leader ----------------------------------------------------------------------------------------------------

    def begin_to_lead(self) -> None:
        """Nobody is chosen to lead next."""
        self.successor = NOBODY

    @property
    def has_majority(self) -> bool:
        """Whether the voters are enough of the nodes that there should be, so that writes may begin."""
        configured, members = self._settings.configured, self._journal.state.members
        voters = [name for name in configured if members.get(name) in self._raft.membership.voters]
        return len(voters) > len(configured) // 2

    @property
    def everybody(self) -> frozenset[NodeId]:
        """Who belongs to the cluster, and who is about to."""
        membership = self._raft.membership
        return frozenset((*membership.voters, *membership.learners, *self._journal.state.members.values()))

    def naming(self) -> tuple[Event, ...]:
        """The next name to give or to take away."""
        event = next(self._names_due(), None)
        return () if event is None else (event,)

    # A node that was dropped, or whose name another one has by now, never takes it back; a new incarnation may.
    def _names_due(self) -> Iterator[Event]:
        members, former = self._journal.state.members, self._journal.state.former_members
        for greeting in (self.greeting, *self._met.values()):
            bearer = members.get(greeting.name, NOBODY)
            is_new = not (greeting.cluster or greeting.has_log or greeting.node in former)
            belongs = greeting.node in members.values() or is_new
            if bearer != greeting.node and belongs and self._is_silent(bearer):
                yield MemberNamed(greeting.name, greeting.node)
        for name, node in members.items():
            if name not in self._settings.configured and self._is_silent(node):
                yield MemberDropped(name)

    def _is_silent(self, node: NodeId) -> bool:
        if node == self._raft.id or self.reaches(node):
            return False
        progress = self._raft.progress.get(node)
        return progress is None or progress.silent_ticks >= self._raft.options.election_ticks

    def change(self) -> MembershipChange | None:
        """The next step towards a membership of those whom the log names; nothing that is named but not committed."""
        if self._journal.named_at > self._raft.commit:
            return None
        return next(self._changes_due(), None)

    def _changes_due(self) -> Iterator[MembershipChange]:
        membership, named = self._raft.membership, self._journal.state.members.values()
        for node in (*membership.learners, *membership.voters):
            if node not in named and (node in membership.learners or self._can_decide_without({node})):
                yield MembershipChange(ChangeKind.REMOVE, node)
        for node in named:
            if node not in membership.voters and node not in membership.learners:
                yield MembershipChange(ChangeKind.ADD_LEARNER, node)
        for node in membership.learners:
            if self._is_caught_up(node):
                yield MembershipChange(ChangeKind.ADD_VOTER, node)

    # Who is to vote must have been heard: its clock and its event level count from then on.
    def _is_caught_up(self, node: NodeId) -> bool:
        progress = self._raft.progress.get(node)
        if progress is None or not self._reports.is_heard(node) or not self.reaches(node):
            return False
        understands = self._reports.heard[node].report.level >= self._journal.state.level
        return understands and 0 < progress.match >= self._raft.last_index - CAUGHT_UP_ENTRIES

    # What operators ask ---------------------------------------------------------------------------------------------

    def decide_removal(self, name: str) -> Decision | Refusal:
        """Let the node of this name leave, if those that stay can decide without it."""
        members = self._journal.state.members
        if name not in members:
            return NotPossible(f"No member is called '{name}'; the members are {', '.join(sorted(members))}.")
        if members[name] == self._raft.id:
            return NotPossible(f"'{name}' leads; let another node lead first (`slimjobs cluster transfer`).")
        leaving = {members[name], *(node for node in self._raft.membership.voters if node not in members.values())}
        if not self._can_decide_without(leaving):
            return NotPossible(f"Without '{name}' there is no majority of voters that can be reached; it stays.")
        return Decision(Removed(name), (MemberDropped(name),))

    # A voter that was not heard in this reign may be gone: the change itself could then never be committed.
    def _can_decide_without(self, leaving: Collection[NodeId]) -> bool:
        """Whether a majority of the voters that stay follows this leader now."""
        raft = self._raft
        staying = [voter for voter in raft.membership.voters if voter not in leaving]
        follow = [voter for voter in staying if voter == raft.id or self._follows(voter)]
        return len(follow) > len(staying) // 2

    def _follows(self, node: NodeId) -> bool:
        progress = self._raft.progress.get(node)
        return progress is not None and progress.match > 0 and self.reaches(node)

    def transfer(self, to: str) -> Transferred | NotPossible:
        """Choose who is to lead next; leadership goes at the end of this call of the machine."""
        node = self._journal.state.members.get(to, NOBODY) if to else self.best_successor()
        if node == self._raft.id:
            return Transferred(to)
        if node not in self._raft.membership.voters or not self.reaches(node):
            wanted = f"'{to}' is no voter" if to else "No other voter"
            return NotPossible(f"{wanted} that can be reached; {self._settings.name} leads on.")
        self.successor = node
        return Transferred(self.name_of(node))

    def best_successor(self) -> NodeId:
        """The voter that is furthest, of those that can be reached; nobody if there is none."""
        return max(self._others(), key=lambda each: self._raft.progress[each].match, default=NOBODY)

    def successor_by_clock(self) -> NodeId:
        """The voter whose clock is nearest to the middle of all; nobody if none can be reached."""
        return min(self._others(), key=self._reports.distance_from_middle_ms, default=NOBODY)

    def _others(self) -> list[NodeId]:
        return [each for each in self._raft.membership.voters if each in self._raft.progress and self.reaches(each)]

    # What people see ------------------------------------------------------------------------------------------------

    def name_of(self, node: NodeId) -> str:
        """The name that the log gives a node; empty if it gives none."""
        return next((name for name, named in self._journal.state.members.items() if named == node), "")

    def why_no_service(self) -> str:
        """Why nobody decides; empty for nothing in particular."""
        if self._raft.leader == self._raft.id:
            return "" if self.has_majority else "the cluster is not complete yet"
        if not self._raft.last_index and not self._raft.leader:
            away = sorted({*self._settings.configured} - {*self._met, self._settings.name})
            return f"no cluster is founded yet; not met: {', '.join(away)}" if away else "no cluster is founded yet"
        return "" if self._raft.leader else "no leader is known"

    def view(self) -> ClusterView:
        """The members as this node sees them."""
        members, raft = self._journal.state.members, self._raft
        names = sorted({*members, *self._settings.configured}, key=_ordinal)
        rows = tuple(self._row(name, members.get(name, NOBODY)) for name in names)
        leader = self.name_of(raft.leader)
        return ClusterView(self.cluster, leader, raft.term, rows, self._settings.name)

    def _row(self, name: str, node: NodeId) -> MemberRow:
        raft, heard = self._raft, self._reports.heard.get(node)
        is_own, leads = node == raft.id, raft.role is Role.LEADER
        progress = raft.progress.get(node)
        index = raft.last_index if is_own else progress.match if progress is not None else -1
        seen = self._reports.own if is_own else _checkpoint_of(heard)
        met = self._met.get(name)
        return MemberRow(
            name=name,
            address=self._settings.peers.get(name, ""),
            role=self._role(node),
            voter=node in raft.membership.voters,
            index=index,
            commit_index=raft.commit if is_own else heard.report.commit if heard is not None else -1,
            lag_entries=raft.last_index - index if leads and index >= 0 else -1,
            last_contact_ms=0 if is_own else self._silence_ms(heard),
            version=self._settings.version if is_own else met.version if met is not None and met.node == node else "",
            checkpoint_index=seen.at if seen.digest else -1,
            checkpoint_hash=seen.digest.hex(),
        )

    def _silence_ms(self, heard: Heard | None) -> int:
        return -1 if heard is None else max(0, self._reports.now_ns - heard.at_ns) // 1_000_000

    def _role(self, node: NodeId) -> str:
        membership = self._raft.membership
        if node not in membership.voters:
            return "Learner" if node in membership.learners else "Absent"
        return "Leader" if node == self._raft.leader else "Follower"


def _checkpoint_of(heard: Heard | None) -> Seen:
    return Seen() if heard is None else Seen(heard.report.checkpoint, heard.report.digest)


def _ordinal(name: str) -> tuple[int, str]:
    """Names in the order of the numbers they end with, as a StatefulSet gives them; then by the alphabet."""
    number = re.search(r"(\d+)$", name)
    return int(number[1]) if number else 0, name
