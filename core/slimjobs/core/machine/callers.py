"""Callers: who waits for a decision, who waits for something to happen, and what may be told to whom now."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime

import msgspec

from slimjobs.core.decide.commands import (
    AddSchedule,
    Command,
    Configure,
    Deleted,
    DeleteRun,
    PauseSchedule,
    RemoveMember,
    RemoveSchedule,
    RestoreBackup,
    RunSchedule,
    ScheduleCommand,
    TransferLeadership,
    Transferred,
    Trigger,
)
from slimjobs.core.decide.configuring import decide_configuration
from slimjobs.core.decide.decision import Decision
from slimjobs.core.decide.deleting import decide_deletion
from slimjobs.core.decide.refusals import NoLeader, NoRoom, OutcomeUnknown, Refusal
from slimjobs.core.decide.restoring import decide_restore
from slimjobs.core.decide.scheduling import (
    decide_addition,
    decide_pause,
    decide_removal_of_schedule,
    trigger_of,
)
from slimjobs.core.decide.triggering import decide_trigger
from slimjobs.core.machine.answers import Answers
from slimjobs.core.machine.inputs import Asked, Called, Now, Token
from slimjobs.core.machine.journal import Journal
from slimjobs.core.machine.letters import Forwarded
from slimjobs.core.machine.line import Line
from slimjobs.core.machine.members import Members
from slimjobs.core.machine.outbox import Outbox
from slimjobs.core.machine.queries import Query, ShowCluster, ShowRun
from slimjobs.core.machine.reading import read
from slimjobs.core.machine.requests import Request, Value, asked_again, told_too_late
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.core.machine.timetables import Timetables
from slimjobs.core.machine.waits import Waits
from slimjobs.core.supervisor.supervisor import Supervisor
from slimjobs.eventlog.events.runs import RunId
from slimjobs.eventlog.raft import Index, NodeId, Term
from slimjobs.projections.listing import status_of
from slimjobs.projections.state import Trouble
from slimjobs.projections.views import RunDetail, RunStatus, Why, WhyKind

WAITING_AT_MOST = 10_000

_FINAL = frozenset({RunStatus.SUCCEEDED, RunStatus.FAILED})
_NO_NEW_WORK = DeleteRun | RemoveSchedule | PauseSchedule | RemoveMember


class _StatusWait(msgspec.Struct, frozen=True):
    request: Request
    until_ns: int
    query: ShowRun
    status: RunStatus


class _DeletionWait(msgspec.Struct, frozen=True):
    """`index` and `term` are of the entry with which the deletion is in the log."""

    request: Request
    index: Index
    term: Term


class Callers:
    """Everybody who has asked this node for something and has neither been answered nor been passed on."""

    def __init__(
        self,
        journal: Journal,
        supervisor: Supervisor,
        members: Members,
        timetables: Timetables,
        outbox: Outbox,
        settings: MachineSettings,
    ) -> None:
        self.answers = Answers(outbox)
        self.problems: tuple[str, ...] = ()
        self.backup_problem = ""
        self.waiting: Line[Request] = Line()
        self._journal = journal
        self._supervisor = supervisor
        self._members = members
        self._timetables = timetables
        self._outbox = outbox
        self._settings = settings
        self._status_waits: Waits[_StatusWait] = Waits()
        self._deletion_waits: Waits[_DeletionWait] = Waits()

    def ask(self, said: Called | Asked, now: Now) -> None:
        """Let a caller wait for its turn, or tell it that too many do."""
        if len(self.waiting) >= WAITING_AT_MOST:
            self._outbox.answer(said.token, self._journal.committed, NoLeader("too many requests wait"))
        else:
            self.waiting.append(Request(said, self._patience(now)))

    def ask_for_guest(self, letter: Forwarded, now: Now) -> None:
        """The same for a caller of another node; what waits here already is not taken twice."""
        token = self._outbox.welcome(letter.sender, letter.token)
        if token is not None:
            said, cause = letter.said, letter.cause
            self.ask(Called(token, said, cause) if isinstance(said, Command) else Asked(token, said), now)

    def ask_again(self, requests: Iterable[Request]) -> None:
        """Let these wait once more, before all others."""
        self.waiting.put_first(requests)

    def abandon(self, token: Token) -> None:
        """A caller has gone."""
        self._status_waits.drop(token)
        self._deletion_waits.drop(token)

    def abandon_guest(self, sender: NodeId, guest_token: int) -> None:
        """A caller of another node has gone."""
        token = self._outbox.guest(sender, guest_token)
        if token is not None and (token in self._status_waits or token in self._deletion_waits):
            self.abandon(token)
            self._outbox.dismiss(token)

    def _patience(self, now: Now) -> int:
        return now.monotonic_ns + int(self._settings.patience_seconds * 1e9)

    # As a leader ----------------------------------------------------------------------------------------------------

    def serve(self, dependencies_seen: Collection[str], now: Now) -> None:
        """Decide everything that waits, each command against the state with the ones before it.

        One that finds no room only because the disk is behind waits for it, and those that came later with it.
        """
        while self.waiting:
            request = self.waiting.first
            said = request.said
            if isinstance(said, Asked):
                self._read(request, said.query, dependencies_seen, now, stale=said.stale)
            elif not self._decide(request, said, dependencies_seen, now):
                return
            self.waiting.take()

    def serve_questions(self, dependencies_seen: Collection[str], now: Now) -> None:
        """Answer who only wants to know; the others wait for more of the cluster to be there."""
        for request in self.waiting.take_all():
            said = request.said
            if isinstance(said, Asked):
                self._read(request, said.query, dependencies_seen, now, stale=said.stale)
            else:
                self.waiting.append(request)

    def _decide(self, request: Request, called: Called, dependencies_seen: Collection[str], now: Now) -> bool:
        """Decide a command; False if it has to wait for the disk."""
        command = called.command
        if isinstance(command, TransferLeadership):
            self._transfer(request, command.to)
            return True
        decision = self._decision(command, dependencies_seen, now)
        if not isinstance(decision, Decision):
            self._hold(request, decision)
            return True
        if not decision.events:
            if decision.result == Deleted(promised=False):
                self._wait_for_deletion(request, command, self._journal.last_index)
            else:
                self._hold(request, decision.result)
            return True
        new_work = not isinstance(command, _NO_NEW_WORK)
        applied = self._journal.append(decision.events, called.cause, now.wall_ms, new_work=new_work)
        if applied is None and self._journal.waits_for_disk:
            return False
        if applied is None:
            self._hold(request, NoRoom())
        elif decision.result == Deleted(promised=False):
            self._wait_for_deletion(request, command, applied.index)
        else:
            self.answers.promise(request, applied.index, applied.term, decision.result)
        return True

    def _decision(
        self,
        command: Trigger | DeleteRun | Configure | ScheduleCommand | RestoreBackup | RemoveMember,
        dependencies_seen: Collection[str],
        now: Now,
    ) -> Decision | Refusal:
        state, image_required = self._journal.state, self._settings.image_required
        match command:
            case Trigger():
                limits = self._settings.limits
                return decide_trigger(state, command, limits, dependencies_seen, image_required, now.wall_ms)
            case DeleteRun():
                return decide_deletion(state, command, dependencies_seen)
            case Configure():
                return decide_configuration(state, command, dependencies_seen, self._timetables, now.wall_ms)
            case AddSchedule():
                return decide_addition(state, command, self._timetables, image_required, now.wall_ms)
            case RemoveSchedule():
                return decide_removal_of_schedule(state, command)
            case PauseSchedule():
                return decide_pause(state, command, self._timetables, now.wall_ms)
            case RunSchedule():
                trigger = trigger_of(state, command)
                return self._decision(trigger, dependencies_seen, now) if isinstance(trigger, Trigger) else trigger
            case RestoreBackup():
                return decide_restore(state, command, self._timetables, now.wall_ms)
            case RemoveMember(name):
                return self._members.decide_removal(name)

    # It is told at once that leadership goes: held, the answer would be asked of the next leader too.
    def _transfer(self, request: Request, to: str) -> None:
        result = self._members.transfer(to)
        if isinstance(result, Transferred):
            self._outbox.answer(request.token, self._journal.committed, result)
        else:
            self._hold(request, result)

    def _wait_for_deletion(self, request: Request, command: Command, index: Index) -> None:
        if isinstance(command, DeleteRun):
            wait = _DeletionWait(request, index, self._journal.term)
            self._deletion_waits.add(request.token, command.run, request.until_ns, wait)

    def _hold(self, request: Request, value: Value) -> None:
        self.answers.hold(request, self._journal.last_index, value)

    def _read(
        self, request: Request, query: Query, dependencies_seen: Collection[str], now: Now, *, stale: bool
    ) -> None:
        view = self._view(query, dependencies_seen)
        if isinstance(query, ShowRun) and isinstance(view, RunDetail):
            view = self._with_trouble(query.run, view)
            if query.wait_seconds > 0 and view.row.status not in _FINAL:
                until = now.monotonic_ns + int(query.wait_seconds * 1e9)
                self._status_waits.add(
                    request.token, query.run, until, _StatusWait(request, until, query, view.row.status)
                )
                return
        fresh = Request(request.said, self._patience(now), request.passed_on)
        if stale:
            self.answers.hold_stale(fresh, self._journal.last_index, view)
        else:
            self._hold(fresh, view)

    def _view(self, query: Query, dependencies_seen: Collection[str]) -> Value:
        if isinstance(query, ShowCluster):
            return self._members.view()
        return read(self._journal.state, query, dependencies_seen, self.known_problems())

    def known_problems(self) -> tuple[str, ...]:
        """What is wrong with this node's configuration, with what declares jobs, or with what is seen of the world."""
        broken, troubles = self._journal.state.refused, self._journal.state.troubles
        backup, expected = self.backup_problem, self._journal.state.schedules.expected
        return (
            *self.problems,
            *((backup,) if backup else ()),
            *((f"The schedules of the backup that {expected.node} has are not restored yet",) if expected else ()),
            *(f"CronJob '{name}': {problem}" for name in sorted(broken) for problem in broken[name]),
            *(_not_seen(what, troubles[what]) for what in sorted(troubles) if troubles[what].detail),
        )

    # An admitted run whose effects fail holds its slot and is tried again; whoever asks why sees the reason.
    def _with_trouble(self, run: RunId, view: RunDetail) -> RunDetail:
        trouble, since_ms = self._supervisor.trouble(run)
        if not trouble or view.row.status in _FINAL:
            return view
        return msgspec.structs.replace(view, why=(*view.why, Why(WhyKind.RETRY, trouble, since_ms)))

    # Those who wait for something to happen -------------------------------------------------------------------------

    @property
    def watch_runs(self) -> bool:
        """Whether anybody waits for a change of a run's status."""
        return bool(self._status_waits)

    def look_after(self, touched: Collection[RunId], dependencies_seen: Collection[str], now: Now) -> None:
        """Answer those who waited for a change of these runs' status, and those whose time is over."""
        if not self._status_waits:
            return
        state = self._journal.state
        for token, run, wait in self._status_waits.of(touched):
            if status_of(state, run) is not wait.status:
                self._end_status_wait(token, wait, dependencies_seen, now)
        for token, _, wait in self._status_waits.overdue(now.monotonic_ns):
            self._end_status_wait(token, wait, dependencies_seen, now)

    def _end_status_wait(self, token: Token, wait: _StatusWait, seen: Collection[str], now: Now) -> None:
        self._status_waits.drop(token)
        query = msgspec.structs.replace(wait.query, wait_seconds=0.0)
        self._read(Request(Asked(token, query), wait.request.until_ns), query, seen, now, stale=False)

    def settle_deletions(self, now: Now) -> None:
        """Answer those who waited for a deletion that the orchestrator has taken on, and those whose time is over."""
        if not self._deletion_waits:
            return
        for token, run, wait in self._deletion_waits.all():
            if self._journal.is_committed(wait.index, wait.term) and self._supervisor.deletion_accepted(run):
                self._end_deletion_wait(token, wait, Deleted(promised=True))
        for token, run, wait in self._deletion_waits.overdue(now.monotonic_ns):
            done = self._journal.is_committed(wait.index, wait.term)
            self._end_deletion_wait(token, wait, Deleted(promised=False) if done else OutcomeUnknown((run,)))

    def _end_deletion_wait(self, token: Token, wait: _DeletionWait, value: Value) -> None:
        self._deletion_waits.drop(token)
        self._outbox.answer(token, min(wait.index, self._journal.committed), value)

    # The end of it --------------------------------------------------------------------------------------------------

    def lose_leadership(self) -> None:
        """It leads no more: what waits is for another to do. Deletions under way stay until their time is over."""
        self.ask_again(self._asked_again(wait) for _, _, wait in self._status_waits.clear())
        self.ask_again(self.answers.lose_leadership())

    def _asked_again(self, wait: _StatusWait) -> Request:
        until_ns = wait.until_ns + int(self._settings.patience_seconds * 1e9)
        return msgspec.structs.replace(asked_again(wait.request), until_ns=until_ns)

    def turn_guests_away(self) -> None:
        """As a follower: callers of other nodes are told that this one does not lead."""
        guests = [request for request in self.waiting if self._outbox.is_guest(request.token)]
        if guests:
            for request in self.waiting.take_all():
                if not self._outbox.is_guest(request.token):
                    self.waiting.append(request)
        for guest in guests:
            self._outbox.turn_away(guest.token)

    def give_due(self) -> None:
        """Give the answers that may be given now; what surely came to nothing waits again."""
        self.ask_again(self.answers.give_due(self._journal.committed, self._journal.term_at))

    def refuse_impatient(self, now: Now) -> None:
        """Refuse those whose turn has not come in time. Nor does anybody wait longer for what does not commit."""
        committed = self._journal.committed
        for request in self.waiting.take_overdue(now.monotonic_ns):
            self._outbox.answer(request.token, committed, told_too_late(request, self._members.why_no_service()))
        self.answers.refuse_overdue(committed, now.monotonic_ns)

    def next_deadline_ns(self) -> int | None:
        """When the next caller's time is over."""
        deadlines = [
            *self._status_waits.deadlines(),
            *self._deletion_waits.deadlines(),
            *self.answers.deadlines(),
        ]
        if (deadline := self.waiting.deadline_ns()) is not None:
            deadlines.append(deadline)
        return min(deadlines, default=None)


def _not_seen(what: str, trouble: Trouble) -> str:
    since = datetime.fromtimestamp(trouble.since / 1000, UTC).isoformat(timespec="seconds")
    return f"{what} cannot be seen since {since}: {trouble.detail}"
