"""A runner with real services, and the few words in which the tests beside this speak of them."""

from __future__ import annotations

import os
import random
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from slimjobs.core.configuration.services import Service
from slimjobs.core.orchestrators.declared import Declaration, DeclaredServices, Runner
from slimjobs.core.orchestrators.ports import (
    Accepted,
    ObservedService,
    Outcome,
    Scale,
    ServiceChanged,
    ServicesListed,
    ServiceVanished,
    Sight,
)
from slimjobs.core.orchestrators.process import RunnerSettings, open_runner
from tests.core.orchestrators.process.world import PATIENCE_SECONDS, QUICK, until

# Says who it is once it listens, and takes connections for ever. REUSEPORT: as many as there are replicas.
LISTENING = """
import os, socket, sys
port, place = int(sys.argv[1]), sys.argv[2]
with open(os.path.join(place, "started"), "a") as started:
    started.write(f"{os.getpid()}\\n")
with socket.create_server(("127.0.0.1", port), reuse_port=True) as server:
    while True:
        server.accept()[0].close()
"""


def a_port() -> int:
    """A port that is free now, and that the kernel gives to nobody by itself."""
    while True:
        with socket.socket() as probe:
            port = random.randrange(10_000, 32_000)
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


def a_server(place: Path, port: int | None = None, program: str = LISTENING, replicas: int = 1) -> Service:
    """A service of this program, which writes the pid of each of its processes down in this place."""
    at = port or a_port()
    return Service((sys.executable, "-I", "-S", "-c", program, str(at), str(place)), at, replicas)


def started(place: Path) -> list[int]:
    """The pids of all processes of the services of this place that were ever started, in that order."""
    file = place / "started"
    return [int(line) for line in file.read_text().splitlines()] if file.exists() else []


def takes_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class ServiceWorld:
    """One runner, what is declared to it, and what was seen of its services."""

    def __init__(self, runner: Runner, services: Mapping[str, Service]) -> None:
        self.runner = runner
        self.declaration = Declaration(services)
        self.surroundings = DeclaredServices(runner, self.declaration)
        self.sights: list[Sight] = []
        self.services: dict[str, ObservedService] = {}
        self._news = trio.Event()

    async def watch(self) -> None:
        async for sight in self.surroundings.look_around():
            self.sights.append(sight)
            match sight:
                case ServicesListed(services=services):
                    self.services = {service.name: service for service in services}
                case ServiceChanged(service=service):
                    self.services[service.name] = service
                case ServiceVanished(name=name):
                    del self.services[name]
            self._news.set()
            self._news = trio.Event()

    async def sees(self, condition: Callable[[], bool]) -> None:
        """Wait until what was seen fulfils the condition."""
        with trio.fail_after(PATIENCE_SECONDS):
            while not condition():
                await self._news.wait()

    async def scale(self, name: str, replicas: int, version: str | None = None) -> Outcome:
        await self.sees(lambda: name in self.services)
        return await self.surroundings.scale(Scale(name, version or self.services[name].version, replicas))

    async def wake(self, name: str = "web", replicas: int = 1) -> ObservedService:
        """Have it ready."""
        assert await self.scale(name, replicas) == Accepted()
        return await self.ready(name)

    async def ready(self, name: str = "web") -> ObservedService:
        await self.sees(lambda: name in self.services and self.services[name].ready)
        return self.services[name]

    async def asleep(self, name: str = "web") -> ObservedService:
        await self.sees(lambda: name in self.services and not self.services[name].replicas)
        return self.services[name]

    async def says(self, reason: str, name: str = "web") -> ObservedService:
        """Wait until it is not ready for this reason."""
        await self.sees(lambda: name in self.services and self.services[name].reason == reason)
        return self.services[name]

    def told(self, since: int = 0) -> list[str]:
        """What was said of services since so many sights: "ready", or why they are not."""
        changes = [sight.service for sight in self.sights[since:] if isinstance(sight, ServiceChanged)]
        return ["ready" if service.ready else service.reason for service in changes]


@asynccontextmanager
async def serving(
    directory: Path, services: Mapping[str, Service], settings: RunnerSettings = QUICK
) -> AsyncIterator[ServiceWorld]:
    """A runner in this directory that is told of these services while the block runs."""
    async with open_runner(directory, settings) as runner, looking_around(runner, services) as world:
        yield world


@asynccontextmanager
async def looking_around(runner: Runner, services: Mapping[str, Service]) -> AsyncIterator[ServiceWorld]:
    """Somebody who declares these services to a runner and sees what becomes of them."""
    async with trio.open_nursery() as nursery:
        world = ServiceWorld(runner, services)
        nursery.start_soon(world.watch)
        yield world
        nursery.cancel_scope.cancel()


async def gone(*pids: int) -> None:
    """Wait until none of these processes is left."""
    await until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))
