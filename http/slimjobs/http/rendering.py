"""Views as JSON: what people see of runs and definitions, and what external callers do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from slimjobs.core.machine.queries import ClusterView, MemberRow
from slimjobs.eventlog.events.definitions import Definition, EnvironmentVariable, RestartPolicy, Source, Visibility
from slimjobs.eventlog.events.schedules import ConcurrencyPolicy
from slimjobs.projections.views import (
    DefinitionStatus,
    RunDetail,
    RunEvent,
    RunRow,
    RunStatus,
    ScheduleRow,
    Status,
    Why,
)


class VariableJson(msgspec.Struct, frozen=True, omit_defaults=True):
    """A variable with the keys of Kubernetes."""

    name: str
    value: str | None = None
    value_from: msgspec.Raw | None = msgspec.field(default=None, name="valueFrom")


class ResourcesJson(msgspec.Struct, frozen=True, rename="pascal"):
    requests: Mapping[str, str]
    limits: Mapping[str, str]


class DefinitionJson(msgspec.Struct, frozen=True, rename="pascal"):
    """A definition with the keys of the configuration."""

    image: str
    images_whitelist: Sequence[str]
    command: Sequence[str]
    args: Sequence[str]
    resources: ResourcesJson
    depends_on: Sequence[str]
    environments: Sequence[VariableJson]
    backoff_limit: int
    visibility: Visibility
    number_parallel_job: int
    ttl_seconds_after_finished: int
    restart_policy: RestartPolicy
    max_queued_jobs: int | None
    active_deadline_seconds: int | None
    image_pull_deadline_seconds: int
    allow_reference_overrides: bool
    pod_template: msgspec.Raw | None


class RunJson(msgspec.Struct, frozen=True, rename="pascal"):
    """One run: its row in a list, and everything else."""

    id: str
    name: str
    status: RunStatus
    position_in_queue: int
    in_queue_timestamp: int
    start_timestamp: int
    finish_timestamp: int
    reason: str
    attempts: int
    job: str
    path: str
    definition: DefinitionJson
    events: Sequence[RunEvent]
    why: Sequence[Why]


class ScheduleJson(msgspec.Struct, frozen=True, rename="pascal", omit_defaults=True):
    """One schedule: what was given, and when it fires. What a schedule does not override is left out."""

    id: str
    name: str
    schedule: str
    next_execution_timestamp: int
    last_execution_timestamp: int
    source: Source
    time_zone: str
    paused: bool
    concurrency_policy: ConcurrencyPolicy
    starting_deadline_seconds: int
    args: Sequence[str] | None = None
    image: str | None = None
    depends_on: Sequence[str] | None = None
    resources: ResourcesJson | None = None
    environments: Sequence[VariableJson] | None = None
    backoff_limit: int | None = None
    ttl_seconds_after_finished: int | None = None
    restart_policy: RestartPolicy | None = None


class DefinitionStatusJson(msgspec.Struct, frozen=True, rename="pascal"):
    """One definition in the status: what may run, what waits and what does."""

    name: str
    source: Source
    visibility: Visibility
    number_parallel_job: int
    queued: int
    occupied: int
    queue: Sequence[RunRow]
    active: Sequence[RunRow]
    schedules: Sequence[ScheduleJson]
    definition: DefinitionJson


class StatusJson(msgspec.Struct, frozen=True, rename="pascal"):
    definitions: Sequence[DefinitionStatusJson]
    problems: Sequence[str]


class ClusterJson(msgspec.Struct, frozen=True, rename="pascal"):
    """The cluster, as the node `told_by` sees it."""

    cluster_id: str
    leader: str
    term: int
    members: Sequence[MemberRow]
    told_by: str


def cluster_json(view: ClusterView) -> ClusterJson:
    """The cluster: the view has a tag among nodes, which is nobody's business here."""
    return ClusterJson(**msgspec.structs.asdict(view))


def run_json(detail: RunDetail, internal: bool) -> RunJson:
    """One run, as this caller may see it."""
    return RunJson(
        **msgspec.structs.asdict(detail.row),
        job=detail.job,
        path=detail.path,
        definition=definition_json(detail.definition, internal),
        events=detail.events,
        why=detail.why,
    )


def status_json(status: Status, internal: bool) -> StatusJson:
    """Every definition, as this caller may see it. Problems name private definitions too: they are for insiders."""
    return StatusJson(
        [_definition_status(each, internal) for each in status.definitions], status.problems if internal else ()
    )


def definition_json(definition: Definition, internal: bool) -> DefinitionJson:
    """A definition. External callers see no values of variables, nor the pod template, which holds more of them."""
    template = definition.pod_template
    return DefinitionJson(
        image=definition.image,
        images_whitelist=definition.images_whitelist,
        command=definition.command,
        args=definition.args,
        resources=ResourcesJson(definition.resources.requests, definition.resources.limits),
        depends_on=definition.depends_on,
        environments=[_variable(variable, internal) for variable in definition.environments],
        backoff_limit=definition.backoff_limit,
        visibility=definition.visibility,
        number_parallel_job=definition.number_parallel_job,
        ttl_seconds_after_finished=definition.ttl_seconds_after_finished,
        restart_policy=definition.restart_policy,
        max_queued_jobs=definition.max_queued_jobs,
        active_deadline_seconds=definition.active_deadline_seconds,
        image_pull_deadline_seconds=definition.image_pull_deadline_seconds,
        allow_reference_overrides=definition.allow_reference_overrides,
        pod_template=msgspec.Raw(template) if template is not None and internal else None,
    )


def schedule_json(row: ScheduleRow, internal: bool) -> ScheduleJson:
    """A schedule, as this caller may see it."""
    plan, overrides = row.plan, row.plan.overrides
    resources, variables = overrides.resources, overrides.environments
    return ScheduleJson(
        id=row.id,
        name=row.job,
        schedule=plan.expression,
        next_execution_timestamp=row.next_due,
        last_execution_timestamp=row.last_fired,
        source=row.source,
        time_zone=plan.time_zone,
        paused=row.paused,
        concurrency_policy=plan.concurrency,
        starting_deadline_seconds=plan.starting_deadline_seconds,
        args=overrides.args,
        image=overrides.image,
        depends_on=overrides.depends_on,
        resources=None if resources is None else ResourcesJson(resources.requests, resources.limits),
        environments=None if variables is None else [_variable(each, internal) for each in variables],
        backoff_limit=overrides.backoff_limit,
        ttl_seconds_after_finished=overrides.ttl_seconds_after_finished,
        restart_policy=overrides.restart_policy,
    )


def _variable(variable: EnvironmentVariable, internal: bool) -> VariableJson:
    """A variable; a reference is shown as such, never what it refers to."""
    if not internal:
        return VariableJson(variable.name)
    reference = None if variable.value_from is None else msgspec.Raw(variable.value_from)
    return VariableJson(variable.name, variable.value, reference)


def _definition_status(status: DefinitionStatus, internal: bool) -> DefinitionStatusJson:
    return DefinitionStatusJson(
        name=status.name,
        source=status.source,
        visibility=status.definition.visibility,
        number_parallel_job=status.definition.number_parallel_job,
        queued=status.queued,
        occupied=status.occupied,
        queue=status.queue,
        active=status.active,
        schedules=[schedule_json(row, internal) for row in status.schedules],
        definition=definition_json(status.definition, internal),
    )
