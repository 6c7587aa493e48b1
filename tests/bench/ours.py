"""This project as a contender: three nodes, and callers that are a process of its own transport, as etcd's are of Go.

Its nodes are new for everything that is measured: what is triggered stays, where etcd's callers overwrite their keys.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tests.bench import peer_callers
from tests.bench.contenders import FAILOVER_CALLERS, GIVEN_UP_SECONDS, SLICE_SECONDS, WARM_UP_SECONDS, Puts
from tests.bench.marks import OUTAGE_AT_MOST_SECONDS, outage_seconds
from tests.bench.over_http import load
from tests.bench.three_nodes import JOB, Nodes, three_nodes


class Slimjobs:
    """Triggers whose record has a payload as long as an etcd put's value."""

    name = "slimjobs"

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def puts(self, callers: int) -> Puts:
        """Triggers through the leader's peer port."""
        with self._nodes() as nodes:
            pids = ",".join(str(member.pid) for member in nodes.leader_first)
            command = _callers(nodes, callers, SLICE_SECONDS, f"--warm-up={WARM_UP_SECONDS}", f"--pids={pids}")
            printed = subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout
        return msgspec.json.decode(printed, type=Puts)

    def outage_seconds(self) -> float:
        """Triggers at all three peer ports meanwhile; who is not answered goes on as etcd's callers do."""
        with self._nodes() as nodes:
            given_up = f"--timeout={GIVEN_UP_SECONDS}"
            command = _callers(nodes, FAILOVER_CALLERS, OUTAGE_AT_MOST_SECONDS, given_up, "--marks")
            return outage_seconds(command, nodes.leader.kill)

    @contextmanager
    def _nodes(self) -> Iterator[Nodes]:
        with tempfile.TemporaryDirectory(dir=self._directory) as place, three_nodes(Path(place)) as nodes:
            yield nodes


class OverHttp(Slimjobs):
    """The same through the leader's REST, on keep-alive connections."""

    name = "slimjobs over HTTP"

    def puts(self, callers: int) -> Puts:
        """Triggers a second; nothing else is measured here."""
        body = msgspec.json.encode({"Args": [peer_callers.PADDING]})
        with self._nodes() as nodes:
            rate = load(nodes.leader.http_port, f"/job/{JOB}", body, callers)
        return Puts(rate, 1e6 * callers / rate, 0.0, 0)


def _callers(nodes: Nodes, callers: int, seconds: float, *more: str) -> list[str]:
    ports = ",".join(str(port) for port in nodes.peer_ports)
    what = [f"--ports={ports}", f"--callers={callers}", f"--seconds={seconds}"]
    return [sys.executable, peer_callers.__file__, *what, *more]
