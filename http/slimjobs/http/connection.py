"""One TCP connection: bytes between the socket and the protocol, with a reason to end for everything that waits.

hypercorn's own (`hypercorn.trio.tcp_server`) writes under a shield and without a limit, so that a client that never
reads keeps its server from ending, for ever. Here every write has a limit, and `end` ends the connection at once.
"""

from __future__ import annotations

import math
from typing import Final

import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState, LifespanState

from slimjobs.http.http1 import Http1, RequestTasks, ServerConfig

READ_BYTES: Final = 64 * 1024
WRITE_BYTES: Final = 64 * 1024
WRITE_SECONDS: Final = 20.0  # for each WRITE_BYTES: who takes less than 3 KiB a second is not reading
IDLE_SECONDS: Final = 60.0  # for the next request to be begun and its head to be complete
LINGER_SECONDS: Final = 1.0

Address = tuple[str, int]


class Connection:
    """A client's connection, from accept to close."""

    def __init__(
        self, app: ASGIWrapper, config: ServerConfig, context: WorkerContext, stream: trio.SocketStream
    ) -> None:
        self._app = app
        self._config = config
        self._context = context
        self._stream = stream
        self._life = trio.CancelScope()
        self._patience = trio.CancelScope()
        self._deadline = trio.current_time() + IDLE_SECONDS  # of the patience for the next bytes
        self._writing = trio.Lock()
        self._idle = True
        self._closed = False

    async def run(self, client: Address, server: Address) -> None:
        """Serve the connection until either side ends it. Raises what its tasks raise unexpectedly."""
        try:
            with self._life:
                async with RequestTasks() as tasks:
                    self._protocol = Http1(
                        self._app,
                        self._config,
                        self._context,
                        tasks,
                        ConnectionState(LifespanState({})),
                        False,
                        client,
                        server,
                        self._carry_out,
                    )
                    await self._read()
        finally:
            self._stream.socket.close()

    def end_when_idle(self) -> None:
        """End the connection now if it is between two requests; the protocol ends it after the answer otherwise."""
        if self._idle:
            self._wait_until(-math.inf)

    def end(self) -> None:
        """End the connection now, whatever it is doing."""
        self._life.cancel()

    async def _read(self) -> None:
        """Hand everything that arrives to the protocol, until the end; what arrives after we closed is for nobody."""
        while received := await self._receive():
            if not self._closed:
                await self._protocol.handle(RawData(received))
        if received is not None and not self._closed:
            await self._protocol.handle(RawData(b""))
        await self._protocol.handle(Closed())

    async def _receive(self) -> bytes | None:
        """The next bytes, none at the end of the stream; None if the connection broke or patience ended."""
        with trio.CancelScope(deadline=self._deadline) as self._patience:
            try:
                return bytes(await self._stream.receive_some(READ_BYTES))
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return None
        return None

    def _wait_until(self, deadline: float) -> None:
        self._deadline = self._patience.deadline = deadline

    async def _carry_out(self, event: Event) -> None:
        """Do what the protocol says."""
        if isinstance(event, RawData):
            await self._write(event.data)
        elif isinstance(event, Updated):
            self._idle = event.idle
            # While a request is being answered, nothing need arrive: that wait belongs to whoever answers.
            self._wait_until(trio.current_time() + IDLE_SECONDS if event.idle else math.inf)
        elif isinstance(event, Closed):
            await self._close()
            await self._protocol.handle(Closed())

    async def _write(self, payload: bytes) -> None:
        async with self._writing:
            view = memoryview(payload)
            try:
                for at in range(0, len(payload), WRITE_BYTES):
                    with trio.fail_after(WRITE_SECONDS):
                        await self._stream.send_all(view[at : at + WRITE_BYTES])
            except (trio.TooSlowError, trio.BrokenResourceError, trio.ClosedResourceError):
                self.end()
            except trio.Cancelled:
                self.end()  # nothing can follow half an answer
                raise

    async def _close(self) -> None:
        """Say that nothing more will come. A socket closed while bytes wait in it takes back what was sent last
        (RFC 9112 §9.6), so what still arrives is read for a moment, until the client has closed too.
        """
        self._closed = True
        self._wait_until(trio.current_time() + LINGER_SECONDS)
        try:
            await self._stream.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError):
            self.end()
