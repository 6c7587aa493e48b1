"""One connection between a node and a shared runner, from either side: words in, words out, nothing waits for ever."""

from __future__ import annotations

import socket
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final, Generic, TypeVar

import msgspec
import trio

from slimjobs.core.configuration.setting_kinds import RunnerAddress
from slimjobs.core.orchestrators.shared.address import connect, shown, unconnected
from slimjobs.core.orchestrators.shared.words import (
    MAX_FRAME_BYTES,
    PROTOCOL,
    SILENCE_SECONDS,
    Hello,
    Purpose,
    Refused,
    Reply,
    Request,
    Welcome,
    decode_reply,
    framed,
)
from slimjobs.eventlog.transport.frames import Frames, Unreadable

READ_BYTES: Final = 64 * 1024
CONNECT_SECONDS: Final = 5.0
"""For connecting and the greeting."""

W = TypeVar("W")


class Lost(Exception):
    """The connection cannot be used any more; the message says why."""


class Connection(Generic[W]):
    """Sends words, and receives the other side's. One task may send while another receives."""

    def __init__(self, stream: trio.SocketStream, decode: Callable[[bytes], W], other: str, frame_bytes: int) -> None:
        self._stream = stream
        self._decode = decode
        self._other = other
        self._frames = Frames(frame_bytes)

    def lost(self, how: str) -> Lost:
        """The connection is no use, because the other side did this."""
        return Lost(f"{self._other} {how}")

    async def send(self, word: Request | Reply) -> None:
        """Send this. Raises `Lost`, also if the other side does not read; `FrameTooLong`, and nothing was sent."""
        await self.send_frame(framed(word))

    async def send_frame(self, frame: bytes) -> None:
        """Send a word that is a frame already. Raises `Lost`."""
        try:
            with trio.fail_after(SILENCE_SECONDS):
                await self._stream.send_all(frame)
        except trio.TooSlowError:
            raise self.lost(f"did not read for {SILENCE_SECONDS:g} s") from None
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise self.lost("closed the connection") from error

    async def receive(self, within_seconds: float) -> W:
        """The next word. Raises `Lost` at the end, at what is no word, and when nothing comes."""
        try:
            with trio.fail_after(within_seconds):
                return await self._receive()
        except trio.TooSlowError:
            raise self.lost(f"said nothing for {within_seconds:g} s") from None
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise self.lost("closed the connection") from error

    async def _receive(self) -> W:
        try:
            while (body := self._frames.take()) is None:
                chunk = await self._stream.receive_some(READ_BYTES)
                if not chunk:
                    raise self.lost("closed the connection")
                self._frames.feed(bytes(chunk))
            return self._decode(body)
        except (Unreadable, msgspec.DecodeError) as error:
            raise self.lost(f"does not speak this protocol: {error}") from error

    def trust(self) -> None:
        """The other side has introduced itself: from now on it may say long words."""
        self._frames.max_bytes = MAX_FRAME_BYTES

    def close(self) -> None:
        """End it, whoever still uses it. Harmless when it has ended."""
        self._stream.socket.close()


class Dialled(Connection[Reply]):
    """A connection of a node's. It closes with its last reference, so that nobody has to close an iterator."""

    def __init__(self, stream: trio.SocketStream, raw: socket.socket, runner: str) -> None:
        super().__init__(stream, decode_reply, runner, MAX_FRAME_BYTES)
        weakref.finalize(self, raw.close)


async def dial(address: RunnerAddress, purpose: Purpose) -> Dialled:
    """A connection that is greeted and welcome. Raises `Lost`, which names the address."""
    runner = f"the runner at {shown(address)}"
    raw = unconnected(address)
    with ExitStack() as unless_welcome:
        unless_welcome.callback(raw.close)
        dialled = await _dialled(raw, address, runner, purpose)
        unless_welcome.pop_all()
    return dialled


async def _dialled(raw: socket.socket, address: RunnerAddress, runner: str, purpose: Purpose) -> Dialled:
    try:
        with trio.fail_after(CONNECT_SECONDS):
            return await _greeted(Dialled(await connect(raw, address), raw, runner), purpose)
    except trio.TooSlowError:
        raise Lost(f"{runner} did not answer within {CONNECT_SECONDS:g} s") from None
    except OSError as error:
        raise Lost(f"{runner} cannot be reached: {error.strerror or error}") from error


async def _greeted(dialled: Dialled, purpose: Purpose) -> Dialled:
    await dialled.send(Hello(PROTOCOL, purpose))
    match await dialled.receive(CONNECT_SECONDS):
        case Welcome():
            return dialled
        case Refused(reason):
            raise dialled.lost(f"refuses: {reason}")
        case _:
            raise dialled.lost("does not greet as a runner does")
