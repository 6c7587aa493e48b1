"""REST: triggers per second over HTTP at 64 clients, beside a bare handler of the same framework in the same run.

The servers are processes of their own, the load comes over raw keep-alive sockets. Two nodes stand behind the surface:
one that accepts at once, so that HTTP alone is measured, and the real one.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import selectors
import socket
import time
from collections.abc import Callable
from ipaddress import ip_network
from multiprocessing.connection import Connection
from typing import Final

import structlog
import trio
from hypercorn.config import Config
from hypercorn.trio import serve as hypercorn_serve
from quart import request
from quart_trio import QuartTrio

from slimjobs.core.decide.commands import Accepted, Command, Trigger
from slimjobs.core.node.service import Reply
from slimjobs.eventlog.raft.types import Index
from slimjobs.http.application import create_app
from slimjobs.http.server import listen, port_of, serve
from slimjobs.http.surface import SurfaceSettings
from tests.bench.served import served_node
from tests.bench.table import Row
from tests.http.memory_service import MemoryService

CLIENTS: Final = 64
SECONDS: Final = 4.0
BATCH: Final = 100
BODY: Final = b'{"Args":["42"]}'
BATCH_BODY: Final = b"[" + b",".join([b'{"Name":"fibonacci","Args":["42"]}'] * BATCH) + b"]"


class AcceptingService(MemoryService):
    """A node that accepts everything at once and remembers nothing."""

    async def command(self, command: Command) -> Reply:
        assert isinstance(command, Trigger)
        await trio.lowlevel.checkpoint()
        self.index += 1
        return Reply(Index(self.index), Accepted(tuple(each.run for each in command.runs)))


def bare(ready: Connection) -> None:
    """The smallest handler of the framework that reads a body and answers 202, in hypercorn as it is."""
    app = QuartTrio("bare")

    @app.post("/job/<name>")
    async def trigger(name: str) -> tuple[dict[str, str], int]:
        await request.get_json()
        return {"Id": name}, 202

    async def main() -> None:
        config = Config()
        config.bind = ["127.0.0.1:0"]
        config.errorlog = None
        config.keep_alive_max_requests = 10**9
        async with trio.open_nursery() as nursery:
            binds: list[str] = await nursery.start(hypercorn_serve, app, config)
            ready.send(int(binds[0].rpartition(":")[2]))

    trio.run(main)


def surface(ready: Connection) -> None:
    """The surface, with the log level of production."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("info"))
    settings = SurfaceSettings(trusted_networks=(ip_network("127.0.0.0/8"),))

    async def main() -> None:
        listeners = await listen("127.0.0.1", 0)
        ready.send(port_of(listeners))
        await serve(create_app(AcceptingService(), settings), listeners, settings.connections, trio.Event())

    trio.run(main)


def measure(server: Callable[[Connection], None], path: str, body: bytes) -> float:
    """Answered requests a second of this server, under load from this process."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=server, args=(there,), daemon=True)
    process.start()
    try:
        return load(here.recv(), path, body)
    finally:
        process.kill()
        process.join()


def load(port: int, path: str, body: bytes, clients: int = CLIENTS) -> float:
    """Answers a second on so many connections, each with one request at a time, after a second of warming up."""
    head = f"POST {path} HTTP/1.1\r\nhost: bench\r\ncontent-length: {len(body)}\r\n\r\n"
    wire = head.encode() + body
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        for _ in range(clients):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            selector.register(connection, selectors.EVENT_READ, connection)
            connection.sendall(wire)
        _exchange(selector, wire, 1.0)
        started = time.perf_counter()
        return _exchange(selector, wire, SECONDS) / (time.perf_counter() - started)


def _exchange(selector: selectors.BaseSelector, wire: bytes, seconds: float) -> int:
    """Answer every answer with the next request, for so long; how many there were."""
    until = time.perf_counter() + seconds
    answers = 0
    while time.perf_counter() < until:
        for key, _ in selector.select(timeout=1.0):
            connection: socket.socket = key.data
            _read_answer(connection)
            connection.sendall(wire)
            answers += 1
    return answers


def _read_answer(connection: socket.socket) -> None:
    """Read one whole answer; anything but 202 ends the measurement."""
    received = b""
    while (end := received.find(b"\r\n\r\n")) < 0:
        received += connection.recv(65536)
    head = received[:end].lower()
    assert head.startswith(b"http/1.1 202"), head
    length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
    while len(received) < end + 4 + length:
        received += connection.recv(65536)


def measure_node(path: str, body: bytes) -> float:
    """The same of a real node: its own process, its disk, its runner."""
    with served_node() as node:
        return load(node.port, path, body)


def main() -> list[Row]:
    """The rows of the table."""
    bare_rate = measure(bare, "/job/fibonacci", BODY)
    surface_rate = measure(surface, "/job/fibonacci", BODY)
    node_rate = measure_node("/job/fibonacci", BODY)
    batches = measure_node("/jobs", BATCH_BODY)
    return [
        Row("bare quart-trio POST handler", f"{bare_rate:,.0f} /s", ""),
        Row("POST /job, a node that accepts at once", f"{surface_rate:,.0f} /s = {surface_rate / bare_rate:.2f}", ""),
        Row("POST /job, the whole node", f"{node_rate:,.0f} /s = {node_rate / bare_rate:.2f}", "at least 0.7 of bare"),
        Row(f"POST /jobs, batches of {BATCH}, the whole node", f"{batches * BATCH:,.0f} /s", "at least 15,000"),
    ]
