"""A job's definition as the configuration writes it, and the built-in `Default` (specification §2, contract §1)."""

from __future__ import annotations

from typing import Final

import msgspec

from slimjobs.core.configuration.environments import read_environments
from slimjobs.core.configuration.names import DEFAULT, DEPENDENCY_NAME
from slimjobs.core.configuration.reading import (
    Fields,
    Reader,
    Spot,
    all_of,
    known_keys,
    one_of,
    text_like,
    texts,
    truth,
    whole,
)
from slimjobs.core.configuration.relaxed_json import Object, is_readable, plain
from slimjobs.core.configuration.resources import read_resources
from slimjobs.eventlog.events.definitions import Definition, Resources, RestartPolicy, Visibility

KEYS: Final = known_keys(
    "Image",
    "ImagesWhitelist",
    "Resources",
    "DependsOn",
    "Environments",
    "BackoffLimit",
    "Visibility",
    "NumberParallelJob",
    "TtlSecondsAfterFinished",
    "RestartPolicy",
    "Args",
    "Command",
    "PodTemplate",
    "MaxQueuedJobs",
    "ActiveDeadlineSeconds",
    "ImagePullDeadlineSeconds",
    "AllowReferenceOverrides",
)

_CONSERVATIVE: Final = {"cpu": "100m", "memory": "100Mi"}

BUILT_IN_DEFAULT: Final = Definition(resources=Resources(requests=_CONSERVATIVE, limits=_CONSERVATIVE))
"""What names without a definition get (specification §2, Default configuration values)."""

read_image: Final[Reader[str]] = text_like(r"[^\s\0-\x1f\x7f]{0,1024}", "an image without spaces")
read_dependencies: Final = all_of(text_like(DEPENDENCY_NAME, "the name of a Deployment or StatefulSet"))
_whitelisted: Final = text_like(r"[^\s\0-\x1f\x7f]{1,1024}", "an image without spaces; '*' matches any characters")


def base_of(name: str) -> Definition:
    """What keys that a definition does not give are: the contract's defaults, or, for `Default`, the built-in one's."""
    return BUILT_IN_DEFAULT if name == DEFAULT else Definition()


def read_definition(spot: Spot) -> Definition:
    """The definition that stands here, complete."""
    fields = Fields(spot, KEYS)
    base = base_of(str(spot.path[-1]).lower()) if spot.path else Definition()
    return Definition(
        image=fields.take_or("Image", read_image, base.image),
        images_whitelist=fields.take_or("ImagesWhitelist", all_of(_whitelisted), base.images_whitelist),
        resources=fields.take_or("Resources", read_resources, base.resources),
        depends_on=fields.take_or("DependsOn", read_dependencies, base.depends_on),
        environments=fields.take_or("Environments", read_environments, base.environments),
        backoff_limit=fields.take_or("BackoffLimit", whole(0), base.backoff_limit),
        visibility=fields.take_or("Visibility", one_of(Visibility), base.visibility),
        number_parallel_job=fields.take_or("NumberParallelJob", whole(1), base.number_parallel_job),
        ttl_seconds_after_finished=fields.take_or("TtlSecondsAfterFinished", whole(0), base.ttl_seconds_after_finished),
        restart_policy=fields.take_or("RestartPolicy", one_of(RestartPolicy), base.restart_policy),
        args=fields.take_or("Args", texts, base.args),
        command=fields.take_or("Command", read_command, base.command),
        pod_template=fields.take("PodTemplate", _pod_template),
        max_queued_jobs=fields.take("MaxQueuedJobs", whole(1)),
        active_deadline_seconds=fields.take("ActiveDeadlineSeconds", whole(1)),
        image_pull_deadline_seconds=fields.take_or(
            "ImagePullDeadlineSeconds", whole(1), base.image_pull_deadline_seconds
        ),
        allow_reference_overrides=fields.take_or("AllowReferenceOverrides", truth, base.allow_reference_overrides),
    )


def read_command(spot: Spot) -> tuple[str, ...] | None:
    """The program and its first arguments, as one list."""
    command = texts(spot)
    if command and not command[0]:
        spot.problem("the first text of a command is the program and is not empty")
        return None
    return command


def _pod_template(spot: Spot) -> bytes | None:
    """A PodTemplateSpec: Kubernetes' own keys, kept as they are; the API server judges what is in it."""
    if not isinstance(spot.node.value, Object):
        spot.expected("an object, a Kubernetes PodTemplateSpec")
        return None
    return msgspec.json.encode(plain(spot.node), order="sorted") if is_readable(spot.node) else None
