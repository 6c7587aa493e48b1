"""What still runs of a run whose keeper is gone: found by the run's id in its environment, and killed.

The last resort behind `guard.py`, for an attempt whose node, guard and keeper were all killed, or whose keeper was.
Whatever a process starts inherits `SLIMFAAS_JOB_ID`, so nothing is killed by a number that might be another's by now.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from slimjobs.eventlog.events.runs import RunId, run_id_text

_LOOK_AGAIN_SECONDS: Final = 0.005


def end_strays(run: RunId) -> None:
    """Kill every process of this run, again until none is left. Blocks; call it in a thread."""
    while pids := list(_processes_of(run)):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_LOOK_AGAIN_SECONDS)


def _processes_of(run: RunId) -> Iterator[int]:
    mark = f"SLIMFAAS_JOB_ID={run_id_text(run)}".encode()
    for name in filter(str.isdecimal, os.listdir("/proc")):
        # Others' processes cannot be read, and any may end while one looks; a zombie's environment is empty.
        with contextlib.suppress(OSError):
            if mark in Path("/proc", name, "environ").read_bytes().split(b"\0"):
                yield int(name)
