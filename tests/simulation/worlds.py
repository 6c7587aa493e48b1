"""The two worlds of the simulation: with disks in memory, and with the real storage on simulated files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from slimjobs.core.machine.letters import Letter
from slimjobs.core.orchestrators.ports import Scaling
from slimjobs.eventlog.events.definitions import Definition
from tests.core.machine.cluster_world import ClusterWorld
from tests.core.machine.stored_world import StoredWorld
from tests.core.machine.surroundings import SLEEPS
from tests.simulation.server import Server

DEPENDENCIES: Final = ("db", "cache")


SCALING: Final = Scaling(1, 0, sleep_after_seconds=20)


class SimulatedWorld(ClusterWorld):
    """A world with a `Server`, and with services: one that sleeps when nobody needs it, and one that is somebody's."""

    def __init__(self, names: Sequence[str], definitions: dict[str, Definition], seed: int = 0) -> None:
        super().__init__(names, definitions, seed)
        own, sleepy = DEPENDENCIES
        self.surroundings.put(own)
        self.surroundings.put(sleepy, ready=False, replicas=0, reason=SLEEPS, scaling=SCALING)

    def new_orchestrator(self, caps: dict[str, int]) -> Server:
        """The orchestrator that all nodes share."""
        return Server(caps, self.random)

    @property
    def server(self) -> Server:
        """The same, as what it is here."""
        assert isinstance(self.orchestrator, Server)
        return self.orchestrator

    def _overhear(self, sender: str, letter: Letter, content: bytes) -> None:
        super()._overhear(sender, letter, content)
        self.letters.clear()


class SimulatedStoredWorld(SimulatedWorld, StoredWorld):
    """The same with real storage."""
