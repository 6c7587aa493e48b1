"""Bodies that no other module has a struct for: what requests carry, which is read key by key, and small answers.

What a request's keys are and take is decided by its reader (`bodies`, `overrides`); the tests hold these to it. Every
key may be null, which means the same as its absence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from slimjobs.core.configuration.schedules import STARTING_DEADLINE_SECONDS
from slimjobs.core.configuration.setting_kinds import NODE_NAME
from slimjobs.eventlog.events.definitions import RestartPolicy
from slimjobs.eventlog.events.schedules import ConcurrencyPolicy
from slimjobs.http.fields import MAX_INTEGER, MAX_STRING_BYTES, MAX_STRINGS
from slimjobs.http.overrides import MAX_IMAGE_CHARACTERS, MAX_VARIABLES
from slimjobs.projections.views import Fire

JOB_NAME: Final = "^[A-Za-z0-9][A-Za-z0-9-]{1,28}[A-Za-z0-9]$"
ID: Final = "^[a-z2-7]{16}$"
WITHOUT_NUL: Final = "^[^\\u0000]*$"

Id = Annotated[str, Meta(pattern=ID)]
JobName = Annotated[str, Meta(pattern=JOB_NAME)]
NodeName = Annotated[str, Meta(pattern=f"^{NODE_NAME}$")]
Text = Annotated[str, Meta(pattern=WITHOUT_NUL, max_length=MAX_STRING_BYTES)]
Whole = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
Image = Annotated[str, Meta(pattern="^[^\\s\\u0000-\\u001f\\u007f]*$", max_length=MAX_IMAGE_CHARACTERS)]
Dependency = Annotated[str, Meta(pattern="^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
VariableName = Annotated[str, Meta(pattern="^[^=\\u0000]+$", max_length=MAX_STRING_BYTES)]
Texts = Annotated[Sequence[Text], Meta(max_length=MAX_STRINGS)]

# These have more rules than a pattern can say: the format's name says which.
Cron = Annotated[str, Meta(description="Five fields, or a name like `@hourly`.", extra_json_schema={"format": "cron"})]
TimeZone = Annotated[str, Meta(description="An IANA time zone.", extra_json_schema={"format": "time-zone"})]
Quantity = Annotated[str, Meta(description="As in Kubernetes: `400m`.", extra_json_schema={"format": "quantity"})]
ResourceName = Annotated[str, Meta(extra_json_schema={"format": "resource-name"})]


class Asked(msgspec.Struct, frozen=True, rename="pascal", forbid_unknown_fields=True):
    """What every request body has in common."""


KINDS_OF_REFERENCE: Final = ("secretKeyRef", "configMapKeyRef", "fieldRef", "resourceFieldRef")
FIELDS_OF_REFERENCE: Final = {
    "description": "The fields that Kubernetes gives it.",
    "type": "object",
    "propertyNames": {"pattern": WITHOUT_NUL},
    "additionalProperties": {"anyOf": [{"type": "string", "pattern": WITHOUT_NUL}, {"type": "boolean"}]},
}
REFERENCE: Final = {
    "description": "Where the value comes from.",
    "oneOf": [
        {"type": "object", "properties": {kind: FIELDS_OF_REFERENCE}, "required": [kind], "additionalProperties": False}
        for kind in KINDS_OF_REFERENCE
    ],
}
NOT_BOTH: Final = {
    "not": {
        "properties": {"value": {"type": "string"}, "valueFrom": {"type": "object"}},
        "required": ["value", "valueFrom"],
    }
}


class VariableAsked(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """A variable: a value (absent: empty) or a reference, not both."""

    name: VariableName
    value: Text | None = None
    value_from: Annotated[msgspec.Raw, Meta(extra_json_schema=REFERENCE)] | None = None


Variable = Annotated[VariableAsked, Meta(extra_json_schema=NOT_BOTH)]
Variables = Annotated[
    Sequence[Variable],
    Meta(description="No name is set twice.", max_length=MAX_VARIABLES, extra_json_schema={"uniqueItems": True}),
]


class ResourcesAsked(Asked, frozen=True):
    """Amounts by resource; none may be above what the job's definition has."""

    requests: Mapping[ResourceName, Quantity] | None = None
    limits: Mapping[ResourceName, Quantity] | None = None


class TriggerAsked(Asked, frozen=True):
    """What a run is to have other than its definition says."""

    args: Texts | None = None
    image: Image | None = None
    resources: ResourcesAsked | None = None
    environments: Variables | None = None
    depends_on: Annotated[Sequence[Dependency], Meta(max_length=MAX_STRINGS)] | None = None
    backoff_limit: Whole | None = None
    ttl_seconds_after_finished: Whole | None = None
    restart_policy: RestartPolicy | None = None


class LineAsked(TriggerAsked, frozen=True, kw_only=True):
    """One trigger of a batch."""

    name: JobName


class ScheduleAsked(TriggerAsked, frozen=True, kw_only=True):
    """When a job is to be triggered, and what its runs are to have other than its definition says."""

    schedule: Cron
    time_zone: TimeZone | None = None
    concurrency_policy: ConcurrencyPolicy | None = ConcurrencyPolicy.ALLOW
    starting_deadline_seconds: Whole | None = STARTING_DEADLINE_SECONDS
    paused: bool | None = False


class TransferAsked(Asked, frozen=True):
    """Which node shall lead; none: whichever is furthest."""

    to: NodeName | None = None


class Made(msgspec.Struct, frozen=True, rename="pascal"):
    """What was made, or is meant, by its id."""

    id: Id


class MadeOfBatch(msgspec.Struct, frozen=True, rename="pascal"):
    """The run that one trigger of a batch made."""

    id: Id
    name: str


class Paused(msgspec.Struct, frozen=True, rename="pascal"):
    """A schedule, and whether it is paused now."""

    id: Id
    paused: bool


class Fires(msgspec.Struct, frozen=True, rename="pascal"):
    """The latest instants first. What was before `KeptFrom` is in the log alone; -1: these are all."""

    fires: Sequence[Fire]
    kept_from: int


class Alive(msgspec.Struct, frozen=True, rename="pascal"):
    """How the node is."""

    status: str


class TransferTold(msgspec.Struct, frozen=True, rename="pascal"):
    """The node that has been told to lead."""

    to: str


class MemberRemoved(msgspec.Struct, frozen=True, rename="pascal"):
    """The node that belongs to the cluster no more."""

    name: str


class SchedulesRestored(msgspec.Struct, frozen=True, rename="pascal"):
    """How many schedules came in force, and how many of the backup's were known."""

    restored: int
    known: int
