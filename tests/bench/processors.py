"""Where the processors' time goes: how much of it a process has had, and what that comes to for each record."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

TICK_SECONDS: Final = 1 / os.sysconf("SC_CLK_TCK")


def processor_seconds(pid: int) -> float:
    """The time that a process, all its threads, has had of the processors so far, to within a tick (10 ms)."""
    after_name = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    user, system = int(after_name[11]), int(after_name[12])
    return (user + system) * TICK_SECONDS


def rate_allowed(work_us: Sequence[float]) -> float:
    """Records a second if no processor was ever idle: of all of them, or, as a process of Python computes on one at a
    time, of the one that the busiest process has."""
    return 1e6 / max(sum(work_us) / len(os.sched_getaffinity(0)), *work_us)
