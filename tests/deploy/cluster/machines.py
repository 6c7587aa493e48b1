"""Three nodes and the runner that they share, each a process of its own with a directory of its own."""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from tests.deploy.cluster.wires import LOOPBACK, Network
from tests.deploy.nodes import Definitions, Node, configuration, until

NAMES: Final = ("node-0", "node-1", "node-2")
SETTLE_SECONDS: Final = 30.0

# Ports below those that the kernel hands out: no connection of a client takes one while its node is away.
LOWEST_PORT: Final = 15_000
HIGHEST_PORT: Final = 32_000

Answer = tuple[int, Any, Mapping[str, str]]


def free_ports(count: int) -> list[int]:
    """So many ports that nobody listens on."""
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().randint(LOWEST_PORT, HIGHEST_PORT)
        with socket.socket() as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                tried.bind((LOOPBACK, port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found


def ask(port: int, method: str, path: str, body: object = None, seconds: float = 10.0) -> Answer:
    """Status, body and headers of what the node at this port answers. Raises OSError or HTTPException."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=seconds)
    try:
        connection.request(method, path, None if body is None else json.dumps(body).encode())
        answer = connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if content else None, dict(answer.getheaders())
    finally:
        connection.close()


class Machine:
    """Where one node lives: its ports, its directory, its processes one after the other."""

    def __init__(self, name: str, port: int, raft_port: int, settings: Mapping[str, str], network: Network) -> None:
        self.name, self.port, self.raft_port = name, port, raft_port
        self.settings = dict(settings)
        self.directory = Path(settings["SlimData__Directory"])
        self.lives: list[Node] = []
        self._network = network

    @property
    def node(self) -> Node:
        """Its process of now, or the last one."""
        return self.lives[-1]

    def start(self, **settings: str) -> None:
        """Begin a new process."""
        self.lives.append(Node(self.settings | settings))
        self._network.switch_on(self.name)

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self._network.switch_off(self.name)
        self.node.kill()

    def stop(self, seconds: float = SETTLE_SECONDS) -> float:
        """End it as SIGTERM does; how many seconds that took. It must end well, and within so long."""
        begun = time.monotonic()
        self.node.signal(signal.SIGTERM)
        code = self.node.exit_code(seconds)
        took = time.monotonic() - begun
        self._network.switch_off(self.name)
        assert code == 0, (self.name, code, self.node.messages[-5:])
        return took

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """It does nothing meanwhile, and nobody is told."""
        self.node.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.node.signal(signal.SIGCONT)

    def ask(self, method: str, path: str, body: object = None, seconds: float = 10.0) -> Answer:
        """What it answers."""
        return ask(self.port, method, path, body, seconds)

    @property
    def is_ready(self) -> bool:
        """Whether it says so; if its process has ended by itself, this fails."""
        assert self.node.process.poll() is None, (self.name, self.node.process.returncode, self.node.messages[-5:])
        try:
            return self.ask("GET", "/ready")[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def cluster(self, *, stale: bool = False) -> Mapping[str, Any]:
        """What it says of the cluster."""
        status, body, _ = self.ask("GET", f"/cluster{'?consistency=stale' if stale else ''}")
        assert status == 200, (self.name, status, body)
        view: Mapping[str, Any] = body
        return view

    def said(self, text: str) -> list[dict[str, Any]]:
        """Its messages that begin so, of all its lives."""
        return [message for life in self.lives for message in life.said(text)]


class Cluster:
    """The machines, the runner, and the network between them."""

    def __init__(self, machines: Sequence[Machine], runner: Node, network: Network, seed: int) -> None:
        self.machines, self.runner, self.network, self.seed = machines, runner, network, seed

    def __getitem__(self, name: str) -> Machine:
        return next(machine for machine in self.machines if machine.name == name)

    @property
    def ports(self) -> list[int]:
        """Where clients reach the nodes."""
        return [machine.port for machine in self.machines]

    def until_ready(self, seconds: float = SETTLE_SECONDS) -> Machine:
        """Return once every node is ready and says who leads; the leader."""
        until(lambda: all(machine.is_ready for machine in self.machines), "all nodes are ready", seconds)
        return self.leader(seconds)

    def leader(self, seconds: float = SETTLE_SECONDS) -> Machine:
        """Who leads. Nodes that cannot be reached have no say."""
        found: list[str] = []

        def known() -> bool:
            for machine in self.machines:
                try:
                    status, body, _ = machine.ask("GET", "/cluster")
                except (OSError, http.client.HTTPException):
                    continue
                if status == 200 and body["Leader"]:
                    found.append(body["Leader"])
                    return True
            return False

        until(known, "a leader is known", seconds)
        return self[found[-1]]

    def followers(self) -> list[Machine]:
        """The others."""
        leader = self.leader()
        return [machine for machine in self.machines if machine is not leader]

    def rows(self) -> Mapping[str, Mapping[str, Any]]:
        """The members as the leader sees them, by name."""
        return {row["Name"]: row for row in self.leader().cluster()["Members"]}

    def until_even(self, seconds: float = SETTLE_SECONDS) -> int:
        """The commit index, once all nodes have the same, whole log."""
        found: list[int] = []

        def even() -> bool:
            rows = self.rows().values()
            found[:] = {row["CommitIndex"] for row in rows} | {row["Index"] for row in rows}
            return len(found) == 1

        until(even, "all logs are even", seconds)
        return found[0]

    def stop_all(self) -> None:
        """End every node well."""
        for machine in self.machines:
            machine.stop()

    def end(self) -> None:
        """End whatever still runs."""
        for machine in self.machines:
            if machine.lives and machine.node.process.poll() is None:
                machine.node.signal(signal.SIGCONT)
                machine.kill()
        self.runner.kill()

    def account(self) -> str:
        """What there is to look at after a failure."""
        lines = []
        for machine in self.machines:
            lines.append(f"--- {machine.name}: {machine.directory}, http {machine.port}, raft {machine.raft_port}")
            for number, life in enumerate(machine.lives):
                lines.append(f"    life {number}, pid {life.pid}, code {life.process.returncode}")
                lines += [f"        {json.dumps(message)}" for message in life.messages[-40:]]
        lines.append("--- runner")
        lines += [f"        {json.dumps(message)}" for message in self.runner.messages[-20:]]
        return "\n".join(lines)


@contextmanager
def cluster(place: Path, definitions: Definitions, seed: int = 0, /, **settings: str) -> Iterator[Cluster]:
    """A cluster whose nodes are started, ready or not yet. However the block ends, so do its processes."""
    ports = free_ports(2 * len(NAMES) + len(NAMES) * (len(NAMES) - 1))
    http_ports, raft_ports = ports[: len(NAMES)], dict(zip(NAMES, ports[len(NAMES) :], strict=False))
    shared = {
        "SlimFaas__Runner": f"unix:{place / 'runner.sock'}",
        "SlimFaas__JobsConfiguration": configuration(definitions),
        **settings,
    }
    with Network(raft_ports, ports[2 * len(NAMES) :]) as network:
        runner = Node({**shared, "SlimData__Directory": str(place / "runner")}, "runner")
        machines = [
            Machine(
                name, port, raft_ports[name], {**shared, **of_node(place, name, network, raft_ports, port)}, network
            )
            for name, port in zip(NAMES, http_ports, strict=True)
        ]
        for machine in machines:
            machine.settings["SlimFaas__JobsConfiguration"] = configuration(definitions)
        running = Cluster(machines, runner, network, seed)
        try:
            for machine in machines:
                machine.start()
            runner.ready()
            yield running
        except BaseException:
            sys.stdout.write(f"{running.account()}\n")
            raise
        finally:
            running.end()


def of_node(place: Path, name: str, network: Network, raft_ports: Mapping[str, int], port: int) -> Mapping[str, str]:
    """The settings that are this node's own: it reaches itself at its port, the others through its links to them."""
    peers = [
        f"{other}={LOOPBACK}:{raft_ports[other] if other == name else network.port(name, other)}" for other in NAMES
    ]
    return {
        "SlimData__Directory": str(place / name),
        "SlimData__Name": name,
        "SlimData__Peers": ",".join(peers),
        "SlimFaas__HttpPort": str(port),
    }


def set_aside(directory: Path, to: Path) -> None:
    """The disk of a node is lost; what was on it is kept for whoever looks for a reason."""
    to.mkdir(parents=True, exist_ok=True)
    shutil.move(directory, to / f"{directory.name}-{len(os.listdir(to))}")
