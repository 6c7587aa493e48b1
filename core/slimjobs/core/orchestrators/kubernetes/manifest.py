"""The Job object that is created for a run: its definition on top of the pod template, suspended and without TTL.

Stands between the port's `Create` and the request. What is in it may be secret, so it is never logged.

A pod template is the operator's, and whole: what the definition names itself is applied to its first container, all
else stays as it is there. So does what it says about privileges; only where it says nothing they may not be escalated.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from slimjobs.core.orchestrators.kubernetes.objects import CLUSTER, JOB_NAME, RUN
from slimjobs.core.orchestrators.ports import Job
from slimjobs.eventlog.events.definitions import Definition, EnvironmentVariable
from slimjobs.eventlog.events.runs import run_id_text

JsonObject = dict[str, object]
T = TypeVar("T")

_MANAGED_BY: Final = "slimjobs"


class TemplateUnusable(ValueError):
    """The pod template is not built as one, so that nothing can be applied to it. The message says where."""


def manifest(job: Job) -> JsonObject:
    """The object to post. Raises `TemplateUnusable`."""
    definition = job.definition
    labels = _labels(job)
    spec: JsonObject = {
        "suspend": True,
        "parallelism": 1,
        "completions": 1,
        "backoffLimit": definition.backoff_limit,
        # A pod that is about to end still is one: its successor waits until it has.
        "podReplacementPolicy": "Failed",
        "template": _pod_template(job, labels),
    }
    if definition.active_deadline_seconds is not None:
        spec["activeDeadlineSeconds"] = definition.active_deadline_seconds
    metadata = {"name": job.name, "labels": labels}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def _labels(job: Job) -> dict[str, str]:
    """By these the object and its pods are found, by us and by whoever looks at the cluster.

    A name of a job is a DNS label and an object's name has at most 63 characters, so all of them are valid values.
    """
    return {
        JOB_NAME: job.job,
        RUN: run_id_text(job.run),
        CLUSTER: job.cluster,
        "app.kubernetes.io/name": job.job,
        "app.kubernetes.io/instance": job.name,
        "app.kubernetes.io/component": "job",
        "app.kubernetes.io/managed-by": _MANAGED_BY,
    }


def _pod_template(job: Job, labels: dict[str, str]) -> JsonObject:
    template = _template(job.definition)
    metadata = _child(template, "metadata", "PodTemplate")
    metadata["labels"] = {**_child(metadata, "labels", "PodTemplate.metadata"), **labels}
    spec = _child(template, "spec", "PodTemplate")
    containers = _containers(spec)
    spec["restartPolicy"] = job.definition.restart_policy.value
    spec["containers"] = [_container(job, containers[0]), *containers[1:]]
    return {**template, "metadata": metadata, "spec": spec}


def _template(definition: Definition) -> JsonObject:
    if definition.pod_template is None:
        return {}
    return _expected(msgspec.json.decode(definition.pod_template), dict[str, object], "PodTemplate")


def _containers(spec: JsonObject) -> list[JsonObject]:
    where = "PodTemplate.spec.containers"
    return _expected(spec.get("containers"), list[dict[str, object]], where) or [{}]


def _container(job: Job, container: JsonObject) -> JsonObject:
    definition, where = job.definition, "PodTemplate.spec.containers[0]"
    container = {"name": job.job, **container}
    if definition.image:
        container["image"] = definition.image
    if definition.command:
        container["command"] = definition.command
    if definition.args:
        container["args"] = definition.args
    if resources := _resources(definition, _child(container, "resources", where), where):
        container["resources"] = resources
    container["env"] = _environment(job, _expected(container.get("env"), list[dict[str, object]], f"{where}.env"))
    container["securityContext"] = _privileges(_child(container, "securityContext", where))
    return container


def _resources(definition: Definition, resources: JsonObject, where: str) -> JsonObject:
    """Those of the template, by kind and key; the definition wins."""
    own = {"requests": definition.resources.requests, "limits": definition.resources.limits}
    for kind, amounts in own.items():
        if amounts:
            resources[kind] = {**_child(resources, kind, f"{where}.resources"), **amounts}
    return resources


def _environment(job: Job, template: list[JsonObject]) -> list[JsonObject]:
    """Who the run is, then the template's variables, each once; the definition wins, in the template's place.

    Order matters: Kubernetes expands `$(NAME)` in a value only from variables that stand before it. Who the run is
    nobody can say otherwise, as with processes.
    """
    who: dict[object, JsonObject] = {
        "SLIMFAAS_JOB_ID": {"name": "SLIMFAAS_JOB_ID", "value": run_id_text(job.run)},
        "SLIMFAAS_JOB_PATH": {"name": "SLIMFAAS_JOB_PATH", "value": job.path},
    }
    named = {variable.get("name"): variable for variable in template}
    named.update((variable.name, _variable(variable)) for variable in job.definition.environments)
    return list({**who, **named, **who}.values())


def _variable(variable: EnvironmentVariable) -> JsonObject:
    if variable.value_from is not None:
        return {"name": variable.name, "valueFrom": msgspec.Raw(variable.value_from)}
    return {"name": variable.name, "value": variable.value or ""}


def _privileges(context: JsonObject) -> JsonObject:
    """No process may get more privileges than its parent, unless the template says so.

    A template says so too by what implies it: the API refuses to take it away from a privileged container.
    """
    where = "PodTemplate.spec.containers[0].securityContext"
    added = _expected(_child(context, "capabilities", where).get("add"), list[str], f"{where}.capabilities.add")
    implied = context.get("privileged") is True or not {"SYS_ADMIN", "CAP_SYS_ADMIN"}.isdisjoint(added)
    return context if implied else {"allowPrivilegeEscalation": False, **context}


def _child(parent: JsonObject, key: str, where: str) -> JsonObject:
    """A copy of the object under this key; empty where there is none."""
    return dict(_expected(parent.get(key), dict[str, object], f"{where}.{key}"))


def _expected(value: object, kind: type[T], where: str) -> T:
    """The value, if it is of this kind of JSON; an empty one for null, as the API reads it."""
    try:
        return kind() if value is None else msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise TemplateUnusable(f"{where}: {error}") from None
