"""What can happen to the service itself: its founding, its definitions, its checkpoints, the readiness around it."""

from __future__ import annotations

import msgspec

from slimjobs.eventlog.events.definitions import Definition, Source
from slimjobs.eventlog.raft.types import Index, NodeId


class ClusterFounded(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The first event of every log. The id tells this cluster's Jobs from all others' (contract §3)."""

    cluster: str


class Checkpoint(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Every node writes its snapshot of the state as it is once this is applied (design §2)."""


class MemberNamed(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """From here on the name belongs to this node; whoever had it before is to leave, and can never vote again."""

    name: str
    node: NodeId


class MemberDropped(msgspec.Struct, frozen=True, array_like=True, tag=4):
    """The name belongs to nobody any more; whoever had it is to leave."""

    name: str


class CheckpointAgreed(msgspec.Struct, frozen=True, array_like=True, tag=5):
    """A majority has this hash (32 bytes) of the state at the checkpoint of that index (design §2)."""

    index: Index
    digest: bytes


class LevelRaised(msgspec.Struct, frozen=True, array_like=True, tag=6):
    """Every voter understands events up to this level, so they may be written from here on (design §2)."""

    level: int


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


class DiscoveryRefused(msgspec.Struct, frozen=True, array_like=True, tag=13):
    """What a CronJob declares cannot be taken, in words; what was last good of it stays. No problems: all is well."""

    name: str
    problems: tuple[str, ...]


class SightLost(msgspec.Struct, frozen=True, array_like=True, tag=14):
    """The leader cannot see this part of the world, and why; without a detail it sees it again."""

    what: str
    detail: str
