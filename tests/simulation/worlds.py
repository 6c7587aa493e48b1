"""The two worlds of the simulation: with disks in memory, and with the real storage on simulated files."""

from __future__ import annotations

from functools import partial
from typing import Final

from slimjobs.core.machine.inputs import DependencySeen
from slimjobs.core.machine.letters import Letter
from tests.core.machine.cluster_world import ClusterWorld, Host
from tests.core.machine.stored_world import StoredWorld
from tests.simulation.server import Server

DEPENDENCIES: Final = ("db", "cache")


class SimulatedWorld(ClusterWorld):
    """A world with a `Server`, whose nodes are told whether what runs depend on is `ready`."""

    def new_orchestrator(self, caps: dict[str, int]) -> Server:
        """The orchestrator that all nodes share."""
        self.ready = dict.fromkeys(DEPENDENCIES, True)
        return Server(caps, self.random)

    @property
    def server(self) -> Server:
        """The same, as what it is here."""
        assert isinstance(self.orchestrator, Server)
        return self.orchestrator

    def watch_begins(self, host: Host) -> None:
        """Who begins to watch is told of all dependencies, one after the other."""
        if self.orchestrator.watches.get(host.name) is not None:
            for name in self.ready:
                self._tell_of(host, name)

    def turn_dependency(self, name: str, *, ready: bool) -> None:
        """A dependency becomes ready, or is not any more; every node hears of it some time."""
        self.say(name, "is ready" if ready else "is not ready")
        self.ready[name] = ready
        for host in self.hosts.values():
            self._tell_of(host, name)

    def _tell_of(self, host: Host, name: str) -> None:
        self.timeline.after(self.random.randint(1, 10**9), partial(self._told_of, host, host.life, name))

    def _told_of(self, host: Host, life: int, name: str) -> None:
        ready = self.ready[name]
        self._hear(host, life, DependencySeen(name, ready, "" if ready else "no endpoint is ready"))

    def _overhear(self, sender: str, letter: Letter, content: bytes) -> None:
        super()._overhear(sender, letter, content)
        self.letters.clear()


class SimulatedStoredWorld(SimulatedWorld, StoredWorld):
    """The same with real storage."""
