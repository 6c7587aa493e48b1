"""How a node ends when it is told to: nothing that was begun is cut off, and nothing that it started outlives it."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.deploy.nodes import Definitions, Node, alive, descendants, node, until

STOP_SECONDS = 5.0
LONG: Definitions = {"long": {"Command": ["/bin/sleep", "1000"], "NumberParallelJob": 2}}
STUBBORN: Definitions = {
    "stubborn": {"Command": ["/bin/sh", "-c", "trap '' TERM INT; echo here; while :; do sleep 1; done"]}
}


def stopped_in(running: Node, number: signal.Signals) -> float:
    """How many seconds it takes to end, with exit code 0, after this signal."""
    begun = time.monotonic()
    running.signal(number)
    assert running.exit_code(2 * STOP_SECONDS) == 0, running.messages
    return time.monotonic() - begun


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_node_that_is_told_to_stop_ends_its_jobs_and_itself(tmp_path: Path, number: signal.Signals) -> None:
    with node(tmp_path, LONG) as running:
        for _ in range(2):
            running.until_status("long", running.trigger("long"), "Running")
        children = descendants(running.pid)
        assert len(children) >= 3
        assert stopped_in(running, number) < STOP_SECONDS
        assert [pid for pid in children if alive(pid)] == []
        (said,) = running.said("stopping")
        assert said["signal"] == number.name


def test_jobs_that_ignore_sigterm_and_clients_that_do_not_leave_cannot_hold_it_up(tmp_path: Path) -> None:
    with node(tmp_path, STUBBORN) as running:
        run_id = running.trigger("stubborn")
        output = running.client.stream(f"/job/stubborn/{run_id}/logs?follow=true")
        running.until_status("stubborn", run_id, "Running")
        assert next(output) == b"here\n"
        children = descendants(running.pid)
        with socket.create_connection(("127.0.0.1", running.port)) as half_a_request:
            half_a_request.sendall(b"POST /job/stubborn HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            assert stopped_in(running, signal.SIGTERM) < STOP_SECONDS
        assert [pid for pid in children if alive(pid)] == []


def test_a_client_that_waits_for_a_change_is_told_how_things_are(tmp_path: Path) -> None:
    with node(tmp_path, LONG) as running, ThreadPoolExecutor() as threads:
        run_id = running.trigger("long")
        running.until_status("long", run_id, "Running")
        waiting = threads.submit(running.client.request, "GET", f"/job/long/{run_id}?wait=30")
        until(lambda: has_request(running.port), "the request is there")
        assert stopped_in(running, signal.SIGTERM) < STOP_SECONDS
        answer = waiting.result(STOP_SECONDS)
        assert (answer.status, answer.body["Status"]) == (200, "Running")


def has_request(port: int) -> bool:
    """Whether some client's connection to this port is established, with all it sent read."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ours = [line for line in lines if line[1].endswith(f":{port:04X}") and line[3] == "01"]
    return bool(ours) and all(line[4].endswith(":00000000") for line in ours)


def test_every_trigger_that_was_begun_is_answered_and_what_was_answered_is_kept(tmp_path: Path) -> None:
    over = threading.Event()
    with node(tmp_path, LONG, SlimFaas__MaxQueuedJobs="1000000") as running, ThreadPoolExecutor() as threads:
        port = running.port
        clients = [threads.submit(trigger_until_it_is_over, port, over) for _ in range(8)]
        try:
            until(
                lambda: bool(running.client.request("GET", "/jobs/status").body["Definitions"][-1]["Queued"] > 100), ""
            )
            assert stopped_in(running, signal.SIGTERM) < STOP_SECONDS
        finally:
            over.set()
        told = [run_id for client in clients for run_id in client.result()]
    with node(tmp_path, LONG, SlimFaas__MaxQueuedJobs="1000000") as again:
        kept, path = set[str](), "/job/long"
        while path:
            answer = again.client.request("GET", path)
            kept |= {row["Id"] for row in answer.body}
            path = answer.headers.get("link", "").partition(">")[0].removeprefix("<")
    assert set(told) == kept
    assert len(told) == len(set(told))


def trigger_until_it_is_over(port: int, over: threading.Event) -> list[str]:
    """The ids that a client was told, on one connection, until the node closes it between two requests."""
    connection, told = http.client.HTTPConnection("127.0.0.1", port, timeout=20), list[str]()
    while not over.is_set():
        try:
            connection.request("POST", "/job/long", b"{}")
            answer = connection.getresponse()
        except (ConnectionError, http.client.RemoteDisconnected):
            break
        content = json.loads(answer.read())
        assert answer.status == 202, content
        told.append(content["Id"])
        if answer.will_close:
            break
    connection.close()
    return told


def test_a_second_signal_ends_it_at_once_with_one_line(tmp_path: Path) -> None:
    with node(tmp_path, STUBBORN) as running:
        running.until_status("stubborn", running.trigger("stubborn"), "Running")
        children = descendants(running.pid)
        with socket.create_connection(("127.0.0.1", running.port)) as half_a_request:
            half_a_request.sendall(b"POST /job/stubborn HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            until(lambda: has_request(running.port), "the request is there")
            running.signal(signal.SIGTERM)
            until(lambda: bool(running.said("stopping")), "it stops")
            running.signal(signal.SIGTERM)
            assert running.exit_code(STOP_SECONDS) == 1
        assert running.messages[-1]["event"] == "slimjobs: a second SIGTERM: ended at once"
        until(lambda: not any(alive(pid) for pid in children), "its children are gone")


def test_nothing_that_it_started_outlives_a_node_that_is_killed(tmp_path: Path) -> None:
    with node(tmp_path, {**LONG, **STUBBORN}) as running:
        for job in ("long", "stubborn"):
            running.until_status(job, running.trigger(job), "Running")
        children = descendants(running.pid)
        running.kill()
        until(lambda: not any(alive(pid) for pid in children), "its children are gone", STOP_SECONDS)


def test_what_a_stopped_node_was_running_is_lost_to_the_next_one_and_tried_again(tmp_path: Path) -> None:
    with node(tmp_path, LONG, SlimFaas__BackoffSeconds="0.01") as running:
        run_id = running.trigger("long")
        running.until_status("long", run_id, "Running")
        assert running.stop() == 0
    with node(tmp_path, LONG, SlimFaas__BackoffSeconds="0.01") as again:
        until(lambda: bool(again.ready().row("long", run_id)["Attempts"] == 2), "it is tried again")
        assert "NodeLost" in json.dumps(again.row("long", run_id)["Events"])
