"""How often an external address may ask (contract §1, ExternalRequestsPerSecond): a bucket of tokens for each."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

MAX_ADDRESSES: Final = 10_000  # beyond it the one that asked longest ago is forgotten, and starts with a full bucket
BURST_SECONDS: Final = 1.0


class RateLimit:
    """Requests of external addresses, each at most `per_second`, or as many at once as a second gives."""

    def __init__(self, per_second: float) -> None:
        """Limit to this many; 0 limits nobody."""
        self._per_second = per_second
        self._full = max(1.0, per_second * BURST_SECONDS)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def allows(self, address: str, now: float) -> bool:
        """Whether this address may ask at this time (seconds, monotonic); if so, that is counted."""
        if not self._per_second:
            return True
        tokens, since = self._buckets.pop(address, (self._full, now))
        tokens = min(self._full, tokens + (now - since) * self._per_second)
        allowed = tokens >= 1.0
        self._buckets[address] = (tokens - 1.0 if allowed else tokens, now)
        if len(self._buckets) > MAX_ADDRESSES:
            self._buckets.popitem(last=False)
        return allowed
