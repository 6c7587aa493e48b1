"""What can happen to the service itself: its founding, its definitions, its checkpoints, the readiness around it."""

from __future__ import annotations

import msgspec

from slimjobs.eventlog.events.definitions import Definition, Source


class ClusterFounded(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The first event of every log. The id tells this cluster's Jobs from all others' (contract §3)."""

    cluster: str


class Checkpoint(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Every node writes its snapshot of the state as it is once this is applied (design §2)."""


class DefinitionDeclared(msgspec.Struct, frozen=True, array_like=True, tag=10):
    """A definition, or a new version of it, is in force. `number` tells versions apart, over all names and for ever."""

    number: int
    name: str
    source: Source
    definition: Definition


class DefinitionRemoved(msgspec.Struct, frozen=True, array_like=True, tag=11):
    """A name is defined no more. What was accepted under it drains under its last cap."""

    name: str


class DependencyChanged(msgspec.Struct, frozen=True, array_like=True, tag=12):
    """A Deployment, StatefulSet or service that runs wait for became ready, or is so no more, and why."""

    name: str
    ready: bool
    reason: str = ""
