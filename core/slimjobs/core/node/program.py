"""The trio program around the node machine: it moves inputs and outputs between callers, peers, disk and orchestrator.

    callers, letters, observations, effects' outcomes, disk answers, time -> inbox -> machine.handle -> outputs

There is no decision here. One task turns the machine for callers; whatever arrives while it works is taken at its next
turn, so that many callers share one batch of records and one fsync. News of peers and of the disk come in batches
already, and turn it where they are heard: a pass of the loop less on the way of every commit.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Protocol, TypeVar

import outcome
import structlog
import trio

from slimjobs.core.decide.commands import Command
from slimjobs.core.machine.inputs import (
    Abandoned,
    Asked,
    BackupTold,
    Called,
    ConfigurationRefused,
    EffectEnded,
    HandOver,
    Input,
    Observed,
    Received,
    ScalingEnded,
    Sighted,
    Started,
    Tick,
    Token,
)
from slimjobs.core.machine.letters import Letter
from slimjobs.core.machine.machine import Machine
from slimjobs.core.machine.outputs import (
    Answer,
    Observe,
    Output,
    SaveSnapshot,
    Send,
    StartEffect,
    StartScaling,
    Stop,
    StopReason,
    Tell,
    WakeAt,
)
from slimjobs.core.machine.queries import Query
from slimjobs.core.node.clock import Clock
from slimjobs.core.node.service import Reply
from slimjobs.core.orchestrators.ports import Orchestrator, ServicesListed, Surroundings
from slimjobs.eventlog.storage.errors import StorageError
from slimjobs.eventlog.storage.requests import DiskAnswer, DiskRequest, SnapshotHeader, SnapshotRefused
from slimjobs.eventlog.transport.greeting import Greeting, PeerLost, PeerMet

T = TypeVar("T")

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger("slimjobs.node")


class SnapshotFile(Protocol):
    """A snapshot that is being written."""

    def write(self, frame: bytes) -> None:
        """Add a frame."""

    def finish(self) -> SnapshotRefused | None:
        """Complete it, or say why there is none."""


class NodeDisk(Protocol):
    """The disk as the program needs it."""

    def submit(self, request: DiskRequest) -> None:
        """Have a request carried out, after all that were submitted before it. Never blocks."""

    def snapshot_writer(self, header: SnapshotHeader) -> SnapshotFile:
        """Begin the file of a snapshot."""


StartDisk = Callable[[Callable[[Sequence[DiskAnswer]], None], Callable[[StorageError], None]], NodeDisk]
"""Starts the disk with two callbacks, for answers and for the failure that ends it; both are called in its thread."""


class NodeStopped(Exception):
    """The node would do wrong if it went on; the message says why, and what to do."""


class StateDiffers(NodeStopped):
    """It is not in the state that the majority is in."""


class TooOld(NodeStopped):
    """The log holds what this version does not understand."""


_WAYS = (PeerMet, PeerLost)
_STOPS = {StopReason.DIFFERS: StateDiffers, StopReason.TOO_OLD: TooOld}


def _not_yet() -> None:
    """Before the node runs nobody turns it."""


def _no_peers(_: Sequence[Letter]) -> None:
    """A node alone writes no letters; what it may have for a former member is of no use to anybody."""


# A disk that was left to itself at the end may still answer when there is nobody to hear it.
def _tell(token: trio.lowlevel.TrioToken, hear: Callable[[T], None], said: T) -> None:
    with suppress(trio.RunFinishedError):
        token.run_sync_soon(hear, said)


class Node:
    """A running node: the service that REST and the command line use (see `service.Service`).

    `post` is what letters leave by, set before it runs; what comes from peers goes to `deliver`.
    """

    def __init__(
        self,
        machine: Machine,
        start_disk: StartDisk,
        orchestrator: Orchestrator,
        clock: Clock,
        surroundings: Surroundings | None = None,
    ) -> None:
        self._machine = machine
        self._start_disk = start_disk
        self._orchestrator = orchestrator
        self._clock = clock
        self._surroundings = surroundings
        self._inbox: list[Input] = [Started()]
        self._parked: trio.lowlevel.Task | None = None
        self._turned = trio.Event()
        self._watching = trio.CancelScope()
        self._wake_at = math.inf
        self._sleeping = trio.CancelScope()
        self._last_token = 0
        self._callers: dict[Token, trio.lowlevel.Task] = {}
        self._failure: BaseException | None = None
        self._turn: Callable[[], None] = _not_yet
        self.post: Callable[[Sequence[Letter]], None] = _no_peers

    # Service --------------------------------------------------------------------------------------------------------

    async def command(self, command: Command) -> Reply:
        """Have a command decided; the reply comes when its record is committed, or with a refusal."""
        cause = "internal" if getattr(command, "internal", True) else "external"
        return await self._ask(lambda token: Called(token, command, cause))

    async def query(self, query: Query, stale: bool = False) -> Reply:
        """Have a query answered, linearizably or as this node knows it. Cancelling it abandons it."""
        return await self._ask(lambda token: Asked(token, query, stale))

    def output(
        self, name: str, uid: str, attempt: int | None, tail_lines: int | None, follow: bool
    ) -> AsyncIterator[bytes]:
        """The output of an attempt of a bound run, as the orchestrator keeps it. Raises `OutputMissing`."""
        return self._orchestrator.output(name, uid, attempt, tail_lines, follow)

    @property
    def not_ready(self) -> str:
        """Why this node is no caught-up voter with a leader and a committed configuration; empty when it is one."""
        return self._machine.not_ready

    def configuration_refused(self, problems: tuple[str, ...]) -> None:
        """The configuration could not be read again (or, with no problems, it can now): shown to whoever asks."""
        self._post(ConfigurationRefused(problems))

    def backup_told(self, problem: str) -> None:
        """What is wrong with this node's backups (empty: nothing is any more): shown to whoever asks."""
        self._post(BackupTold(problem))

    async def _ask(self, said: Callable[[Token], Called | Asked]) -> Reply:
        self._last_token += 1
        token = Token(self._last_token)
        self._callers[token] = trio.lowlevel.current_task()
        self._post(said(token))

        def abandon(_: Callable[[], None]) -> trio.lowlevel.Abort:
            del self._callers[token]
            self._post(Abandoned(token))
            return trio.lowlevel.Abort.SUCCEEDED

        answer: Answer = await trio.lowlevel.wait_task_rescheduled(abandon)
        return Reply(answer.index, answer.value)

    # Peers ----------------------------------------------------------------------------------------------------------

    @property
    def greeting(self) -> Greeting:
        """How this node introduces itself to its peers."""
        return self._machine.greeting

    def objection(self, greeting: Greeting) -> str:
        """Why this node does not talk to that one; empty if it does."""
        return self._machine.objection(greeting)

    async def deliver(self, heard: Sequence[Letter | PeerMet | PeerLost]) -> None:
        """What peers say; the machine takes it now, or at the turn that it is about to make."""
        self._inbox += [each if isinstance(each, _WAYS) else Received(each) for each in heard]
        self._turn_now()

    async def hand_over(self, seconds: float) -> None:
        """Let another node lead, if this one does and there is one; give up after so long."""
        self._post(HandOver())
        with trio.move_on_after(seconds):
            while self._machine.can_hand_over:
                await self._turned.wait()

    # Turning the machine --------------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Turn the machine until cancelled.

        Raises `StorageError` when the disk no longer does what it is told, `NodeStopped` when it must not go on.
        """
        token = trio.lowlevel.current_trio_token()
        disk = self._start_disk(
            lambda answers: _tell(token, self._disk_answered, answers),
            lambda failure: _tell(token, self._disk_failed, failure),
        )
        async with trio.open_nursery() as nursery:

            def turn() -> None:
                inputs, self._inbox = self._inbox, []
                for each in self._machine.handle(inputs, self._clock.now()):
                    self._carry_out(each, disk, nursery)
                self._turned.set()
                self._turned = trio.Event()

            self._turn = turn
            nursery.start_soon(self._wake_in_time)
            task_status.started()
            while True:
                await self._next_turn()
                if self._failure is not None:
                    raise self._failure
                turn()

    async def until_ready(self) -> None:
        """Return once this node can serve."""
        while self.not_ready:
            await self._turned.wait()

    # Turns are what a node spends its time with. So no event and no cancel scope is made for each of them: this is one
    # task that parks itself, and time is the affair of another, whose deadline is only ever moved forward.
    async def _next_turn(self) -> None:
        if self._inbox or self._failure is not None:
            await trio.lowlevel.checkpoint()
            return
        self._parked = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._unpark)

    def _unpark(self, _: Callable[[], None]) -> trio.lowlevel.Abort:
        self._parked = None
        return trio.lowlevel.Abort.SUCCEEDED

    # Whatever goes wrong in a turn ends `run`, and not whoever brought the news.
    def _turn_now(self) -> None:
        """Turn the machine, if it is not about to be turned anyway."""
        if self._parked is None or self._failure is not None:
            return
        turned = outcome.capture(self._turn)
        if isinstance(turned, outcome.Error):
            self._fail(turned.error)

    def _fail(self, failure: BaseException) -> None:
        self._failure = failure
        self._ring()

    def _ring(self) -> None:
        """Have the machine turned."""
        if self._parked is not None:
            trio.lowlevel.reschedule(self._parked)
            self._parked = None

    def _post(self, said: Input) -> None:
        self._inbox.append(said)
        self._ring()

    async def _wake_in_time(self) -> None:
        while True:
            with trio.CancelScope(deadline=self._wake_at) as self._sleeping:
                await trio.sleep_forever()
            if trio.current_time() >= self._wake_at:
                self._post(Tick())
                await self._turned.wait()

    def _wake_at_ns(self, monotonic_ns: int | None) -> None:
        self._wake_at = math.inf if monotonic_ns is None else monotonic_ns / 1e9
        if self._wake_at < self._sleeping.deadline:
            self._sleeping.deadline = self._wake_at

    def _carry_out(self, output: Output, disk: NodeDisk, nursery: trio.Nursery) -> None:
        match output:
            case Answer():
                task = self._callers.pop(output.token, None)
                if task is not None:
                    trio.lowlevel.reschedule(task, outcome.Value(output))
            case WakeAt(monotonic_ns):
                self._wake_at_ns(monotonic_ns)
            case StartEffect():
                nursery.start_soon(self._ask_orchestrator, output)
            case StartScaling():
                nursery.start_soon(self._ask_surroundings, output)
            case Observe(watch):
                self._watching.cancel()
                self._watching = trio.CancelScope()
                if watch is not None:
                    nursery.start_soon(self._watch, watch, self._watching)
            case SaveSnapshot():
                self._save_snapshot(output, disk)
            case Send(letters):
                self.post(letters)
            case Tell(text, facts, warning):
                (_log.warning if warning else _log.info)(text, **facts)
            case Stop(reason, detail):
                self._fail(_STOPS[reason](f"{reason.value}: {detail}"))
            case _:
                disk.submit(output)

    # The disk -------------------------------------------------------------------------------------------------------

    def _disk_answered(self, answers: Sequence[DiskAnswer]) -> None:
        self._inbox.extend(answers)
        self._turn_now()

    def _disk_failed(self, failure: StorageError) -> None:
        self._fail(failure)

    def _save_snapshot(self, saved: SaveSnapshot, disk: NodeDisk) -> None:
        file = disk.snapshot_writer(saved.header)
        for frame in saved.frames:
            file.write(frame)
        refused = file.finish()
        if refused is not None:
            _log.warning("no snapshot was written; the one before stands", reason=refused.reason)
            self._post(refused)

    # The orchestrator -----------------------------------------------------------------------------------------------

    async def _ask_orchestrator(self, started: StartEffect) -> None:
        self._post(EffectEnded(started.effect_id, await self._orchestrator.carry_out(started.effect)))

    async def _ask_surroundings(self, started: StartScaling) -> None:
        assert self._surroundings is not None, "nothing was seen that could be scaled"
        self._post(ScalingEnded(started.number, await self._surroundings.scale(started.scale)))

    async def _watch(self, watch: int, scope: trio.CancelScope) -> None:
        with scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._observe, watch)
                nursery.start_soon(self._look_around, watch)

    # The next observation is taken only when the machine has had the one before: nothing piles up here, and a list is
    # begun only after the machine knows that it will be.
    async def _observe(self, watch: int) -> None:
        async for observation in self._orchestrator.observe():
            self._post(Observed(watch, observation))
            await self._turned.wait()

    async def _look_around(self, watch: int) -> None:
        if self._surroundings is None:
            self._post(Sighted(watch, ServicesListed(())))
            return
        async for sight in self._surroundings.look_around():
            self._post(Sighted(watch, sight))
            await self._turned.wait()
