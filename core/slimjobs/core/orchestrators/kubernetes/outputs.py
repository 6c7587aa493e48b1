"""What an attempt wrote, as its node keeps it: which pod and container that is, and their log, piece by piece.

Stands behind the port's `output`. Nothing of it is kept here: when Kubernetes has removed a pod, its output is gone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple, TypeVar
from urllib.parse import urlencode

import msgspec
import trio

from slimjobs.core.orchestrators.kubernetes.api import Answer, Api, NoAnswer, Refused, refusal
from slimjobs.core.orchestrators.kubernetes.attempts import OVER, attempts_of, own_container, pod_counts
from slimjobs.core.orchestrators.kubernetes.objects import (
    OWNER_UID,
    JobObject,
    PodList,
    PodObject,
    jobs_path,
    pods_path,
)
from slimjobs.core.orchestrators.kubernetes.pumping import Pump, Send
from slimjobs.core.orchestrators.ports import OutputMissing, OutputUnavailable

IDLE_SECONDS: Final = 30.0
"""How long the end of an output that is not followed may take to come."""

PATIENCE_SECONDS: Final = 5.0
"""How long it is asked where an output is: whoever wants it waits."""

_NEVER_THERE: Final = frozenset({400, 404})
"""The API server knows that there is no such output: the container has not begun, or the pod is gone."""

T = TypeVar("T")


class Wanted(NamedTuple):
    """Which output: see the port."""

    name: str
    uid: str
    attempt: int | None
    tail_lines: int | None
    follow: bool


class Place(NamedTuple):
    """Where the output of an attempt is. `previous`: of the container before its last restart."""

    pod: str
    container: str
    previous: bool


class PodOutput(AsyncIterator[bytes]):
    """The output of an attempt. Raises `OutputMissing`, or `OutputUnavailable` where nobody can be asked.

    It ends with its last reference; nothing has to be closed.
    """

    def __init__(self, api: Api, namespace: str, nursery: trio.Nursery, wanted: Wanted) -> None:
        self._pieces: Pump[bytes | OutputMissing] = Pump(nursery, _Source(api, namespace, wanted).give)

    async def __anext__(self) -> bytes:
        try:
            piece = await self._pieces.next()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None
        if isinstance(piece, OutputMissing):
            raise piece
        return piece


class _Source:
    """Finds the output and hands it over."""

    def __init__(self, api: Api, namespace: str, wanted: Wanted) -> None:
        self._api = api
        self._namespace = namespace
        self._wanted = wanted

    async def give(self, send: Send[bytes | OutputMissing]) -> None:
        try:
            path = log_path(self._namespace, await self._place(), self._wanted)
            idle_seconds = None if self._wanted.follow else IDLE_SECONDS
            async with self._api.stream(path, idle_seconds=idle_seconds) as pieces:
                async for piece in pieces:
                    await send(piece)
        except OutputMissing as missing:
            await send(missing)
        except Refused as refused:
            await send(_why_refused(refused))
        except NoAnswer as away:
            await send(OutputUnavailable(str(away)))

    async def _place(self) -> Place:
        name, uid, attempt, _, _ = self._wanted
        answer = await self._ask(jobs_path(self._namespace, name))
        job = None if answer.status == 404 else _read(answer, JobObject)
        if job is None or job.metadata.uid != uid:
            raise OutputMissing(f"{name} is gone, and its output with it")
        query = urlencode({"labelSelector": f"{OWNER_UID}={uid}"})
        pods = _read(await self._ask(f"{pods_path(self._namespace)}?{query}"), PodList).items
        return place_of(name, pods, _lost(job, pods), attempt)

    async def _ask(self, path: str) -> Answer:
        return await self._api.get(path, timeout_seconds=PATIENCE_SECONDS)


def log_path(namespace: str, place: Place, wanted: Wanted) -> str:
    """Where to ask for an output. What a container wrote before it was begun again does not grow any more."""
    query: dict[str, str | int] = {"container": place.container}
    if place.previous:
        query["previous"] = "true"
    elif wanted.follow:
        query["follow"] = "true"
    if wanted.tail_lines is not None:
        query["tailLines"] = wanted.tail_lines
    return f"{pods_path(namespace, place.pod)}/log?{urlencode(query)}"


def place_of(name: str, pods: Sequence[PodObject], lost: int, attempt: int | None) -> Place:
    """Where the output of an attempt is, None: of the latest; numbered as everywhere. Raises `OutputMissing`."""
    places: dict[int, Place] = {}
    before = lost + 1
    for pod in sorted(pods, key=lambda pod: pod.metadata.creation_timestamp):
        told, container = attempts_of(pod), own_container(pod)
        restarts = told.count - 1
        for each in told.told:
            own = container.name if container is not None else pod.spec.containers[0].name
            places[before + each.number] = Place(pod.metadata.name, own, each.number < restarts)
        before += told.count
    if not places and lost == 0:
        raise OutputMissing(f"no attempt of {name} has started yet")
    number = max(places, default=before - 1) if attempt is None else attempt
    if number not in places:
        there = ", ".join(map(str, sorted(places))) or "none"
        raise OutputMissing(
            f"the output of attempt {number} of {name} is not there (any more, or yet): there is {there}"
        )
    return places[number]


def _lost(job: JobObject, pods: Sequence[PodObject]) -> int:
    return pod_counts(job).lost(len(pods), sum(pod.status.phase in OVER for pod in pods))


def _read(answer: Answer, kind: type[T]) -> T:
    if answer.status != 200:
        raise refusal(answer)
    try:
        return msgspec.json.decode(answer.body, type=kind)
    except msgspec.DecodeError as error:
        raise OutputUnavailable(f"the API server's answer cannot be read: {error}") from None


def _why_refused(refused: Refused) -> OutputMissing:
    words = refused.message or refused.reason or f"the API server answered with status {refused.status}"
    return OutputMissing(words) if refused.status in _NEVER_THERE else OutputUnavailable(words)
