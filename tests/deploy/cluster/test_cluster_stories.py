"""What a cluster of three goes through, one thing at a time: each node a process, each link a proxy that can be cut."""

from __future__ import annotations

import http.client
import json
import os
import random
import shutil
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import msgspec
import pytest

from slimjobs.eventlog.storage.log_reader import read_log
from tests.deploy.cluster.machines import NAMES, Answer, Cluster, Machine, cluster
from tests.deploy.cluster.wires import LOOPBACK, Cut
from tests.deploy.nodes import Definitions, node, until

PATIENCE_SECONDS: Final = 5.0
STOP_SECONDS: Final = 2.0
FAILOVER_SECONDS: Final = 2.5
TRUE: Final[Definitions] = {"true": {"Command": ["/bin/true"], "NumberParallelJob": 2, "TtlSecondsAfterFinished": 3600}}
HELD: Final[Definitions] = {"held": {"Command": ["/bin/sleep", "1000"]}}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster for all stories, for it takes some seconds to start one."""
    with cluster(tmp_path_factory.mktemp("cluster"), {**TRUE, **HELD}) as started:
        yield started


@pytest.fixture
def running(shared: Cluster) -> Iterator[Cluster]:
    """Three nodes that are ready, whatever the story before has done to them."""
    shared.network.mend()
    for machine in shared.machines:
        if machine.node.process.poll() is not None:
            machine.start()
    shared.until_ready()
    yield shared
    sys.stdout.write(shared.account())


def trigger(machine: Machine, job: str = "true") -> str:
    """The id of a new run."""
    status, said, _ = machine.ask("POST", f"/job/{job}", {})
    assert status == 202, said
    run: str = said["Id"]
    return run


def assert_all_know(running: Cluster, *runs: str, job: str = "true") -> None:
    """Every node shows these runs."""
    for machine in running.machines:
        for run in runs:
            status, said, _ = machine.ask("GET", f"/job/{job}/{run}")
            assert status == 200, (machine.name, said)


def index_of(answer: Answer) -> int:
    return int(answer[2]["x-slimfaas-index"])


# The way in ----------------------------------------------------------------------------------------------------------


def test_three_nodes_found_one_cluster_and_any_of_them_answers_anything(running: Cluster) -> None:
    views = [machine.cluster() for machine in running.machines]
    assert len({view["ClusterId"] for view in views}) == 1
    assert len({view["Leader"] for view in views}) == 1
    assert all([row["Name"] for row in view["Members"] if row["Voter"]] == list(NAMES) for view in views)

    for machine in running.machines:
        assert_all_know(running, trigger(machine))
    for one, other in zip(running.machines, running.machines[1:], strict=False):
        run = trigger(one)
        shown = other.ask("GET", f"/job/true/{run}?wait=10")
        while shown[1]["Status"] != "Succeeded":
            shown = other.ask("GET", f"/job/true/{run}?wait=10")
        deleted = one.ask("DELETE", f"/job/true/{run}")
        assert deleted[0] == 200
        gone = other.ask("GET", f"/job/true/{run}")
        assert gone[0] == 404
        assert index_of(shown) < index_of(deleted) <= index_of(gone)


def test_nobody_founds_a_cluster_while_one_of_its_nodes_has_not_been_met(tmp_path: Path) -> None:
    with cluster(tmp_path, TRUE) as founding:
        away = founding["node-2"]
        away.kill()
        for machine in founding.machines[:2]:
            until(partial(is_waiting_for, machine, away), f"{machine.name} waits for {away.name}")
        away.start()
        founding.until_ready()


def is_waiting_for(machine: Machine, away: Machine) -> bool:
    """Whether it says that it has met all others, but no cluster can be founded without that one."""
    with suppress(OSError, http.client.HTTPException):
        status, said, _ = machine.ask("GET", "/ready")
        return status == 503 and f"no cluster is founded yet; not met: {away.name}." in said["detail"]
    return False


def test_a_node_that_lost_its_disk_comes_back_by_itself_as_another_incarnation(running: Cluster) -> None:
    runs = [trigger(machine) for machine in running.machines]
    for machine in running.machines:  # whoever leads is among them
        before = read_log(machine.directory).stat().incarnation
        machine.kill()
        shutil.rmtree(machine.directory)
        machine.start()
        running.until_ready()
        assert read_log(machine.directory).stat().incarnation != before
        runs.append(trigger(machine))
    rows = running.rows()
    assert {name for name, row in rows.items() if row["Voter"]} == set(NAMES)
    assert_all_know(running, *runs)


def test_a_node_whose_log_was_damaged_sets_it_aside_and_joins_anew(running: Cluster) -> None:
    runs = [trigger(machine) for machine in running.machines for _ in range(10)]
    follower = running.followers()[0]
    before = read_log(follower.directory).stat()
    follower.stop()
    segment = min(follower.directory.glob("segment-*.log"))
    flip_a_byte_in_the_middle(segment)

    follower.start()
    running.until_ready()
    (said,) = follower.said("the directory is damaged; it was set aside")
    aside = follower.directory / said["folder"]
    assert segment.name in os.listdir(aside)
    assert read_log(follower.directory).stat().incarnation != before.incarnation
    assert_all_know(running, *runs, trigger(follower))


def flip_a_byte_in_the_middle(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content.rstrip(b"\0")) // 2] ^= 0xFF
    file.write_bytes(content)


def test_a_node_of_another_cluster_is_refused_and_told_so(running: Cluster, tmp_path: Path) -> None:
    stranger = running.followers()[0]
    stranger.stop()
    own = stranger.directory.rename(tmp_path / "own")
    with node(stranger.directory, TRUE, SlimData__Name=stranger.name) as alone:
        alone.ready()
        alone.stop()
    foreign = read_log(stranger.directory).stat()

    stranger.start()
    refusal = f"no connection to {stranger.name} at"
    others = [machine for machine in running.machines if machine is not stranger]
    until(lambda: all(belongs_elsewhere(each, refusal) for each in others), "both others refuse it")
    assert not stranger.is_ready
    assert_all_know_but(running, stranger, trigger(others[0]))
    stranger.stop()
    assert read_log(stranger.directory).stat().incarnation == foreign.incarnation

    shutil.rmtree(stranger.directory)
    own.rename(stranger.directory)
    stranger.start()
    running.until_ready()


def belongs_elsewhere(machine: Machine, refusal: str) -> bool:
    return any("it belongs to another cluster" in message["event"] for message in machine.said(refusal))


def assert_all_know_but(running: Cluster, stranger: Machine, run: str) -> None:
    for machine in running.machines:
        if machine is not stranger:
            assert machine.ask("GET", f"/job/true/{run}")[0] == 200


# The way out ---------------------------------------------------------------------------------------------------------


def test_a_leader_that_is_told_to_stop_hands_over_and_loses_no_request(running: Cluster) -> None:
    leader, over = running.leader(), threading.Event()
    machines = [machine for machine in running.machines for _ in range(5)]
    with ThreadPoolExecutor(len(machines)) as threads:
        clients = [threads.submit(trigger_until, over, machine) for machine in machines]
        try:
            time.sleep(0.5)
            took = leader.stop()
            time.sleep(0.5)
        finally:
            over.set()
        told = [client.result() for client in clients]
    assert took < STOP_SECONDS
    statuses = Counter(status for each in told for status, _ in each)
    assert statuses.keys() == {202}, statuses
    successor = running.leader()
    assert successor is not leader
    leader.start()
    running.until_ready()
    runs = [run for each in told for _, run in each]
    assert len(set(runs)) == len(runs)
    assert_all_know(running, *random.Random(1).sample(runs, 50))
    assert set(runs) <= all_runs(successor)


def trigger_until(over: threading.Event, machine: Machine) -> list[tuple[int, str]]:
    """Statuses and ids of what a client was told, on one connection, until the node closes it between two requests."""
    connection, told = http.client.HTTPConnection(LOOPBACK, machine.port, timeout=20), list[tuple[int, str]]()
    while not over.is_set():
        try:
            connection.request("POST", "/job/true", b"{}")
            answer = connection.getresponse()
        except (ConnectionError, http.client.RemoteDisconnected):
            break
        said = json.loads(answer.read())
        told.append((answer.status, said.get("Id", said)))
        if answer.will_close:
            break
        time.sleep(0.02)
    connection.close()
    return told


def all_runs(machine: Machine) -> set[str]:
    """Every run that is listed, page by page."""
    found, path = set[str](), "/job/true"
    while path:
        status, rows, headers = machine.ask("GET", path)
        assert status == 200, rows
        found |= {row["Id"] for row in rows}
        path = headers.get("link", "").partition(">")[0].removeprefix("<")
    return found


# Too few -------------------------------------------------------------------------------------------------------------


def test_a_node_that_is_left_alone_does_nothing_says_so_and_shows_what_it_has(running: Cluster) -> None:
    survivor = running.followers()[0]
    run = trigger(survivor, "held")
    survivor.ask("GET", f"/job/held/{run}")
    before = all_runs(survivor)
    others = [machine for machine in running.machines if machine is not survivor]
    for machine in others:
        machine.kill()

    until(
        lambda: survivor.cluster(stale=True)["Leader"] == "",
        "it knows: nobody can have done what it is asked from now on",
    )
    one = f"/job/held/{run}"
    questions = (("POST", "/job/true"), ("GET", one), ("GET", "/job/held"), ("DELETE", one))
    with ThreadPoolExecutor(len(questions)) as threads:
        for told in [threads.submit(refused_after, survivor, *question) for question in questions]:
            assert PATIENCE_SECONDS - 0.5 < told.result() < PATIENCE_SECONDS + 1.5
    status, said, _ = survivor.ask("GET", "/ready")
    assert (status, "no leader is known" in said["detail"]) == (503, True), said
    assert survivor.ask("GET", "/health")[0] == 200
    status, rows, _ = survivor.ask("GET", "/job/held?consistency=stale")
    assert (status, run in {row["Id"] for row in rows}) == (200, True)

    others[0].start()
    until(lambda: survivor.is_ready, "two are a majority")
    assert all_runs(survivor) == before, "what was refused was not done"
    others[1].start()
    running.until_ready()


def refused_after(machine: Machine, method: str, path: str) -> float:
    """How many seconds it takes to say that this was surely not done, and when to try again."""
    begun = time.monotonic()
    status, said, headers = machine.ask(method, path, {} if method == "POST" else None)
    assert (status, "retry-after" in headers) == (503, True), (path, said)
    return time.monotonic() - begun


def test_a_leader_that_is_cut_off_promises_nothing_and_another_one_leads(running: Cluster) -> None:
    leader = running.leader()
    others = [machine for machine in running.machines if machine is not leader]
    running.network.isolate(leader.name, Cut.SILENT)
    with ThreadPoolExecutor(2) as threads:
        begun = time.monotonic()
        promise = threads.submit(leader.ask, "POST", "/job/held", {})
        look = threads.submit(leader.ask, "GET", "/job/held")
        assert others[0].cluster(stale=True)["Leader"] == leader.name, "it is not known yet"
        run = trigger(others[0])
        assert time.monotonic() - begun < FAILOVER_SECONDS
        status, said, _ = promise.result()
        assert (status, look.result()[0]) == (504, 503), said

    maybe = said["Id"]
    running.network.mend()
    running.until_ready()
    assert_all_know(running, run)
    assert {machine.ask("GET", f"/job/held/{maybe}")[0] for machine in running.machines} == {404}
    assert running.leader() is not leader


def test_a_leader_that_is_heard_but_hears_nobody_gives_way(running: Cluster) -> None:
    leader = running.leader()
    others = [machine for machine in running.machines if machine is not leader]
    for other in others:
        running.network.cut(other.name, leader.name, Cut.SILENT)

    def another_leads() -> bool:
        return others[0].cluster(stale=True)["Leader"] in {other.name for other in others}

    until(another_leads, "another one leads", 2 * FAILOVER_SECONDS)
    run = trigger(others[1])
    running.network.mend()
    running.until_ready()
    assert_all_know(running, run)


# Strangers -----------------------------------------------------------------------------------------------------------

GARBAGE: Final = (
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\xff" * 4096,
    b"\x00" * 4096,
    (1 << 31).to_bytes(4, "big") + b"x" * 1000,
    (5).to_bytes(4, "big") + b"short",
    bytes(range(256)) * 256,
    msgspec.msgpack.encode(["not", "a", "greeting"]),
    b"",
)


def test_garbage_at_the_port_for_peers_ends_its_connection_and_nothing_else(running: Cluster) -> None:
    before = running.leader().cluster()["Term"]
    waiting = [socket.create_connection((LOOPBACK, machine.raft_port)) for machine in running.machines]
    for machine in running.machines:
        for garbage in GARBAGE:
            with socket.create_connection((LOOPBACK, machine.raft_port), timeout=20) as stranger, suppress(OSError):
                stranger.sendall(garbage)
                stranger.shutdown(socket.SHUT_WR)
                while stranger.recv(4096):
                    pass
        assert_all_know(running, trigger(machine))
    for each in waiting:
        each.close()
    assert all(machine.is_ready for machine in running.machines)
    assert running.leader().cluster()["Term"] == before, "nobody had to be elected"
