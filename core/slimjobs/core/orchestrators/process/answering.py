"""Whether something answers on a port of this machine: how a service is found ready (contract §6)."""

from __future__ import annotations

from typing import Final

import trio

HOST: Final = "127.0.0.1"
ANSWER_SECONDS: Final = 1.0
FIRST_PAUSE_SECONDS: Final = 0.01
LONGEST_PAUSE_SECONDS: Final = 1.0


async def answers(port: int) -> bool:
    """Whether a connection to this port of 127.0.0.1 is taken, within 1 s."""
    with trio.socket.socket() as connecting:
        try:
            with trio.fail_after(ANSWER_SECONDS):
                await connecting.connect((HOST, port))
            # Where nobody listens the kernel may give a connection this very port as its own: it then meets itself.
            return bool(connecting.getsockname() != connecting.getpeername())
        except (OSError, trio.TooSlowError):
            return False


class Pauses:
    """From 10 ms to 1 s between two looks at a port, each half as long again as the one before."""

    def __init__(self) -> None:
        self._seconds = FIRST_PAUSE_SECONDS

    def next_seconds(self) -> float:
        """How long the next one is."""
        seconds, self._seconds = self._seconds, min(1.5 * self._seconds, LONGEST_PAUSE_SECONDS)
        return seconds
