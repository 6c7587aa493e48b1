"""An annotated CronJob as the definition of a job (specification §2.3): every field that means something here.

What stands in the CronJob is put into the words of the configuration, and read by the reader of the configuration: so
the same rules hold, and what is wrong is told in the same words, with where it stands in the CronJob.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

import msgspec

from slimjobs.core.configuration.definitions import read_definition
from slimjobs.core.configuration.names import job_name_complaint
from slimjobs.core.configuration.reading import Spot
from slimjobs.core.configuration.relaxed_json import parse
from slimjobs.core.configuration.schedules import DeclaredSchedule, read_schedules
from slimjobs.core.orchestrators.ports import FoundDefinition
from slimjobs.eventlog.events.definitions import Definition

DECLARES: Final = "SlimFaas/Job"
SCHEDULES: Final = "SlimFaas/Schedules"
WHITELIST: Final = "SlimFaas/JobImagesWhitelist"
VISIBILITY: Final = "SlimFaas/DefaultVisibility"
PARALLEL: Final = "SlimFaas/NumberParallelJob"
DEPENDS_ON: Final = "SlimFaas/DependsOn"

_JOB: Final = "spec.jobTemplate.spec"
_POD: Final = f"{_JOB}.template"
_CONTAINER: Final = f"{_POD}.spec.containers[0]"

PLACES: Final[Mapping[str, str]] = {
    "Image": f"{_CONTAINER}.image",
    "Command": f"{_CONTAINER}.command",
    "Args": f"{_CONTAINER}.args",
    "Resources": f"{_CONTAINER}.resources",
    "Environments": f"{_CONTAINER}.env",
    "RestartPolicy": f"{_POD}.spec.restartPolicy",
    "BackoffLimit": f"{_JOB}.backoffLimit",
    "TtlSecondsAfterFinished": f"{_JOB}.ttlSecondsAfterFinished",
    "ActiveDeadlineSeconds": f"{_JOB}.activeDeadlineSeconds",
    "PodTemplate": _POD,
    "ImagesWhitelist": f"the annotation {WHITELIST}",
    "Visibility": f"the annotation {VISIBILITY}",
    "NumberParallelJob": f"the annotation {PARALLEL}",
    "DependsOn": f"the annotation {DEPENDS_ON}",
}
"""Where in a CronJob each key of the configuration comes from."""


def cron_jobs_path(namespace: str) -> str:
    """Where the CronJobs of a namespace are."""
    return f"/apis/batch/v1/namespaces/{quote(namespace, '')}/cronjobs"


class CronJobMeta(msgspec.Struct, frozen=True):
    name: str
    annotations: Mapping[str, str] = {}


class CronJob(msgspec.Struct, frozen=True):
    """A CronJob; what is in its specification is read only if it declares a job."""

    metadata: CronJobMeta
    spec: msgspec.Raw = msgspec.Raw(b"{}")

    @property
    def declares(self) -> bool:
        """Whether it says that it is the definition of a job."""
        return self.metadata.annotations.get(DECLARES, "").lower() == "true"


class _PodSpec(msgspec.Struct, rename="camel"):
    containers: list[dict[str, Any]] = []
    restart_policy: Any = None


class _Pod(msgspec.Struct):
    spec: _PodSpec = msgspec.field(default_factory=_PodSpec)


class _JobSpec(msgspec.Struct, rename="camel"):
    template: msgspec.Raw = msgspec.Raw(b"{}")
    backoff_limit: Any = None
    ttl_seconds_after_finished: Any = None
    active_deadline_seconds: Any = None


class _JobTemplate(msgspec.Struct):
    spec: _JobSpec = msgspec.field(default_factory=_JobSpec)


class _CronJobSpec(msgspec.Struct, rename="camel"):
    suspend: bool = False
    job_template: _JobTemplate = msgspec.field(default_factory=_JobTemplate)


def found_definition(cron_job: CronJob) -> FoundDefinition:
    """What a CronJob that says so declares; or everything that is wrong with it."""
    name = cron_job.metadata.name
    problems: list[str] = []
    if complaint := job_name_complaint(name):
        problems.append(f"metadata.name: {complaint}")
    definition, schedules = None, _schedules(cron_job.metadata.annotations, problems)
    try:
        spec = msgspec.json.decode(cron_job.spec, type=_CronJobSpec)
        job = spec.job_template.spec
        pod = msgspec.json.decode(job.template, type=_Pod)
    except msgspec.MsgspecError as error:
        problems.append(f"spec: {error}")
    else:
        if not spec.suspend:
            problems.append("spec.suspend: expected true, or Kubernetes would start Jobs of it by itself")
        definition = _definition(_written(cron_job.metadata.annotations, job, pod), problems)
    if problems:
        return FoundDefinition(name, None, problems=tuple(problems))
    return FoundDefinition(name, definition, schedules)


def _written(annotations: Mapping[str, str], job: _JobSpec, pod: _Pod) -> dict[str, Any]:
    """The definition as the configuration would have it; what is absent stays so."""
    container = pod.spec.containers[0] if pod.spec.containers else {}
    resources = container.get("resources")
    written = {
        "Image": container.get("image"),
        "Command": container.get("command"),
        "Args": container.get("args"),
        "Resources": _resources(resources) if isinstance(resources, dict) else resources,
        "Environments": container.get("env"),
        "RestartPolicy": pod.spec.restart_policy,
        "BackoffLimit": job.backoff_limit,
        "TtlSecondsAfterFinished": job.ttl_seconds_after_finished,
        "ActiveDeadlineSeconds": job.active_deadline_seconds,
        "PodTemplate": msgspec.json.decode(job.template),
        "ImagesWhitelist": _listed(annotations.get(WHITELIST)),
        "Visibility": annotations.get(VISIBILITY),
        "NumberParallelJob": _number(annotations.get(PARALLEL)),
        "DependsOn": _listed(annotations.get(DEPENDS_ON)),
    }
    return {key: value for key, value in written.items() if value is not None}


def _resources(found: dict[str, Any]) -> dict[str, Any]:
    pairs = (("Requests", found.get("requests")), ("Limits", found.get("limits")))
    return {key: value for key, value in pairs if value is not None}


def _listed(text: str | None) -> list[str] | None:
    """The words of a list with commas; an empty one has none."""
    return None if text is None else [word.strip() for word in text.split(",") if word.strip()]


def _number(text: str | None) -> int | str | None:
    """A number as one; anything else as it is, to be complained about."""
    return int(text) if text is not None and text.strip().isdecimal() else text


def _definition(written: dict[str, Any], problems: list[str]) -> Definition:
    document = parse(msgspec.json.encode(written))
    assert document.root is not None
    definition = read_definition(Spot(document, document.root))
    for problem in document.problems:
        problems.append(f"{_place(problem.path)}: {problem.text}")
    return definition


def _place(path: str) -> str:
    """Where in the CronJob stands what has this path in the configuration."""
    for key, place in PLACES.items():
        if path == f"$.{key}" or path.startswith((f"$.{key}.", f"$.{key}[")):
            return place + path[len(key) + 2 :].replace(".Requests", ".requests").replace(".Limits", ".limits")
    return path


def _schedules(annotations: Mapping[str, str], problems: list[str]) -> tuple[DeclaredSchedule, ...]:
    text = annotations.get(SCHEDULES)
    if text is None or not text.strip():
        return ()
    document = parse(text)
    schedules = None if document.root is None else read_schedules(Spot(document, document.root))
    problems += _told(document.problems)
    return schedules or ()


def _told(problems: list[Any]) -> Iterator[str]:
    for problem in problems:
        yield f"the annotation {SCHEDULES}, line {problem.line}, column {problem.column}: {problem.text}"
