"""A real node as a process of its own, as `slimjobs serve` runs it, with limits that do not get in the way."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from slimjobs.deploy.client import Client

STOP_SECONDS = 15


class Served(msgspec.Struct, frozen=True):
    """Where it is, and who."""

    port: int
    pid: int

    @property
    def client(self) -> Client:
        """A client of it."""
        return Client(f"http://127.0.0.1:{self.port}")

    def rss_mib(self) -> float:
        """Its resident memory now."""
        return _status_kib(self.pid, "VmRSS") / 1024

    def peak_mib(self) -> float:
        """The most resident memory it ever had."""
        return _status_kib(self.pid, "VmHWM") / 1024

    def children_mib(self) -> float:
        """Resident memory of the processes it started and of theirs."""
        return sum(_status_kib(child, "VmRSS") for child in _children(self.pid)) / 1024


def _status_kib(pid: int, name: str) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) if found else 0


def _children(pid: int) -> list[int]:
    listed = [int(each) for tasks in Path(f"/proc/{pid}/task").iterdir() for each in _words(tasks / "children")]
    return listed + [below for child in listed for below in _children(child)]


def _words(file: Path) -> list[str]:
    return file.read_text().split()


DEFINITIONS: Mapping[str, Any] = {
    "fibonacci": {"Command": ["/bin/sleep", "3600"], "Visibility": "Public"},
    "stamp": {"Command": ["/bin/date", "+%s%N"], "Visibility": "Public", "NumberParallelJob": 8},
}


@contextmanager
def served_node(directory: Path | None = None, **settings: str) -> Iterator[Served]:
    """A node in this directory (else one of its own); settings by key, as in the environment."""
    with tempfile.TemporaryDirectory(dir=".") as place:
        given = {
            "SlimFaas__Orchestrator": "Process",
            "SlimFaas__HttpPort": "0",
            "SlimFaas__LogFormat": "json",
            "SlimFaas__GraceSeconds": "1",
            "SlimFaas__MaxQueuedJobs": "10000000",
            "SlimFaas__MaxQueuedBytes": "1Gi",
            "SlimFaas__JobsConfiguration": json.dumps({"Configurations": DEFINITIONS}),
            "SlimData__Directory": str(directory or place),
        }
        process = subprocess.Popen(
            [sys.executable, "-c", "from slimjobs.deploy.cli import main; main()", "serve"],
            env={**os.environ, **given, **settings},
            stderr=subprocess.PIPE,
        )
        try:
            yield Served(_port(process), process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=STOP_SECONDS)


def _port(process: subprocess.Popen[bytes]) -> int:
    assert process.stderr is not None
    for line in process.stderr:
        said = json.loads(line)
        if said.get("event") == "ready":
            return int(said["url"].rpartition(":")[2])
        if said.get("level") in ("warning", "error"):
            print(line.decode().strip(), file=sys.stderr)
    raise RuntimeError("the node did not start")
