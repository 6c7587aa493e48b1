"""The runner: carries effects out on its objects, and drives each released object through its attempts to its end.

Stands behind the port `Orchestrator`. Answers to effects are given when they are on the disk; what follows from them
happens in a task for each active object, its *pursuit*, which ends with the object's end or removal.

A job runs in the directory that the node was started in, its standard input is empty, and its standard output and error
are kept together as they were written. So does a service, which `upkeep.py` looks after.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import trio

from slimjobs.core.orchestrators.ports import (
    Accepted,
    AlreadyExists,
    Create,
    Created,
    Delete,
    Effect,
    Expire,
    GiveUp,
    Job,
    Missing,
    Observation,
    Outcome,
    OutputMissing,
    Rejected,
    Release,
    Scale,
    Unavailable,
)
from slimjobs.core.orchestrators.process.attempts import Guard
from slimjobs.core.orchestrators.process.collector import Collector
from slimjobs.core.orchestrators.process.outputs import Outputs, OutputStream
from slimjobs.core.orchestrators.process.programs import problems, program
from slimjobs.core.orchestrators.process.pursuits import Pursuit, RunnerSettings, Workplace
from slimjobs.core.orchestrators.process.states import ACTIVE, RunObject, deleted, expiring, observed, released
from slimjobs.core.orchestrators.process.store import Step, open_store
from slimjobs.core.orchestrators.process.upkeep import Lookout, Upkeep, prepare

# Two for the jobs (pursuits.py), one for their ends to be killed and seen; the guard gets the rest of a node's five.
_CLOSING_SECONDS: Final = 3.0


def wall_clock_ms() -> int:
    """Unix time in ms."""
    return time.time_ns() // 1_000_000


@asynccontextmanager
async def open_runner(
    directory: Path,
    settings: RunnerSettings,
    *,
    lock_fd: int | None = None,
    now_ms: Callable[[], int] = wall_clock_ms,
) -> AsyncIterator[ProcessRunner]:
    """The runner of this directory, with what a former one left in it but no services, while the block runs.

    `lock_fd` is a descriptor whose `flock` says that the directory is taken; it is held until the last process of a job
    is gone, even if this process is killed. At the end of the block what runs gets SIGTERM, then SIGKILL, within 5 s;
    attempts of jobs count as `NodeLost` at the next start. Raises `DamagedObject`, OSError.
    """
    outputs = Outputs(directory / "outputs", settings.max_output_bytes)
    store = await open_store(directory / "objects")
    await trio.to_thread.run_sync(outputs.prepare, {run.uid for run in store})
    services = (directory / "services").resolve()
    await trio.to_thread.run_sync(prepare, services)
    guard = Guard(lock_fd)
    await guard.start()
    try:
        async with trio.open_nursery() as nursery:
            workplace = Workplace(store, outputs, guard, settings, now_ms, closing=trio.Event())
            runner = ProcessRunner(workplace, Upkeep(workplace, services, nursery), nursery)
            runner.resume()
            try:
                yield runner
            finally:
                with trio.CancelScope(shield=True):
                    await runner.close()
                nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await guard.close()


class ProcessRunner:
    """The port `Orchestrator` for processes, and a host of services (`declared.Runner`). Made by `open_runner`."""

    def __init__(self, workplace: Workplace, services: Upkeep, nursery: trio.Nursery) -> None:
        self._at = workplace
        self._services = services
        self._nursery = nursery
        self._collector = Collector(workplace.remove, workplace.now_ms)
        self._pursuits: dict[str, Pursuit] = {}
        self._idle = trio.Event()

    @property
    def guard_pid(self) -> int | None:
        """The guard process, for those who look after processes."""
        return self._at.guard.pid

    # The port ----------------------------------------------------------------------------------------------------

    async def carry_out(self, effect: Effect) -> Outcome:
        """Carry out one effect; its outcome is on the disk. See the port."""
        if self._at.closing.is_set():
            return Unavailable("the runner is closing")
        try:
            match effect:
                case Create(job=job):
                    return await self._create(job)
                case Release():
                    return await self._change(effect, lambda run: released(run, self._at.now_ms()))
                case Expire(ttl_seconds=ttl_seconds):
                    return await self._change(effect, lambda run: expiring(run, ttl_seconds))
                case Delete():
                    return await self._delete(effect)
                case GiveUp():
                    return Rejected("a process waits for no image")
        except OSError as error:
            return Unavailable(f"the runner's disk: {error.strerror or error}")

    def observe(self) -> AsyncIterator[Observation]:
        """A list, then changes, for ever; a watcher too slow for its buffer gets a new list. See the port."""
        return self._at.store.watch()

    def output(
        self, name: str, uid: str, attempt: int | None, tail_lines: int | None, follow: bool
    ) -> AsyncIterator[bytes]:
        """The output of an attempt, head and tail if it is long. Raises `OutputMissing`. See the port."""
        run = self._at.store.get(name, uid)
        if run is None:
            raise OutputMissing(f"{name} is gone, and its output with it")
        if run.last_attempt == 0:
            raise OutputMissing(f"no attempt of {name} has started yet")
        number = run.last_attempt if attempt is None else attempt
        if number not in {known.number for known in run.attempts}:
            raise OutputMissing(
                f"{name} has no attempt {number} any more or yet: known are "
                f"{run.attempts[0].number} to {run.last_attempt}"
            )
        pursuit = self._pursuits.get(uid)
        attempt_now = pursuit.attempt if pursuit else None
        live = attempt_now if attempt_now and attempt_now.number == number else None
        return OutputStream(self._at.outputs.path(uid, number), tail_lines, live, follow)

    async def scale(self, effect: Scale) -> Outcome:
        """Have so many replicas of a service, if it is of that version. See the port `Surroundings`."""
        return await self._services.scale(effect)

    def lookout(self) -> Lookout:
        """One who declares services and sees what becomes of them."""
        return self._services.lookout()

    # Its life ----------------------------------------------------------------------------------------------------

    def resume(self) -> None:
        """Take up what a former runner left: pursue what is active or ending, collect what has expired."""
        self._nursery.start_soon(self._collector.run)
        for run in self._at.store:
            self._follow_up(run)

    async def close(self) -> None:
        """Take on nothing more and stop what runs, all within 3 s; the guard kills what is left then."""
        self._at.closing.set()
        with trio.move_on_after(_CLOSING_SECONDS):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._services.close)
                nursery.start_soon(self._close_pursuits)

    async def _close_pursuits(self) -> None:
        for pursuit in self._pursuits.values():
            pursuit.interrupt()
        self._idle = trio.Event()
        if self._pursuits:
            await self._idle.wait()

    # Effects -----------------------------------------------------------------------------------------------------

    async def _create(self, job: Job) -> Outcome:
        if found := list(problems(job)):
            return Rejected("; ".join(found))
        asked = RunObject(
            name=job.name,
            uid=str(uuid.uuid4()),
            cluster=job.cluster,
            run=job.run,
            path=job.path,
            program=program(job),
        )
        run = await self._at.store.add(asked)
        return Created(observed(run)) if run.uid == asked.uid else AlreadyExists(observed(run))

    async def _delete(self, effect: Delete) -> Outcome:
        # What does not run goes at once, even from a full disk; the rest is marked first, and goes when it is gone.
        if await self._at.remove(effect.name, effect.uid):
            return Accepted()
        return await self._change(effect, deleted)

    async def _change(self, effect: Release | Expire | Delete, step: Step) -> Outcome:
        run = await self._at.store.change(effect.name, effect.uid, step)
        if run is None:
            return Missing()
        self._follow_up(run)
        return Accepted()

    def _follow_up(self, run: RunObject) -> None:
        """See to what follows from the object as it is now: a pursuit, its interruption, or its collection."""
        if run.stage in ACTIVE or run.ending:
            if run.uid not in self._pursuits and not self._at.closing.is_set():
                self._pursuits[run.uid] = Pursuit(self._at, run.name, run.uid)
                self._nursery.start_soon(self._pursue, run.name, run.uid)
            if run.ending and run.uid in self._pursuits:
                self._pursuits[run.uid].interrupt()
        self._collector.consider(run)

    async def _pursue(self, name: str, uid: str) -> None:
        await self._pursuits[uid].run()
        del self._pursuits[uid]
        if not self._pursuits:
            self._idle.set()
        if run := self._at.store.get(name, uid):
            self._collector.consider(run)
