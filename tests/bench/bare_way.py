"""The way of a commit with nothing on it: what trio, sockets, disk threads and fsync take before the first decision.

    python tests/bench/bare_way.py lead PORT FILE PORT PORT   |   follow PORT FILE

A leader and two followers, each a process with a disk thread, as nodes are; what comes is sent on, made durable, and
acknowledged. No bytes are looked at. No commit in Python between such processes can be faster.
"""

from __future__ import annotations

import os
import queue
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[2]))

import trio

from tests.bench.contenders import SLICE_SECONDS, WARM_UP_SECONDS, Puts
from tests.cluster.parts import free_ports

HOST: Final = "127.0.0.1"
REQUEST: Final = bytes(250)
ANSWER: Final = bytes(40)
READ_BYTES: Final = 1 << 16
WRITE_BYTES: Final = 512
FILE_BYTES: Final = 8 << 20
MAJORITY: Final = 2
START_SECONDS: Final = 30.0


class BareWay:
    """A contender for a single caller."""

    name = "the way alone"

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def puts(self, callers: int) -> Puts:
        """Requests that went the whole way, one after the other."""
        assert callers == 1
        with _way(self._directory) as caller:
            _call(caller, WARM_UP_SECONDS)
            taken = _call(caller, SLICE_SECONDS)
        p50, p99 = statistics.median(taken), statistics.quantiles(taken, n=100)[98]
        return Puts(len(taken) / sum(taken), 1e6 * p50, 1e6 * p99, 0)


@contextmanager
def _way(directory: Path) -> Iterator[socket.socket]:
    leader, *followers = free_ports(3)
    names = ["lead", "follow", "follow"]
    ports = [[leader, *followers], followers[:1], followers[1:]]
    processes = []
    try:
        for number, (name, (own, *others)) in enumerate(zip(names, ports, strict=True)):
            words = [name, own, directory / f"way-{number}", *others]
            processes.append(subprocess.Popen([sys.executable, __file__, *map(str, words)], stdin=subprocess.DEVNULL))
        with _connected(leader) as caller:
            yield caller
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _call(caller: socket.socket, seconds: float) -> Sequence[float]:
    taken: list[float] = []
    end = time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        caller.sendall(REQUEST)
        if not caller.recv(READ_BYTES):
            raise RuntimeError("the leader of the bare way has ended")
        taken.append(time.perf_counter() - begun)
    return taken


def _connected(port: int) -> socket.socket:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            connection = socket.create_connection((HOST, port), timeout=START_SECONDS)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection


def _accepted(port: int) -> socket.socket:
    with socket.create_server((HOST, port)) as listener:
        connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _disk(path: Path, written: Callable[[], None]) -> Callable[[bytes], None]:
    """Has bytes made durable by a thread, which then has the loop of trio call `written`."""
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(file, 0, FILE_BYTES)
    os.fdatasync(file)
    requests: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    token = trio.lowlevel.current_trio_token()

    def serve() -> None:
        position = 0
        while True:
            os.pwrite(file, requests.get(), position)
            os.fdatasync(file)
            position = (position + WRITE_BYTES) % FILE_BYTES
            token.run_sync_soon(written)

    threading.Thread(target=serve, daemon=True).start()
    return requests.put


async def _hear(connection: socket.socket, heard: Callable[[bytes], None]) -> None:
    connection.setblocking(False)
    while True:
        await trio.lowlevel.wait_readable(connection)
        if not (chunk := os.read(connection.fileno(), READ_BYTES)):
            sys.exit()  # with the daemon thread: who called has gone
        heard(chunk)


async def follow(port: int, path: Path) -> None:
    """Acknowledge what is durable."""
    leader = _accepted(port)
    await _hear(leader, _disk(path, lambda: _say(leader, ANSWER)))


async def lead(port: int, path: Path, ports: Sequence[int]) -> None:
    """Answer what a majority, this one included, has made durable."""
    followers = [_connected(each) for each in ports]
    caller = _accepted(port)
    votes = 0

    def begin(request: bytes) -> None:
        nonlocal votes
        votes -= len(followers) + 1  # every one comes in the end, those that were not waited for too
        for follower in followers:
            _say(follower, request)
        write(request)

    def count(_: bytes = b"") -> None:
        nonlocal votes
        votes += 1
        if votes == MAJORITY - len(followers) - 1:
            _say(caller, ANSWER)

    write = _disk(path, count)
    async with trio.open_nursery() as nursery:
        for follower in followers:
            nursery.start_soon(_hear, follower, count)
        await _hear(caller, begin)


def _say(connection: socket.socket, message: bytes) -> None:
    os.write(connection.fileno(), message)


def main() -> None:
    """One of the three."""
    what, port, path, *others = sys.argv[1:]
    if what == "follow":
        trio.run(follow, int(port), Path(path))
    else:
        trio.run(lead, int(port), Path(path), [int(other) for other in others])


if __name__ == "__main__":
    main()
