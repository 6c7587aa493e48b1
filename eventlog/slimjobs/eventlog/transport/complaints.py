"""Warnings that nobody can flood the log with: strangers are told of by the minute, known peers once a reason."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

AGAIN_SECONDS: Final = 60.0
MAX_ADDRESSES: Final = 256
MAX_REASONS: Final = 16
EVERYONE: Final = "other addresses"

logger: Final = logging.getLogger(__name__)


class Complaints:
    """Says what is wrong with connections, and remembers (bounded) what it said."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}
        self._reasons: dict[str, set[str]] = {}

    def about_address(self, host: str, reason: str) -> None:
        """Once a minute for each address, with the number of those that were not told."""
        now = self._clock()
        if host not in self._said and len(self._said) >= MAX_ADDRESSES:
            self._forget_old(now)
            host = host if len(self._said) < MAX_ADDRESSES else EVERYONE
        if now - self._said.get(host, -AGAIN_SECONDS) < AGAIN_SECONDS:
            self._unsaid[host] = self._unsaid.get(host, 0) + 1
            return
        self._said[host] = now
        unsaid = self._unsaid.pop(host, 0)
        more = f" (and {unsaid:,} more from there since this was last said)" if unsaid else ""
        logger.warning("a connection from %s was closed: %s%s", host, _plain(reason), more)

    def _forget_old(self, now: float) -> None:
        for host in [host for host, said_at in self._said.items() if now - said_at >= AGAIN_SECONDS]:
            del self._said[host]
            self._unsaid.pop(host, None)

    def about_peer(self, peer: str, reason: str, level: int = logging.WARNING) -> None:
        """Once for each reason, until `forget`: a peer is dialed again and again."""
        reasons = self._reasons.setdefault(peer, set())
        if reason not in reasons and len(reasons) < MAX_REASONS:
            reasons.add(reason)
            logger.log(level, "no connection %s: %s", peer, _plain(reason))

    def forget(self, peer: str) -> None:
        """It is well now."""
        self._reasons.pop(peer, None)


def _plain(reason: str) -> str:
    """Strangers have a part in reasons: no line of theirs may look like one of ours."""
    return "".join(letter if letter.isprintable() else "?" for letter in reason)
