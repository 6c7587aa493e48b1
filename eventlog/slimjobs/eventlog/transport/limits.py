"""What connections may cost, and how long is waited for them: every bound of the transport stands here."""

from __future__ import annotations

from typing import Final

import msgspec

from slimjobs.eventlog.transport.frames import MAX_FRAME_BYTES

READ_BYTES: Final = 256 * 1024
"""What is read at once, and so what is delivered at once."""

GREETING_BYTES: Final = 2048
"""A stranger may send a frame this long, until it has introduced itself."""


class Limits(msgspec.Struct, frozen=True):
    """The defaults suit a cluster of some nodes on a network with round trips of milliseconds."""

    frame_bytes: int = MAX_FRAME_BYTES
    buffered_bytes: int = 8 * 1024 * 1024
    """What waits to be sent to a peer; a letter beyond is dropped."""

    guests: int = 64
    guest_frame_bytes: int = 1024 * 1024
    """What a guest may send as one letter: anybody may be a guest where there is no TLS, so it costs less memory."""

    guest_buffered_bytes: int = 1024 * 1024
    handshakes: int = 64
    """Accepted connections at once that have not introduced themselves."""

    connect_seconds: float = 2.0
    greeting_seconds: float = 5.0
    dead_after_seconds: float = 5.0
    """A connection whose other side acknowledges nothing for so long is given up."""

    first_redial_seconds: float = 0.05
    last_redial_seconds: float = 1.0
    """Between two dials, doubling from the first; a connection that stood for the last starts anew, at once."""


DEFAULT_LIMITS: Final = Limits()
