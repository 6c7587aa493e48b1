"""A client over a real socket, as plain as can be: bytes out, one parsed answer in."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import h11
import trio

from slimjobs.core.node.service import Service
from slimjobs.http.application import create_app
from slimjobs.http.server import listen, port_of, serve
from slimjobs.http.surface import SurfaceSettings
from tests.http.openapi.conformance import judge

NONE: Final[Mapping[str, str]] = {}


@dataclass
class Response:
    """An answer: header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Requests to one server, each on a connection of its own; `judged`: every answer is one that the OpenAPI document
    has.
    """

    def __init__(self, port: int, stop: trio.Event, *, judged: bool = False) -> None:
        self.judged = judged
        self.port = port
        self.stop = stop

    async def connect(self) -> trio.SocketStream:
        return await trio.open_tcp_stream("127.0.0.1", self.port)

    async def request(
        self, method: str, target: str, body: bytes = b"", *, chunked: bool = False, headers: Mapping[str, str] = NONE
    ) -> Response:
        """Send one request and give its answer."""
        async with await self.connect() as stream:
            answer = await exchange(stream, method, target, body, chunked=chunked, headers=headers)
        if self.judged:
            judge(method, target, answer.status, answer.headers, answer.body)
        return answer

    async def get(self, target: str, headers: Mapping[str, str] = NONE) -> Response:
        return await self.request("GET", target, headers=headers)

    async def post(
        self, target: str, body: bytes | Any = b"", *, chunked: bool = False, headers: Mapping[str, str] = NONE
    ) -> Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.request("POST", target, content, chunked=chunked, headers=headers)

    async def delete(self, target: str, headers: Mapping[str, str] = NONE) -> Response:
        return await self.request("DELETE", target, headers=headers)


async def exchange(
    stream: trio.SocketStream,
    method: str,
    target: str,
    body: bytes = b"",
    *,
    chunked: bool = False,
    headers: Mapping[str, str] = NONE,
) -> Response:
    """One request and its answer on a connection that stays open."""
    connection = h11.Connection(h11.CLIENT)
    framing = (b"transfer-encoding", b"chunked") if chunked else (b"content-length", str(len(body)).encode())
    named = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    request = h11.Request(method=method, target=target, headers=[(b"host", b"test"), framing, *named])
    await stream.send_all(connection.send(request) or b"")
    if body:
        await stream.send_all(connection.send(h11.Data(data=body)) or b"")
    await stream.send_all(connection.send(h11.EndOfMessage()) or b"")
    return await read_response(stream, connection)


async def read_response(stream: trio.SocketStream, connection: h11.Connection) -> Response:
    """The answer that comes on a connection."""
    head, content = None, b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await stream.receive_some(65536))
        elif isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            content += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            return Response(head.status_code, {n.decode(): v.decode() for n, v in head.headers}, content)
        else:
            assert isinstance(event, h11.InformationalResponse), event


@asynccontextmanager
async def running(service: Service, settings: SurfaceSettings) -> AsyncIterator[Client]:
    """The real server on a free port of loopback, with the real application before this service."""
    stop = trio.Event()
    listeners = await listen("127.0.0.1", 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, create_app(service, settings), listeners, settings.connections, stop)
        try:
            yield Client(port_of(listeners), stop, judged=True)
        finally:
            stop.set()
