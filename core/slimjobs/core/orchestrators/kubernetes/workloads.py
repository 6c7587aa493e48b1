"""A Deployment or a StatefulSet as something that runs may depend on, and that may sleep (contract §3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote

import msgspec

from slimjobs.core.orchestrators.ports import ObservedService, Scaling

FUNCTION: Final = "SlimFaas/Function"
REPLICAS_MIN: Final = "SlimFaas/ReplicasMin"
REPLICAS_AT_START: Final = "SlimFaas/ReplicasAtStart"
SLEEP_AFTER: Final = "SlimFaas/TimeoutSecondBeforeSetReplicasMin"

MOST: Final = 2**31 - 1


def deployments_path(namespace: str, name: str = "") -> str:
    """Where the Deployments of a namespace are, or one of them."""
    return _path(namespace, "deployments", name)


def stateful_sets_path(namespace: str, name: str = "") -> str:
    """Where the StatefulSets of a namespace are, or one of them."""
    return _path(namespace, "statefulsets", name)


def _path(namespace: str, kind: str, name: str) -> str:
    collection = f"/apis/apps/v1/namespaces/{quote(namespace, '')}/{kind}"
    return f"{collection}/{quote(name, '')}" if name else collection


class WorkloadMeta(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    annotations: Mapping[str, str] = {}
    generation: int = 0
    resource_version: str = ""


class PodMeta(msgspec.Struct, frozen=True):
    annotations: Mapping[str, str] = {}


class PodTemplate(msgspec.Struct, frozen=True):
    metadata: PodMeta = PodMeta()


class WorkloadSpec(msgspec.Struct, frozen=True):
    replicas: int = 1
    template: PodTemplate = PodTemplate()


class WorkloadStatus(msgspec.Struct, frozen=True, rename="camel"):
    observed_generation: int = 0
    ready_replicas: int = 0


class Workload(msgspec.Struct, frozen=True):
    """As much of a Deployment or a StatefulSet as is read: they have these fields in common."""

    metadata: WorkloadMeta
    spec: WorkloadSpec = WorkloadSpec()
    status: WorkloadStatus = WorkloadStatus()


def observed_service(workload: Workload) -> ObservedService:
    """How it is, and how it may be scaled. Only what may be scaled has a version: all else changes too often."""
    replicas, ready = workload.spec.replicas, workload.status.ready_replicas
    least, complaint = _whole(workload, REPLICAS_MIN, 0)
    scaling, other = _scaling(workload, least)
    complaint = complaint or other
    is_current = workload.status.observed_generation >= workload.metadata.generation
    is_ready = is_current and min(replicas, ready) >= max(1, least)
    why = "" if is_ready else _why_not(replicas, ready, max(1, least), is_current)
    if complaint:
        why = f"{why}; {complaint}" if why else ""
        scaling = None
    version = workload.metadata.resource_version if scaling is not None else ""
    return ObservedService(workload.metadata.name, is_ready, why, replicas, version, scaling)


def _why_not(replicas: int, ready: int, least: int, is_current: bool) -> str:
    if not is_current:
        return "its newest version has not been looked at by Kubernetes yet"
    if replicas == 0:
        return "it has no replicas"
    return f"{ready} of {max(replicas, least)} replicas are ready"


def _scaling(workload: Workload, least: int) -> tuple[Scaling | None, str]:
    """How it sleeps and wakes, if it says that it does; and what is wrong with that."""
    if (_annotation(workload, FUNCTION) or "").lower() != "true":
        return None, ""
    at_start, first = _whole(workload, REPLICAS_AT_START, 1)
    sleep_after, second = _whole(workload, SLEEP_AFTER, 300)
    return Scaling(at_start, least, sleep_after), first or second


def _whole(workload: Workload, name: str, default: int) -> tuple[int, str]:
    """A whole number of an annotation, and what is wrong with it: then the default holds."""
    text = _annotation(workload, name)
    if text is None:
        return default, ""
    if text.strip().isdecimal() and int(text) <= MOST:
        return int(text), ""
    return default, f"its annotation {name} takes a whole number, not '{text[:40]}', so it is not scaled"


def _annotation(workload: Workload, name: str) -> str | None:
    """As SlimFaas has them, of the pod template; or else of the object itself."""
    template = workload.spec.template.metadata.annotations
    return template.get(name, workload.metadata.annotations.get(name))
