"""The attempts of a run: what its pods tell about them. Pure; stands under `phases.py`.

A pod is one attempt, and one more for every restart of its container (`OnFailure`). Of a container only the latest two
are told: older ones leave a gap in the numbers, as do pods that nobody saw.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

import msgspec

from slimjobs.core.orchestrators.kubernetes.objects import (
    Condition,
    ContainerStatus,
    JobObject,
    PodObject,
    Terminated,
)
from slimjobs.core.orchestrators.ports import ObservedAttempt

KEPT_ATTEMPTS: Final = 10
"""How many of a run are told, the latest."""

OVER: Final = frozenset({"Succeeded", "Failed"})
"""The phases of a pod that runs nothing any more, and never will."""


class PodAttempts(msgspec.Struct, frozen=True, gc=False):
    """What of a pod its run's attempts are made of; their numbers count from 0 within the pod.

    `count` is how many numbers it takes: one at least, though its container may never have begun.
    """

    created_at_ms: int
    count: int
    told: tuple[ObservedAttempt, ...]


def ms(instant: datetime | None) -> int | None:
    """Unix ms."""
    return None if instant is None else round(instant.timestamp() * 1000)


def numbered(pods: Iterable[PodAttempts], lost: int) -> tuple[ObservedAttempt, ...]:
    """The latest attempts of a run, oldest first, numbered behind those of `lost` pods."""
    attempts: list[ObservedAttempt] = []
    before = lost + 1
    for pod in sorted(pods, key=lambda pod: pod.created_at_ms):
        attempts += (msgspec.structs.replace(each, number=before + each.number) for each in pod.told)
        before += pod.count
    return tuple(attempts[-KEPT_ATTEMPTS:])


class PodCounts(msgspec.Struct, frozen=True, gc=False):
    """How many pods a Job has had by its own account, and how many of them have ended; those included that are gone."""

    ever: int
    ended: int

    def lost(self, seen: int, over: int) -> int:
        """How many of them are gone, where so many are seen, of which so many are over.

        Both were looked at at different moments: a pod that only one of them knows of yet is not lost.
        """
        return max(0, min(self.ever - seen, self.ended - over))


def pod_counts(job: JobObject) -> PodCounts:
    """The pods of a Job, counted."""
    status = job.status
    uncounted = status.uncounted_terminated_pods
    ended = status.succeeded + status.failed + len(uncounted.succeeded) + len(uncounted.failed)
    # A Job that is about to fail ends its pods, and counts them as failed before they have ended.
    is_failing = any(condition.type == "FailureTarget" for condition in status.conditions)
    return PodCounts(ended + status.active + (0 if is_failing else status.terminating), ended)


def attempts_of(pod: PodObject) -> PodAttempts:
    """What a pod tells."""
    created = ms(pod.metadata.creation_timestamp) or 0
    container = own_container(pod)
    restarts = container.restart_count if container is not None else 0
    told = () if container is None else (*_restarted(container), *_latest(pod, container))
    if not told and pod.status.phase == "Failed":
        told = (_never_begun(pod, created),)
    return PodAttempts(created, restarts + 1, told)


def cut_short(attempts: PodAttempts, at_ms: int) -> PodAttempts:
    """What a pod tells that was removed at this time, whether its container had ended or not."""
    told = tuple(
        each if each.ended_at_ms is not None else msgspec.structs.replace(each, ended_at_ms=at_ms, reason="PodDeleted")
        for each in attempts.told
    )
    return msgspec.structs.replace(attempts, told=told)


def own_container(pod: PodObject) -> ContainerStatus | None:
    """How the first container of a pod is, which is the job's own; None before anybody reported on it."""
    names = [container.name for container in pod.spec.containers[:1]]
    return next((status for status in pod.status.container_statuses if status.name in names), None)


def why_over(pod: PodObject) -> str:
    """The reason that a pod as a whole was ended for, in one word (Evicted, NodeLost, ...); empty if there was none."""
    disrupted = (condition for condition in pod.status.conditions if condition.type == "DisruptionTarget")
    return pod.status.reason or next((each.reason for each in disrupted if each.status == "True"), "")


# While a container waits to be restarted, the count is still that of the attempt that ended.
def _restarted(container: ContainerStatus) -> Iterator[ObservedAttempt]:
    ended = container.last_state.terminated
    if ended is not None and container.state.waiting is not None:
        yield _ended(container.restart_count, ended, ended)
    elif ended is not None and container.restart_count > 0:
        yield _ended(container.restart_count - 1, ended, ended)


def _latest(pod: PodObject, container: ContainerStatus) -> Iterator[ObservedAttempt]:
    number, state, is_over = container.restart_count, container.state, pod.status.phase in OVER
    if state.terminated is not None and (is_over or _has_ended(pod, state.terminated)):
        ended = _ended(number, state.terminated, _teller(pod, state.terminated))
        yield msgspec.structs.replace(ended, reason=why_over(pod) or ended.reason)
    elif (begun := state.running or state.terminated) is not None:
        started = ms(begun.started_at) or _begun(pod)
        if is_over:  # nobody was left who could tell how the container ended
            yield ObservedAttempt(number, started, _over_at(pod, started), None, why_over(pod) or "Error")
        else:
            yield ObservedAttempt(number, started)


# A container may be over while another of its pod is not: the attempt is the pod, unless the container begins anew.
def _has_ended(pod: PodObject, terminated: Terminated) -> bool:
    is_restarted = pod.spec.restart_policy == "OnFailure" and terminated.exit_code != 0
    return is_restarted or all(status.state.running is None for status in pod.status.container_statuses)


def _teller(pod: PodObject, own: Terminated) -> Terminated:
    """The container that tells how a pod ended: the job's own, or the one that failed beside it."""
    if pod.status.phase != "Failed" or own.exit_code != 0:
        return own
    ends = (status.state.terminated for status in pod.status.container_statuses)
    return next((end for end in ends if end is not None and end.exit_code != 0), own)


def _ended(number: int, times: Terminated, teller: Terminated) -> ObservedAttempt:
    ended = ms(teller.finished_at) or ms(times.finished_at) or 0
    started = ms(times.started_at) or ended
    reason = sys.intern(teller.reason or ("Error" if teller.exit_code else "Completed"))
    return ObservedAttempt(number, started, max(started, ended), teller.exit_code, reason)


# Turned away by its node, or evicted before its image was there: it counts against the limit all the same.
def _never_begun(pod: PodObject, created: int) -> ObservedAttempt:
    started = ms(pod.status.start_time) or created
    return ObservedAttempt(0, started, _over_at(pod, started), None, why_over(pod) or "Error")


def _begun(pod: PodObject) -> int:
    return ms(pod.status.start_time) or ms(pod.metadata.creation_timestamp) or 0


def _over_at(pod: PodObject, started: int) -> int:
    """When a pod ended whose container does not tell: at the last that happened to it."""
    return max([started, *(_changed_at(condition) for condition in pod.status.conditions)])


def _changed_at(condition: Condition) -> int:
    return ms(condition.last_transition_time) or 0
