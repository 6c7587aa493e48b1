"""Jobs and pods, listed and watched together: two watches of the API server become the observations of the port.

    Unobserved -> (taken) -> both are listed -> Listed -> Changed, Vanished ... -> one of them is lost -> Unobserved

When either watch is lost, both are begun anew: only two lists that began after `Unobserved` was taken say together what
does not exist.
"""

from __future__ import annotations

import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Final, NamedTuple, TypeVar

import trio

from slimjobs.core.orchestrators.kubernetes.api import Api
from slimjobs.core.orchestrators.kubernetes.objects import CLUSTER, JobObject, PodObject, jobs_path, pods_path
from slimjobs.core.orchestrators.kubernetes.phases import SeenJob, SeenPod, seen_job, seen_pod
from slimjobs.core.orchestrators.kubernetes.pumping import Pump, Send
from slimjobs.core.orchestrators.kubernetes.view import View
from slimjobs.core.orchestrators.kubernetes.watching import All, Beginning, Gone, Kind, Put, list_and_watch_reduced
from slimjobs.core.orchestrators.ports import Changed, Observation, Unobserved, Vanished

FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 10.0

_BOTH: Final = frozenset({"Jobs", "pods"})

S = TypeVar("S")


class _Lost(NamedTuple):
    """One of the watches lost its thread."""

    detail: str


class _News(NamedTuple):
    """What one of the watches said: how it is taken in, and which list it completes."""

    take: Callable[[View], Changed | Vanished | None]
    listed: str = ""


_Heard = _Lost | _News


class Observations(AsyncIterator[Observation]):
    """The objects of a namespace that belong to any cluster of ours, for ever.

    It ends with its last reference; nothing has to be closed. `nursery` is where it keeps its watches.
    """

    def __init__(self, api: Api, namespace: str, nursery: trio.Nursery) -> None:
        self._api = api
        self._namespace = namespace
        self._nursery = nursery
        self._view = View()
        self._watches: Pump[_Heard] | None = None
        self._awaited: frozenset[str] = _BOTH
        self._trouble: str | None = ""
        self._pause_seconds = 0.0

    async def __anext__(self) -> Observation:
        while True:
            if self._trouble is not None:
                await trio.lowlevel.checkpoint()
                trouble, self._trouble = self._trouble, None
                return Unobserved(trouble)
            if self._watches is None:
                await self._begin()
            observation = await self._next()
            if observation is not None:
                return observation

    async def _begin(self) -> None:
        """Begin both lists, after a pause that grows while they fail."""
        await trio.sleep(self._pause_seconds * random.uniform(0.5, 1))
        longer = min(2 * self._pause_seconds, LONGEST_PAUSE_SECONDS)
        self._pause_seconds = max(FIRST_PAUSE_SECONDS, longer)
        self._awaited = _BOTH
        self._watches = Pump(self._nursery, _both(self._api, self._namespace))

    async def _next(self) -> Observation | None:
        assert self._watches is not None
        heard = await self._watches.next()
        if isinstance(heard, _Lost):
            self._watches.close()
            self._watches, self._trouble = None, heard.detail
            return None
        change = heard.take(self._view)
        if not self._awaited:
            return change
        self._awaited -= {heard.listed}
        if self._awaited:
            return None
        self._pause_seconds = 0.0
        return self._view.listed()


def _both(api: Api, namespace: str) -> Callable[[Send[_Heard]], Awaitable[None]]:
    """Watches both kinds, each from the beginning of its list."""
    jobs = Kind(jobs_path(namespace), JobObject, CLUSTER)
    pods = Kind(pods_path(namespace), PodObject, CLUSTER)

    async def watch(send: Send[_Heard]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_watch, list_and_watch_reduced(api, jobs, seen_job), _of_jobs, send)
            nursery.start_soon(_watch, list_and_watch_reduced(api, pods, seen_pod), _of_pods, send)

    return watch


async def _watch(
    seen: AsyncGenerator[Beginning | All[S] | Put[S] | Gone[S], None],
    news: Callable[[All[S] | Put[S] | Gone[S]], _News],
    send: Send[_Heard],
) -> None:
    begun = False
    async with aclosing(seen) as events:
        async for event in events:
            if not isinstance(event, Beginning):
                await send(news(event))
            elif begun:
                await send(_Lost(event.detail))
                return
            begun = True
            del event  # it may be all there is, and the next may not come for long


def _of_jobs(event: All[SeenJob] | Put[SeenJob] | Gone[SeenJob]) -> _News:
    match event:
        case All(jobs):
            return _News(lambda view: view.jobs_are(jobs), "Jobs")
        case Put(job):
            return _News(lambda view: view.job_is(job))
        case Gone(job):
            return _News(lambda view: view.job_is_gone(job))


def _of_pods(event: All[SeenPod] | Put[SeenPod] | Gone[SeenPod]) -> _News:
    match event:
        case All(pods):
            return _News(lambda view: view.pods_are(pods, _now_ms()), "pods")
        case Put(pod):
            return _News(lambda view: view.pod_is(pod))
        case Gone(pod):
            return _News(lambda view: view.pod_is_gone(pod, _now_ms()))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
