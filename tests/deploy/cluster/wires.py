"""The network between nodes, as a test can break it: a proxy stands in the way of every node to every other.

Node A reaches node B through a port of its own, behind which stands a link. A link is made of two wires, and so is the
one on which B reaches A: what A says to B travels on the same wire whichever of them dialed, so that cutting it stops
all of that and nothing else. While the machine of B is off, its links refuse connections, as its own port would.
"""

from __future__ import annotations

import enum
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import permutations
from types import TracebackType
from typing import Final, TypeVar

import trio

R = TypeVar("R")

LOOPBACK: Final = "127.0.0.1"
CHUNK: Final = 65536
PATIENCE_SECONDS: Final = 10.0
RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: closing drops what is unsent, and says so to the other side at once."""

GONE: Final = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)


class Cut(enum.Enum):
    """How a wire is cut: nothing passes and nobody is told, or connections end and new ones do so at once."""

    SILENT = "silent"
    RESET = "reset"


class Wire:
    """What one node says to another, on whichever connection."""

    def __init__(self) -> None:
        self.cut: Cut | None = None
        self.delay_seconds = 0.0
        self.connections: set[trio.CancelScope] = set()
        self._whole = trio.Event()
        self._whole.set()

    async def passes(self) -> None:
        """Return once it is whole, and something has come through."""
        await trio.sleep(self.delay_seconds)
        await self._whole.wait()

    def break_off(self, how: Cut) -> None:
        """Cut it."""
        self.cut = how
        if self._whole.is_set():
            self._whole = trio.Event()
        if how is Cut.RESET:
            for connection in self.connections:
                connection.cancel()

    def mend(self) -> None:
        """Nothing is wrong with it any more; what was held up comes through now."""
        self.cut, self.delay_seconds = None, 0.0
        self._whole.set()


class Link:
    """The way of one node to another: a port on this side, the other's own behind it."""

    def __init__(self, there: Wire, back: Wire, port: int, behind: int) -> None:
        self.port = port
        self._there, self._back, self._behind = there, back, behind
        self._listening = trio.CancelScope()
        self._closed = trio.Event()
        self._closed.set()

    async def open(self, nursery: trio.Nursery) -> None:
        """Accept connections."""
        self._listening, self._closed = trio.CancelScope(), trio.Event()
        listeners = await trio.open_tcp_listeners(self.port, host=LOOPBACK)
        nursery.start_soon(self._listen, listeners, nursery)

    async def close(self) -> None:
        """Refuse connections. Those that stand, stand."""
        self._listening.cancel()
        await self._closed.wait()

    async def _listen(self, listeners: list[trio.SocketListener], nursery: trio.Nursery) -> None:
        with self._listening:
            await trio.serve_listeners(self._carry, listeners, handler_nursery=nursery)
        self._closed.set()

    async def _carry(self, near: trio.SocketStream) -> None:
        try:
            if Cut.RESET not in (self._there.cut, self._back.cut):
                await self._there.passes()
                await self._back.passes()
                with suppress(OSError):
                    await self._join(near, await trio.open_tcp_stream(LOOPBACK, self._behind))
        finally:
            reset(near)

    async def _join(self, near: trio.SocketStream, far: trio.SocketStream) -> None:
        scope = trio.CancelScope()
        self._there.connections.add(scope)
        self._back.connections.add(scope)
        try:
            with scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(carry, near, far, self._there, self._back, scope)
                    nursery.start_soon(carry, far, near, self._back, self._there, scope)
        finally:
            self._there.connections.discard(scope)
            self._back.connections.discard(scope)
            reset(far)


async def carry(
    source: trio.SocketStream, sink: trio.SocketStream, wire: Wire, back: Wire, connection: trio.CancelScope
) -> None:
    """Pass on what the source says. The end of either side takes its way too, and no shorter one."""
    while True:
        try:
            chunk = await source.receive_some(CHUNK)
        except GONE:
            await wire.passes()
            connection.cancel()
            return
        await wire.passes()
        try:
            if not chunk:
                await sink.send_eof()
                return
            await sink.send_all(chunk)
        except GONE:
            await back.passes()
            connection.cancel()
            return


def reset(stream: trio.SocketStream) -> None:
    """Close it with a reset, if it stands."""
    with suppress(OSError):
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    stream.socket.close()


class Network:
    """The links of these nodes, in a thread of their own. `ports` are where the nodes listen for their peers."""

    def __init__(self, ports: dict[str, int], proxies: Sequence[int]) -> None:
        pairs = list(permutations(ports, 2))
        self._ports, self._pairs = ports, dict(zip(pairs, proxies, strict=True))
        self._begun = threading.Event()
        self._thread = threading.Thread(target=trio.run, args=(self._run,), daemon=True)

    def __enter__(self) -> Network:
        self._thread.start()
        assert self._begun.wait(PATIENCE_SECONDS)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._trio(self._nursery.cancel_scope.cancel)
        self._thread.join(PATIENCE_SECONDS)

    async def _run(self) -> None:
        self._wires = {pair: Wire() for pair in self._pairs}
        self._links = {
            (one, other): Link(self._wires[one, other], self._wires[other, one], port, self._ports[other])
            for (one, other), port in self._pairs.items()
        }
        self._token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as self._nursery:
            self._begun.set()
            await trio.sleep_forever()

    def _trio(self, does: Callable[[], R]) -> R:
        return trio.from_thread.run_sync(does, trio_token=self._token)

    def port(self, one: str, other: str) -> int:
        """Where the one reaches the other."""
        return self._pairs[one, other]

    def switch_on(self, node: str) -> None:
        """The machine of this node accepts connections, or its kernel refuses them: no longer the links."""
        trio.from_thread.run(self._switch, node, True, trio_token=self._token)

    def switch_off(self, node: str) -> None:
        """Nobody listens there any more: connections are refused."""
        trio.from_thread.run(self._switch, node, False, trio_token=self._token)

    async def _switch(self, node: str, on: bool) -> None:
        for (_, other), link in self._links.items():
            if other == node:
                await (link.open(self._nursery) if on else link.close())

    def cut(self, one: str, other: str, how: Cut) -> None:
        """What the one says does not reach the other."""
        self._trio(lambda: self._wires[one, other].break_off(how))

    def cut_both_ways(self, one: str, other: str, how: Cut) -> None:
        """Neither hears the other."""
        self.cut(one, other, how)
        self.cut(other, one, how)

    def isolate(self, node: str, how: Cut) -> None:
        """Nobody hears this node, nor does it hear anybody."""
        for other in self._ports:
            if other != node:
                self.cut_both_ways(node, other, how)

    def slow_down(self, seconds: float) -> None:
        """Whatever is said by anybody takes so long."""

        def slower() -> None:
            for wire in self._wires.values():
                wire.delay_seconds = seconds

        self._trio(slower)

    def mend(self) -> None:
        """All is well again."""

        def whole() -> None:
            for wire in self._wires.values():
                wire.mend()

        self._trio(whole)
