"""How long is waited before a runner that was lost is dialled again."""

from __future__ import annotations

from typing import Final

import trio

FIRST_SECONDS: Final = 0.05
LONGEST_SECONDS: Final = 1.0


class Pauses:
    """None before the first dial, then from 50 ms doubling to 1 s between one and the next, until all is well."""

    def __init__(self) -> None:
        self.well()

    def well(self) -> None:
        """The runner does what it should: if it is lost again, the first dial is at once."""
        self._next_at = 0.0
        self._seconds = FIRST_SECONDS

    async def wait(self) -> None:
        """Return when it is time to dial."""
        await trio.sleep_until(self._next_at)
        self._next_at = trio.current_time() + self._seconds
        self._seconds = min(2 * self._seconds, LONGEST_SECONDS)
