"""A leader that cannot see what runs the jobs: after a while it lets another node lead, which may see (design §5).

If none sees, leadership would go round for ever: so each node has twice the patience every time it gives up, until it
sees again.
"""

from __future__ import annotations

from typing import Final

from slimjobs.core.machine.inputs import Now

FIRST_PATIENCE_SECONDS: Final = 15
LONGEST_PATIENCE_SECONDS: Final = 600
_SECOND_NS: Final = 1_000_000_000


class Blindness:
    """Since when this node leads and does not see, and for how long it bears that."""

    def __init__(self) -> None:
        self._since_ns: int | None = None
        self._patience_seconds = FIRST_PATIENCE_SECONDS

    def begin_to_lead(self, now: Now) -> None:
        """It has not seen anything in this reign yet."""
        self._since_ns = now.monotonic_ns

    def is_over(self, sees: bool, now: Now) -> bool:
        """Whether its patience is at an end; the next one is longer then."""
        if sees:
            self._since_ns, self._patience_seconds = None, FIRST_PATIENCE_SECONDS
            return False
        if self._since_ns is None:
            self._since_ns = now.monotonic_ns
        if now.monotonic_ns - self._since_ns < self._patience_seconds * _SECOND_NS:
            return False
        self._since_ns = now.monotonic_ns
        self._patience_seconds = min(2 * self._patience_seconds, LONGEST_PATIENCE_SECONDS)
        return True
