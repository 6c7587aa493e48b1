"""Services that runs depend on, through a node: woken for a run that waits, asleep when nobody needs them any more.

The services are processes that listen on a port; the nodes and their runner are processes too, and are killed as such.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from tests.core.orchestrators.process.serving import LISTENING, a_port, started
from tests.deploy.cluster.machines import free_ports
from tests.deploy.nodes import Node, alive, descendants, node, until

# As LISTENING, but it takes its time: until a file is there.
WHEN_TOLD: Final = f"""
import os, sys, time
with open(os.path.join(sys.argv[2], "begun"), "a") as begun:
    begun.write("once\\n")
while not os.path.exists(os.path.join(sys.argv[2], "go")):
    time.sleep(0.02)
{LISTENING}
"""
LONG: Final = 300


def a_service(place: Path, port: int, program: str = LISTENING, sleep_after: int = LONG) -> Mapping[str, Any]:
    return {
        "Command": [sys.executable, "-I", "-S", "-c", program, str(port), str(place)],
        "ReadyPort": port,
        "TimeoutSecondBeforeSetReplicasMin": sleep_after,
    }


def configured(service: Mapping[str, Any]) -> str:
    """A job that depends on this service, and the service."""
    job = {"Command": ["/bin/echo", "done"], "Visibility": "Public", "DependsOn": ["fibonacci1"]}
    return json.dumps({"Configurations": {"fibonacci": job}, "Dependencies": {"fibonacci1": service}})


@contextmanager
def a_node(place: Path, service: Mapping[str, Any], **settings: str) -> Iterator[Node]:
    given = {"SlimFaas__JobsConfiguration": configured(service), "SlimFaas__BackoffSeconds": "0.05"}
    with node(place / "data", **{**given, **settings}) as running:
        yield running


def why(running: Node, run_id: str) -> list[str]:
    """Why a run waits."""
    return [reason["Detail"] for reason in running.row("fibonacci", run_id).get("Why", [])]


def until_started(place: Path, processes: int) -> None:
    until(lambda: len(started(place)) >= processes, f"{processes} processes were started")


def until_waits(running: Node, run_id: str, reason: str) -> None:
    said = f"'fibonacci1' is not ready: {reason}"
    until(lambda: any(detail.startswith(said) for detail in why(running, run_id)), f"{run_id} waits: {reason}")


# Waking and sleeping --------------------------------------------------------------------------------------------------


def test_a_service_is_woken_for_a_run_that_waits_and_says_so_until_it_answers(tmp_path: Path) -> None:
    port = a_port()
    with a_node(tmp_path, a_service(tmp_path, port, WHEN_TOLD)) as running:
        running.ready()
        assert not (tmp_path / "begun").exists()
        run_id = running.trigger("fibonacci")
        until_waits(running, run_id, f"nothing answers on port {port} yet")
        assert running.row("fibonacci", run_id)["Status"] == "Queued"
        (tmp_path / "go").touch()
        running.until_status("fibonacci", run_id, "Succeeded")
        assert (tmp_path / "begun").read_text() == "once\n"
        assert running.stop() == 0
        assert not any(map(alive, started(tmp_path)))


def test_a_service_sleeps_again_when_nobody_has_needed_it_for_a_while(tmp_path: Path) -> None:
    with a_node(tmp_path, a_service(tmp_path, a_port(), sleep_after=1)) as running:
        running.until_status("fibonacci", running.trigger("fibonacci"), "Succeeded")
        (pid,) = started(tmp_path)
        until(lambda: not alive(pid), "it is asleep")
        running.until_status("fibonacci", running.trigger("fibonacci"), "Succeeded")
        assert len(started(tmp_path)) == 2


def test_one_that_is_awake_is_not_started_again_for_the_next_run(tmp_path: Path) -> None:
    with a_node(tmp_path, a_service(tmp_path, a_port())) as running:
        for _ in range(3):
            running.until_status("fibonacci", running.trigger("fibonacci"), "Succeeded")
        assert len(started(tmp_path)) == 1


# What goes wrong ------------------------------------------------------------------------------------------------------


def test_a_service_that_dies_is_back_for_the_next_run(tmp_path: Path) -> None:
    with a_node(tmp_path, a_service(tmp_path, a_port())) as running:
        for lives in (1, 2, 3):
            running.until_status("fibonacci", running.trigger("fibonacci"), "Succeeded")
            assert len(started(tmp_path)) == lives
            os.kill(started(tmp_path)[-1], signal.SIGKILL)
            until_started(tmp_path, lives + 1)


def test_a_port_that_another_has_taken_is_why_a_run_waits(tmp_path: Path) -> None:
    port = a_port()
    with a_node(tmp_path, a_service(tmp_path, port)) as running:
        with socket.create_server(("127.0.0.1", port)):
            run_id = running.trigger("fibonacci")
            until_waits(running, run_id, f"port {port} is taken by another process")
            assert started(tmp_path) == []
        running.until_status("fibonacci", run_id, "Succeeded")


def test_a_command_that_is_not_found_is_why_a_run_waits_until_the_configuration_is_mended(tmp_path: Path) -> None:
    file, port = tmp_path / "jobs.json", a_port()
    broken = {"Command": ["no-such-program"], "ReadyPort": port}
    file.write_text(configured(broken))
    settings = {"SlimFaas__JobsConfiguration": "", "SlimFaas__JobsConfigurationFile": str(file)}
    with a_node(tmp_path, broken, **settings) as running:
        run_id = running.trigger("fibonacci")
        until_waits(running, run_id, "its program cannot be started: No such file or directory")
        file.write_text(configured(a_service(tmp_path, port)))
        running.until_status("fibonacci", run_id, "Succeeded")


def test_a_command_that_is_changed_in_the_file_replaces_what_runs(tmp_path: Path) -> None:
    file, port = tmp_path / "jobs.json", a_port()
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    old, new = a_service(tmp_path / "old", port), a_service(tmp_path / "new", port)
    file.write_text(configured(old))
    settings = {"SlimFaas__JobsConfiguration": "", "SlimFaas__JobsConfigurationFile": str(file)}
    with a_node(tmp_path, old, **settings) as running:
        running.until_status("fibonacci", running.trigger("fibonacci"), "Succeeded")
        file.write_text(configured(new))
        until_started(tmp_path / "new", 1)
        assert not any(map(alive, started(tmp_path / "old")))
        running.until_status("fibonacci", running.trigger("fibonacci"), "Succeeded")


def test_a_node_that_is_killed_takes_its_services_with_it_and_the_next_wakes_them_when_a_run_waits(
    tmp_path: Path,
) -> None:
    service = a_service(tmp_path, a_port(), WHEN_TOLD)
    with a_node(tmp_path, service) as running:
        run_id = running.trigger("fibonacci")
        until(lambda: (tmp_path / "begun").exists(), "it is being started")
        children = descendants(running.pid)
        running.kill()
        until(lambda: not any(map(alive, children)), "nothing of it is left", 5)
    (tmp_path / "go").touch()
    with a_node(tmp_path, service) as running:
        running.until_status("fibonacci", run_id, "Succeeded")
        assert (tmp_path / "begun").read_text() == "once\nonce\n"
        assert sum(map(alive, started(tmp_path))) == 1


# A shared runner ------------------------------------------------------------------------------------------------------


@contextmanager
def three_nodes(place: Path, service: Mapping[str, Any]) -> Iterator[tuple[Node, dict[str, Node]]]:
    """A runner, and three nodes that share it, ready."""
    ports = free_ports(3)
    peers = ",".join(f"node-{number}=127.0.0.1:{port}" for number, port in enumerate(ports))
    with ExitStack() as stack:
        address = f"unix:{stack.enter_context(tempfile.TemporaryDirectory())}/runner.sock"
        shared = {"SlimFaas__Runner": address, "SlimFaas__BackoffSeconds": "0.05"}
        runner = Node({**shared, "SlimData__Directory": str(place / "runner")}, "runner")
        stack.callback(runner.kill)
        runner.ready()
        nodes = {}
        for name in ("node-0", "node-1", "node-2"):
            own = {"SlimData__Name": name, "SlimData__Peers": peers, **shared}
            nodes[name] = stack.enter_context(a_node(place / name, service, **own))
        for each in nodes.values():
            each.ready()
        yield runner, nodes


def leader(nodes: Mapping[str, Node]) -> str:
    """Who leads, as any of these nodes says."""
    found: list[str] = []

    def known() -> bool:
        body = next(iter(nodes.values())).client.request("GET", "/cluster?consistency=stale").body
        found.append(body["Leader"])
        return found[-1] in nodes

    until(known, "one of them leads")
    return found[-1]


def test_the_leader_is_killed_while_a_service_starts_and_the_run_gets_it_all_the_same(tmp_path: Path) -> None:
    port = a_port()
    with three_nodes(tmp_path, a_service(tmp_path, port, WHEN_TOLD, sleep_after=1)) as (runner, nodes):
        lost = leader(nodes)
        run_id = nodes[lost].trigger("fibonacci")
        until(lambda: (tmp_path / "begun").exists(), "it is being started")
        nodes.pop(lost).kill()
        next_leader = nodes[leader(nodes)]
        until_waits(next_leader, run_id, f"nothing answers on port {port} yet")
        (tmp_path / "go").touch()
        next_leader.until_status("fibonacci", run_id, "Succeeded")
        assert (tmp_path / "begun").read_text() == "once\n"
        until(lambda: not any(map(alive, started(tmp_path))), "it is asleep again")
        children = descendants(runner.pid)
        runner.kill()
        until(lambda: not any(map(alive, children)), "nothing of the runner is left", 5)


def test_a_runner_that_comes_back_without_its_services_is_asked_to_wake_them_again(tmp_path: Path) -> None:
    with three_nodes(tmp_path, a_service(tmp_path, a_port(), WHEN_TOLD)) as (runner, nodes):
        some = nodes["node-0"]
        run_id = some.trigger("fibonacci")
        until(lambda: (tmp_path / "begun").exists(), "it is being started")
        runner.kill()
        (tmp_path / "go").touch()
        settings = {"SlimData__Directory": str(tmp_path / "runner"), "SlimFaas__Runner": runner_address(runner)}
        again = Node(settings, "runner")
        try:
            some.until_status("fibonacci", run_id, "Succeeded")
            assert len(started(tmp_path)) == 1
        finally:
            again.kill()


def runner_address(runner: Node) -> str:
    return str(runner.said("ready")[0]["runner"])
