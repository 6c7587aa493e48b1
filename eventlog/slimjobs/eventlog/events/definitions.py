"""What may be run: the definition of a job as the log keeps it, and the overrides that a trigger may bring.

Everything here is already checked and normalised by whoever proposed it: quantities are canonical text, names are
lower case, defaults are filled in. The fold and the audits read these structs without knowing the rules.

Structs are encoded as arrays: fields are only ever appended, always with a default (design §2).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

import msgspec


class Visibility(enum.StrEnum):
    """Who may touch a job: anyone, or callers from inside only (contract §2, Visibility)."""

    PUBLIC = "Public"
    PRIVATE = "Private"


class RestartPolicy(enum.StrEnum):
    """Kubernetes' pod restart policy, as far as a Job takes it."""

    NEVER = "Never"
    ON_FAILURE = "OnFailure"


class Source(enum.StrEnum):
    """Where a definition or a schedule comes from; the configuration wins over an annotated CronJob of the same name.

    Only schedules come through the API, only definitions are built in.
    """

    BUILT_IN = "BuiltIn"
    CONFIGURATION = "Configuration"
    ANNOTATION = "Annotation"
    API = "Api"


class EnvironmentVariable(msgspec.Struct, frozen=True, array_like=True):
    """One variable of a container: a literal value, or a reference as canonical JSON (`valueFrom` of Kubernetes)."""

    name: str
    value: str | None = None
    value_from: bytes | None = None


class Resources(msgspec.Struct, frozen=True, array_like=True):
    """Requests and limits by resource name, as canonical Kubernetes quantities."""

    requests: Mapping[str, str] = {}
    limits: Mapping[str, str] = {}


class Definition(msgspec.Struct, frozen=True, array_like=True):
    """What may be run under a name, complete: no field is left to a default that lives elsewhere (contract §1)."""

    image: str = ""
    images_whitelist: tuple[str, ...] = ()
    resources: Resources = Resources()
    depends_on: tuple[str, ...] = ()
    environments: tuple[EnvironmentVariable, ...] = ()
    backoff_limit: int = 1
    visibility: Visibility = Visibility.PRIVATE
    number_parallel_job: int = 1
    ttl_seconds_after_finished: int = 60
    restart_policy: RestartPolicy = RestartPolicy.NEVER
    args: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    pod_template: bytes | None = None
    max_queued_jobs: int | None = None
    active_deadline_seconds: int | None = None
    image_pull_deadline_seconds: int = 300
    allow_reference_overrides: bool = False


class Overrides(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True, gc=False):
    """What one trigger replaces of its definition; `None` leaves the definition's (contract, Triggering rules)."""

    args: tuple[str, ...] | None = None
    image: str | None = None
    resources: Resources | None = None
    environments: tuple[EnvironmentVariable, ...] | None = None
    depends_on: tuple[str, ...] | None = None
    backoff_limit: int | None = None
    ttl_seconds_after_finished: int | None = None
    restart_policy: RestartPolicy | None = None
