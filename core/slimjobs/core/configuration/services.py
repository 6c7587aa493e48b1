"""`Dependencies` at the top of the configuration: services that the runner of processes wakes and lets sleep, as
Deployments do (contract §6)."""

from __future__ import annotations

from typing import Final

import msgspec

from slimjobs.core.configuration.definitions import read_command
from slimjobs.core.configuration.reading import Fields, Spot, known_keys, whole

KEYS: Final = known_keys("Command", "ReadyPort", "ReplicasAtStart", "TimeoutSecondBeforeSetReplicasMin")


class Service(msgspec.Struct, frozen=True):
    """A service: how it is started, on which port of this machine it answers when ready, and when it sleeps again."""

    command: tuple[str, ...]
    ready_port: int
    replicas_at_start: int = 1
    sleep_after_seconds: int = 300


def read_service(spot: Spot) -> Service | None:
    """The service that stands here; None if it lacks what it cannot do without."""
    fields = Fields(spot, KEYS)
    command = fields.need("Command", _program)
    ready_port = fields.need("ReadyPort", whole(1, 65535))
    replicas = fields.take_or("ReplicasAtStart", whole(1, 100), 1)
    sleep_after = fields.take_or("TimeoutSecondBeforeSetReplicasMin", whole(0), 300)
    if command is None or ready_port is None:
        return None
    return Service(command, ready_port, replicas, sleep_after)


def _program(spot: Spot) -> tuple[str, ...] | None:
    command = read_command(spot)
    if command == ():
        spot.problem("a service needs a program")
        return None
    return command
