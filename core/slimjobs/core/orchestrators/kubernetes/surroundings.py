"""What is around in a namespace: annotated CronJobs, and what runs may depend on. Three watches become one of sights.

A watch that fails removes nothing: what was seen stays so until there is a whole list again (contract §4).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Final, Generic, Literal, TypeVar

import trio

from slimjobs.core.orchestrators.kubernetes.api import Api, NoAnswer, refusal
from slimjobs.core.orchestrators.kubernetes.cron_jobs import CronJob, cron_jobs_path, found_definition
from slimjobs.core.orchestrators.kubernetes.pumping import Pump, Send
from slimjobs.core.orchestrators.kubernetes.watching import All, Beginning, Gone, Kind, Put, list_and_watch
from slimjobs.core.orchestrators.kubernetes.workloads import (
    Workload,
    deployments_path,
    observed_service,
    stateful_sets_path,
)
from slimjobs.core.orchestrators.ports import (
    Accepted,
    DefinitionsFound,
    FoundDefinition,
    Missing,
    ObservedService,
    Outcome,
    Rejected,
    Scale,
    ServiceChanged,
    ServicesListed,
    ServiceVanished,
    Sight,
    Unavailable,
    Unseen,
)

MERGE_PATCH: Final = "application/merge-patch+json"

_GONE: Final = frozenset({404, 409})
_FOR_GOOD: Final = frozenset({400, 413, 422})

T = TypeVar("T")


class KubernetesSurroundings:
    """The port `Surroundings` for a namespace. Made by `open_surroundings`."""

    def __init__(self, api: Api, namespace: str, nursery: trio.Nursery) -> None:
        self._api = api
        self._namespace = namespace
        self._nursery = nursery
        self._stateful_sets: set[str] = set()

    def look_around(self) -> AsyncIterator[Sight]:
        """Lists and changes, for ever; it ends with its last reference. See the port."""
        return _Sights(Pump(self._nursery, self._give))

    async def scale(self, effect: Scale) -> Outcome:
        """Ask for so many replicas. See the port."""
        path_of = stateful_sets_path if effect.name in self._stateful_sets else deployments_path
        path = f"{path_of(self._namespace, effect.name)}/scale"
        body = {"metadata": {"resourceVersion": effect.version}, "spec": {"replicas": effect.replicas}}
        try:
            answer = await self._api.call("PATCH", path, body, content_type=MERGE_PATCH)
        except NoAnswer as away:
            return Unavailable(str(away))
        if answer.status < 300:
            return Accepted()
        if answer.status in _GONE:
            return Missing()
        said = str(refusal(answer))
        return Rejected(said) if answer.status in _FOR_GOOD else Unavailable(said)

    async def _give(self, send: Send[Sight]) -> None:
        around = _Around(self._stateful_sets)
        watches: tuple[_Watch[CronJob] | _Watch[Workload], ...] = (
            _Watch(Kind(cron_jobs_path(self._namespace), CronJob), "definitions", around.take_cron_jobs),
            _Watch(Kind(deployments_path(self._namespace), Workload), "services", around.deployments.take),
            _Watch(Kind(stateful_sets_path(self._namespace), Workload), "services", around.stateful_sets.take),
        )
        async with trio.open_nursery() as nursery:
            for watch in watches:
                nursery.start_soon(watch.run, self._api, send)


class _Sights(AsyncIterator[Sight]):
    def __init__(self, pump: Pump[Sight]) -> None:
        self._pump = pump

    async def __anext__(self) -> Sight:
        return await self._pump.next()


class _Watch(Generic[T]):
    """The watch of one kind, and what its news mean."""

    def __init__(
        self,
        kind: Kind[T],
        what: Literal["services", "definitions"],
        take: Callable[[All[T] | Put[T] | Gone[T]], Sight | None],
    ) -> None:
        self._kind = kind
        self._what = what
        self._take = take

    async def run(self, api: Api, send: Callable[[Sight], Awaitable[None]]) -> None:
        told = ""
        async with aclosing(list_and_watch(api, self._kind)) as news:
            async for each in news:
                if not isinstance(each, Beginning):
                    sight = self._take(each)
                    if sight is not None:
                        await send(sight)
                    told = ""
                elif each.detail and each.detail != told:
                    told = each.detail
                    await send(Unseen(self._what, told))


class _Workloads:
    """One of the kinds that runs may depend on: those that were seen, by name."""

    def __init__(self, changed: Callable[[str | None], Sight | None]) -> None:
        self.seen: dict[str, ObservedService] | None = None
        self._changed = changed

    def take(self, news: All[Workload] | Put[Workload] | Gone[Workload]) -> Sight | None:
        if isinstance(news, All):
            self.seen = {each.metadata.name: observed_service(each) for each in news.items}
            return self._changed(None)
        assert self.seen is not None
        name = news.item.metadata.name
        before = self.seen.get(name)
        if isinstance(news, Put):
            self.seen[name] = observed_service(news.item)
        else:
            self.seen.pop(name, None)
        return self._changed(name) if self.seen.get(name) != before else None


class _Around:
    """What was seen, put together: a Deployment hides the StatefulSet of its name."""

    def __init__(self, only_stateful_sets: set[str]) -> None:
        self.deployments = _Workloads(self._changed)
        self.stateful_sets = _Workloads(self._changed)
        self._only_stateful_sets = only_stateful_sets
        self._found: dict[str, FoundDefinition] = {}

    def take_cron_jobs(self, news: All[CronJob] | Put[CronJob] | Gone[CronJob]) -> Sight | None:
        found = dict(self._found)
        if isinstance(news, All):
            found = {each.metadata.name: found_definition(each) for each in news.items if each.declares}
        elif isinstance(news, Put) and news.item.declares:
            found[news.item.metadata.name] = found_definition(news.item)
        else:
            found.pop(news.item.metadata.name, None)
        if found == self._found and not isinstance(news, All):
            return None
        self._found = found
        return DefinitionsFound(tuple(found[name] for name in sorted(found)))

    def _changed(self, name: str | None) -> Sight | None:
        """What is to be told of a change of this one, or of a whole list; None before both kinds were listed."""
        deployments, stateful_sets = self.deployments.seen, self.stateful_sets.seen
        if deployments is None or stateful_sets is None:
            return None
        self._only_stateful_sets.clear()
        self._only_stateful_sets.update(stateful_sets.keys() - deployments.keys())
        services = {**stateful_sets, **deployments}
        if name is None:
            return ServicesListed(tuple(services[each] for each in sorted(services)))
        return ServiceChanged(services[name]) if name in services else ServiceVanished(name)


@asynccontextmanager
async def open_surroundings(api: Api, namespace: str) -> AsyncIterator[KubernetesSurroundings]:
    """What is around in this namespace, be the API server there or not, while the block runs."""
    async with trio.open_nursery() as nursery:
        yield KubernetesSurroundings(api, namespace, nursery)
        nursery.cancel_scope.cancel()
