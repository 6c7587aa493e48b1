"""Nodes that only talk: a transport on loopback whose letters are small structs, and what it was told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio

from slimjobs.eventlog.raft.types import NodeId
from slimjobs.eventlog.transport.greeting import PROTOCOL, Greeting, PeerLost, PeerMet
from slimjobs.eventlog.transport.limits import Limits
from slimjobs.eventlog.transport.sockets import PeerAddress, listen
from slimjobs.eventlog.transport.tls import TlsFiles
from slimjobs.eventlog.transport.transport import Transport

IMPATIENT = Limits(first_redial_seconds=0.01, last_redial_seconds=0.05)


class Note(msgspec.Struct, frozen=True, array_like=True):
    """The letter of these tests."""

    to: NodeId
    text: str


class Notes:
    """Its codec."""

    def encode(self, letter: Note) -> bytes:
        return msgspec.msgpack.encode(letter)

    def decode(self, body: bytes, sender: Greeting) -> Note:
        return msgspec.msgpack.decode(body, type=Note)

    def to(self, letter: Note) -> NodeId:
        return letter.to


Told = Note | PeerMet | PeerLost


class Talker:
    """A node and its memory."""

    def __init__(
        self,
        name: str,
        node: int,
        peers: Sequence[PeerAddress],
        *,
        cluster: str = "c",
        guest: bool = False,
        protocol: int = PROTOCOL,
        tls: TlsFiles | None = None,
        limits: Limits = IMPATIENT,
    ) -> None:
        self.node = NodeId(node)
        self.greeting = Greeting(protocol, cluster, name, self.node, False, guest, 1, "1")
        self.told: list[Told] = []
        self.reads: list[int] = []
        self.may_take = trio.Event()
        self.may_take.set()
        self._changed = trio.Event()
        self.transport: Transport[Note] = Transport(
            name, peers, lambda: self.greeting, self._judge, Notes(), self._take, tls, limits
        )

    def _judge(self, greeting: Greeting) -> str:
        if greeting.cluster == self.greeting.cluster:
            return ""
        return f"it belongs to cluster {greeting.cluster}, not to {self.greeting.cluster}"

    async def _take(self, told: Sequence[Told]) -> None:
        self.told += told
        self.reads.append(len(told))
        self._changed.set()
        await self.may_take.wait()

    async def until(self, satisfied: Callable[[list[Told]], bool]) -> None:
        while not satisfied(self.told):
            self._changed = trio.Event()
            await self._changed.wait()

    async def met(self, other: Talker) -> None:
        await self.until(lambda told: PeerMet(other.greeting) in told)

    async def lost(self, other: Talker, refused: bool = False) -> None:
        await self.until(lambda told: PeerLost(other.greeting.name, other.node, refused) in told)

    async def got(self, count: int) -> list[str]:
        await self.until(lambda told: len(texts(told)) >= count)
        return texts(self.told)

    def say(self, other: Talker, *said: str) -> None:
        self.transport.send([Note(other.node, text) for text in said])


async def logged(caplog: pytest.LogCaptureFixture, text: str) -> None:
    """Wait until the log says this."""
    while text not in caplog.text:  # noqa: ASYNC110 - pytest's log has no event
        await trio.sleep(0.005)


def texts(told: Sequence[Told]) -> list[str]:
    return [each.text for each in told if isinstance(each, Note)]


class Place:
    """Where a node listens: the socket is bound once, so that others can dial it before the node is made."""

    def __init__(self, name: str, listeners: list[trio.SocketListener]) -> None:
        self.listeners = listeners
        self.address = PeerAddress(name, "127.0.0.1", listeners[0].socket.getsockname()[1])


async def place(name: str) -> Place:
    return Place(name, await listen("127.0.0.1", 0))


async def same_place(address: PeerAddress) -> Place:
    """Where somebody has listened before."""
    return Place(address.name, await listen(address.host, address.port))


@asynccontextmanager
async def running(*nodes: tuple[Talker, Sequence[trio.SocketListener]]) -> AsyncIterator[None]:
    """These transports, until the block ends."""
    async with trio.open_nursery() as nursery:
        for talker, listeners in nodes:
            await nursery.start(talker.transport.run, listeners)
        yield
        nursery.cancel_scope.cancel()
