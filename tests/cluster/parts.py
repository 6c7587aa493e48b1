"""A part of the binary as a process of its own, on ports of its own, killed and started again as a test likes.

Every part ends with its stdin, whose other end is here: it ends with the test, however the test ends.
"""

from __future__ import annotations

import itertools
import random
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tests.cluster.binary import built

START_SECONDS: Final = 90.0
END_SECONDS: Final = 20.0
# Below the ports that connections get by themselves: nothing takes one between the look and the use.
PORTS: Final = range(20_000, 32_000)


class Part:
    """One part. It is not started yet; what it writes goes to the end of its log."""

    def __init__(self, arguments: Sequence[str], log: Path) -> None:
        self.log = log
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None, self.log.stem
        return self._process.pid

    def start(self) -> None:
        """Start it, on whatever its last life left."""
        assert not self.is_running, self.log.stem
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([built(), *self._arguments], stdin=subprocess.PIPE, stdout=log, stderr=log)

    def kill(self) -> None:
        """SIGKILL; it is surely dead afterwards."""
        if self._process is not None:
            self._process.kill()
            self._reap(self._process)

    def end(self) -> None:
        """Close its stdin and wait for it; kill it if that does not help."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reap(self._process)

    def _reap(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        if process.stdin is not None:
            process.stdin.close()
        self._process = None

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Return as soon as this holds; RuntimeError if this part ends before, or if it takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while not holds():
            if not self.is_running or time.monotonic() > deadline:
                said = self.log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{self.log.stem}: not {what} within {START_SECONDS:.0f} s; it said:\n{said}")
            time.sleep(0.05)


def free_ports(count: int) -> list[int]:
    """So many loopback ports that nobody listens on."""
    return list(itertools.islice(filter(_is_free, random.sample(PORTS, len(PORTS))), count))


def _is_free(port: int) -> bool:
    with socket.socket() as candidate:
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
