"""The TCP server: it accepts, counts, contains and ends connections, and nothing that one of them does ends it.

hypercorn's own (`hypercorn.trio.run`) keeps all connections in one nursery, where an error of any of them, even one
that a client provoked, ends them all. Here each has its own, and what escapes from it is logged with its cause.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec
import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ASGIFramework

from slimjobs.http.connection import Address, Connection
from slimjobs.http.http1 import ServerConfig
from slimjobs.http.problems import problem_body

BACKLOG: Final = 1024
GRACE_SECONDS: Final = 2.0  # the whole node has five, and its jobs need two of them
REFUSALS_AT_ONCE: Final = 64  # connections above a limit that are told so; the rest is closed in silence
REFUSAL_SECONDS: Final = 1.0
OUT_OF_FILES_SECONDS: Final = 0.1
OUT_OF_FILES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})

log: structlog.typing.FilteringBoundLogger = structlog.get_logger("slimjobs.http")


class AddressUnavailable(Exception):
    """An address that cannot be listened on; the message is for the person who chose it."""

    def __init__(self, host: str | None, port: int, reason: str) -> None:
        super().__init__(f"cannot listen on {host or '*'} port {port}: {reason}")
        self.host = host
        self.port = port


class ConnectionLimits(msgspec.Struct, frozen=True):
    """How many connections there may be at once (contract §1, MaxConnections)."""

    total: int = 1000
    per_address: int = 200


async def listen(host: str | None, port: int) -> list[trio.SocketListener]:
    """Listeners on every address of this host; None means all of this machine, of both families.

    Port 0 is a free one, on one address only: a second would get another. Raises AddressUnavailable.
    """
    try:
        listeners = await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG)
    except OSError as error:
        raise AddressUnavailable(host, port, error.strerror or str(error)) from error
    if port == 0:
        for listener in listeners[1:]:
            await listener.aclose()
        return listeners[:1]
    return listeners


def port_of(listeners: Sequence[trio.SocketListener]) -> int:
    """The port that is listened on."""
    port: int = listeners[0].socket.getsockname()[1]
    return port


async def serve(
    app: ASGIFramework, listeners: Sequence[trio.SocketListener], limits: ConnectionLimits, stop: trio.Event
) -> None:
    """Serve until `stop` is set; then accept nothing more, finish what is in flight, and end within GRACE_SECONDS."""
    server = Server(app, limits)
    async with trio.open_nursery() as connections:
        async with trio.open_nursery() as acceptors:
            for listener in listeners:
                acceptors.start_soon(server.accept, listener, connections)
            await stop.wait()
            acceptors.cancel_scope.cancel()
        await server.finish()


class Server:
    """The connections of one node, and how many there are."""

    def __init__(self, app: ASGIFramework, limits: ConnectionLimits) -> None:
        self._app = ASGIWrapper(app)
        self._config = ServerConfig()
        self._context = WorkerContext(None)
        self._limits = limits
        self._connections: set[Connection] = set()
        self._by_address: Counter[str] = Counter()
        self._refusals = 0
        self._none_left = trio.Event()

    async def accept(self, listener: trio.SocketListener, nursery: trio.Nursery) -> None:
        """Accept until cancelled; the connections live in the nursery. Without file descriptors it waits for some."""
        async with listener:
            while True:
                try:
                    stream = await listener.accept()
                except OSError as error:
                    if error.errno not in OUT_OF_FILES:
                        raise
                    log.error("no connection can be accepted", cause=error.strerror)
                    await trio.sleep(OUT_OF_FILES_SECONDS)
                else:
                    self._take_in(stream, nursery)

    async def finish(self) -> None:
        """End every connection: idle ones at once, others when they have answered, all when the grace is over."""
        await self._context.terminated.set()  # the protocol closes after the next answer
        for connection in self._connections:
            connection.end_when_idle()
        self._none_left = trio.Event()
        with trio.move_on_after(GRACE_SECONDS):
            if self._connections:
                await self._none_left.wait()
        for connection in self._connections:
            connection.end()

    def _take_in(self, stream: trio.SocketStream, nursery: trio.Nursery) -> None:
        try:
            client: Address = stream.socket.getpeername()[:2]
            server: Address = stream.socket.getsockname()[:2]
        except OSError:  # the client has gone already
            stream.socket.close()
            return
        if self._has_room_for(client):
            connection = Connection(self._app, self._config, self._context, stream)
            self._connections.add(connection)
            self._by_address[client[0]] += 1
            nursery.start_soon(self._contain, connection, client, server)
        elif self._refusals < REFUSALS_AT_ONCE:
            self._refusals += 1
            nursery.start_soon(self._turn_away, stream)
        else:
            stream.socket.close()

    def _has_room_for(self, client: Address) -> bool:
        of_address = self._by_address.get(client[0], 0)
        return len(self._connections) < self._limits.total and of_address < self._limits.per_address

    async def _contain(self, connection: Connection, client: Address, server: Address) -> None:
        try:
            await connection.run(client, server)
        except* Exception:
            log.exception("a connection failed", client=client[0])
        finally:
            self._leave(connection, client)

    def _leave(self, connection: Connection, client: Address) -> None:
        self._connections.remove(connection)
        self._by_address[client[0]] -= 1
        if not self._by_address[client[0]]:
            del self._by_address[client[0]]
        if not self._connections:
            self._none_left.set()

    async def _turn_away(self, stream: trio.SocketStream) -> None:
        """Say 503 to a connection above the limit, and give the client a moment to read it."""
        try:
            with trio.move_on_after(REFUSAL_SECONDS):
                await stream.send_all(_TOO_MANY)
                await stream.send_eof()
                while await stream.receive_some():
                    pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            log.debug("a client above the limit of connections left first")
        finally:
            stream.socket.close()
            self._refusals -= 1


_TOO_MANY_BODY: Final = problem_body(
    503, "As many connections as may be are open (SlimFaas__MaxConnections). Try later."
)
_TOO_MANY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\nretry-after: 1\r\n"
    b"connection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(_TOO_MANY_BODY), _TOO_MANY_BODY)
)
