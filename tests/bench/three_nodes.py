"""Three nodes as `slimjobs serve` runs them, each a process with a directory of its own, fsync and defaults included.

The first run has the only slot for as long as they live, so that every other one stays in the queue. Only the limits
are raised that so many queued runs would meet.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.cluster.parts import free_ports

JOB: Final = "bench"
ELECTION_MS: Final = 1000
START_SECONDS: Final = 120.0
HOST: Final = "127.0.0.1"
SLIMJOBS: Final = (sys.executable, "-c", "from slimjobs.deploy.cli import main; main()")

_DEFINITIONS: Final = {JOB: {"Command": ["/bin/sleep", "3600"], "Visibility": "Public", "NumberParallelJob": 1}}


class Member:
    """One of the three: its ports, its directory, its process."""

    def __init__(self, name: str, http_port: int, peer_port: int, settings: Mapping[str, str]) -> None:
        self.name, self.http_port, self.peer_port = name, http_port, peer_port
        self.directory = Path(settings["SlimData__Directory"])
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        assert self._process is not None, self.name
        return self._process.pid

    def start(self) -> None:
        """Start it, on whatever its last life left."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with self.directory.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen(
                [*SLIMJOBS, "serve"],
                env={**os.environ, **self._settings},
                stdin=subprocess.DEVNULL,
                stderr=log,
            )

    def kill(self) -> None:
        """SIGKILL; it is surely dead afterwards."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def get(self, path: str) -> tuple[int, Any]:
        """Status and body of an answer; 0 if there is none."""
        connection = http.client.HTTPConnection(HOST, self.http_port, timeout=2)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        except (OSError, http.client.HTTPException):
            return 0, None
        finally:
            connection.close()


class Nodes:
    """The three, all of them up unless one was killed."""

    def __init__(self, members: tuple[Member, ...]) -> None:
        self.all = members

    @property
    def peer_ports(self) -> tuple[int, ...]:
        return tuple(member.peer_port for member in self.all)

    @property
    def leader(self) -> Member:
        """Who leads, once all that run are ready; RuntimeError if that takes too long."""
        running = [member for member in self.all if member.is_running]
        self._until(lambda: all(member.get("/ready")[0] == 200 for member in running), "ready")
        name = running[0].get("/cluster")[1]["Leader"]
        return next(member for member in self.all if member.name == name)

    @property
    def leader_first(self) -> tuple[Member, ...]:
        """All of them, the leader before the others."""
        leader = self.leader
        return (leader, *(member for member in self.all if member is not leader))

    def _until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not holds():
            if time.monotonic() > deadline:
                said = self.all[0].directory.with_suffix(".log").read_text(errors="replace")[-2000:]
                raise RuntimeError(f"three nodes: not {what} within {START_SECONDS:.0f} s; the first said:\n{said}")
            time.sleep(0.02)


@contextmanager
def three_nodes(directory: Path, absent: Collection[str] = (), **settings: str) -> Iterator[Nodes]:
    """Three nodes that have a leader, with their files in this directory; none of them is left running.

    Those that are `absent` (by name, node-0 to node-2) are not started.
    """
    ports = free_ports(6)
    names = [f"node-{number}" for number in range(3)]
    peers = ",".join(f"{name}={HOST}:{port}" for name, port in zip(names, ports[3:], strict=True))
    given = {
        "SlimFaas__Orchestrator": "Process",
        "SlimFaas__Runner": f"unix:{directory.resolve() / 'runner.sock'}",
        "SlimFaas__LogFormat": "json",
        "SlimFaas__MaxQueuedJobs": "100000000",
        "SlimFaas__MaxQueuedBytes": "64Gi",
        "SlimFaas__JobsConfiguration": json.dumps({"Configurations": _DEFINITIONS}),
        "SlimData__Peers": peers,
        "SlimData__ElectionMilliseconds": str(ELECTION_MS),
    }
    members = tuple(
        Member(name, http_port, peer_port, {**given, **settings, **_own(name, directory, http_port)})
        for name, http_port, peer_port in zip(names, ports, ports[3:], strict=False)
    )
    with _runner(directory, given["SlimFaas__Runner"]):
        yield from _running(members, absent)


@contextmanager
def _runner(directory: Path, address: str) -> Iterator[None]:
    """What runs the one run that has a slot."""
    place = {"SlimFaas__Runner": address, "SlimData__Directory": str(directory.resolve() / "runner")}
    with (directory / "runner.log").open("ab") as log:
        environment = {**os.environ, **place}
        process = subprocess.Popen([*SLIMJOBS, "runner"], env=environment, stdin=subprocess.DEVNULL, stderr=log)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def _running(members: tuple[Member, ...], absent: Collection[str]) -> Iterator[Nodes]:
    try:
        for member in members:
            if member.name not in absent:
                member.start()
        nodes = Nodes(members)
        assert nodes.leader.pid
        yield nodes
    finally:
        for member in members:
            member.kill()


def _own(name: str, directory: Path, http_port: int) -> Mapping[str, str]:
    place = str(directory.resolve() / name)
    return {"SlimData__Name": name, "SlimData__Directory": place, "SlimFaas__HttpPort": str(http_port)}
