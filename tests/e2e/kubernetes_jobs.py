"""A namespace of a real control plane, with the orchestrator on it and somebody who watches through the port."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

import trio

from slimjobs.core.orchestrators.kubernetes import api as kubernetes
from slimjobs.core.orchestrators.kubernetes.access import find_access
from slimjobs.core.orchestrators.kubernetes.jobs import KubernetesJobs, open_jobs
from slimjobs.core.orchestrators.ports import (
    Accepted,
    Changed,
    Create,
    Created,
    Job,
    Listed,
    Observation,
    ObservedJob,
    Phase,
    Release,
    Unobserved,
    Vanished,
)
from slimjobs.eventlog.events.definitions import Definition
from slimjobs.eventlog.events.runs import RunId, job_object_name
from tests.cluster.api import Answer, Api
from tests.cluster.control_plane import ControlPlane
from tests.deploy.nodes import until

CLUSTER: Final = "c1"
SECONDS: Final = 60.0
FINAL: Final = frozenset({Phase.SUCCEEDED, Phase.FAILED})

_numbers = itertools.count()


@contextmanager
def new_namespace(admin: Api) -> Iterator[str]:
    """A namespace in which pods can be made; it is about to go afterwards."""
    name = f"jobs-{next(_numbers)}"
    assert admin.post("/api/v1/namespaces", {"metadata": {"name": name}}).status == 201
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    until(lambda: admin.get(account).status == 200, "pods have an account", SECONDS)
    yield name
    admin.request("DELETE", f"/api/v1/namespaces/{name}")


def shell(script: str, **fields: Any) -> Definition:
    """A job that runs this script."""
    return Definition(image="none", command=("sh", "-c", script), **fields)


class World:
    """What is seen through the port, and what an administrator does beside it. Containers share the `directory`."""

    def __init__(
        self, plane: ControlPlane, directory: Path, namespace: str, api: kubernetes.Api, jobs: KubernetesJobs
    ) -> None:
        self.plane = plane
        self.directory = directory
        self.namespace = namespace
        self.jobs = jobs
        self._api = api
        self.seen: list[Observation] = []
        self._runs = (RunId(number.to_bytes(10, "big")) for number in itertools.count())
        self._news = trio.Event()

    # The port -------------------------------------------------------------------------------------------------------

    def job(self, definition: Definition) -> Job:
        """A run of its own, of this definition."""
        run = next(self._runs)
        return Job(job_object_name("test", run), CLUSTER, run, "test", "a/path", definition)

    async def create(self, definition: Definition) -> ObservedJob:
        """A new object, suspended."""
        outcome = await self.jobs.carry_out(Create(self.job(definition)))
        assert isinstance(outcome, Created), outcome
        return outcome.job

    async def start(self, definition: Definition) -> ObservedJob:
        """A new object, released."""
        job = await self.create(definition)
        assert await self.jobs.carry_out(Release(job.run, job.name, job.uid)) == Accepted()
        return job

    async def output(self, job: ObservedJob, attempt: int | None = None, tail_lines: int | None = None) -> bytes:
        """The output of an attempt, as it is now."""
        pieces = self.jobs.output(job.name, job.uid, attempt, tail_lines, follow=False)
        return b"".join([piece async for piece in pieces])

    async def watch(self) -> None:
        """Look through the port for ever."""
        async for observation in self.jobs.observe():
            self.seen.append(observation)
            self._news.set()
            self._news = trio.Event()

    async def sees(self, holds: Callable[[Observation], bool], since: int = 0) -> Observation:
        """The first observation, of those from number `since` on, of which this holds; as soon as there is one."""
        with trio.fail_after(SECONDS):
            while True:
                for observation in self.seen[since:]:
                    if holds(observation):
                        return observation
                await self._news.wait()

    async def phase(self, job: ObservedJob, phase: Phase, since: int = 0) -> ObservedJob:
        """The object as it was when it was first told to be in this phase."""
        observation = await self.sees(
            lambda seen: any(each.uid == job.uid and each.phase is phase for each in told(seen)), since
        )
        return next(each for each in told(observation) if each.uid == job.uid)

    async def vanishes(self, job: ObservedJob) -> ObservedJob:
        """The last of the object, when it is gone."""
        observation = await self.sees(lambda seen: isinstance(seen, Vanished) and seen.job.uid == job.uid)
        assert isinstance(observation, Vanished)
        return observation.job

    async def unobserved(self, since: int) -> Unobserved:
        """That nothing is seen, and why."""
        observation = await self.sees(lambda seen: isinstance(seen, Unobserved) and seen.detail != "", since)
        assert isinstance(observation, Unobserved)
        return observation

    async def listed(self, since: int = 0) -> Listed:
        """A list of all there is."""
        observation = await self.sees(lambda seen: isinstance(seen, Listed), since)
        assert isinstance(observation, Listed)
        return observation

    # The administrator ----------------------------------------------------------------------------------------------

    @property
    def requests(self) -> Counter[tuple[str, str]]:
        """What the API server was asked so far, by verb and kind."""
        return Counter(self._api.counts)

    @property
    def path(self) -> str:
        """Where the Jobs are."""
        return f"/apis/batch/v1/namespaces/{self.namespace}/jobs"

    async def admin(self, method: str, path: str, given: Mapping[str, object] | None = None) -> Answer:
        """An administrator's request; under the namespace unless the path is a whole one."""
        whole = path if path.startswith("/") else f"/api/v1/namespaces/{self.namespace}/{path}"
        return await trio.to_thread.run_sync(self.plane.api("admin").request, method, whole, given)

    async def object(self, job: ObservedJob) -> Any:
        """The Job as it is in the API."""
        return (await self.admin("GET", f"{self.path}/{job.name}")).body

    async def pods(self, job: ObservedJob) -> list[Any]:
        """The pods of a Job as they are in the API."""
        return list((await self.admin("GET", f"pods?labelSelector=job-name={job.name}")).body["items"])


def told(observation: Observation) -> tuple[ObservedJob, ...]:
    """The objects that an observation says to be there."""
    match observation:
        case Listed(jobs):
            return jobs
        case Changed(job):
            return (job,)
    return ()


@asynccontextmanager
async def world_of(plane: ControlPlane, directory: Path) -> AsyncIterator[World]:
    """A namespace of its own, and somebody who watches it through the port."""
    access = find_access({"KUBECONFIG": str(plane.kubeconfig("admin"))}, Path("/none"))
    with new_namespace(plane.api("admin")) as namespace:
        async with (
            kubernetes.open_api(access) as api,
            open_jobs(api, namespace) as jobs,
            trio.open_nursery() as nursery,
        ):
            world = World(plane, directory, namespace, api, jobs)
            nursery.start_soon(world.watch)
            await world.listed()
            yield world
            nursery.cancel_scope.cancel()
