"""The three standard streams: there whatever the caller closed, and written to whether or not somebody reads.

Below everything that speaks to a person. Data goes to stdout and its reader may leave, which ends a command early;
messages go to stderr, and nothing ends because nobody hears them.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Final

STDERR: Final = 2


# A missing stream's number is the next one that is free: a socket or a segment of the log would get it, and what a
# library or the interpreter writes to "stderr" would end in there.
def complete_streams() -> None:
    """Open on /dev/null whichever of stdin, stdout and stderr is closed. Call it before anything else is opened."""
    for number in (0, 1, STDERR):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - it stays open, as stdout does
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115


# Not through sys.stderr: what its buffer could not get rid of stays there, and is tried again at the interpreter's
# end, which then changes the exit code to 120.
def tell(message: str) -> None:
    """Write a line to stderr. It is lost if nobody reads there or the disk behind it is full."""
    with contextlib.suppress(OSError):
        os.write(STDERR, f"{message}\n".encode(errors="backslashreplace"))


def discard_output() -> None:
    """Send what else goes to stdout to /dev/null: its reader has left, and nothing may stumble over that again."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)
