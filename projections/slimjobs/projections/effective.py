"""The effective definition of a run: what its definition says, with what its trigger replaced.

Merging only (contract, Triggering rules): whether the overrides are allowed was decided when the run was accepted. The
fields that no trigger may touch (command, pod template, visibility, caps) have no place in `Overrides` at all.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from slimjobs.eventlog.events.definitions import Definition, EnvironmentVariable, Overrides, Resources


def effective(definition: Definition, overrides: Overrides) -> Definition:
    """The definition with the overrides merged in; the definition itself where they override nothing.

    Resources merge by kind and key, environments by name; everything else is replaced. An empty image is no override,
    an empty `depends_on` clears.
    """
    changes: dict[str, object] = {}
    if overrides.args is not None:
        changes["args"] = overrides.args
    if overrides.image:
        changes["image"] = overrides.image
    if overrides.resources is not None:
        changes["resources"] = merged_resources(definition.resources, overrides.resources)
    if overrides.environments is not None:
        changes["environments"] = _merged_environments(definition.environments, overrides.environments)
    if overrides.depends_on is not None:
        changes["depends_on"] = overrides.depends_on
    if overrides.backoff_limit is not None:
        changes["backoff_limit"] = overrides.backoff_limit
    if overrides.ttl_seconds_after_finished is not None:
        changes["ttl_seconds_after_finished"] = overrides.ttl_seconds_after_finished
    if overrides.restart_policy is not None:
        changes["restart_policy"] = overrides.restart_policy
    return msgspec.structs.replace(definition, **changes) if changes else definition


def merged_resources(defined: Resources, asked: Resources) -> Resources:
    """The resources by kind and key; what is asked for wins."""
    return Resources(
        requests=_merged_amounts(defined.requests, asked.requests), limits=_merged_amounts(defined.limits, asked.limits)
    )


def _merged_amounts(defined: Mapping[str, str], asked: Mapping[str, str]) -> Mapping[str, str]:
    return {**defined, **asked} if asked else defined


def _merged_environments(
    defined: tuple[EnvironmentVariable, ...], asked: tuple[EnvironmentVariable, ...]
) -> tuple[EnvironmentVariable, ...]:
    """The variables by name; what is asked for wins, in the definition's place.

    Order matters: Kubernetes expands `$(NAME)` in a value only from variables that stand before it.
    """
    by_name = {variable.name: variable for variable in defined}
    by_name.update((variable.name, variable) for variable in asked)
    return tuple(by_name.values())
