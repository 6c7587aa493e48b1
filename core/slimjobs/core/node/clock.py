"""The clocks of a node. The monotonic one is trio's, so that what the machine and what trio waits for agree."""

from __future__ import annotations

import time
from typing import Protocol

import trio

from slimjobs.core.machine.inputs import Now


class Clock(Protocol):
    """Where a node's time comes from."""

    def now(self) -> Now:
        """The time, by both clocks."""


class SystemClock:
    """The time of this machine."""

    def now(self) -> Now:
        """The time, by both clocks."""
        return Now(time.time_ns() // 1_000_000, int(trio.current_time() * 1e9))
