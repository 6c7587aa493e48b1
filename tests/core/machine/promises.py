"""What callers were told, at whatever node, and what must therefore be true for ever.

An acknowledged trigger is in the log; what was surely not done is not, ever; a read shows exactly the state at the
index that it names, and that index is not before anything that was acknowledged when the read began. Nobody waits
longer than its patience and an election, by the clock of its node while that lives.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from slimjobs.core.decide.commands import (
    Accepted,
    Command,
    Configure,
    Deleted,
    DeleteRun,
    RunSchedule,
    ScheduleCommand,
    Trigger,
)
from slimjobs.core.decide.refusals import (
    Forbidden,
    Invalid,
    KeyReused,
    NoLeader,
    NoRoom,
    NotPossible,
    OutcomeUnknown,
    QueueFull,
    TooManyKeys,
    UnknownRun,
    UnknownSchedule,
)
from slimjobs.core.machine.inputs import Token
from slimjobs.core.machine.outputs import Answer
from slimjobs.core.machine.queries import ListRuns, Query, ShowCluster, ShowRun
from slimjobs.eventlog.events.record import Record
from slimjobs.eventlog.events.runs import RunDeleted, RunEnqueued, RunId, parse_run_id
from slimjobs.eventlog.events.schedules import ScheduleFired
from slimjobs.eventlog.raft import Index
from slimjobs.projections.views import RunDetail, RunPage
from tests.core.machine.chronicle import Chronicle
from tests.core.machine.invariants import Invariant
from tests.core.machine.shared_orchestrator import SharedOrchestrator

SURELY_NOT_DONE = (
    Forbidden,
    Invalid,
    KeyReused,
    NoLeader,
    NoRoom,
    NotPossible,
    QueueFull,
    TooManyKeys,
    UnknownSchedule,
)


class Caller(msgspec.Struct):
    """Somebody who asked at a node and waits. `until_ns` is when it must be answered, by that node's own clock.

    `floor` is the highest index that anybody had been told when it asked.
    """

    node: str
    said: Command | Query
    floor: Index
    until_ns: int
    stale: bool = False


class Promises:
    """`waiting` are those who were not answered yet; `answers` were given, by token."""

    def __init__(self, chronicle: Chronicle, orchestrator: SharedOrchestrator) -> None:
        self.waiting: dict[Token, Caller] = {}
        self.answers: dict[Token, Answer] = {}
        self.acknowledged: dict[RunId, str] = {}
        self.unknown: set[RunId] = set()
        self.deletion_asked: set[RunId] = set()
        self._refused: set[RunId] = set()
        self._fired: set[RunId] = set()
        self._deletions: dict[RunId, int] = {}
        self._keys: dict[RunId, bytes] = {}
        self._enqueued_keys: dict[bytes, RunId] = {}
        self._floor = Index(0)
        self._abandoned: set[Token] = set()
        self._chronicle = chronicle
        self._checked = chronicle.checked
        self._orchestrator = orchestrator
        chronicle.on_record = self._recorded

    # Asking ---------------------------------------------------------------------------------------------------------

    def asks(self, token: Token, node: str, said: Command | Query, until_ns: int, *, stale: bool = False) -> None:
        """Somebody asks at a node, and may wait so long."""
        self.waiting[token] = Caller(node, said, self._floor, until_ns, stale)
        match said:
            case Trigger(runs=runs, key=key) if key is not None:
                self._keys.update((each.run, key.key) for each in runs)
            case DeleteRun(run=run):
                self.deletion_asked.add(run)
                self._deletions[run] = self._deletions.get(run, 0) + 1

    def abandons(self, token: Token) -> None:
        """The caller does not wait any more; it may be answered all the same."""
        if self.waiting.pop(token, None) is not None:
            self._abandoned.add(token)

    def node_died(self, node: str) -> None:
        """Whoever waited at this node will never know."""
        for token in [token for token, caller in self.waiting.items() if caller.node == node]:
            del self.waiting[token]

    def node_stood_still(self, node: str, for_ns: int) -> None:
        """The node did not turn for so long, and nobody can ask it to answer meanwhile."""
        for caller in self.waiting.values():
            if caller.node == node:
                caller.until_ns += for_ns

    def nobody_waits_too_long(self, node: str, now_ns: int) -> None:
        """Judge the node's patience after a turn."""
        for token, caller in self.waiting.items():
            late = caller.node == node and caller.until_ns < now_ns
            assert not late, f"caller {token} waits too long at {node} for {caller.said}"

    # Being told -----------------------------------------------------------------------------------------------------

    def told(self, node: str, answer: Answer) -> None:
        """Judge an answer as it is given."""
        self._checked.look(Invariant.TRUTH)
        if answer.token in self._abandoned:
            return
        assert answer.token not in self.answers, f"caller {answer.token} is answered twice"
        caller = self.waiting.pop(answer.token, None)
        assert caller is not None, f"nobody has asked for {answer}"
        assert caller.node == node, f"{answer} is given at {node} instead of {caller.node}"
        self.answers[answer.token] = answer
        assert answer.index <= self._chronicle.last_index, f"{answer} is told before it is committed"
        if isinstance(caller.said, Trigger | DeleteRun | Configure | ScheduleCommand):
            self._judge_outcome(caller, answer)
        elif not isinstance(answer.value, NoLeader | OutcomeUnknown):
            self._judge_view(caller, answer)
        as_it_is = caller.stale or isinstance(caller.said, ShowCluster)
        if not as_it_is and not isinstance(answer.value, NoLeader | OutcomeUnknown):
            assert answer.index >= caller.floor, f"{answer} is older than what was told before ({caller.floor})"
            self._floor = max(self._floor, answer.index)

    def _judge_outcome(self, caller: Caller, answer: Answer) -> None:
        match caller.said, answer.value:
            case Trigger(runs), Accepted(accepted):
                self._accepted([each.run for each in runs], accepted, runs[0].job)
            case Trigger(runs), OutcomeUnknown(unknown):
                assert unknown == tuple(each.run for each in runs), "whose outcome is unknown can look it up by its id"
                self.unknown.update(unknown)
            case Trigger(runs), refusal:
                assert isinstance(refusal, SURELY_NOT_DONE), answer
                self._refuse(each.run for each in runs)
            case RunSchedule(run=run, job=job), Accepted(accepted):
                self._accepted([run], accepted, job)
            case RunSchedule(run=run), OutcomeUnknown(unknown):
                assert unknown == (run,), "whose outcome is unknown can look it up by its id"
                self.unknown.add(run)
            case RunSchedule(run=run), refusal:
                assert isinstance(refusal, SURELY_NOT_DONE), answer
                self._refuse([run])
            case DeleteRun(run=run), Deleted(promised=True):
                self._orchestrator.forbidden.add(run)
            case DeleteRun(run=run), NoLeader() | NoRoom():
                self._deletions[run] -= 1
                assert self._deletions[run] or run not in self._chronicle.deleted, "a refused deletion was done"
            case DeleteRun(run=run), UnknownRun():
                self._deletions[run] -= 1
                assert self._deletions[run] or run not in self._chronicle.deleted, "done, and told that there was none"
                assert self._chronicle.status_at(run, answer.index) is None, f"{answer} about a run that is there"

    def _accepted(self, asked: list[RunId], accepted: tuple[RunId, ...], job: str) -> None:
        for run in accepted:
            self._checked.look(Invariant.ONE_END)
            assert run in self._chronicle.enqueued, "a trigger is acknowledged that is not in the log"
            self.acknowledged[run] = job
        self._refuse(run for run in asked if run not in accepted)

    def _refuse(self, runs: Iterable[RunId]) -> None:
        """What was surely not done, or done under another id, is not in the log and never will be."""
        for run in runs:
            assert run not in self._chronicle.enqueued, f"{run.hex()} was refused and enqueued"
            self._refused.add(run)

    def _judge_view(self, caller: Caller, answer: Answer) -> None:
        match caller.said, answer.value:
            case ShowRun(run=run), RunDetail(row):
                assert row.status is self._chronicle.status_at(run, answer.index), f"{answer} is not what was"
            case ShowRun(run=run), UnknownRun():
                assert self._chronicle.status_at(run, answer.index) is None, f"{answer} about a run that is there"
            case ListRuns(job=job), RunPage(rows):
                shown = {parse_run_id(row.id): row.status for row in rows}
                at = [(run, self._chronicle.status_at(run, answer.index)) for run in self._runs_of(job)]
                assert shown == {run: status for run, status in at if status is not None}, "the list is not what was"

    def _runs_of(self, job: str) -> list[RunId]:
        enqueued = self._chronicle.onlooker.enqueued
        return [run for run, event in enqueued.items() if event.job == job]

    # The log --------------------------------------------------------------------------------------------------------

    def _recorded(self, index: Index, record: Record) -> None:
        for event in record.events:
            self._checked.look(Invariant.TRUTH)
            if isinstance(event, RunEnqueued):
                assert event.run not in self._refused, f"{event.run.hex()} was refused and is enqueued at {index}"
                self._enqueue_key(event.run)
            elif isinstance(event, RunDeleted):
                replaced = event.run in self._fired and record.cause.startswith("schedule ")
                assert replaced or self._deletions.get(event.run), f"{event.run.hex()} is deleted; nobody asked for it"
                self.deletion_asked.add(event.run)
            elif isinstance(event, ScheduleFired):
                self._fired.add(event.run)

    def _enqueue_key(self, run: RunId) -> None:
        if (key := self._keys.get(run)) is not None:
            first = self._enqueued_keys.setdefault(key, run)
            assert first == run, f"the key {key!r} is enqueued twice"
