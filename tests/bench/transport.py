"""The transport between two processes on loopback: round trips of one small letter, and bursts of larger ones.

    python tests/bench/transport.py      this table alone

The other process is this file again, which sends everything back that asks for it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[2]))

import msgspec
import trio

from slimjobs.eventlog.raft.types import NodeId
from slimjobs.eventlog.transport.greeting import PROTOCOL, Greeting, PeerLost, PeerMet
from slimjobs.eventlog.transport.sockets import PeerAddress, listen
from slimjobs.eventlog.transport.tls import TlsFiles
from slimjobs.eventlog.transport.transport import Transport
from tests.bench.table import Row, print_table
from tests.eventlog.transport.certificates import Authority

HERE: Final = NodeId(1)
THERE: Final = NodeId(2)
PAYLOAD: Final = bytes(128)
ROUND_TRIPS: Final = 20_000
BURST: Final = 64
BURSTS: Final = 4_000
IN_FLIGHT: Final = 16
"""Bursts that are not answered yet, at most."""


class Parcel(msgspec.Struct, frozen=True, array_like=True):
    """A letter; the last of a burst asks for an answer."""

    to: NodeId
    payload: bytes
    answer: bool = False


_decode: Final = msgspec.msgpack.Decoder(Parcel)
_encode: Final = msgspec.msgpack.Encoder()


class Parcels:
    """Its codec."""

    def encode(self, letter: Parcel) -> bytes:
        return _encode.encode(letter)

    def decode(self, body: bytes, sender: Greeting) -> Parcel:
        return _decode.decode(body)

    def to(self, letter: Parcel) -> NodeId:
        return letter.to


Told = Sequence[Parcel | PeerMet | PeerLost]


class End:
    """One of the two: counts the answers that it gets, answers what asks."""

    def __init__(self, name: str, node: NodeId, other: NodeId, peer: PeerAddress, tls: TlsFiles | None) -> None:
        greeting = Greeting(PROTOCOL, "bench", name, node, False, False, 1, "1")
        self._other = other
        self.met = trio.Event()
        self._answered = self._wanted = self._unsent = 0
        self._done = trio.Event()
        self._letters: list[Parcel] = []
        self.transport: Transport[Parcel] = Transport(
            name, [peer], lambda: greeting, lambda _: "", Parcels(), self._take, tls
        )

    async def _take(self, told: Told) -> None:
        for each in told:
            if isinstance(each, PeerMet):
                self.met.set()
            elif isinstance(each, PeerLost):
                continue
            elif each.answer:
                self.transport.send([Parcel(self._other, b"answer")])
            elif each.payload == b"answer":
                self._count()

    def _count(self) -> None:
        self._answered += 1
        if self._unsent:
            self._unsent -= 1
            self.transport.send(self._letters)
        if self._answered == self._wanted:
            self._done.set()

    async def exchange(self, letters: list[Parcel], turns: int, in_flight: int) -> float:
        """So many times these letters, the last of which is answered; so many at once. Seconds."""
        self._answered, self._wanted, self._unsent = 0, turns, turns - in_flight
        self._letters, self._done = letters, trio.Event()
        begun = time.perf_counter()
        for _ in range(in_flight):
            self.transport.send(letters)
        await self._done.wait()
        return time.perf_counter() - begun


@asynccontextmanager
async def two_ends(tls: TlsFiles | None) -> AsyncIterator[End]:
    """This end, connected to one in another process."""
    listeners = await listen("127.0.0.1", 0)
    own_port = listeners[0].socket.getsockname()[1]
    files = [] if tls is None else [str(tls.certificate), str(tls.key), str(tls.authority)]
    command = [sys.executable, __file__, "there", str(own_port), *files]
    start = partial(trio.run_process, command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    async with trio.open_nursery() as nursery:
        there: trio.Process = await nursery.start(start)
        assert there.stdout is not None
        port = int(await there.stdout.receive_some())
        end = End("here", HERE, THERE, PeerAddress("there", "127.0.0.1", port), tls)
        await nursery.start(end.transport.run, listeners)
        await end.met.wait()
        await trio.sleep(0.3)  # the other direction stands as well
        yield end
        there.kill()
        nursery.cancel_scope.cancel()


async def _there(port: int, tls: TlsFiles | None) -> None:
    listeners = await listen("127.0.0.1", 0)
    print(listeners[0].socket.getsockname()[1], flush=True)
    await End("there", THERE, HERE, PeerAddress("here", "127.0.0.1", port), tls).transport.run(listeners)


async def measure(tls: TlsFiles | None) -> list[Row]:
    """The rows of one way."""
    way = "plain" if tls is None else "TLS"
    burst = [Parcel(THERE, PAYLOAD)] * (BURST - 1) + [Parcel(THERE, PAYLOAD, True)]
    async with two_ends(tls) as end:
        await end.exchange([Parcel(THERE, b"ask", True)], 1_000, 1)
        alone = await end.exchange([Parcel(THERE, b"ask", True)], ROUND_TRIPS, 1)
        together = await end.exchange(burst, BURSTS, IN_FLIGHT)
    return [
        Row(f"round trips, one letter, {way}", f"{ROUND_TRIPS / alone:,.0f} /s", ""),
        Row("", f"{1e6 * alone / ROUND_TRIPS:.0f} us each", ""),
        Row(f"letters of 128 bytes, {way}", f"{BURST * BURSTS / together:,.0f} /s", ""),
    ]


def main() -> list[Row]:
    """Measure plain and TLS, each in an event loop of its own."""
    with Authority.temporary() as authority:
        return [*trio.run(measure, None), *trio.run(measure, authority.files("here", "there"))]


if __name__ == "__main__":
    if sys.argv[1:2] == ["there"]:
        trio.run(_there, int(sys.argv[2]), TlsFiles(*map(Path, sys.argv[3:])) if sys.argv[3:] else None)
    else:
        print_table("The transport between two processes", main())
