"""What is read from a shared runner, pulled word by word over a connection each: observations, output and services."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

from slimjobs.core.configuration.services import Service
from slimjobs.core.configuration.setting_kinds import RunnerAddress
from slimjobs.core.orchestrators.ports import (
    Changed,
    DefinitionsFound,
    Listed,
    Observation,
    ObservedJob,
    OutputMissing,
    OutputUnavailable,
    ServiceChanged,
    ServicesListed,
    ServiceVanished,
    Sight,
    Unobserved,
    Unseen,
    Vanished,
)
from slimjobs.core.orchestrators.shared.connection import Dialled, Lost, dial
from slimjobs.core.orchestrators.shared.pauses import Pauses
from slimjobs.core.orchestrators.shared.words import (
    SILENCE_SECONDS,
    End,
    ForObservations,
    ForOutput,
    ForServices,
    FrameTooLong,
    ListPart,
    Look,
    Next,
    NoOutput,
    Piece,
    Purpose,
    Reply,
    Waiting,
)

NEXT: Final = Next()
SIGHTS: Final = (ServicesListed, ServiceChanged, ServiceVanished, DefinitionsFound, Unseen)


class _Pulled:
    """A connection on which one word after another is asked for. After a failure it is closed, and then made anew."""

    def __init__(self, address: RunnerAddress, purpose: Purpose) -> None:
        self._address = address
        self._purpose = purpose
        self._connection: Dialled | None = None

    @property
    def stands(self) -> bool:
        """Whether there is a connection now."""
        return self._connection is not None

    @asynccontextmanager
    async def asking(self, asked: Next | Look = NEXT) -> AsyncIterator[Dialled]:
        """The connection, with the next word asked for; all of it is received in the block. Raises `Lost`."""
        # Whatever interrupts this, cancellation too, leaves nobody who knows what comes next: so the connection is
        # taken up again only if all went well.
        connection, self._connection = self._connection, None
        if connection is None:
            connection = await dial(self._address, self._purpose)
        try:
            await connection.send(asked)
            yield connection
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def close(self) -> None:
        """End it now, and not with its last reference."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


async def _said(connection: Dialled) -> Reply:
    """What the runner says at last."""
    while isinstance(reply := await connection.receive(SILENCE_SECONDS), Waiting):
        pass
    return reply


class RemoteObservations(AsyncIterator[Observation]):
    """What a runner's objects do, for ever: the runner's own words, and `Unobserved` with the reason when it is lost.

    The connection closes with the last reference to this; nothing has to be closed.
    """

    def __init__(self, address: RunnerAddress) -> None:
        self._pulled = _Pulled(address, ForObservations())
        self._pauses = Pauses()
        self._trouble = ""

    async def __anext__(self) -> Observation:
        while True:
            try:
                return await self._next()
            except Lost as lost:
                if str(lost) != self._trouble:
                    self._trouble = str(lost)
                    return Unobserved(self._trouble)

    async def _next(self) -> Observation:
        if not self._pulled.stands:
            await self._pauses.wait()
        async with self._pulled.asking() as connection:
            observation = await _observation(connection)
        if isinstance(observation, Listed):
            self._trouble = ""
            self._pauses.well()
        return observation


async def _observation(connection: Dialled) -> Observation:
    jobs: list[ObservedJob] = []
    while True:
        match await _said(connection):
            case ListPart(jobs=part, more=more):
                jobs += part
                if not more:
                    return Listed(tuple(jobs))
            case Changed() | Vanished() | Unobserved() as observation:
                return observation
            case _:
                raise connection.lost("does not observe as a runner does")


class RemoteOutput(AsyncIterator[bytes]):
    """The output of an attempt. Raises `OutputMissing`, or `OutputUnavailable` where the runner is away.

    The connection closes at the end, or with the last reference to this.
    """

    def __init__(self, address: RunnerAddress, wanted: ForOutput) -> None:
        self._pulled = _Pulled(address, wanted)

    async def __anext__(self) -> bytes:
        try:
            async with self._pulled.asking() as connection:
                reply = await _said(connection)
        except Lost as lost:
            raise OutputUnavailable(str(lost)) from lost
        if isinstance(reply, Piece):
            return reply.content
        self._pulled.close()
        match reply:
            case End():
                raise StopAsyncIteration
            case NoOutput(reason, unknown=False):
                raise OutputMissing(reason)
            case NoOutput(reason):
                raise OutputUnavailable(reason)
            case _:
                raise OutputUnavailable(str(connection.lost("does not give output as a runner does")))


class RemoteLookout:
    """A `declared.Lookout` at a runner's services: its own words, and `Unseen` with the reason when it is lost.

    The connection closes with the last reference to this; nothing has to be closed.
    """

    def __init__(self, address: RunnerAddress) -> None:
        self._pulled = _Pulled(address, ForServices())
        self._pauses = Pauses()
        self._trouble = ""

    async def next(self, declared: Mapping[str, Service]) -> Sight:
        """Declare these, and give what is seen next. Cancelled, it begins with a new list."""
        while True:
            try:
                return await self._next(Look(declared))
            except (Lost, FrameTooLong) as lost:
                if str(lost) != self._trouble:
                    self._trouble = str(lost)
                    return Unseen("services", self._trouble)

    async def _next(self, look: Look) -> Sight:
        if not self._pulled.stands:
            await self._pauses.wait()
        async with self._pulled.asking(look) as connection:
            sight = await _said(connection)
            if not isinstance(sight, SIGHTS):
                raise connection.lost("does not look around as a runner does")
        if isinstance(sight, ServicesListed):
            self._trouble = ""
            self._pauses.well()
        return sight
