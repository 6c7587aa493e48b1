"""How often the API server is asked: so many a second, and so many at once after a pause."""

from __future__ import annotations

import trio


class Rate:
    """Turns, given in the order in which they are asked for."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._interval = 1 / per_second
        self._allowance = burst * self._interval
        self._free_at = -self._allowance

    async def turn(self) -> None:
        """Wait until it is this one's turn."""
        now = trio.current_time()
        at = max(self._free_at, now - self._allowance + self._interval)
        self._free_at = at + self._interval
        await trio.sleep_until(at)
