"""As a follower: requests go on to the leader, and lists are read here once it has said from which index on.

A request may be passed on more than once, to whoever leads by then: its ids were minted here, so it is done once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from slimjobs.core.decide.commands import TransferLeadership
from slimjobs.core.decide.refusals import NoLeader, NotPossible, OutcomeUnknown
from slimjobs.core.machine.callers import Callers
from slimjobs.core.machine.inputs import Asked, Now, Token
from slimjobs.core.machine.journal import Journal
from slimjobs.core.machine.letters import Answered, Forwarded, NotLeading, Withdrawn
from slimjobs.core.machine.members import NOBODY, Members
from slimjobs.core.machine.outbox import Outbox
from slimjobs.core.machine.queries import ListRuns, ShowBackup, ShowCluster, ShowRun, ShowStatus
from slimjobs.core.machine.reading import read
from slimjobs.core.machine.requests import Request, asked_again, told_too_late
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.eventlog.raft import Index, NodeId, Raft, Role
from slimjobs.eventlog.raft.entropy import Entropy

_READ_HERE = ListRuns | ShowStatus | ShowBackup


class _Passed(msgspec.Struct, frozen=True):
    """A request that its leader may know. `request` is as it was before; `until_ns` has what it waits for added.

    At `again_ns` it is passed on once more; one that waits for a change is not, for it is no sign that nothing comes.
    """

    request: Request
    leader: NodeId
    until_ns: int
    again_ns: int


class _Reading(msgspec.Struct):
    """Reads that wait for their index; 0: it is not known yet."""

    requests: list[Request]
    again_ns: int
    index: Index = Index(0)


class Forwarding:
    """What this node's callers wait for elsewhere."""

    def __init__(
        self,
        raft: Raft,
        journal: Journal,
        members: Members,
        callers: Callers,
        outbox: Outbox,
        settings: MachineSettings,
        seed: int,
    ) -> None:
        self._raft = raft
        self._journal = journal
        self._members = members
        self._callers = callers
        self._outbox = outbox
        # Half of the patience: an answer that is slow gets its time, and what is lost is asked once more.
        self._again_ns = int(settings.patience_seconds * 500_000_000)
        self._heartbeat_ns = settings.election_milliseconds * 100_000
        # What was passed on in a former life may still be answered: a letter's number says which life it is of.
        self._last_number = Entropy(seed).draw() >> 3
        self._passed: dict[int, _Passed] = {}
        self._numbers: dict[Token, int] = {}
        self._reading: dict[int, _Reading] = {}
        self._last_read = 0
        self._leader = NOBODY
        self._denied_until_ns = 0

    # Every turn -----------------------------------------------------------------------------------------------------

    def look(self, now: Now) -> None:
        """Pass on what waits; what was passed to a leader that is none any more waits again."""
        leader = self._leader_reached(now)
        if leader != self._leader:
            self._leader = leader
            self.recall()
        waiting = self._callers.waiting
        if waiting:
            for request in list(self._left_waiting(waiting.take_all(), leader, now)):
                waiting.append(request)
        self._repeat(now)

    def _leader_reached(self, now: Now) -> NodeId:
        leader = self._raft.leader
        if self._raft.role is Role.LEADER or not self._members.reaches(leader):
            return NOBODY
        return leader if now.monotonic_ns >= self._denied_until_ns else NOBODY

    def _left_waiting(self, waiting: Iterable[Request], leader: NodeId, now: Now) -> Iterator[Request]:
        here: list[Request] = []
        for request in waiting:
            if isinstance(request.said, Asked) and self._answer_as_it_is(request, request.said):
                continue
            if leader == NOBODY:
                yield request
            elif isinstance(request.wish, _READ_HERE):
                here.append(request)
            else:
                self._pass_on(request, leader, now)
        if here:
            yield from self._ask_for_index(here, now)

    # A node that is ahead holds what may come to nothing, which nobody may see.
    def _answer_as_it_is(self, request: Request, asked: Asked) -> bool:
        if isinstance(asked.query, ShowCluster):
            return (asked.stale or not self._leader) and self._answer(request, asked)
        return asked.stale and not self._journal.is_ahead and self._answer(request, asked)

    def _answer(self, request: Request, asked: Asked) -> bool:
        if isinstance(asked.query, ShowCluster):
            self._outbox.answer(request.token, self._journal.taken_up, self._members.view())
        else:
            state = self._journal.state
            view = read(state, asked.query, state.dependencies, self._callers.known_problems())
            self._outbox.answer(request.token, self._journal.taken_up, view)
        return True

    # Passed on ------------------------------------------------------------------------------------------------------

    def _pass_on(self, request: Request, leader: NodeId, now: Now) -> None:
        waits_ns = int(request.wish.wait_seconds * 1e9) if isinstance(request.wish, ShowRun) else 0
        self._last_number += 1
        self._numbers[request.token] = self._last_number
        self._passed[self._last_number] = _Passed(
            request,
            leader,
            request.until_ns + waits_ns,
            again_ns=request.until_ns + waits_ns if waits_ns else now.monotonic_ns + self._again_ns,
        )
        self._send(self._last_number, request, leader)

    def _send(self, number: int, request: Request, leader: NodeId) -> None:
        cause = "" if isinstance(request.said, Asked) else request.said.cause
        self._outbox.letters.append(Forwarded(self._outbox.node, leader, number, request.wish, cause, self._raft.term))

    # Letters may be lost. What is passed on once more has another number, and only the answer to that one counts: the
    # leader may refuse the first copy and do the second, for it takes them in their order.
    def _repeat(self, now: Now) -> None:
        for number, passed in list(self._passed.items()):
            if passed.again_ns <= now.monotonic_ns < passed.until_ns:
                del self._passed[number]
                self._outbox.letters.append(Withdrawn(self._outbox.node, passed.leader, number))
                self._pass_on(self._asked_again(passed), passed.leader, now)

    def recall(self) -> None:
        """Nobody is asked any more: all wait here again. What comes for an old number is of no interest then."""
        passed, self._passed = self._passed, {}
        reading, self._reading = self._reading, {}
        self._numbers.clear()
        again = [self._asked_again(each) for each in passed.values()]
        # Who is to lead, whoever that may be, was asked of a leader that is none any more: it has gone its way.
        for request in [each for each in again if each.wish == TransferLeadership("")]:
            again.remove(request)
            self._outbox.answer(request.token, self._journal.committed, OutcomeUnknown())
        self._callers.ask_again([*again, *(request for each in reading.values() for request in each.requests)])

    # The time for which a question waits for a change is its own, beside its patience.
    def _asked_again(self, passed: _Passed) -> Request:
        return msgspec.structs.replace(asked_again(passed.request), until_ns=passed.until_ns)

    def answered(self, letter: Answered) -> None:
        """The leader has answered. That it could not say says nothing about those who were asked before."""
        passed = self._take(letter.token)
        if passed is None:
            return
        value, request = letter.value, passed.request
        if isinstance(value, NoLeader | NotPossible) and request.passed_on:
            value = told_too_late(request, value.detail)
        self._outbox.answer(request.token, letter.index, value)

    def denied(self, letter: NotLeading, now: Now) -> None:
        """Whom this node takes for the leader is none; wait a heartbeat before it is asked anything again."""
        passed = self._take(letter.token)
        if passed is not None:
            self._denied_until_ns = now.monotonic_ns + self._heartbeat_ns
            self._callers.ask_again([self._asked_again(passed)])

    def abandon(self, token: Token) -> None:
        """A caller has gone; its leader need not wait for it either."""
        number = self._numbers.get(token)
        passed = self._take(number) if number is not None else None
        if number is not None and passed is not None:
            self._outbox.letters.append(Withdrawn(self._outbox.node, passed.leader, number))

    def _take(self, number: int) -> _Passed | None:
        passed = self._passed.pop(number, None)
        if passed is not None:
            del self._numbers[passed.request.token]
        return passed

    # Read here ------------------------------------------------------------------------------------------------------

    # Thesis §6.4: the leader's commit index at the moment of asking, confirmed by a quorum, is what a read has to see.
    def _ask_for_index(self, requests: list[Request], now: Now) -> Iterable[Request]:
        number = self._last_read - 1  # negative: barriers count upwards
        if not self._raft.read(number):
            return requests
        self._last_read = number
        self._reading[number] = _Reading(requests, now.monotonic_ns + self._again_ns)
        return ()

    def index_known(self, read_number: int, index: Index) -> None:
        """The leader has said from which index on these may be answered."""
        if (reading := self._reading.get(read_number)) is not None:
            reading.index = index

    def index_lost(self, read_number: int) -> None:
        """They have to ask again."""
        if (reading := self._reading.pop(read_number, None)) is not None:
            self._callers.ask_again(reading.requests)

    def serve_reads(self, now: Now) -> None:
        """Answer the reads whose index is taken up here; those whose question was lost ask again."""
        for number, reading in list(self._reading.items()):
            if reading.index and self._journal.taken_up >= reading.index and not self._journal.is_ahead:
                del self._reading[number]
                for request in reading.requests:
                    if isinstance(request.said, Asked):
                        self._answer(request, request.said)
            elif not reading.index and reading.again_ns <= now.monotonic_ns:
                self.index_lost(number)

    # The end of it --------------------------------------------------------------------------------------------------

    def refuse_impatient(self, now: Now) -> None:
        """Tell those whose patience is over what is certain."""
        for passed in list(self._passed.values()):
            if passed.until_ns <= now.monotonic_ns:
                token = passed.request.token
                self.abandon(token)
                said = msgspec.structs.replace(passed.request, passed_on=True)
                self._outbox.answer(token, self._journal.committed, told_too_late(said, "the leader does not answer"))
        for reading in self._reading.values():
            late = [request for request in reading.requests if request.until_ns <= now.monotonic_ns]
            for request in late:
                reading.requests.remove(request)
                self._outbox.answer(request.token, self._journal.committed, told_too_late(request))

    def deadlines(self) -> Iterator[int]:
        """When somebody's patience is over, or something is to be asked again."""
        yield from (min(passed.until_ns, passed.again_ns) for passed in self._passed.values())
        for reading in self._reading.values():
            yield from (request.until_ns for request in reading.requests)
            if not reading.index:
                yield reading.again_ns
