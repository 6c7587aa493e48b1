"""The bytes between two nodes: four bytes of length, big-endian, then so many bytes of one MessagePack value.

Pure: bytes in, bodies out. What a body means is for the codec; what it may weigh is decided here, from its length
alone, so that a stranger's bytes are never waited for.
"""

from __future__ import annotations

import struct
from typing import Final

MAX_FRAME_BYTES: Final = 8 * 1024 * 1024

_LENGTH: Final = struct.Struct(">I")


class Unreadable(Exception):
    """What came is none of ours; the message says why. The connection cannot go on."""


class TooLong(Unreadable):
    """A frame announces itself as longer than any may be: HTTP and TLS look like this too."""


def frame(body: bytes) -> bytes:
    """This body as it travels."""
    return _LENGTH.pack(len(body)) + body


class Frames:
    """Cuts one stream into bodies: `feed` what came, then `take` until None.

    Whoever takes all after each feed holds never more than one frame and one feed.
    """

    def __init__(self, max_bytes: int = MAX_FRAME_BYTES) -> None:
        self.max_bytes = max_bytes
        """How long the next body may be; may be changed between two of them."""
        self._bytes: bytes | bytearray = b""
        self._position = 0

    def feed(self, chunk: bytes) -> None:
        """Add what came."""
        if self._position == len(self._bytes):
            self._bytes = chunk  # the usual case: whole frames, cut from the chunk itself
        else:
            rest = self._bytes if isinstance(self._bytes, bytearray) else bytearray(self._bytes)
            del rest[: self._position]
            rest += chunk
            self._bytes = rest
        self._position = 0

    def take(self) -> bytes | None:
        """The next body, None if it is not complete yet. Raises `TooLong` or `Unreadable`, from then on always."""
        begin = self._position + _LENGTH.size
        if len(self._bytes) < begin:
            return None
        (length,) = _LENGTH.unpack_from(self._bytes, self._position)
        self._judge(length)
        if len(self._bytes) < begin + length:
            return None
        self._position = begin + length
        return bytes(self._bytes[begin : self._position])

    def take_all(self) -> list[bytes]:
        """Every body that is complete. Raises as `take` does."""
        bodies = []
        while (body := self.take()) is not None:
            bodies.append(body)
        return bodies

    @property
    def held(self) -> int:
        """Bytes that wait for the rest of their frame."""
        return len(self._bytes) - self._position

    def _judge(self, length: int) -> None:
        if length == 0:
            raise Unreadable("an empty frame")
        if length > self.max_bytes:
            raise TooLong(f"a frame of {length:,} bytes, where {self.max_bytes:,} are the limit")
