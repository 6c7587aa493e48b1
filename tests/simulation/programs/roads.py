"""The ways between nodes: the real transport on real sockets, with a road of ours between the two ends of each.

Every connection is two pairs of Unix sockets, and what is put into one is taken out of the other when the road lets it
pass: late, not while the direction is cut, perhaps only a part before the connection ends. As with TCP, bytes of a
connection are never lost, doubled or out of order; a connection that is cut for too long is given up by both ends.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from random import Random
from typing import Final

import trio

from slimjobs.eventlog.transport.limits import DEFAULT_LIMITS, Limits
from slimjobs.eventlog.transport.sockets import PeerAddress, Unreachable
from tests.simulation.programs.life import here
from tests.simulation.programs.tale import Tale

FAIR: Final = (0.00005, 0.0005)
CARRIED_BYTES: Final = 64 * 1024
NARROW_BYTES: Final = 4096
ENDED: Final = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)

Direction = tuple[str, str]


class Roads:
    """`cut` are directions in which nothing passes, `held` hosts that stand still, `dark` those without power.

    `narrow`: the sockets take little at once, so that what is to leave piles up before them.
    `latency` is between what and what a letter takes, `late` the share that takes up to two seconds; `standing` are the
    connections by number, in the order in which they were made.
    """

    def __init__(self, random: Random, tale: Tale, nursery: trio.Nursery) -> None:
        self.latency = FAIR
        self.late = 0.0
        self.cut: set[Direction] = set()
        self.held: set[str] = set()
        self.dark: set[str] = set()
        self.connections = 0
        self.narrow = random.random() < 0.5
        self._random, self._tale, self._nursery = random, tale, nursery
        self._doors: dict[str, socket.socket] = {}
        self.standing: dict[int, Connection] = {}
        self._changed = trio.Event()

    def changed(self) -> None:
        """Look again at what may pass."""
        self._changed.set()
        self._changed = trio.Event()

    # Doors ----------------------------------------------------------------------------------------------------------

    def open_door(self, name: str) -> trio.SocketListener:
        """Where the process of this name listens, until it closes that."""
        door = socket.socket(socket.AF_UNIX)
        door.bind("")  # Linux names it, in no directory
        door.listen()
        self._doors[name] = door
        return trio.SocketListener(trio.socket.from_stdlib_socket(door))

    async def dial(self, near: str, far: str, limits: Limits) -> trio.SocketStream:
        """A connection. Raises `Unreachable` as dialing over TCP does."""
        with trio.move_on_after(limits.connect_seconds):
            await trio.sleep(self._random.uniform(*self.latency))
            while self._is_cut(near, far) or {near, far} & self.dark:
                await self._changed.wait()
            return self._connect(near, far)
        raise Unreachable(f"no connection within {limits.connect_seconds:g} s")

    def _connect(self, near: str, far: str) -> trio.SocketStream:
        door, end = self._doors.get(far), socket.socket(socket.AF_UNIX)
        end.bind("")  # whoever accepts it asks for its name
        try:
            end.connect(door.getsockname() if door is not None and door.fileno() >= 0 else b"\0nobody")
        except ConnectionRefusedError:
            end.close()
            raise Unreachable("Connection refused", refused=True) from None
        own, begin = socket.socketpair()
        if self.narrow:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, NARROW_BYTES)
        self.connections += 1
        self._tale.say(near, "is connected to", far)
        connection = Connection(self, near, far, begin, end)
        self._nursery.start_soon(self._carry, self.connections, connection)
        return _stream(own)

    async def _carry(self, number: int, connection: Connection) -> None:
        self.standing[number] = connection
        try:
            await connection.run()
        finally:
            del self.standing[number]

    # What may pass --------------------------------------------------------------------------------------------------

    def _is_cut(self, near: str, far: str) -> bool:
        return bool(self.cut & {(near, far), (far, near)})

    def reset(self) -> None:
        """End one of the connections that stand, wherever it is just then."""
        if self.standing:
            number = self._random.choice(list(self.standing))
            self.standing[number].reset()

    async def pass_over(self, near: str, far: str, content: bytes) -> None:
        """Return when this has come through, whenever that is."""
        seconds = self._random.uniform(*self.latency)
        if self.late and self._random.random() < self.late:
            seconds = self._random.uniform(0, 2)
        await trio.sleep(seconds)
        while (near, far) in self.cut or {near, far} & (self.held | self.dark):
            await self._changed.wait()
        self._tale.note(content)

    async def until_given_up(self, near: str, far: str) -> None:
        """Return when the connection was cut for as long as the kernel waits."""
        while True:
            while not (self._is_cut(near, far) or {near, far} & self.dark):
                await self._changed.wait()
            with trio.move_on_after(DEFAULT_LIMITS.dead_after_seconds * self._random.uniform(0.6, 1)):
                while self._is_cut(near, far) or {near, far} & self.dark:
                    await self._changed.wait()
                continue
            return

    def part_of(self, content: bytes) -> bytes:
        """What of this arrives before the connection ends."""
        return content[: self._random.randint(0, len(content))]


class Connection:
    """A connection, with its two middles."""

    def __init__(self, roads: Roads, near: str, far: str, begin: socket.socket, end: socket.socket) -> None:
        self._roads, self._near, self._far = roads, near, far
        self._begin, self._end = _stream(begin), _stream(end)
        self._is_reset = False

    async def run(self) -> None:
        """Carry until it ends."""
        try:
            async with trio.open_nursery() as nursery:
                scope = nursery.cancel_scope
                nursery.start_soon(self._one_way, self._near, self._far, self._begin, self._end, scope)
                nursery.start_soon(self._one_way, self._far, self._near, self._end, self._begin, scope)
                await self._roads.until_given_up(self._near, self._far)
                scope.cancel()
        finally:
            self._close()

    def reset(self) -> None:
        """End it, with what is under way half delivered."""
        self._is_reset = True
        self._begin.socket.close()

    def _close(self) -> None:
        self._begin.socket.close()
        self._end.socket.close()

    async def _one_way(
        self, near: str, far: str, source: trio.SocketStream, sink: trio.SocketStream, both: trio.CancelScope
    ) -> None:
        with suppress(*ENDED):
            while content := bytes(await source.receive_some(CARRIED_BYTES)):
                await self._roads.pass_over(near, far, content)
                await sink.send_all(self._roads.part_of(content) if self._is_reset else content)
            while {near, far} & (self._roads.held | self._roads.dark):
                await self._roads.pass_over(near, far, b"")
        both.cancel()


def _stream(end: socket.socket) -> trio.SocketStream:
    return trio.SocketStream(trio.socket.from_stdlib_socket(end))


async def dial(peer: PeerAddress, limits: Limits) -> trio.SocketStream:
    """What takes the place of `sockets.dial`."""
    life = here()
    return await life.roads.dial(life.name, peer.name, limits)
