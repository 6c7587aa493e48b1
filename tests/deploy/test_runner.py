"""A runner that nodes share, as a process of its own: jobs outlive the node that started them, and their runner never.

Every node here is killed or stopped as `kill` does it.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.deploy.nodes import Definitions, Node, alive, descendants, node, slimjobs, until

STOP_SECONDS: Final = 5.0
QUICK: Final = {"SlimFaas__BackoffSeconds": "0.01"}


@pytest.fixture
def address() -> Iterator[str]:
    """Where the runner is; the path of a Unix socket is short, pytest's folders are not."""
    with tempfile.TemporaryDirectory() as folder:
        yield f"unix:{folder}/runner.sock"


@contextmanager
def runner(directory: Path, address: str) -> Iterator[Node]:
    """A runner in this directory. However the block ends, so does the runner."""
    started = Node({"SlimData__Directory": str(directory), "SlimFaas__Runner": address, **QUICK}, "runner")
    try:
        yield started.ready()
    finally:
        started.kill()


def refused_runner(directory: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """`slimjobs runner` that is expected to end by itself."""
    return slimjobs("runner", "--directory", str(directory), **settings)


def waiting_for(place: Path) -> Definitions:
    """A job that writes a line for each attempt, and ends well when it is told to."""
    script = f"echo attempt >> {place}/attempts; while ! [ -e {place}/go ]; do sleep 0.02; done"
    return {"patient": {"Command": ["/bin/sh", "-c", script], "BackoffLimit": 2}}


def attempts(place: Path) -> int:
    written = place / "attempts"
    return len(written.read_text().splitlines()) if written.exists() else 0


# The point of it ------------------------------------------------------------------------------------------------------


def test_a_job_outlives_the_node_that_started_it(tmp_path: Path, address: str) -> None:
    jobs = waiting_for(tmp_path)
    with runner(tmp_path / "runner", address):
        with node(tmp_path / "data", jobs, SlimFaas__Runner=address) as first:
            run_id = first.trigger("patient")
            first.until_status("patient", run_id, "Running")
            until(lambda: attempts(tmp_path) == 1, "it runs")
            first.kill()
        with node(tmp_path / "data", jobs, SlimFaas__Runner=address) as second:
            second.until_status("patient", run_id, "Running")
            (tmp_path / "go").touch()
            second.until_status("patient", run_id, "Succeeded")
            assert second.row("patient", run_id)["Attempts"] == 1
            assert attempts(tmp_path) == 1


def test_a_job_that_ends_while_there_is_no_node_is_known_to_the_next(tmp_path: Path, address: str) -> None:
    jobs = waiting_for(tmp_path)
    with runner(tmp_path / "runner", address) as running:
        with node(tmp_path / "data", jobs, SlimFaas__Runner=address) as first:
            run_id = first.trigger("patient")
            first.until_status("patient", run_id, "Running")
            first.kill()
        (tmp_path / "go").touch()
        until(lambda: len(descendants(running.pid)) == 1, "only the guard is left")
        with node(tmp_path / "data", jobs, SlimFaas__Runner=address) as second:
            second.until_status("patient", run_id, "Succeeded")
            assert second.row("patient", run_id)["Attempts"] == 1


def test_a_runner_that_is_killed_takes_its_jobs_with_it_and_the_next_tries_them_again(
    tmp_path: Path, address: str
) -> None:
    jobs = waiting_for(tmp_path)
    with node(tmp_path / "data", jobs, SlimFaas__Runner=address) as serving:
        with runner(tmp_path / "runner", address) as first:
            run_id = serving.trigger("patient")
            until(lambda: attempts(tmp_path) == 1, "it runs")
            children = descendants(first.pid)
            first.kill()
            until(lambda: not any(map(alive, children)), "its children are gone", STOP_SECONDS)
        with runner(tmp_path / "runner", address):
            until(lambda: attempts(tmp_path) == 2, "it runs again")
            (tmp_path / "go").touch()
            serving.until_status("patient", run_id, "Succeeded")
            row = serving.row("patient", run_id)
            assert row["Attempts"] == 2
            assert "NodeLost" in str(row["Events"])


def test_what_is_triggered_while_there_is_no_runner_is_started_when_there_is_one(tmp_path: Path, address: str) -> None:
    (tmp_path / "go").touch()
    with node(tmp_path / "data", waiting_for(tmp_path), SlimFaas__Runner=address) as serving:
        run_id = serving.trigger("patient")
        until(lambda: bool(serving.said("the runner is away")), "it is told")
        assert attempts(tmp_path) == 0
        with runner(tmp_path / "runner", address):
            serving.until_status("patient", run_id, "Succeeded")
            assert attempts(tmp_path) == 1


def test_two_services_share_a_runner_and_do_not_touch_each_others_jobs(tmp_path: Path, address: str) -> None:
    jobs = waiting_for(tmp_path)
    with (
        runner(tmp_path / "runner", address),
        node(tmp_path / "one", jobs, SlimFaas__Runner=address) as one,
        node(tmp_path / "other", jobs, SlimFaas__Runner=address) as other,
    ):
        runs = [(each, each.trigger("patient")) for each in (one, other)]
        until(lambda: attempts(tmp_path) == 2, "both run")
        (tmp_path / "go").touch()
        for each, run_id in runs:
            each.until_status("patient", run_id, "Succeeded")
        assert attempts(tmp_path) == 2


def test_output_is_read_through_any_node_and_without_a_runner_there_is_none(tmp_path: Path, address: str) -> None:
    jobs = {"echo": {"Command": ["/bin/echo", "hello"]}}
    with node(tmp_path / "data", jobs, SlimFaas__Runner=address) as serving:
        with runner(tmp_path / "runner", address):
            run_id = serving.trigger("echo")
            serving.until_status("echo", run_id, "Succeeded")
            assert b"".join(serving.client.stream(f"/job/echo/{run_id}/logs")) == b"hello\n"
        shown = slimjobs("logs", f"echo/{run_id}", "--url", serving.url)
        assert shown.returncode == 1
        assert "cannot be reached" in shown.stderr


# Starting and stopping ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_runner_that_is_told_to_stop_ends_its_jobs_and_removes_its_socket(
    tmp_path: Path, address: str, number: signal.Signals
) -> None:
    with (
        node(tmp_path / "data", waiting_for(tmp_path), SlimFaas__Runner=address) as serving,
        runner(tmp_path / "runner", address) as running,
    ):
        serving.trigger("patient")
        until(lambda: attempts(tmp_path) == 1, "it runs")
        children = descendants(running.pid)
        running.signal(number)
        assert running.exit_code(STOP_SECONDS) == 0
        assert not any(map(alive, children))
        assert not Path(address.removeprefix("unix:")).exists()
        assert running.said("stopping")[0]["signal"] == number.name


def test_a_runner_says_where_it_is_when_it_is_ready(tmp_path: Path, address: str) -> None:
    with runner(tmp_path, address) as running:
        (said,) = running.said("ready")
        assert (said["runner"], said["pid"], said["directory"]) == (address, running.pid, str(tmp_path))


def test_a_runner_does_as_well_on_a_loopback_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    (tmp_path / "go").touch()
    with (
        runner(tmp_path / "runner", address),
        node(tmp_path / "data", waiting_for(tmp_path), SlimFaas__Runner=address) as serving,
    ):
        serving.until_status("patient", serving.trigger("patient"), "Succeeded")


def test_an_address_where_a_runner_answers_is_told_in_one_line(tmp_path: Path, address: str) -> None:
    with runner(tmp_path / "one", address):
        ended = refused_runner(tmp_path / "other", SlimFaas__Runner=address)
        assert ended.returncode == 3
        said = f"slimjobs: SlimFaas__Runner: cannot listen on {address}: a runner answers there already\n"
        assert ended.stderr == said
        assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("by", ["runner", "node"])
def test_a_directory_that_another_process_holds_is_told_in_one_line(tmp_path: Path, address: str, by: str) -> None:
    with runner(tmp_path, address) if by == "runner" else node(tmp_path) as holder:
        holder.ready()
        ended = refused_runner(tmp_path, SlimFaas__Runner=f"{address}.another")
        assert ended.returncode == 3
        said = f"slimjobs: the directory {tmp_path} is held by process {holder.pid} (or a process it started)\n"
        assert ended.stderr == said


def test_a_damaged_object_is_told_by_its_name(tmp_path: Path, address: str) -> None:
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects" / "torn.json").write_bytes(b"{")
    ended = refused_runner(tmp_path, SlimFaas__Runner=address)
    assert ended.returncode == 4
    assert "torn.json" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize("wrong", ["10.0.0.1:5001", "0.0.0.0:5001", "[::]:5001", "example.com:5001", "unix:", "5001"])
def test_it_listens_on_this_machine_only(tmp_path: Path, wrong: str) -> None:
    ended = refused_runner(tmp_path, SlimFaas__Runner=wrong)
    assert ended.returncode == 2
    said = "it takes unix:PATH or a loopback address such as 127.0.0.1:5001"
    assert ended.stderr == f"slimjobs: SlimFaas__Runner: {wrong!r} is not taken; {said}\n"


def test_without_an_address_it_says_what_is_missing(tmp_path: Path) -> None:
    ended = refused_runner(tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith("slimjobs: SlimFaas__Runner: say where the runner listens; it takes unix:PATH")
