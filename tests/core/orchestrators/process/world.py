"""A runner with real processes, and the few words in which the tests beside this speak of it."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from slimjobs.core.orchestrators.ports import (
    Changed,
    Create,
    Created,
    Delete,
    Expire,
    Job,
    Listed,
    Observation,
    ObservedJob,
    Orchestrator,
    Outcome,
    Phase,
    Release,
    Vanished,
)
from slimjobs.core.orchestrators.process import RunnerSettings, open_runner
from slimjobs.eventlog.events.definitions import Definition, EnvironmentVariable
from slimjobs.eventlog.events.runs import RunId, job_object_name

PATIENCE_SECONDS = 60
"""After so long a test hangs; what has to be quick says so itself."""

QUICK = RunnerSettings(backoff_seconds=0.05, grace_seconds=5)


def a_job(
    *command: str,
    backoff_limit: int = 0,
    deadline_seconds: int | None = None,
    variables: Mapping[str, str] | None = None,
    path: str = "",
) -> Job:
    run = RunId(secrets.token_bytes(10))
    environments = tuple(EnvironmentVariable(name, value) for name, value in (variables or {}).items())
    definition = Definition(
        command=command,
        backoff_limit=backoff_limit,
        active_deadline_seconds=deadline_seconds,
        environments=environments,
    )
    return Job(job_object_name("test", run), "cluster", run, "test", path, definition)


def a_script(script: str, backoff_limit: int = 0, deadline_seconds: int | None = None) -> Job:
    return a_job("sh", "-c", script, backoff_limit=backoff_limit, deadline_seconds=deadline_seconds)


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def until(condition: Callable[[], bool], within_seconds: float = PATIENCE_SECONDS) -> None:
    with trio.fail_after(within_seconds):
        while not condition():  # noqa: ASYNC110  # processes and files set no event
            await trio.sleep(0.002)


async def pid_in(path: Path) -> int:
    """The pid that a job writes into this file, once it is whole."""
    await until(lambda: path.exists() and path.read_text().endswith("\n"))
    return _pid(path)


def _pid(path: Path) -> int:
    return int(path.read_text())


class World:
    """One runner and what was seen of its objects."""

    def __init__(self, runner: Orchestrator) -> None:
        self.runner = runner
        self.seen: list[Observation] = []
        self.jobs: dict[str, ObservedJob] = {}
        self.last: dict[str, ObservedJob] = {}
        self._news = trio.Event()

    async def watch(self) -> None:
        async for observation in self.runner.observe():
            self.seen.append(observation)
            match observation:
                case Listed(jobs=jobs):
                    self.jobs = {job.name: job for job in jobs}
                case Changed(job=job):
                    self.jobs[job.name] = job
                case Vanished(job=job):
                    del self.jobs[job.name]
                    self.last[job.name] = job
            self._news.set()
            self._news = trio.Event()

    async def sees(self, condition: Callable[[], bool]) -> None:
        """Wait until what was observed fulfils the condition."""
        with trio.fail_after(PATIENCE_SECONDS):
            while not condition():
                await self._news.wait()

    async def create(self, job: Job) -> ObservedJob:
        outcome = await self.runner.carry_out(Create(job))
        assert isinstance(outcome, Created)
        return outcome.job

    async def start(self, job: Job) -> ObservedJob:
        created = await self.create(job)
        await self.release(created)
        return created

    async def release(self, job: ObservedJob, uid: str | None = None) -> Outcome:
        return await self.runner.carry_out(Release(job.run, job.name, uid or job.uid))

    async def expire(self, job: ObservedJob, ttl_seconds: int) -> Outcome:
        return await self.runner.carry_out(Expire(job.run, job.name, job.uid, ttl_seconds))

    async def delete(self, job: ObservedJob, uid: str | None = None) -> Outcome:
        return await self.runner.carry_out(Delete(job.run, job.name, uid or job.uid))

    async def reached(self, job: ObservedJob, *phases: Phase) -> ObservedJob:
        await self.sees(lambda: job.name in self.jobs and self.jobs[job.name].phase in phases)
        return self.jobs[job.name]

    async def ended(self, job: ObservedJob) -> ObservedJob:
        return await self.reached(job, Phase.SUCCEEDED, Phase.FAILED)

    async def gone(self, job: ObservedJob) -> ObservedJob:
        await self.sees(lambda: job.name in self.last)
        return self.last[job.name]

    async def run(self, job: Job) -> ObservedJob:
        return await self.ended(await self.start(job))

    async def has_written(self, job: ObservedJob, text: bytes) -> None:
        """Wait until this is the output of a job that runs."""
        with trio.fail_after(PATIENCE_SECONDS):
            while await self.output(job) != text:  # noqa: ASYNC110  # what is tested is reading, not following
                await trio.sleep(0.005)

    async def output(
        self, job: ObservedJob, attempt: int | None = None, tail: int | None = None, follow: bool = False
    ) -> bytes:
        stream = self.runner.output(job.name, job.uid, attempt, tail, follow)
        return b"".join([piece async for piece in stream])


@asynccontextmanager
async def a_world(directory: Path, settings: RunnerSettings = QUICK) -> AsyncIterator[World]:
    async with open_runner(directory, settings) as runner, watched(runner) as world:
        yield world


@asynccontextmanager
async def watched(runner: Orchestrator) -> AsyncIterator[World]:
    """A world around a runner, whoever made it."""
    async with trio.open_nursery() as nursery:
        world = World(runner)
        nursery.start_soon(world.watch)
        yield world
        nursery.cancel_scope.cancel()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
