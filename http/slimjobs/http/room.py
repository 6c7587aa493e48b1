"""How much of long bodies may be in memory at once: what each may be is bounded, but there are many connections."""

from __future__ import annotations

from typing import Final

SHORT_BYTES: Final = 16 * 1024  # what is this short is never refused: all connections together hold little of it
ROOM_BYTES: Final = 16 * 1024 * 1024


class BodyRoom:
    """Room for bodies; a request takes what its body may grow to, and gives it back when it is answered."""

    def __init__(self, room: int) -> None:
        self._room = room

    def take(self, size: int) -> bool:
        """Take room for a body of at most this size, if there is some."""
        if size > self._room:
            return False
        self._room -= size
        return True

    def give_back(self, size: int) -> None:
        """Give back what was taken."""
        self._room += size


def may_grow_to(headers: dict[bytes, bytes], most: int) -> int:
    """How much room the body of a request with these headers needs, given that no more than `most` is kept of any."""
    announced = most if b"transfer-encoding" in headers else min(most, int(headers.get(b"content-length", b"0")))
    return 0 if announced <= SHORT_BYTES else announced
