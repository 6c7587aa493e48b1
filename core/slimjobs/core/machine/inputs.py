"""What comes into the node machine: everything that happens to a node, as plain values."""

from __future__ import annotations

from typing import NewType

import msgspec

from slimjobs.core.decide.commands import Command
from slimjobs.core.machine.letters import Letter
from slimjobs.core.machine.queries import Query
from slimjobs.core.orchestrators.ports import Observation, Outcome, Sight
from slimjobs.eventlog.storage.requests import DiskAnswer
from slimjobs.eventlog.transport.greeting import PeerLost, PeerMet

Token = NewType("Token", int)
"""A caller who waits for an answer, as the program around the machine counts them."""


class Now(msgspec.Struct, frozen=True):
    """The time of a call: Unix ms, which may jump, and a monotonic clock in ns, which does not."""

    wall_ms: int
    monotonic_ns: int


class Started(msgspec.Struct, frozen=True):
    """The node is up: the first input of all."""


class Called(msgspec.Struct, frozen=True, gc=False):
    """A caller asks for something to be done. `cause` says who, for the log."""

    token: Token
    command: Command
    cause: str


class Asked(msgspec.Struct, frozen=True, gc=False):
    """A caller asks to be told something. `stale`: as this node knows it, be that as old as it may."""

    token: Token
    query: Query
    stale: bool = False


class Abandoned(msgspec.Struct, frozen=True):
    """A caller does not wait any more. What it asked for may still be done."""

    token: Token


class Received(msgspec.Struct, frozen=True, gc=False):
    """A letter of another node."""

    letter: Letter


class Observed(msgspec.Struct, frozen=True):
    """Something was seen of the orchestrator's objects, by the watch that `Observe` of the same number began."""

    watch: int
    observation: Observation


class Sighted(msgspec.Struct, frozen=True):
    """Something was seen of what is around, by the watch that `Observe` of the same number began."""

    watch: int
    sight: Sight


class ScalingEnded(msgspec.Struct, frozen=True):
    """A scaling that the machine started came to an end."""

    number: int
    outcome: Outcome


class EffectEnded(msgspec.Struct, frozen=True):
    """An effect that the machine started came to an end."""

    effect: int
    outcome: Outcome


class ConfigurationRefused(msgspec.Struct, frozen=True):
    """The configuration could not be read again; the one in force stays. No problems: it can be read again."""

    problems: tuple[str, ...]


class BackupTold(msgspec.Struct, frozen=True):
    """What is wrong with the backups of this node; empty if nothing is."""

    problem: str


class HandOver(msgspec.Struct, frozen=True):
    """The node is about to stop: another one is to lead."""


class Tick(msgspec.Struct, frozen=True):
    """Time has passed: what `WakeAt` asked for."""


Input = (
    Started
    | Called
    | Asked
    | Abandoned
    | Received
    | Observed
    | Sighted
    | ScalingEnded
    | EffectEnded
    | ConfigurationRefused
    | BackupTold
    | HandOver
    | PeerMet
    | PeerLost
    | Tick
    | DiskAnswer
)
