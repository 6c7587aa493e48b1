"""`slimjobs demo`: what somebody sees in their first minute, and what `kill -9` does to it."""

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

from tests.deploy.nodes import SLIMJOBS, environment, until

DEMO_SECONDS = 40
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
        until(lambda: len(re.findall(pattern, self.shown)) >= times, f"{pattern} is shown {times} times", DEMO_SECONDS)

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


def test_it_is_killed_in_the_middle_and_taken_up_again_whatever_the_environment_says(tmp_path: Path) -> None:
    disturbing = {
        "SlimFaas__Orchestrator": "Kubernetes",
        "SlimFaas__JobsConfiguration": "{ no json",
        "SlimFaas__HttpPort": "none",
        "SlimData__Directory": str(tmp_path / "elsewhere"),
    }
    with demonstration(tmp_path, "--exit-when-done", **disturbing) as first:
        first.until_shown("succeeded: fibonacci", 2)
        first.until_shown(" running\n", 4)
        (kill_line,) = re.findall(r"kill -9 (\d+)", first.shown)
        assert int(kill_line) == first.process.pid
        os.kill(int(kill_line), signal.SIGKILL)
        assert first.exit_code() == -signal.SIGKILL
        shown = first.shown
        accepted = re.findall(r"(\w{16})  accepted", shown)
        assert len(accepted) == 8
    with demonstration(tmp_path, "--exit-when-done") as second:
        assert second.exit_code() == 0
        assert "Found again: 8 runs from before, 6 of them not ended yet." in second.shown
        assert "All 8 runs have ended, 0 of them failed." in second.shown
        assert set(re.findall(r"(\w{16})  succeeded", shown + second.shown)) == set(accepted)
        assert second.told == ""
    assert not (tmp_path / "elsewhere").exists()


def running_at_most(shown: str) -> int:
    """The most runs that were shown as holding a slot at once."""
    most, occupied = 0, set[str]()
    for run, state in re.findall(r"^  (\w{16})  (\w+)", shown, re.MULTILINE):
        occupied = occupied | {run} if state in ("pending", "running") else occupied - {run}
        most = max(most, len(occupied))
    return most


def test_it_takes_the_next_free_port_and_its_curl_lines_work(tmp_path: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        demonstration(tmp_path, "--port", str(taken.getsockname()[1])) as demo,
    ):
        demo.until_shown("accepted", 8)
        (url,) = set(re.findall(r"curl (http://\S+)/job/fibonacci\n", demo.shown))
        assert int(url.rpartition(":")[2]) > taken.getsockname()[1]
        (trigger,) = re.findall(r"^  (curl -X POST .*)$", demo.shown, re.MULTILINE)
        assert trigger == f"""curl -X POST {url}/job/fibonacci -d '{{"Args": ["50"]}}'"""
        demo.until_shown(" running\n", 2)
        assert running_at_most(demo.shown) == 2
        demo.process.send_signal(signal.SIGINT)
        assert demo.exit_code() == 0
        assert demo.told == ""


def test_it_prefers_port_5000_but_does_without(tmp_path: Path) -> None:
    with demonstration(tmp_path) as demo:
        demo.until_shown("accepted", 1)
        (port,) = re.findall(r"slimjobs serves at http://127\.0\.0\.1:(\d+) ", demo.shown)
        assert PORT <= int(port) <= PORT + 100
        demo.process.terminate()
        assert demo.exit_code() == 0


def test_a_second_demonstration_in_the_same_directory_is_told_that_it_is_taken(tmp_path: Path) -> None:
    with demonstration(tmp_path) as first:
        first.until_shown("accepted", 1)
        second_place = tmp_path / "second"
        second_place.mkdir()
        (second_place / "data").symlink_to(tmp_path / "data")
        with demonstration(second_place) as second:
            assert second.exit_code() == 3
            assert re.fullmatch(r"slimjobs: the directory \S+ is held by process \d+ .*\n", second.told)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["serves at", "accepted", "running", "succeeded"])
def test_it_may_be_stopped_at_any_moment(tmp_path: Path, number: signal.Signals, moment: str) -> None:
    with demonstration(tmp_path, "--exit-when-done") as demo:
        demo.until_shown(moment)
        demo.process.send_signal(number)
        assert demo.exit_code() == 0
        assert demo.told == ""


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
