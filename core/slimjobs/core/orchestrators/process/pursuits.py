"""A pursuit drives one object: through its attempts and the back-off between them to its end, or to its removal.

Stands between the runner, which starts a pursuit when an object becomes active and interrupts it, and an `Attempt`. An
attempt is on the disk before its process starts, so that one which died with its node is found.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec
import structlog
import trio

from slimjobs.core.orchestrators.process.attempts import Attempt, Guard
from slimjobs.core.orchestrators.process.outputs import Outputs
from slimjobs.core.orchestrators.process.programs import environment
from slimjobs.core.orchestrators.process.states import (
    ACTIVE,
    KEEPER_LOST,
    KEPT_ATTEMPTS,
    NODE_LOST,
    Exit,
    RunObject,
    attempt_begun,
    attempt_ended,
    deadline_exceeded,
)
from slimjobs.core.orchestrators.process.store import ObjectStore, Step
from slimjobs.core.orchestrators.process.strays import end_strays, of_run

_log = structlog.get_logger(__name__)

_DISK_AGAIN_SECONDS: Final = 1.0
# The clock may be set meanwhile, so no wait for an instant is longer before it is read again.
_CLOCK_AGAIN_SECONDS: Final = 30.0
# A node ends within 5 s of its SIGTERM; its jobs get some of them to end by themselves.
_CLOSING_GRACE_SECONDS: Final = 1.5


class RunnerSettings(msgspec.Struct, frozen=True):
    """The settings of contract §1 that are the runner's: `BackoffSeconds`, `GraceSeconds`, `MaxOutputBytes`."""

    backoff_seconds: float = 10
    grace_seconds: float = 30
    max_output_bytes: int = 1024 * 1024


@dataclass(frozen=True)
class Workplace:
    """What every pursuit works with, and every post of a service."""

    store: ObjectStore
    outputs: Outputs
    guard: Guard
    settings: RunnerSettings
    now_ms: Callable[[], int]
    closing: trio.Event

    async def remove(self, name: str, uid: str) -> bool:
        """Remove an object and its outputs, if it is there and removable. OSError if the disk refuses."""
        run = await self.store.remove(name, uid)
        if run is not None and run.attempts:
            await trio.to_thread.run_sync(self.outputs.remove, uid, [attempt.number for attempt in run.attempts])
        return run is not None

    async def end(self, attempt: Attempt) -> None:
        """SIGTERM, then SIGKILL when the grace is over; that is short once the node closes."""
        attempt.terminate()
        grace_seconds = self.settings.grace_seconds
        with trio.move_on_after(grace_seconds):
            await self.closing.wait()
            await trio.sleep(min(grace_seconds, _CLOSING_GRACE_SECONDS))
        attempt.kill()


class Pursuit:
    """The pursuit of one object."""

    def __init__(self, workplace: Workplace, name: str, uid: str) -> None:
        self._at = workplace
        self._name = name
        self._uid = uid
        self._interrupted = trio.Event()
        self._overdue = False
        self.attempt: Attempt | None = None

    def interrupt(self) -> None:
        """Look up: the object is to go, or the node closes."""
        self._interrupted.set()

    async def run(self) -> None:
        """Drive the object until it has ended or is removed, or the node closes."""
        while (run := self._at.store.get(self._name, self._uid)) is not None and not self._at.closing.is_set():
            if run.running:  # and not because of us
                await self._end_strays(run)
                await self._conclude(NODE_LOST)
            elif run.ending:
                await self._remove()
            elif run.stage not in ACTIVE:
                return
            elif self._passed(run.deadline_ms):
                await self._insist(lambda run: deadline_exceeded(run, self._at.now_ms()))
            elif run.next_attempt_at_ms is not None and not self._passed(run.next_attempt_at_ms):
                await self._wait(min(run.next_attempt_at_ms, run.deadline_ms or run.next_attempt_at_ms))
            else:
                await self._attempt(run)

    async def _attempt(self, run: RunObject) -> None:
        outputs, number = self._at.outputs, run.last_attempt + 1
        path, variables = outputs.path(run.uid, number), environment(run, os.environ)
        self.attempt = attempt = Attempt(number, path, outputs.max_bytes, run.program.command, variables)
        begun = await self._insist(lambda run: attempt_begun(run, self._at.now_ms()))
        if begun is not None and begun.running:  # else it was deleted meanwhile
            await self._remove_output(run.uid, number - KEPT_ATTEMPTS)
            await self._attend(attempt, begun)
        self.attempt = None

    async def _attend(self, attempt: Attempt, run: RunObject) -> None:
        self._overdue = False
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._stop_when_due, attempt, run)
            exit = await attempt.run(self._at.guard)
            nursery.cancel_scope.cancel()
        if exit is KEEPER_LOST:
            await self._end_strays(run)
        # What the node stopped because it closes is found by the next one, as lost.
        if exit.succeeded or not self._at.closing.is_set():
            await self._conclude(exit)

    async def _stop_when_due(self, attempt: Attempt, run: RunObject) -> None:
        """Stop the attempt when the object is to go, its deadline has passed, or the node closes."""
        await self._wait(run.deadline_ms)
        self._overdue = not self._interrupted.is_set()
        await self._at.end(attempt)

    async def _conclude(self, exit: Exit) -> None:
        """Put down how the attempt ended, and so what follows."""
        now_ms, backoff_seconds = self._at.now_ms(), self._at.settings.backoff_seconds
        if self._overdue:
            await self._insist(lambda run: deadline_exceeded(run, now_ms, exit.code))
        else:
            await self._insist(lambda run: attempt_ended(run, exit, now_ms, backoff_seconds))

    async def _remove(self) -> None:
        try:
            await self._at.remove(self._name, self._uid)
        except OSError as error:
            await self._disk_refused(error)

    async def _end_strays(self, run: RunObject) -> None:
        """See to it that nothing of a lost attempt runs on, before another may start."""
        while True:
            try:
                return await trio.to_thread.run_sync(end_strays, of_run(run.run))
            except OSError as error:
                await self._disk_refused(error)

    async def _remove_output(self, uid: str, attempt: int) -> None:
        """Remove what an old attempt wrote; where the disk refuses, it goes with the object."""
        try:
            await trio.to_thread.run_sync(self._at.outputs.remove, uid, [attempt])
        except OSError as error:
            _log.warning("an old output could not be removed", name=self._name, attempt=attempt, error=str(error))

    async def _insist(self, step: Step) -> RunObject | None:
        """Take the object on, however long the disk refuses: what has happened cannot be refused."""
        while True:
            try:
                return await self._at.store.change(self._name, self._uid, step)
            except OSError as error:
                await self._disk_refused(error)

    async def _disk_refused(self, error: OSError) -> None:
        _log.error("runner's disk refuses", name=self._name, error=str(error))
        await trio.sleep(_DISK_AGAIN_SECONDS)

    async def _wait(self, until_ms: int | None) -> None:
        """Until this instant or an interruption; None: until an interruption."""
        while not self._interrupted.is_set() and not self._passed(until_ms):
            left = _CLOCK_AGAIN_SECONDS if until_ms is None else (until_ms - self._at.now_ms()) / 1000
            with trio.move_on_after(min(left, _CLOCK_AGAIN_SECONDS)):
                await self._interrupted.wait()

    def _passed(self, at_ms: int | None) -> bool:
        return at_ms is not None and self._at.now_ms() >= at_ms
