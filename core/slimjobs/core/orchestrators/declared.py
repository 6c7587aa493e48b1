"""What a node declares to its runner, and the port `Surroundings` over whatever runner that is.

A runner takes its services from who looks at it, which is the leader (design §5), and with every look: so it has them
again when it was started anew, and as the leader has them whoever had looked before. A declaration like the one before
changes nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol
from weakref import WeakSet

import trio

from slimjobs.core.configuration.services import Service
from slimjobs.core.orchestrators.ports import Orchestrator, Outcome, Scale, Sight


class Lookout(Protocol):
    """One view of a runner's services: a whole list first, then the changes in order, as the port has it."""

    async def next(self, declared: Mapping[str, Service]) -> Sight:
        """Declare these services and no others, and give what is seen next. Cancelled, it misses nothing."""


class ServiceHost(Protocol):
    """What keeps services: they wake and sleep as they are scaled, and stay when nobody looks."""

    async def scale(self, effect: Scale) -> Outcome:
        """Ask for so many replicas. See the port `Surroundings`."""

    def lookout(self) -> Lookout:
        """One more view of the services."""


class Runner(Orchestrator, ServiceHost, Protocol):
    """What runs jobs and keeps the services that they depend on, here or behind a socket."""


class Declaration:
    """The services that a node's configuration declares now."""

    def __init__(self, services: Mapping[str, Service]) -> None:
        self.services = services
        self._waits: WeakSet[trio.CancelScope] = WeakSet()

    def change(self, services: Mapping[str, Service]) -> None:
        """Declare these instead."""
        if services != self.services:
            self.services = services
            for wait in self._waits:
                wait.cancel()

    def until_changed(self) -> trio.CancelScope:
        """A scope for who waits with what is declared now: it is cancelled when that is another."""
        wait = trio.CancelScope()
        self._waits.add(wait)
        return wait


class DeclaredServices:
    """The port `Surroundings` of a node whose runner keeps what the configuration declares."""

    def __init__(self, host: ServiceHost, declaration: Declaration) -> None:
        self._host = host
        self._declaration = declaration

    async def scale(self, effect: Scale) -> Outcome:
        """Ask for so many replicas. See the port."""
        return await self._host.scale(effect)

    def look_around(self) -> AsyncIterator[Sight]:
        """The services of the declaration, for ever; it is declared as long as this is read. See the port."""
        return _Sights(self._host.lookout(), self._declaration)


class _Sights(AsyncIterator[Sight]):
    def __init__(self, lookout: Lookout, declaration: Declaration) -> None:
        self._lookout = lookout
        self._declaration = declaration

    async def __anext__(self) -> Sight:
        while True:
            with self._declaration.until_changed():
                return await self._lookout.next(self._declaration.services)
