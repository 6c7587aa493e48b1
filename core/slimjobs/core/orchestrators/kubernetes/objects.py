"""Jobs and pods as far as they are read: what else is in an object is skipped when it is decoded.

Field names are Kubernetes' own (batch/v1 Job, v1 Pod). What the API leaves out stands here as its default.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from urllib.parse import quote

import msgspec

JOB_NAME: Final = "slimfaas-job-name"
RUN: Final = "slimfaas-job-element-id"
CLUSTER: Final = "slimfaas-cluster"
"""Labels of a Job and its pods: the job's name, the run's id as text, the cluster that they belong to."""

OWNER_UID: Final = "batch.kubernetes.io/controller-uid"
OWNER_NAME: Final = "batch.kubernetes.io/job-name"
"""Labels that the Job controller gives to pods. They stay when a Job is removed without its pods."""


def jobs_path(namespace: str, name: str = "") -> str:
    """Where the Jobs of a namespace are, or the one of this name."""
    return _path(f"/apis/batch/v1/namespaces/{quote(namespace, '')}/jobs", name)


def pods_path(namespace: str, name: str = "") -> str:
    """Where the pods of a namespace are, or the one of this name."""
    return _path(f"/api/v1/namespaces/{quote(namespace, '')}/pods", name)


def _path(collection: str, name: str) -> str:
    return f"{collection}/{quote(name, '')}" if name else collection


class Labels(
    msgspec.Struct,
    frozen=True,
    gc=False,
    rename={"cluster": CLUSTER, "run": RUN, "owner_uid": OWNER_UID, "owner_name": OWNER_NAME},
):
    """The labels that say whose an object is; empty where it has none."""

    cluster: str = ""
    run: str = ""
    owner_uid: str = ""
    owner_name: str = ""


class Meta(msgspec.Struct, frozen=True, rename="camel"):
    """Who an object is, and whether its deletion was accepted."""

    name: str
    uid: str
    creation_timestamp: datetime
    resource_version: str = ""
    labels: Labels = Labels()
    deletion_timestamp: datetime | None = None
    deletion_grace_period_seconds: int | None = None


class Condition(msgspec.Struct, frozen=True, rename="camel"):
    """One of the conditions of a Job or a pod."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None


class Uncounted(msgspec.Struct, frozen=True):
    """Uids of pods that ended and are in no counter of their Job yet."""

    succeeded: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


class JobStatus(msgspec.Struct, frozen=True, rename="camel"):
    """How far a Job is. The counters are of pods."""

    start_time: datetime | None = None
    active: int = 0
    terminating: int = 0
    succeeded: int = 0
    failed: int = 0
    uncounted_terminated_pods: Uncounted = Uncounted()
    conditions: tuple[Condition, ...] = ()


class JobSpec(msgspec.Struct, frozen=True):
    """What of a Job's specification changes in its life."""

    suspend: bool = False


class JobObject(msgspec.Struct, frozen=True):
    """A Job."""

    metadata: Meta
    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()


class Waiting(msgspec.Struct, frozen=True):
    """Why a container does not run yet, or again."""

    reason: str = ""
    message: str = ""


class Running(msgspec.Struct, frozen=True, rename="camel"):
    """Since when a container runs."""

    started_at: datetime | None = None


class Terminated(msgspec.Struct, frozen=True, rename="camel"):
    """How a container ended."""

    exit_code: int
    reason: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


class ContainerState(msgspec.Struct, frozen=True):
    """One of the three, or none where nothing is known."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(msgspec.Struct, frozen=True, rename="camel"):
    """A container: how it is, how it ended before it was restarted, and how often it was."""

    name: str
    restart_count: int = 0
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    """How far a pod is."""

    phase: str = "Pending"
    reason: str = ""
    start_time: datetime | None = None
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()


class Container(msgspec.Struct, frozen=True):
    """A container as its pod asks for it. The first of a pod is the job's own."""

    name: str


class PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    """What a pod consists of. Nodes report on its containers in an order of their own."""

    containers: tuple[Container, ...] = ()
    restart_policy: str = "Never"


class PodObject(msgspec.Struct, frozen=True):
    """A pod."""

    metadata: Meta
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()


class PodList(msgspec.Struct, frozen=True):
    """Pods, as a list of them is answered."""

    items: tuple[PodObject, ...]
