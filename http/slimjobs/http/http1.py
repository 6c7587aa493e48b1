"""HTTP/1.1 on one connection: hypercorn's protocol, less what this service does not speak, and its tasks made safe.

hypercorn runs the framework in a task of its own for each request, beside the task that reads. What is changed:

- `Upgrade` (to a websocket, to HTTP/2) is ignored, as HTTP allows: nothing here speaks either, and a byte that follows
  a websocket handshake too early is an error that hypercorn does not expect.
- A request that is no HTTP is refused with a problem document, as everything else is.
- Head and first piece of an answer leave together.
- hypercorn hands a request to the framework piece by piece through a bounded channel, which nobody empties any more
  once the framework has answered: who then hands over the next piece, be it only "the client has gone", waits for ever.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import time
from typing import Final
from wsgiref.handlers import format_date_time

import h11
import structlog
import trio
from hypercorn.config import Config
from hypercorn.events import RawData
from hypercorn.protocol.events import Request
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol
from hypercorn.protocol.http_stream import HTTPStream
from hypercorn.trio.task_group import TaskGroup
from hypercorn.typing import AppWrapper, ASGIReceiveEvent, ASGISendEvent, H11SendableEvent, Scope

from slimjobs.http.problems import problem_body

HEAD_BYTES: Final = 16 * 1024
PIECES_WAITING: Final = 2  # of at most 64 KiB each, for every request that is being read

log: structlog.typing.FilteringBoundLogger = structlog.get_logger("slimjobs.http")

Send = Callable[[ASGISendEvent | None], Awaitable[None]]


class ServerConfig(Config):
    """hypercorn's settings: no logs of its own, no name in the answers, any number of requests on a connection."""

    accesslog = None
    errorlog = None
    include_server_header = False
    keep_alive_max_requests = 2**62
    h11_max_incomplete_size = HEAD_BYTES
    max_app_queue_size = PIECES_WAITING

    def __init__(self) -> None:
        self._dated_at = 0
        self._date: list[tuple[bytes, bytes]] = []

    def response_headers(self, protocol: str) -> list[tuple[bytes, bytes]]:
        """The headers of every answer: the date, formatted once a second."""
        now = int(time())
        if now != self._dated_at:
            self._dated_at, self._date = now, [(b"date", format_date_time(now).encode())]
        return self._date


class Http1(H11Protocol):
    """One connection's protocol: feed it what arrives, it starts the framework and says what to send."""

    _head = b""

    async def _check_protocol(self, event: h11.Request) -> None:
        """Every request is HTTP/1.1, whatever it would rather be upgraded to."""

    async def _create_stream(self, request: h11.Request) -> None:
        self.stream = HTTPStream(
            self.app,
            self.config,
            self.context,
            self.task_group,
            self.ssl,
            self.client,
            self.server,
            self.stream_send,
            STREAM_ID,
        )
        await self.stream.handle(
            Request(
                stream_id=STREAM_ID,
                headers=list(request.headers),
                http_version=request.http_version.decode(),
                method=request.method.decode().upper(),
                raw_path=request.target,
                state=self.connection_state,
            )
        )

    async def _send_h11_event(self, event: H11SendableEvent) -> None:
        try:
            piece = self.connection.send(event)
        except h11.LocalProtocolError:
            # A client that broke the protocol was told so; what the framework still has to say is for nobody.
            if self.connection.their_state is not h11.ERROR:
                raise
            return
        if isinstance(event, h11.Response):
            self._head = piece
        elif self._head or piece:
            head, self._head = self._head, b""
            await self.send(RawData(head + piece))

    async def _send_error_response(self, status_code: int) -> None:
        body = problem_body(status_code, "The request is no HTTP/1.1 that this service understands.")
        headers = [
            (b"content-type", b"application/problem+json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            *self.config.response_headers("h11"),
        ]
        await self._send_h11_event(h11.Response(status_code=status_code, headers=headers))
        await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())


class RequestTasks(TaskGroup):
    """The tasks of one connection's requests, in a nursery that ends with the connection."""

    async def spawn_app(
        self, app: AppWrapper, config: Config, scope: Scope, send: Send
    ) -> Callable[[ASGIReceiveEvent], Awaitable[None]]:
        """Start the framework on one request; what this returns hands it the pieces of the request."""
        giving, taking = trio.open_memory_channel[ASGIReceiveEvent](config.max_app_queue_size)
        self.spawn(_answer, app, scope, taking, send)

        async def give(event: ASGIReceiveEvent) -> None:
            if event["type"] == "http.disconnect":
                giving.close()  # never waits, unlike an event for which there may be no room
                return
            try:
                await giving.send(event)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return  # the framework has answered and looks at nothing more

        return give


async def _answer(
    app: AppWrapper, scope: Scope, taking: trio.MemoryReceiveChannel[ASGIReceiveEvent], send: Send
) -> None:
    """Have the framework answer one request; whatever it leaves unsaid, the protocol says."""

    async def receive() -> ASGIReceiveEvent:
        try:
            return await taking.receive()
        except trio.EndOfChannel:
            return {"type": "http.disconnect"}

    with taking:
        try:
            await app(scope, receive, send, trio.to_thread.run_sync, trio.from_thread.run)
        except* Exception:
            log.exception("a request failed", path=scope.get("path"))
    await send(None)
