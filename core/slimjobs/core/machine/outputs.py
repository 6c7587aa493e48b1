"""What the node machine wants done. Only what goes to the disk has an order; everything else may be done at once."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from slimjobs.core.decide.commands import Result
from slimjobs.core.decide.refusals import Refusal
from slimjobs.core.machine.inputs import Token
from slimjobs.core.machine.letters import Letter
from slimjobs.core.machine.queries import View
from slimjobs.core.orchestrators.ports import Effect, Scale
from slimjobs.eventlog.raft.types import Index
from slimjobs.eventlog.storage.requests import DiskRequest, SnapshotHeader


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What a caller is told, and the log index that it reflects."""

    token: Token
    index: Index
    value: Result | View | Refusal


class StartEffect(msgspec.Struct, frozen=True):
    """Ask the orchestrator for this; the outcome comes back as `EffectEnded` with the same number."""

    effect_id: int
    effect: Effect


class StartScaling(msgspec.Struct, frozen=True):
    """Ask for so many replicas; the outcome comes back as `ScalingEnded` with the same number."""

    number: int
    scale: Scale


class Observe(msgspec.Struct, frozen=True):
    """Watch the orchestrator's objects and what is around from new lists on, under this number; the watch before it
    ends. None: only that."""

    watch: int | None


class SaveSnapshot(msgspec.Struct, frozen=True):
    """Write these frames beside the log before the machine is called again; it says later whether to publish them."""

    header: SnapshotHeader
    frames: Iterator[bytes]


class Send(msgspec.Struct, frozen=True):
    """Let these letters leave for the nodes that they name."""

    letters: Sequence[Letter]


class Tell(msgspec.Struct, frozen=True):
    """Something that whoever runs the node may want to know."""

    text: str
    facts: Mapping[str, str | int]
    warning: bool = False


class StopReason(enum.Enum):
    """Why a node cannot go on."""

    DIFFERS = "its state differs from the majority's"
    TOO_OLD = "the log holds what this version does not understand"


class Stop(msgspec.Struct, frozen=True):
    """The node has to end: it would do wrong. `detail` is for whoever mends it."""

    reason: StopReason
    detail: str


class WakeAt(msgspec.Struct, frozen=True):
    """Call again with a `Tick` at this time of the monotonic clock; it replaces the one before. None: no need to."""

    monotonic_ns: int | None


Output = Answer | StartEffect | StartScaling | Observe | SaveSnapshot | Send | Stop | Tell | WakeAt | DiskRequest
