"""How a Job and its pods look through the port: (Job, its pods) -> `ObservedJob`. Pure; `view.py` asks it.

What is read from an object is reduced to what is needed of it at once: of ten thousand ended Jobs little may be kept.

A pod runs 22 ms after its Job was created, but the Job says `Complete` a full second after its pod has succeeded: that
success ends the run. A failure is waited for until the Job says `Failed`; what comes before, `FailureTarget` and
`SuccessCriteriaMet`, ends nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import Final

import msgspec

from slimjobs.core.orchestrators.kubernetes.attempts import (
    OVER,
    PodAttempts,
    PodCounts,
    attempts_of,
    cut_short,
    numbered,
    own_container,
    pod_counts,
)
from slimjobs.core.orchestrators.kubernetes.objects import Condition, JobObject, PodObject
from slimjobs.core.orchestrators.ports import ObservedJob, Phase
from slimjobs.eventlog.events.runs import RunId, parse_run_id

FINAL: Final = frozenset({Phase.SUCCEEDED, Phase.FAILED})

NO_IMAGE: Final = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
"""Why a container waits, where it waits for its image (kubelet, pkg/kubelet/images)."""

_BEING_MADE: Final = frozenset({"", "ContainerCreating", "PodInitializing"})


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """A phase with what there is to say about it."""

    phase: Phase
    reason: str = ""
    detail: str = ""


class Owner(msgspec.Struct, frozen=True, gc=False):
    """The Job that something is about."""

    name: str
    uid: str
    cluster: str
    run: RunId


class SeenJob(msgspec.Struct, frozen=True):
    """What of a Job matters. `end` is what its conditions say."""

    owner: Owner
    ending: bool
    suspended: bool
    end: Verdict | None
    pods: PodCounts


class SeenPod(msgspec.Struct, frozen=True):
    """What of a pod matters. `over`: nothing runs of it, nor ever will."""

    owner: Owner
    uid: str
    over: bool
    verdict: Verdict
    attempts: PodAttempts


PENDING: Final = Verdict(Phase.PENDING)


def seen_job(job: JobObject) -> SeenJob | None:
    """What matters of a Job; None if it is nobody's run."""
    meta = job.metadata
    owner = _owner(meta.name, meta.uid, meta.labels.cluster, meta.labels.run)
    if owner is None:
        return None
    pods = pod_counts(job)
    suspended = job.spec.suspend and job.status.start_time is None and pods.ever == 0
    return SeenJob(owner, meta.deletion_timestamp is not None, suspended, _end(job.status.conditions), pods)


def seen_pod(pod: PodObject) -> SeenPod | None:
    """What matters of a pod; None if it is no run's."""
    labels = pod.metadata.labels
    owner = _owner(labels.owner_name, labels.owner_uid, labels.cluster, labels.run)
    if owner is None:
        return None
    return SeenPod(owner, pod.metadata.uid, pod.status.phase in OVER, _verdict(pod), attempts_of(pod))


def removed(pod: SeenPod, at_ms: int) -> SeenPod:
    """A pod that was removed at this time, as it was last: nothing runs of it any more."""
    verdict = pod.verdict if pod.verdict.phase is Phase.SUCCEEDED else PENDING
    return msgspec.structs.replace(pod, over=True, verdict=verdict, attempts=cut_short(pod.attempts, at_ms))


def observed(job: SeenJob | None, pods: Sequence[SeenPod], lost: int) -> ObservedJob:
    """The object as the port shows it; of a Job that is gone already, what its pods tell. One of both is needed.

    `lost` is how many pods it had before the first of these.
    """
    owner = job.owner if job is not None else pods[0].owner
    verdict = _of_all(job, pods)
    return ObservedJob(
        name=owner.name,
        uid=owner.uid,
        cluster=owner.cluster,
        run=owner.run,
        phase=verdict.phase,
        ending=job is None or job.ending,
        attempts=numbered((pod.attempts for pod in pods), lost),
        reason=verdict.reason,
        detail=verdict.detail,
    )


def _owner(name: str, uid: str, cluster: str, run: str) -> Owner | None:
    run_id = parse_run_id(run)
    if run_id is None or not (name and uid and cluster):
        return None
    # The same few texts stand in every object of a run, and one of them in all.
    return Owner(sys.intern(name), sys.intern(uid), sys.intern(cluster), run_id)


def _end(conditions: Iterable[Condition]) -> Verdict | None:
    for condition in conditions:
        if condition.status == "True" and condition.type == "Complete":
            return Verdict(Phase.SUCCEEDED)
        if condition.status == "True" and condition.type == "Failed":
            return Verdict(Phase.FAILED, sys.intern(condition.reason), condition.message)
    return None


def _of_all(job: SeenJob | None, pods: Sequence[SeenPod]) -> Verdict:
    """What the Job says of its end, unless a pod knows better; else how the pod is that came last."""
    for pod in pods:
        if pod.verdict.phase is Phase.SUCCEEDED:
            return pod.verdict
    if job is not None and job.end is not None:
        return job.end
    under_way = [pod for pod in pods if not pod.over]
    if under_way:
        return max(under_way, key=lambda pod: pod.attempts.created_at_ms).verdict
    return Verdict(Phase.SUSPENDED) if job is not None and job.suspended and not pods else PENDING


def _verdict(pod: PodObject) -> Verdict:
    if pod.status.phase in OVER:
        return Verdict(Phase.SUCCEEDED) if pod.status.phase == "Succeeded" and _ended_by_itself(pod) else PENDING
    container = own_container(pod)
    waiting = list(_waiting(pod))
    for reason, message in waiting:
        if reason in NO_IMAGE:
            return Verdict(Phase.WAITING_FOR_IMAGE, reason, message or reason)
    if container is not None and container.state.running is not None:
        return Verdict(Phase.RUNNING)
    # A container that has ended beside others that run.
    if pod.status.phase == "Running" and not (container is not None and container.state.waiting is not None):
        return Verdict(Phase.RUNNING)
    return next((Verdict(Phase.PENDING, reason, message) for reason, message in waiting), PENDING)


# A container that is told to end, by a deletion or a deadline, may end with code 0: that is no success of the job.
def _ended_by_itself(pod: PodObject) -> bool:
    meta, container = pod.metadata, own_container(pod)
    if meta.deletion_timestamp is None:
        return True
    ended = container.state.terminated.finished_at if container is not None and container.state.terminated else None
    asked = meta.deletion_timestamp - timedelta(seconds=meta.deletion_grace_period_seconds or 0)
    return ended is not None and ended < asked


def _waiting(pod: PodObject) -> Iterator[tuple[str, str]]:
    """Why a pod does not go on, each with a message: its containers' reasons, or why it has no node."""
    status = pod.status
    for container in (*status.container_statuses, *status.init_container_statuses):
        if container.state.waiting is not None and container.state.waiting.reason not in _BEING_MADE:
            yield container.state.waiting.reason, container.state.waiting.message
    for condition in status.conditions:
        if condition.type == "PodScheduled" and condition.status == "False":
            yield condition.reason, condition.message
