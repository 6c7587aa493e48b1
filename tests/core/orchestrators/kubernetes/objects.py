"""Jobs and pods as the API server writes them, as short as a test wants them. Times are seconds after midnight."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from slimjobs.core.orchestrators.kubernetes.objects import JobObject, PodObject
from slimjobs.core.orchestrators.kubernetes.phases import SeenJob, SeenPod, seen_job, seen_pod
from slimjobs.eventlog.events.runs import RunId, job_object_name, run_id_text

Json = Mapping[str, object]

MIDNIGHT: Final = datetime(2026, 11, 25, tzinfo=UTC)
RUN: Final = RunId(b"0123456789")
NAME: Final = job_object_name("fibonacci", RUN)
UID: Final = "job-uid"
CLUSTER: Final = "c1"
LABELS: Final = {
    "slimfaas-job-name": "fibonacci",
    "slimfaas-job-element-id": run_id_text(RUN),
    "slimfaas-cluster": CLUSTER,
}


def at(seconds: float) -> str:
    return (MIDNIGHT + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def ms(seconds: float) -> int:
    return round((MIDNIGHT + timedelta(seconds=seconds)).timestamp() * 1000)


def condition(kind: str, reason: str = "", message: str = "", status: str = "True") -> Json:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": at(50)}


def job_json(*conditions: Json, uid: str = UID, suspend: bool = False, ending: bool = False, **status: object) -> Json:
    meta: dict[str, object] = {"name": NAME, "uid": uid, "creationTimestamp": at(0), "labels": LABELS}
    if ending:
        meta["deletionTimestamp"] = at(60)
    started: Json = {} if suspend else {"startTime": at(1)}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": meta,
        "spec": {"suspend": suspend, "template": {"spec": {"containers": []}}},
        "status": {**started, "conditions": list(conditions), **status},
    }


def job(*conditions: Json, uid: str = UID, suspend: bool = False, ending: bool = False, **status: object) -> SeenJob:
    written = job_json(*conditions, uid=uid, suspend=suspend, ending=ending, **status)
    seen = seen_job(msgspec.json.decode(msgspec.json.encode(written), type=JobObject))
    assert seen is not None
    return seen


def running(since: float = 2) -> Json:
    return {"running": {"startedAt": at(since)}}


def waiting(reason: str, message: str = "") -> Json:
    return {"waiting": {"reason": reason, "message": message}}


def ended(code: int = 0, since: float = 2, until: float = 9, reason: str = "") -> Json:
    told = reason or ("Error" if code else "Completed")
    return {"terminated": {"exitCode": code, "reason": told, "startedAt": at(since), "finishedAt": at(until)}}


def container(state: Json, last: Json | None = None, restarts: int = 0, name: str = "main") -> Json:
    return {"name": name, "restartCount": restarts, "state": state, "lastState": last or {}}


def pod_json(
    phase: str = "Pending",
    *containers: Json,
    uid: str = "pod-1",
    created: float = 1,
    restart_policy: str = "Never",
    deleted: tuple[float, int] | None = None,
    **status: object,
) -> Json:
    """`deleted`: when its deletion was asked for, and how many seconds it was given."""
    owned = {"batch.kubernetes.io/controller-uid": UID, "batch.kubernetes.io/job-name": NAME}
    meta: dict[str, object] = {"name": uid, "uid": uid, "creationTimestamp": at(created), "labels": {**LABELS, **owned}}
    if deleted is not None:
        meta |= {"deletionTimestamp": at(sum(deleted)), "deletionGracePeriodSeconds": deleted[1]}
    names = [str(each["name"]) for each in containers] or ["main"]
    # A node reports in an order of its own.
    reported = sorted(containers, key=lambda each: str(each["name"]))
    return {
        "metadata": meta,
        "spec": {"containers": [{"name": each, "image": "none"} for each in names], "restartPolicy": restart_policy},
        "status": {"phase": phase, "containerStatuses": reported, **status},
    }


def pod_object(
    phase: str = "Pending",
    *containers: Json,
    uid: str = "pod-1",
    created: float = 1,
    restart_policy: str = "Never",
    deleted: tuple[float, int] | None = None,
    **status: object,
) -> PodObject:
    """Such a one as it is read."""
    written = pod_json(
        phase, *containers, uid=uid, created=created, restart_policy=restart_policy, deleted=deleted, **status
    )
    return msgspec.json.decode(msgspec.json.encode(written), type=PodObject)


def pod(
    phase: str = "Pending",
    *containers: Json,
    uid: str = "pod-1",
    created: float = 1,
    restart_policy: str = "Never",
    deleted: tuple[float, int] | None = None,
    **status: object,
) -> SeenPod:
    """What is seen of such a one."""
    read = pod_object(
        phase, *containers, uid=uid, created=created, restart_policy=restart_policy, deleted=deleted, **status
    )
    seen = seen_pod(read)
    assert seen is not None
    return seen
