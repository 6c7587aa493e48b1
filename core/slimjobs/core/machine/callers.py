"""Callers: who waits for a decision, who waits for something to happen, and what may be told to whom now."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator

import msgspec

from slimjobs.core.decide.commands import Command, Configure, Deleted, DeleteRun, Result, Trigger
from slimjobs.core.decide.configuring import decide_configuration
from slimjobs.core.decide.decision import Decision
from slimjobs.core.decide.deleting import decide_deletion
from slimjobs.core.decide.refusals import NoLeader, NoRoom, OutcomeUnknown, Refusal
from slimjobs.core.decide.triggering import decide_trigger
from slimjobs.core.machine.answers import Answers
from slimjobs.core.machine.inputs import Asked, Called, Now, Token
from slimjobs.core.machine.journal import Journal
from slimjobs.core.machine.outputs import Answer
from slimjobs.core.machine.queries import Query, ShowRun, View
from slimjobs.core.machine.reading import read
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.core.machine.waits import Waits
from slimjobs.core.supervisor.supervisor import Supervisor
from slimjobs.eventlog.events.runs import RunId
from slimjobs.eventlog.raft import Index
from slimjobs.projections.listing import status_of
from slimjobs.projections.views import RunDetail, RunStatus, Why, WhyKind

WAITING_AT_MOST = 10_000

_FINAL = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED})


class _Waiting(msgspec.Struct, frozen=True):
    until_ns: int
    said: Called | Asked


class _StatusWait(msgspec.Struct, frozen=True):
    query: ShowRun
    status: RunStatus


class Callers:
    """Everybody who has asked this node for something and has not been answered yet."""

    def __init__(self, journal: Journal, supervisor: Supervisor, settings: MachineSettings) -> None:
        self.answers = Answers()
        self.problems: tuple[str, ...] = ()
        self._journal = journal
        self._supervisor = supervisor
        self._settings = settings
        self._waiting: deque[_Waiting] = deque()
        self._status_waits: Waits[_StatusWait] = Waits()
        self._deletion_waits: Waits[Index] = Waits()

    def ask(self, said: Called | Asked, now: Now) -> Answer | None:
        """Let a caller wait for its turn, or give the answer that too many do."""
        if len(self._waiting) >= WAITING_AT_MOST:
            return Answer(said.token, self._journal.committed, NoLeader("too many requests wait"))
        self._waiting.append(_Waiting(self._patience(now), said))
        return None

    def abandon(self, token: Token) -> None:
        """A caller has gone."""
        self._status_waits.drop(token)
        self._deletion_waits.drop(token)

    def _patience(self, now: Now) -> int:
        return now.monotonic_ns + int(self._settings.patience_seconds * 1e9)

    # As a leader ----------------------------------------------------------------------------------------------------

    def serve(self, dependencies_seen: Collection[str], now: Now) -> None:
        """Decide everything that waits, each command against the state with the ones before it.

        One that finds no room only because the disk is behind waits for it, and those that came later with it.
        """
        while self._waiting:
            waiting = self._waiting[0]
            said = waiting.said
            if isinstance(said, Asked):
                self._read(said.token, said.query, dependencies_seen, now)
            elif not self._decide(said, dependencies_seen, now, waiting.until_ns):
                return
            self._waiting.popleft()

    def _decide(self, called: Called, dependencies_seen: Collection[str], now: Now, until_ns: int) -> bool:
        """Decide a command; False if it has to wait for the disk."""
        command = called.command
        decision = self._decision(command, dependencies_seen, now)
        if not isinstance(decision, Decision):
            self._hold(called.token, decision, until_ns)
            return True
        if not decision.events:
            self._hold(called.token, decision.result, until_ns)
            return True
        new_work = not isinstance(command, DeleteRun)
        applied = self._journal.append(decision.events, called.cause, now.wall_ms, new_work=new_work)
        if applied is None and self._journal.waits_for_disk:
            return False
        if applied is None:
            self._hold(called.token, NoRoom(), until_ns)
        elif isinstance(command, DeleteRun) and decision.result == Deleted(promised=False):
            self._deletion_waits.add(called.token, command.run, until_ns, applied.index)
        else:
            self.answers.promise(called.token, applied.index, decision.result, until_ns)
        return True

    def _decision(self, command: Command, dependencies_seen: Collection[str], now: Now) -> Decision | Refusal:
        state = self._journal.state
        match command:
            case Trigger():
                limits, image_required = self._settings.limits, self._settings.image_required
                return decide_trigger(state, command, limits, dependencies_seen, image_required, now.wall_ms)
            case DeleteRun():
                return decide_deletion(state, command, dependencies_seen)
            case Configure():
                return decide_configuration(state, command, dependencies_seen)

    def _hold(self, token: Token, value: Result | View | Refusal, until_ns: int) -> None:
        self.answers.hold(token, self._journal.last_index, value, until_ns)

    def _read(self, token: Token, query: Query, dependencies_seen: Collection[str], now: Now) -> None:
        view = read(self._journal.state, query, dependencies_seen, self._known_problems())
        if isinstance(query, ShowRun) and isinstance(view, RunDetail):
            view = self._with_trouble(query.run, view)
            if query.wait_seconds > 0 and view.row.status not in _FINAL:
                until = now.monotonic_ns + int(query.wait_seconds * 1e9)
                self._status_waits.add(token, query.run, until, _StatusWait(query, view.row.status))
                return
        self._hold(token, view, self._patience(now))

    def _known_problems(self) -> tuple[str, ...]:
        trouble = self._supervisor.mirror.trouble
        return (*self.problems, f"The orchestrator cannot be seen: {trouble}") if trouble else self.problems

    # An admitted run whose effects fail holds its slot and is tried again; whoever asks why sees the reason.
    def _with_trouble(self, run: RunId, view: RunDetail) -> RunDetail:
        trouble, since_ms = self._supervisor.trouble(run)
        if not trouble or view.row.status in _FINAL:
            return view
        return msgspec.structs.replace(view, why=(*view.why, Why(WhyKind.RETRY, trouble, since_ms)))

    # Those who wait for something to happen -------------------------------------------------------------------------

    def look_after(self, touched: Collection[RunId], dependencies_seen: Collection[str], now: Now) -> None:
        """Answer those who waited for a change of these runs' status, and those whose time is over."""
        state = self._journal.state
        for token, run, wait in self._status_waits.of(touched):
            if status_of(state, run) is not wait.status:
                self._end_status_wait(token, wait, dependencies_seen, now)
        for token, _, wait in self._status_waits.overdue(now.monotonic_ns):
            self._end_status_wait(token, wait, dependencies_seen, now)

    def _end_status_wait(self, token: Token, wait: _StatusWait, seen: Collection[str], now: Now) -> None:
        self._status_waits.drop(token)
        self._read(token, msgspec.structs.replace(wait.query, wait_seconds=0.0), seen, now)

    def settle_deletions(self, committed: Index, now: Now) -> Iterator[Answer]:
        """Answer those who waited for a deletion that the orchestrator has taken on, and those whose time is over."""
        for token, run, index in self._deletion_waits.all():
            if index <= committed and self._supervisor.deletion_accepted(run):
                self._deletion_waits.drop(token)
                yield Answer(token, index, Deleted(promised=True))
        for token, run, index in self._deletion_waits.overdue(now.monotonic_ns):
            self._deletion_waits.drop(token)
            if index <= committed:
                yield Answer(token, index, Deleted(promised=False))
            else:
                yield Answer(token, committed, OutcomeUnknown((run,)))

    def refuse_impatient(self, now: Now) -> Iterator[Answer]:
        """Refuse those whose turn has not come in time: surely nothing was done for them. Nor does anybody wait longer
        for what was decided but does not commit."""
        committed = self._journal.committed
        while self._waiting and self._waiting[0].until_ns <= now.monotonic_ns:
            yield Answer(self._waiting.popleft().said.token, committed, NoLeader())
        yield from self.answers.overdue(committed, now.monotonic_ns)

    def next_deadline_ns(self) -> int | None:
        """When the next caller's time is over."""
        deadlines = [
            *self._status_waits.deadlines(),
            *self._deletion_waits.deadlines(),
            *self.answers.deadlines(),
        ]
        if self._waiting:
            deadlines.append(self._waiting[0].until_ns)
        return min(deadlines, default=None)
