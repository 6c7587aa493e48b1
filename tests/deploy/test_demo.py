"""`slimjobs demo`: what somebody sees in their first minute, and what `kill -9` does to it, or to a part of it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from slimjobs.deploy.client import Client
from tests.deploy.nodes import SLIMJOBS, alive, descendants, environment, until

DEMO_SECONDS = 60
PORT = 5000


class Demo:
    """A demonstration as a process of its own; what it shows goes to a file, so that it can be read at any moment."""

    def __init__(self, place: Path, *arguments: str, **settings: str) -> None:
        self._shown, self._told = place / "stdout", place / "stderr"
        with self._shown.open("w") as stdout, self._told.open("w") as stderr:
            self.process = subprocess.Popen(
                [*SLIMJOBS, "demo", "--directory", str(place / "data"), *arguments],
                env=environment({"PYTHONUNBUFFERED": "1", **settings}),
                stdout=stdout,
                stderr=stderr,
            )

    @property
    def shown(self) -> str:
        return self._shown.read_text()

    @property
    def told(self) -> str:
        return self._told.read_text()

    def until_shown(self, pattern: str, times: int = 1) -> None:
        def is_shown() -> bool:
            over = self.process.poll() is not None
            found = len(re.findall(pattern, self.shown)) >= times
            assert found or not over, (pattern, self.process.returncode, self.shown, self.told)
            return found

        until(is_shown, f"{pattern} is shown {times} times", DEMO_SECONDS)

    def exit_code(self) -> int:
        return self.process.wait(DEMO_SECONDS)


@contextmanager
def demonstration(place: Path, *arguments: str, **settings: str) -> Iterator[Demo]:
    place.mkdir(exist_ok=True)
    started = Demo(place, *arguments, **settings)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait()


def pid_of(name: str, shown: str) -> int:
    """The process of a node or of the runner, as it is shown at the start."""
    return int(re.findall(rf"^  {name}  \S+  pid (\d+)", shown, re.MULTILINE)[0])


def running_at_most(shown: str) -> int:
    """The most runs that were shown as holding a slot at once."""
    most, occupied = 0, set[str]()
    for run, state in re.findall(r"^  (\w{16})  (\w+)", shown, re.MULTILINE):
        occupied = occupied | {run} if state in ("pending", "running") else occupied - {run}
        most = max(most, len(occupied))
    return most


def in_order(shown: str, *patterns: str) -> list[str]:
    """What the groups of these patterns match, each after the one before it."""
    match = re.search(".*?".join(patterns), shown, re.DOTALL)
    assert match is not None, shown
    return list(match.groups())


def witnesses(place: Path, word: str) -> list[str]:
    """The runs that had a process which `began` or `ended`, as those have written it down, once for each process."""
    return re.findall(rf"(\w{{16}}) {word}\n", (place / "data" / "witnessed").read_text())


# What it shows --------------------------------------------------------------------------------------------------------


def test_the_leader_is_killed_while_runs_run_and_all_is_well(tmp_path: Path) -> None:
    disturbing = {
        "SlimFaas__Orchestrator": "Kubernetes",
        "SlimFaas__JobsConfiguration": "{ no json",
        "SlimFaas__HttpPort": "none",
        "SlimFaas__Runner": "nowhere",
        "SlimData__Directory": str(tmp_path / "elsewhere"),
        "SLIMDATA__PEERS": "nobody",
    }
    with demonstration(tmp_path, "--exit-when-done", **disturbing) as demo:
        demo.until_shown("accepted by", 9)
        children = descendants(demo.process.pid)
        assert demo.exit_code() == 0
        assert demo.told == ""
        leader, killed, ms, *_, back, _, _ = in_order(
            demo.shown,
            r"fibonacci1  was asleep, and was woken for them: it answers on port \d+\n.*\w{16}  running",
            r"\n(node-\d) leads, and 3 runs run: kill -9 (\d+)",
            r"accepted by the others, (\d+) ms later",
            r"(node-\d) leads now",
            r"(\w{16})  running, in the same attempt",
            r"(node-\d) is started again, pid (\d+)",
            r"has caught up, \S+ s after its start: (\d+) records",
        )
        assert PORT <= int(in_order(demo.shown, r"node-0  http://127\.0\.0\.1:(\d+) ")[0]) <= PORT + 100
        assert int(killed) == pid_of(leader, demo.shown)
        assert back == leader
        assert int(ms) < 10_000
        assert "All 9 runs have ended: none was lost, none ran twice, none failed." in demo.shown
        assert len(set(re.findall(r"(\w{16})  succeeded: fibonacci", demo.shown))) == 9
        assert running_at_most(demo.shown) == 3
        assert len(re.findall(r"^ node-\d .* yes ", demo.shown, re.MULTILINE)) == 3
        until(lambda: not any(map(alive, children)), "nothing is left")
    assert not (tmp_path / "elsewhere").exists()
    assert len(witnesses(tmp_path, "ended")) == 9


def test_it_is_killed_and_started_again_and_what_broke_is_told(tmp_path: Path) -> None:
    with demonstration(tmp_path) as first:
        first.until_shown(" running\n", 3)
        children = descendants(first.process.pid)
        (all_of_it,) = re.findall(r"kill -9 (\d+) +all of them", first.shown)
        assert int(all_of_it) == first.process.pid
        os.kill(int(all_of_it), signal.SIGKILL)
        assert first.exit_code() == -signal.SIGKILL
        accepted = set(re.findall(r"(\w{16})  accepted", first.shown))
        assert len(accepted) == 8
        until(lambda: not any(map(alive, children)), "no child outlives it", 5)
    with demonstration(tmp_path, "--exit-when-done") as second:
        second.until_shown("accepted by the others")
        assert re.search(r"Found again: 8 runs from before, [1-8] of them not ended yet", second.shown)
        (newest,) = re.findall(r"(\w{16})  accepted by the others", second.shown)
        until(lambda: newest in witnesses(tmp_path, "began"), "a process of it runs", DEMO_SECONDS)
        os.kill(pid_of("runner", second.shown), signal.SIGKILL)
        assert second.exit_code() == 1
        assert "runner (pid" in second.shown
        assert f"{newest} took 2 attempts" in second.told
        assert not any(run in second.told for run in accepted)
    assert accepted | {newest} <= set(witnesses(tmp_path, "ended"))


def test_it_takes_the_next_free_ports_and_its_lines_to_try_work(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        demonstration(tmp_path, "--port", str(taken.getsockname()[1])) as demo,
    ):
        demo.until_shown("accepted by")
        trigger, job, runs, node = in_order(
            demo.shown,
            r"\n  curl -X POST (http://127\S+)/(job/fibonacci) -d '{\"Args\": \[\"50\"\]}'",
            r"\n  curl (http://127\S+)/job/fibonacci",
            r"\n  kill -9 (\d+) +one of them",
        )
        assert taken.getsockname()[1] < int(trigger.rpartition(":")[2]) < int(runs.rpartition(":")[2])
        run_id = Client(trigger).request("POST", f"/{job}", {"Args": ["50"]}).body["Id"]
        assert run_id in [row["Id"] for row in Client(runs).request("GET", f"/{job}").body]
        os.kill(int(node), signal.SIGKILL)
        demo.until_shown(rf"node-2 \(pid {node}\) was ended by somebody; it is started again")
        demo.process.send_signal(signal.SIGINT)
        assert demo.exit_code() == 0
        assert demo.told == ""


def test_a_second_one_in_the_same_directory_is_told_that_it_is_taken(tmp_path: Path) -> None:
    with demonstration(tmp_path) as first:
        first.until_shown("started")
        second_place = tmp_path / "second"
        second_place.mkdir()
        (second_place / "data").symlink_to(tmp_path / "data")
        with demonstration(second_place) as second:
            assert second.exit_code() == 3
            assert re.fullmatch(r"slimjobs: the directory \S+ is held by process \d+ .*\n", second.told)


# How it ends ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_may_be_stopped_before_anything_is_ready(tmp_path: Path, number: signal.Signals) -> None:
    with demonstration(tmp_path, "--exit-when-done") as demo:
        demo.until_shown("are started")
        demo.process.send_signal(number)
        assert demo.exit_code() == 0
        assert demo.told == ""


def test_a_process_that_cannot_start_ends_it_with_that_ones_words_and_exit_code(tmp_path: Path) -> None:
    objects = tmp_path / "data" / "runner" / "objects"
    objects.mkdir(parents=True)
    (objects / "torn.json").write_bytes(b"{")
    with demonstration(tmp_path) as demo:
        assert demo.exit_code() == 4
        assert re.fullmatch(r"slimjobs: runner: .*torn\.json.*\n", demo.told)


def test_it_ends_without_a_traceback_when_its_reader_leaves(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [*SLIMJOBS, "demo", "--directory", str(tmp_path)],
        env=environment({}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    process.stdout = None
    assert process.communicate(timeout=20)[1] == b""
    assert process.returncode == 0
