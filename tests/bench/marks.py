"""How long service was away, as callers in a process of their own saw it.

They take marks on stdin, and answer each with the Unix nanoseconds of the first acknowledgement of something that was
begun after it: an answer of a leader that is already dead, which may still have been on its way, never counts.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Final

OUTAGE_AT_MOST_SECONDS: Final = 60.0
STEADY_SECONDS: Final = 1.5  # of load before a kill


def outage_seconds(command: Sequence[str], kill: Callable[[], None]) -> float:
    """From right before the kill to the first acknowledgement after it; the callers begin here and end here."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as callers:
        _after_a_mark(callers)
        time.sleep(STEADY_SECONDS)
        killed_at_ns = time.time_ns()
        kill()
        acknowledged_at_ns = _after_a_mark(callers)
        assert callers.stdin is not None
        callers.stdin.close()
        callers.wait()
    return (acknowledged_at_ns - killed_at_ns) / 1e9


def _after_a_mark(callers: subprocess.Popen[bytes]) -> int:
    assert callers.stdin is not None
    assert callers.stdout is not None
    callers.stdin.write(b"mark\n")
    callers.stdin.flush()
    return int(callers.stdout.readline())
