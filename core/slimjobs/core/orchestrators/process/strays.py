"""What still runs of a run or a service whose keeper is gone: found by a mark in its environment, and killed.

The last resort behind `guard.py`, for an attempt whose node, guard and keeper were all killed, or whose keeper was.
Whatever a process starts inherits the mark, so nothing is killed by a number that might be another's by now.
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

SERVICE_OUTPUT: Final = "SLIMFAAS_SERVICE_OUTPUT"
"""The variable that marks the processes of a service: the file that keeps their output, which is no other's."""

_LOOK_AGAIN_SECONDS: Final = 0.005


def of_run(run: RunId) -> bytes:
    """The mark of all processes of this run."""
    return f"\0SLIMFAAS_JOB_ID={run_id_text(run)}\0".encode()


def of_service(output: Path) -> bytes:
    """The mark of all processes of the replica whose output is kept there."""
    return b"\0%s=%s\0" % (SERVICE_OUTPUT.encode(), os.fsencode(output))


def of_services(outputs: Path) -> bytes:
    """The mark of all processes of all services whose outputs are kept in this folder."""
    return b"\0%s=%s/" % (SERVICE_OUTPUT.encode(), os.fsencode(outputs))


def end_strays(mark: bytes) -> None:
    """Kill every process with this mark, again until none is left. Blocks; call it in a thread."""
    while pids := list(_processes_with(mark)):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_LOOK_AGAIN_SECONDS)


def _processes_with(mark: bytes) -> Iterator[int]:
    for name in filter(str.isdecimal, os.listdir("/proc")):
        # Others' processes cannot be read, and any may end while one looks; a zombie's environment is empty.
        with contextlib.suppress(OSError):
            if mark in b"\0%s\0" % Path("/proc", name, "environ").read_bytes():
                yield int(name)
