"""The simulated orchestrator as the nodes reach it: requests that take their time, answers that get lost, watches.

A request that has left arrives, whoever has died meanwhile. The objects, their rules and their judges are those of the
other simulations.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from random import Random
from typing import TYPE_CHECKING, Final

import trio

from slimjobs.core.orchestrators.ports import (
    Effect,
    Listed,
    Observation,
    Outcome,
    OutputMissing,
    Unavailable,
    Unobserved,
)
from tests.core.machine.shared_orchestrator import SharedOrchestrator
from tests.simulation.programs.tale import Tale

if TYPE_CHECKING:
    from tests.simulation.programs.life import Life

PATIENCE_SECONDS: Final = 4.0
"""How long a node waits for the answer to a request."""


class Objects(SharedOrchestrator):
    """The objects, and everybody who is told of their changes."""

    def __init__(self, caps: dict[str, int]) -> None:
        super().__init__(caps)
        self.feeds: dict[str, Feed] = {}
        self.changed = trio.Event()

    def _tell(self, observation: Observation) -> None:
        for feed in self.feeds.values():
            feed.tell(observation)
        self.changed.set()


class Server:
    """`down` answers nobody, `lost` and `late` are shares of the requests; `under_way` have not arrived yet."""

    def __init__(self, objects: Objects, random: Random, tale: Tale, nursery: trio.Nursery) -> None:
        self.objects = objects
        self.down = False
        self.lost = self.late = 0.0
        self.slowest_seconds = 0.02
        self.under_way = 0
        self._random, self._tale, self._nursery = random, tale, nursery

    def client_of(self, life: Life) -> Client:
        """The way of a node to it."""
        return Client(self, life)

    # Requests -------------------------------------------------------------------------------------------------------

    async def ask(self, effect: Effect) -> Outcome:
        """Send a request, and wait for what comes of it."""
        request = Request(effect)
        self.under_way += 1
        self._nursery.start_soon(self._serve, request)
        with trio.move_on_after(PATIENCE_SECONDS):
            await request.answered.wait()
        return request.outcome

    async def _serve(self, request: Request) -> None:
        late = self._random.random() < self.late
        await trio.sleep(self._random.uniform(0.001, 20 if late else self.slowest_seconds))
        self.under_way -= 1
        outcome = Unavailable("503") if self.down else self.objects.perform(request.effect)
        self._tale.say("the orchestrator is asked for", type(request.effect).__name__, type(outcome).__name__)
        if self._random.random() >= self.lost:
            await trio.sleep(self._random.uniform(0.001, self.slowest_seconds))
            request.outcome = outcome
            request.answered.set()

    # Objects --------------------------------------------------------------------------------------------------------

    async def move_forever(self) -> None:
        """Let the objects go on by themselves, one after the other."""
        while True:
            while not (moving := self.objects.moving()):
                self.objects.changed = trio.Event()
                await self.objects.changed.wait()
            self.objects.move(self._random.choice(moving), well=self._random.random() < 0.9)
            await trio.sleep(self._random.uniform(0.001, 0.06))

    # Watches --------------------------------------------------------------------------------------------------------

    async def pause(self) -> None:
        """How long it takes to tell something."""
        await trio.sleep(self._random.uniform(0.001, self.slowest_seconds))


class Request:
    """What a node asks for; nobody knows what came of it before it is answered."""

    def __init__(self, effect: Effect) -> None:
        self.effect = effect
        self.outcome: Outcome = Unavailable("no answer")
        self.answered = trio.Event()


class Client:
    """The port `Orchestrator`."""

    def __init__(self, server: Server, life: Life) -> None:
        self._server, self._life = server, life

    async def carry_out(self, effect: Effect) -> Outcome:
        """Have an effect carried out; what became of it is not known if no answer comes in time."""
        self._life.cluster.tale.say(self._life.name, "asks for", type(effect).__name__)
        return await self._server.ask(effect)

    def observe(self) -> AsyncIterator[Observation]:
        """What happens to the objects, for ever."""
        return Feed(self._server, self._life.name)

    def output(
        self, name: str, uid: str, attempt: int | None, tail_lines: int | None, follow: bool
    ) -> AsyncIterator[bytes]:
        """Nothing here writes anything."""
        raise OutputMissing("simulated attempts write nothing")


class Feed(AsyncIterator[Observation]):
    """One watch. Each node has one at most, the newest."""

    def __init__(self, server: Server, node: str) -> None:
        self._server, self._node = server, node
        self._ahead: deque[Observation] = deque()
        self._trouble = ""
        self._announced = self._listed = False
        self._told = trio.Event()
        server.objects.feeds[node] = self

    def tell(self, observation: Observation) -> None:
        """Something has changed."""
        if self._listed:
            self._ahead.append(observation)
            self._told.set()

    def lose(self, trouble: str) -> None:
        """The thread is lost: it is said, and then a new list is begun."""
        self._ahead.clear()
        self._trouble = trouble
        self._announced = self._listed = False
        self._told.set()

    async def __anext__(self) -> Observation:
        while True:
            if not self._announced:
                self._announced = True
                return Unobserved(self._trouble)
            if not self._listed:
                await self._list()
            elif self._ahead:
                await self._server.pause()
                if self._ahead:
                    return self._ahead.popleft()
            else:
                self._told = trio.Event()
                await self._told.wait()

    async def _list(self) -> None:
        await self._server.pause()
        if self._server.down:
            await trio.sleep(0.3)
        elif self._announced:
            self._listed = True
            self._ahead.append(Listed(tuple(self._server.objects.objects.values())))
