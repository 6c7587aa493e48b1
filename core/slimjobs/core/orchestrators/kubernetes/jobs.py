"""Kubernetes as what runs jobs: the port `Orchestrator`, with a Job for each run.

Every request is for the object of one uid and harmless however late it arrives; so nothing is locked, nothing is looked
up before, and what was not answered may simply be asked again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final
from urllib.parse import urlencode

import msgspec
import trio

from slimjobs.core.orchestrators.kubernetes.api import Answer, Api, NoAnswer
from slimjobs.core.orchestrators.kubernetes.attempts import OVER
from slimjobs.core.orchestrators.kubernetes.manifest import TemplateUnusable, manifest
from slimjobs.core.orchestrators.kubernetes.objects import OWNER_UID, PodList, jobs_path, pods_path
from slimjobs.core.orchestrators.kubernetes.observing import Observations
from slimjobs.core.orchestrators.kubernetes.outcomes import of_change, of_creation, of_look_up
from slimjobs.core.orchestrators.kubernetes.outputs import PodOutput, Wanted
from slimjobs.core.orchestrators.ports import (
    Accepted,
    Create,
    Delete,
    Effect,
    Expire,
    GiveUp,
    Job,
    Missing,
    Observation,
    Outcome,
    Rejected,
    Release,
    Unavailable,
)

MERGE_PATCH: Final = "application/merge-patch+json"
LONGEST_TTL_SECONDS: Final = (1 << 31) - 1
"""What Kubernetes' field holds."""

GIVEN_UP: Final = {"activeDeadlineSeconds": 1}
"""Ends a Job that was started longer ago than that: it removes its pods and fails with `DeadlineExceeded`."""


class KubernetesJobs:
    """The port `Orchestrator` for the Jobs of a namespace. Made by `open_jobs`."""

    def __init__(self, api: Api, namespace: str, nursery: trio.Nursery) -> None:
        self._api = api
        self._namespace = namespace
        self._nursery = nursery

    async def carry_out(self, effect: Effect) -> Outcome:
        """Ask for one effect, once, and give its outcome; `Unavailable` where there is no answer. See the port."""
        try:
            match effect:
                case Create(job=job):
                    return await self._create(job)
                case Release():
                    return await self._patch(effect, {"suspend": False})
                case Expire(ttl_seconds=seconds):
                    return await self._patch(effect, {"ttlSecondsAfterFinished": min(seconds, LONGEST_TTL_SECONDS)})
                case GiveUp():
                    return await self._patch(effect, GIVEN_UP)
                case Delete():
                    return await self._delete(effect)
        except NoAnswer as away:
            return Unavailable(str(away))

    def observe(self) -> AsyncIterator[Observation]:
        """Lists and changes, for ever; it ends with its last reference. See the port."""
        return Observations(self._api, self._namespace, self._nursery)

    def output(
        self, name: str, uid: str, attempt: int | None, tail_lines: int | None, follow: bool
    ) -> AsyncIterator[bytes]:
        """The output as the attempt's node keeps it; it raises when it is read. See the port."""
        return PodOutput(self._api, self._namespace, self._nursery, Wanted(name, uid, attempt, tail_lines, follow))

    async def _create(self, job: Job) -> Outcome:
        try:
            body = manifest(job)
        except TemplateUnusable as unusable:
            return Rejected(str(unusable))
        answer = await self._api.call("POST", jobs_path(self._namespace), body)
        outcome = of_creation(job.name, answer.status, answer.body)
        if outcome is not None:
            return outcome
        there = await self._api.get(jobs_path(self._namespace, job.name))
        return of_look_up(job.name, there.status, there.body)

    async def _patch(self, effect: Release | Expire | GiveUp, spec: Mapping[str, object]) -> Outcome:
        body = {"metadata": {"uid": effect.uid}, "spec": spec}
        path = jobs_path(self._namespace, effect.name)
        return await self._changed(effect, await self._api.call("PATCH", path, body, content_type=MERGE_PATCH))

    async def _delete(self, effect: Delete) -> Outcome:
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Foreground",
            "preconditions": {"uid": effect.uid},
        }
        answer = await self._api.call("DELETE", jobs_path(self._namespace, effect.name), options)
        return await self._changed(effect, answer)

    async def _changed(self, effect: Release | Expire | GiveUp | Delete, answer: Answer) -> Outcome:
        outcome = of_change(effect.name, answer.status, answer.body)
        if isinstance(outcome, Missing) and not isinstance(effect, Expire):
            return await self._what_is_left(effect)
        return outcome

    # A Job that somebody deletes as kubectl does by default is gone before its pods are.
    async def _what_is_left(self, effect: Release | GiveUp | Delete) -> Outcome:
        """The outcome for an object that is not there: missing it is only when nothing runs of it any more."""
        query = urlencode({"labelSelector": f"{OWNER_UID}={effect.uid}"})
        answer = await self._api.get(f"{pods_path(self._namespace)}?{query}")
        if answer.status != 200:
            return of_change(effect.name, answer.status, answer.body)
        try:
            pods = msgspec.json.decode(answer.body, type=PodList).items
        except msgspec.DecodeError as error:
            return Unavailable(f"the API server's answer cannot be read: {error}")
        if all(pod.status.phase in OVER for pod in pods):
            return Missing()
        return Accepted() if isinstance(effect, Delete) else Unavailable(f"{effect.name} is gone, but its pods run on")


@asynccontextmanager
async def open_jobs(api: Api, namespace: str) -> AsyncIterator[KubernetesJobs]:
    """The Jobs of this namespace, be the API server there or not, while the block runs."""
    async with trio.open_nursery() as nursery:
        yield KubernetesJobs(api, namespace, nursery)
        nursery.cancel_scope.cancel()
