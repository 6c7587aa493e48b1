"""Where the processes of a demonstration live: their directories, their ports, and the settings that follow."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from slimjobs.deploy.exits import Ended, Exit
from slimjobs.deploy.peering import RAFT_PORT
from slimjobs.http.server import AddressUnavailable, listen

NODES: Final = ("node-0", "node-1", "node-2")
RUNNER: Final = "runner"
JOB: Final = "fibonacci"
SERVICE: Final = "fibonacci1"
SERVICE_PORT_BEYOND: Final = 3081
SERVICE_SLEEPS_AFTER_SECONDS: Final = 60
SLOTS: Final = 3
LOOPBACK: Final = "127.0.0.1"
PORTS_TRIED: Final = 100
SOCKET: Final = "runner.sock"
WITNESSED: Final = "witnessed"
SETTINGS: Final = ("slimfaas__", "slimdata__")

# Every process of a job bears witness of itself, past the service: a line when it begins, and one when it is through.
FIBONACCI: Final = """\
import os, sys, time
def witness(word):
    with open(sys.argv[1], "a") as witnessed:
        witnessed.write(f"{os.environ['SLIMFAAS_JOB_ID']} {word}\\n")
witness("began")
n, a, b = int(sys.argv[2]), 0, 1
for _ in range(n):
    a, b = b, a + b
time.sleep(2)
print(f"fibonacci({n}) = {a}")
witness("ended")
"""

# What the jobs depend on. It only has to be there.
FIBONACCI1: Final = """\
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    while True:
        server.accept()[0].close()
"""


class Place(msgspec.Struct, frozen=True):
    """The directory of a demonstration, which every process of it works in, and its ports: those of its nodes, by name,
    and that of what its jobs depend on.
    """

    directory: Path
    http_ports: Mapping[str, int]
    raft_ports: Mapping[str, int]
    service_port: int

    def url(self, *names: str) -> str:
        """Where these nodes are, or all of them, as clients take it."""
        return ",".join(f"http://{LOOPBACK}:{self.http_ports[name]}" for name in names or NODES)

    @property
    def witnessed(self) -> Path:
        """What the jobs' processes themselves have written down."""
        return self.directory.absolute() / WITNESSED

    def log(self, name: str) -> Path:
        """What this process says on stderr, of all its lives."""
        return self.directory / f"{name}.log"

    def command(self, name: str) -> Sequence[str]:
        """The command of `slimjobs` that this process is."""
        return ("runner",) if name == RUNNER else ("serve",)

    # Relative paths, for the path of a socket has to be short: these processes work in the directory.
    def environment(self, name: str) -> dict[str, str]:
        """The environment of this process: its settings, whatever our own environment says of such."""
        ours = {key: value for key, value in os.environ.items() if not key.lower().startswith(SETTINGS)}
        shared = {
            "SlimFaas__Orchestrator": "Process",
            "SlimFaas__Runner": f"unix:{SOCKET}",
            "SlimFaas__LogFormat": "console",
            "SlimFaas__BackoffSeconds": "1",  # who has just killed it does not want to look at nothing for long
            "SlimData__Directory": name,
        }
        return ours | shared | ({} if name == RUNNER else self._of_a_node(name))

    def _of_a_node(self, name: str) -> dict[str, str]:
        return {
            "SlimFaas__HttpPort": str(self.http_ports[name]),
            "SlimFaas__JobsConfiguration": json.dumps(self._jobs()),
            "SlimData__Name": name,
            "SlimData__Peers": ",".join(f"{each}={LOOPBACK}:{port}" for each, port in self.raft_ports.items()),
        }

    def _jobs(self) -> Mapping[str, object]:
        return {"Configurations": {JOB: self._definition()}, "Dependencies": {SERVICE: self._service()}}

    def _service(self) -> Mapping[str, object]:
        return {
            "Command": [sys.executable, "-I", "-S", "-c", FIBONACCI1, str(self.service_port)],
            "ReadyPort": self.service_port,
            "TimeoutSecondBeforeSetReplicasMin": SERVICE_SLEEPS_AFTER_SECONDS,
        }

    def _definition(self) -> Mapping[str, object]:
        return {
            "DependsOn": [SERVICE],
            "Command": [sys.executable, "-I", "-c", FIBONACCI, str(self.witnessed)],
            "NumberParallelJob": SLOTS,
            "Visibility": "Public",
            "BackoffLimit": 6,  # as often as this the whole may be killed while a run runs
            "TtlSecondsAfterFinished": 3600,
        }


async def place_with_free_ports(directory: Path, http_port: int) -> Place:
    """A place whose ports are the first free ones from this one, and from the usual ones of others. Raises `Ended`."""
    http_ports = dict(zip(NODES, await _free_ports(http_port, len(NODES)), strict=True))
    raft_ports = dict(zip(NODES, await _free_ports(RAFT_PORT, len(NODES)), strict=True))
    # Nobody holds it while the service sleeps: it goes with the first node's, which no other demonstration can have.
    first = http_ports[NODES[0]] + SERVICE_PORT_BEYOND
    (service_port,) = await _free_ports(first if first + PORTS_TRIED < 65536 else first - 2 * SERVICE_PORT_BEYOND, 1)
    return Place(directory, http_ports, raft_ports, service_port)


async def _free_ports(first: int, count: int) -> list[int]:
    last = min(first + PORTS_TRIED, 65535)
    free: list[int] = []
    for port in range(first, last + 1):
        if await _is_free(port):
            free.append(port)
        if len(free) == count:
            return free
    raise Ended(Exit.TAKEN, f"fewer than {count} of the ports {first} to {last} are free")


async def _is_free(port: int) -> bool:
    try:
        listeners = await listen(LOOPBACK, port)
    except AddressUnavailable:
        return False
    for listener in listeners:
        await listener.aclose()
    return True
