"""What is around, as a real API server tells of it: CronJobs that come, change, break and go; services that scale."""

from __future__ import annotations

import copy
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from slimjobs.core.orchestrators.kubernetes.access import find_access
from slimjobs.core.orchestrators.kubernetes.api import open_api
from slimjobs.core.orchestrators.kubernetes.surroundings import KubernetesSurroundings, open_surroundings
from slimjobs.core.orchestrators.ports import (
    Accepted,
    DefinitionsFound,
    FoundDefinition,
    Missing,
    ObservedService,
    Scale,
    Scaling,
    ServiceChanged,
    ServicesListed,
    ServiceVanished,
    Sight,
    Unavailable,
    Unseen,
)
from tests.cluster.api import Api
from tests.cluster.control_plane import ControlPlane
from tests.core.orchestrators.kubernetes.test_cron_jobs import FIBONACCI
from tests.deploy.nodes import until

SECONDS: Final = 60.0
NAMES: Final = (f"around-{number}" for number in itertools.count())


class World:
    """A namespace, whoever looks around in it, and what an administrator does."""

    def __init__(self, admin: Api, name: str, around: KubernetesSurroundings) -> None:
        self.admin = admin
        self.name = name
        self.around = around
        self._sights = around.look_around()

    async def until(self, holds: Callable[[Sight], bool]) -> Sight:
        """The first sight of which this holds."""
        with trio.fail_after(SECONDS):
            async for sight in self._sights:
                if holds(sight):
                    return sight
        raise AssertionError("sights have no end")

    async def definition(self, holds: Callable[[FoundDefinition], bool]) -> FoundDefinition:
        """The first time that one is found of which this holds."""
        sight = await self.until(lambda sight: isinstance(sight, DefinitionsFound) and any(map(holds, sight.found)))
        assert isinstance(sight, DefinitionsFound)
        return next(filter(holds, sight.found))

    async def service(self, holds: Callable[[ObservedService], bool]) -> ObservedService:
        """The first time that a service is seen of which this holds."""
        sight = await self.until(lambda sight: isinstance(sight, ServiceChanged) and holds(sight.service))
        assert isinstance(sight, ServiceChanged)
        return sight.service

    def path(self, kind: str, name: str = "") -> str:
        group = "batch" if kind == "cronjobs" else "apps"
        collection = f"/apis/{group}/v1/namespaces/{self.name}/{kind}"
        return f"{collection}/{name}" if name else collection

    def put(self, kind: str, written: dict[str, Any]) -> None:
        answer = self.admin.post(self.path(kind), written)
        assert answer.status == 201, answer

    def patch(self, kind: str, name: str, change: dict[str, Any]) -> None:
        answer = self.admin.request("PATCH", self.path(kind, name), change)
        assert answer.status == 200, answer

    def remove(self, kind: str, name: str) -> None:
        assert self.admin.request("DELETE", self.path(kind, name)).status == 200


@pytest.fixture
def namespace(plane: ControlPlane) -> Iterator[str]:
    name, admin = next(NAMES), plane.api("admin")
    assert admin.post("/api/v1/namespaces", {"metadata": {"name": name}}).status == 201
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    until(lambda: admin.get(account).status == 200, "pods have an account")
    yield name
    admin.request("DELETE", f"/api/v1/namespaces/{name}")


@asynccontextmanager
async def looking(plane: ControlPlane, namespace: str, user: str = "admin") -> AsyncIterator[World]:
    access = find_access({"KUBECONFIG": str(plane.kubeconfig(user))}, Path("/nowhere"))
    async with open_api(access) as api, open_surroundings(api, namespace) as around:
        yield World(plane.api("admin"), namespace, around)


def cron_job(namespace: str) -> dict[str, Any]:
    written = copy.deepcopy(dict(FIBONACCI))
    written["metadata"]["namespace"] = namespace
    return written


def workload(name: str, replicas: int, **annotations: str) -> dict[str, Any]:
    notes = {f"SlimFaas/{key}": value for key, value in annotations.items()}
    container = {"name": "main", "image": "none", "command": ["sleep", "3600.125"]}
    template = {"metadata": {"labels": {"app": name}, "annotations": notes}, "spec": {"containers": [container]}}
    return {
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": template},
    }


async def test_a_cron_job_appears_changes_breaks_is_mended_and_goes(plane: ControlPlane, namespace: str) -> None:
    async with looking(plane, namespace) as world:
        assert await world.until(lambda sight: isinstance(sight, DefinitionsFound)) == DefinitionsFound(())
        world.put("cronjobs", cron_job(namespace))
        found = await world.definition(lambda found: found.name == "fibonacci5")
        assert found.problems == ()
        assert found.definition is not None
        assert found.definition.image == "axaguildev/fibonacci-batch:latest"
        world.patch("cronjobs", "fibonacci5", {"metadata": {"annotations": {"SlimFaas/NumberParallelJob": "3"}}})
        found = await world.definition(lambda found: found.definition is not None)
        assert found.definition is not None
        assert found.definition.number_parallel_job == 3
        world.patch("cronjobs", "fibonacci5", {"metadata": {"annotations": {"SlimFaas/NumberParallelJob": "three"}}})
        [problem] = (await world.definition(lambda found: found.definition is None)).problems
        assert problem.startswith("the annotation SlimFaas/NumberParallelJob: ")
        world.patch("cronjobs", "fibonacci5", {"metadata": {"annotations": {"SlimFaas/NumberParallelJob": "1"}}})
        await world.definition(lambda found: found.definition is not None)
        world.patch("cronjobs", "fibonacci5", {"spec": {"suspend": False}})
        [problem] = (await world.definition(lambda found: found.definition is None)).problems
        assert problem.startswith("spec.suspend: ")
        world.remove("cronjobs", "fibonacci5")
        await world.until(lambda sight: sight == DefinitionsFound(()))


async def test_who_takes_the_annotation_away_takes_the_definition_away(plane: ControlPlane, namespace: str) -> None:
    async with looking(plane, namespace) as world:
        world.put("cronjobs", cron_job(namespace))
        await world.definition(lambda found: found.definition is not None)
        world.patch("cronjobs", "fibonacci5", {"metadata": {"annotations": {"SlimFaas/Job": None}}})
        await world.until(lambda sight: sight == DefinitionsFound(()))


async def test_a_deployment_is_woken_becomes_ready_and_is_put_to_sleep(plane: ControlPlane, namespace: str) -> None:
    async with looking(plane, namespace) as world:
        await world.until(lambda sight: isinstance(sight, ServicesListed))
        world.put("deployments", workload("db", 0, Function="true", ReplicasAtStart="2"))
        asleep = await world.service(lambda service: service.reason == "it has no replicas")
        assert asleep.scaling == Scaling(2, 0, 300)
        assert await world.around.scale(Scale("db", asleep.version, 2)) == Accepted()
        ready = await world.service(lambda service: service.ready)
        assert ready.replicas == 2
        assert await world.around.scale(Scale("db", asleep.version, 0)) == Missing(), "it is of another version now"
        outcome = None
        while outcome != Accepted():
            outcome = await world.around.scale(Scale("db", ready.version, 0))
            assert outcome in (Accepted(), Missing())
            if outcome == Missing():
                ready = await world.service(lambda service: service.ready)
        await world.service(lambda service: service.replicas == 0 and not service.ready)
        assert await world.around.scale(Scale("nobody", "1", 0)) == Missing()


async def test_a_deployment_hides_the_stateful_set_of_its_name(plane: ControlPlane, namespace: str) -> None:
    async with looking(plane, namespace) as world:
        await world.until(lambda sight: isinstance(sight, ServicesListed))
        stateful_set = workload("db", 1)
        stateful_set["spec"]["serviceName"] = "db"
        world.put("statefulsets", stateful_set)
        await world.service(lambda service: service.ready)
        world.put("deployments", workload("db", 0))
        await world.service(lambda service: service.replicas == 0)
        world.remove("deployments", "db")
        await world.service(lambda service: service.ready and service.replicas == 1)
        scaled = await world.around.scale(Scale("db", "", 0))
        assert scaled == Accepted(), "it is the StatefulSet that is scaled"
        await world.service(lambda service: service.replicas == 0)
        world.remove("statefulsets", "db")
        await world.until(lambda sight: sight == ServiceVanished("db"))


async def test_it_is_seen_through_the_death_of_the_api_server(plane: ControlPlane, namespace: str) -> None:
    async with looking(plane, namespace) as world:
        await world.until(lambda sight: isinstance(sight, ServicesListed))
        world.put("deployments", workload("db", 1))
        await world.service(lambda service: service.ready)
        await trio.to_thread.run_sync(plane.parts["kube-apiserver"].kill)
        await trio.sleep(7)  # longer than a watch is resumed for
        await trio.to_thread.run_sync(plane.start, "kube-apiserver")
        await world.until(lambda sight: isinstance(sight, Unseen) and sight.what == "services")
        listed = await world.until(lambda sight: isinstance(sight, ServicesListed))
        assert isinstance(listed, ServicesListed)
        assert [service.name for service in listed.services] == ["db"]


async def test_who_may_see_nothing_is_told_so(plane: ControlPlane, namespace: str) -> None:
    async with looking(plane, namespace, "outsider") as world:
        sight = await world.until(lambda sight: isinstance(sight, Unseen))
        assert isinstance(sight, Unseen)
        assert "forbidden" in sight.detail
        outcome = await world.around.scale(Scale("db", "1", 1))
        assert isinstance(outcome, Unavailable)
        assert "forbidden" in outcome.detail
