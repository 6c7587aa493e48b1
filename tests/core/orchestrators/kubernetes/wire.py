"""A server in the API server's place that is a script: what it does with each connection, byte by byte."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio

from slimjobs.core.orchestrators.kubernetes.access import Access, find_access
from slimjobs.core.orchestrators.kubernetes.api import Api, open_api

CHUNKED: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
SECONDS: Final = 20.0


class Exchange:
    """A request that was asked on a connection; `path` has its query, `headers` are in small letters."""

    def __init__(self, stream: trio.SocketStream, head: bytes) -> None:
        first, *others = head.decode().split("\r\n")
        self.method, self.path, _ = first.split(" ")
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in others)}
        self._stream = stream

    @property
    def watches(self) -> bool:
        """Whether a watch was asked for."""
        return "watch=1" in self.path

    async def send(self, content: bytes) -> None:
        """Send this as it is."""
        await self._stream.send_all(content)

    async def answer(self, status: int, body: object, *headers: str) -> None:
        """Send a whole answer in JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = (f"HTTP/1.1 {status} Said", f"Content-Length: {len(content)}", *headers, "", "")
        await self._stream.send_all("\r\n".join(lines).encode() + content)

    async def chunk(self, content: bytes) -> None:
        """Send a piece of a chunked body."""
        await self._stream.send_all(b"%x\r\n%s\r\n" % (len(content), content))

    async def tell(self, kind: str, version: int, **more: Any) -> None:
        """Send a change of an object in a watch."""
        event = {"type": kind, "object": {"metadata": {"resourceVersion": str(version)}, **more}}
        await self.chunk(json.dumps(event).encode() + b"\n")

    async def until_left(self) -> None:
        """Wait until the other side closes the connection."""
        with trio.fail_after(SECONDS):
            while await self._stream.receive_some():
                pass


Script = Callable[[Exchange], Awaitable[None]]


class Wire:
    """The server. `asked` are the requests in order, `open` how many connections there are."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.asked: list[Exchange] = []
        self.open = 0
        self._changed = trio.Event()

    async def serve(self, stream: trio.SocketStream) -> None:
        """Follow the script on one connection."""
        self.open += 1
        self._tell()
        try:
            while head := await self._head(stream):
                self.asked.append(Exchange(stream, head))
                self._tell()
                await self.script(self.asked[-1])
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            self.open -= 1
            with trio.CancelScope(shield=True):
                await stream.aclose()
            self._tell()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = trio.Event()

    async def _head(self, stream: trio.SocketStream) -> bytes:
        head = b""
        while b"\r\n\r\n" not in head:
            piece = await stream.receive_some()
            if not piece:
                return b""
            head += piece
        return head.partition(b"\r\n\r\n")[0]

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until this holds; it is looked at when connections and requests come and go."""
        with trio.fail_after(SECONDS):
            while not holds():
                await self._changed.wait()


@asynccontextmanager
async def wire(script: Script) -> AsyncIterator[tuple[Wire, str]]:
    """The server and its address, while the block runs."""
    served = Wire(script)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, served.serve, 0, host="127.0.0.1"))
        port = listeners[0].socket.getsockname()[1]
        yield served, f"http://127.0.0.1:{port}"
        nursery.cancel_scope.cancel()


def access_to(address: str, directory: Path) -> Access:
    """A kubeconfig whose token is in a file of its own."""
    (directory / "token").write_text("first\n")
    kubeconfig = directory / "kubeconfig"
    user = {"tokenFile": str(directory / "token")}
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "test",
                "clusters": [{"name": "test", "cluster": {"server": address}}],
                "users": [{"name": "test", "user": user}],
                "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            }
        )
    )
    return find_access({"KUBECONFIG": str(kubeconfig)}, directory)


@asynccontextmanager
async def client_of(script: Script, directory: Path) -> AsyncIterator[tuple[Wire, Api]]:
    """The server and a client of it."""
    async with wire(script) as (served, address), open_api(access_to(address, directory)) as api:
        yield served, api
