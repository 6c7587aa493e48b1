"""One connection, plain or TLS: what is offered leaves at once if the socket takes it, and waits bounded if not.

Plain, an offer is a write to the socket in the same pass of the loop; only what the socket does not take is left to
the writer task. TLS has to go through its stream, so there everything goes through that task. Either way bytes leave
in the order in which they were offered.
"""

from __future__ import annotations

import os
import ssl
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import trio

from slimjobs.eventlog.transport.frames import Frames, Unreadable
from slimjobs.eventlog.transport.limits import GREETING_BYTES, READ_BYTES

WRITE_BYTES: Final = READ_BYTES
"""What the writer task joins into one write."""

ByteStream = trio.SocketStream | trio.SSLStream[trio.SocketStream]


class Lost(Exception):
    """The connection ended, by nobody's fault that this side could name; the message says how."""


class Link:
    """Reads are one task's, `write_for_ever` is another's, offers and `close` may come from any of the loop."""

    def __init__(self, socket: trio.SocketStream, stream: ByteStream) -> None:
        self._socket, self._stream = socket.socket, stream
        self._direct = socket is stream
        self._room = 0
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._wake = trio.Event()
        self._closed = False
        self.frames = Frames(GREETING_BYTES)
        """What was read and not taken yet."""

    def open(self, frame_bytes: int, buffered_bytes: int) -> None:
        """The other side is known: read frames so long, let so many bytes wait for it."""
        self.frames.max_bytes, self._room = frame_bytes, buffered_bytes

    def offer(self, frames: Sequence[bytes]) -> int:
        """Send these, or as many of them as find room; how many were dropped. One may be larger than all the room."""
        if self._closed:
            return len(frames)
        taken: list[bytes] = []
        size = self._size
        for frame in frames:
            if not size or size + len(frame) <= self._room:
                taken.append(frame)
                size += len(frame)
        self._send(b"".join(taken))
        return len(frames) - len(taken)

    def _send(self, chunk: bytes) -> None:
        # Nothing may overtake what waits; and while the writer task is at its last chunk, that is still counted.
        if chunk and self._direct and not self._size:
            chunk = chunk[self._written(chunk) :]
        if chunk:
            self._waiting.append(chunk)
            self._size += len(chunk)
            self._wake.set()

    def _written(self, chunk: bytes) -> int:
        """How much the socket took."""
        try:
            return os.write(self._socket.fileno(), chunk)
        except BlockingIOError:
            return 0
        except OSError:
            return len(chunk)  # the connection has ended, as its reader is about to see

    async def write_for_ever(self) -> None:
        """Write what waits, until the connection ends."""
        try:
            while not self._closed:
                await self._wake.wait()
                self._wake = trio.Event()
                while self._waiting:
                    await self._write(self._next_chunk())
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            self.close()

    def _next_chunk(self) -> bytes:
        chunks = [self._waiting.popleft()]
        size = len(chunks[0])
        while self._waiting and size + len(self._waiting[0]) <= WRITE_BYTES:
            chunks.append(self._waiting.popleft())
            size += len(chunks[-1])
        return b"".join(chunks) if len(chunks) > 1 else chunks[0]

    async def _write(self, chunk: bytes) -> None:
        await self._stream.send_all(chunk)
        self._size -= len(chunk)

    async def say(self, frame: bytes) -> None:
        """Write this and wait until it is out, before anything is offered. Raises as `read` does."""
        try:
            await self._stream.send_all(frame)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise loss_of(error) from error

    async def read(self) -> None:
        """Wait for bytes and put them into `frames`. Raises `Lost` at the end, `Unreadable` if TLS objects."""
        try:
            chunk = await self._receive()
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise loss_of(error) from error
        if not chunk:
            raise Lost("closed by the other side")
        self.frames.feed(chunk)

    async def _receive(self) -> bytes:
        if not self._direct:
            return bytes(await self._stream.receive_some(READ_BYTES))
        # Straight to the wait: after a delivery there is rarely more, so a stream's first try would be in vain.
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            with suppress(BlockingIOError):
                return os.read(self._socket.fileno(), READ_BYTES)

    def close(self) -> None:
        """End it now; whoever waits for it is told. Harmless when it has ended."""
        self._closed = True
        self._socket.close()
        self._waiting.clear()
        self._wake.set()


def loss_of(error: BaseException) -> Lost | Unreadable:
    """What the end of a stream means: a fault of the other side's TLS, or just an end."""
    cause = error.__cause__ or error
    if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return Unreadable(f"TLS: {cause.reason or cause}")
    if isinstance(error, trio.ClosedResourceError):
        return Lost("closed by this side")
    return Lost(cause.strerror or str(cause) if isinstance(cause, OSError) else str(cause))
