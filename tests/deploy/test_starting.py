"""What a node says and does when it cannot start, or finds things not as it left them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.nodes import SLIMJOBS, Node, environment, node, slimjobs, until

ECHO = {"echo": {"Command": ["/bin/echo"]}}


def serve(directory: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """`slimjobs serve` that is expected to end by itself."""
    return slimjobs(
        "serve", "--directory", str(directory), SlimFaas__Orchestrator="Process", SlimFaas__HttpPort="0", **settings
    )


def test_an_unreadable_configuration_is_told_with_every_problem_and_nothing_is_started(tmp_path: Path) -> None:
    jobs = '{"Configurations": {"good": {}, "x": {}, "bad": {"Imag": "a", "NumberParallelJob": "two"}}}'
    ended = serve(tmp_path / "data", SlimFaas__JobsConfiguration=jobs)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert "$.Configurations.x (line 1, column 33)" in ended.stderr
    assert "unknown key 'Imag'; did you mean 'Image'?" in ended.stderr
    assert "$.Configurations.bad.NumberParallelJob" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "data").exists()


def test_a_missing_configuration_file_is_told_by_its_name(tmp_path: Path) -> None:
    ended = serve(tmp_path / "data", SlimFaas__JobsConfigurationFile=str(tmp_path / "jobs.json"))
    assert ended.returncode == 2
    assert f"the file {tmp_path}/jobs.json cannot be read: No such file or directory" in ended.stderr


def test_configuration_in_both_the_variable_and_a_file_is_an_error(tmp_path: Path) -> None:
    ended = serve(tmp_path / "data", SlimFaas__JobsConfiguration="{}", SlimFaas__JobsConfigurationFile="jobs.json")
    assert ended.returncode == 2
    assert "are both set; give one of them" in ended.stderr


def test_an_unknown_setting_is_a_warning_with_the_nearest_one(tmp_path: Path) -> None:
    with node(tmp_path / "data", SlimFaas__MaxQueuedJob="5") as started:
        warning = (
            "slimjobs: SlimFaas__MaxQueuedJob: no such setting, it is ignored; did you mean 'SlimFaas__MaxQueuedJobs'?"
        )
        assert started.ready().said(warning)


def test_services_of_the_configuration_that_kubernetes_does_not_start_are_a_warning(tmp_path: Path) -> None:
    nowhere = {"name": "nowhere", "cluster": {"server": "http://127.0.0.1:1"}}
    context = {"name": "nowhere", "context": {"cluster": "nowhere", "user": "nobody"}}
    users = [{"name": "nobody", "user": {}}]
    kubeconfig = {"current-context": "nowhere", "clusters": [nowhere], "contexts": [context], "users": users}
    (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
    services = {name: {"Command": ["true"], "ReadyPort": 8081} for name in ("web", "db")}
    jobs = json.dumps({"Dependencies": services})
    given = {"SlimFaas__Orchestrator": "Kubernetes", "KUBECONFIG": str(tmp_path / "kubeconfig")}
    with node(tmp_path / "data", **given, SlimFaas__HttpHost="127.0.0.1", SlimFaas__JobsConfiguration=jobs) as started:
        [warning] = started.ready().said("Dependencies of the configuration are ignored")
        assert (warning["level"], warning["ignored"]) == ("warning", ["db", "web"])
    with node(tmp_path / "more", SlimFaas__JobsConfiguration=jobs) as started:
        assert not started.ready().said("Dependencies of the configuration are ignored")


def test_settings_that_cannot_be_read_are_told_a_line_each(tmp_path: Path) -> None:
    ended = serve(tmp_path / "data", SlimFaas__LogLevel="loud", SlimFaas__MaxQueuedJobs="many")
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        "slimjobs: SlimFaas__LogLevel: 'loud' is not taken; it takes debug or info or warning or error",
        "SlimFaas__MaxQueuedJobs: 'many' is not taken; it takes a whole number of jobs, 1 or more",
    ]


def test_flags_win_over_variables(tmp_path: Path) -> None:
    ended = slimjobs("serve", "--directory", str(tmp_path), "--log-level", "loud", SlimFaas__LogLevel="info")
    assert ended.returncode == 2
    assert "'loud' is not taken" in ended.stderr


@pytest.mark.parametrize(
    ("place", "reason"),
    [("file", "File exists"), ("file/below", "Not a directory"), ("/proc/none", "No such file or directory")],
)
def test_a_directory_that_cannot_be_made_is_told_in_one_line(tmp_path: Path, place: str, reason: str) -> None:
    (tmp_path / "file").touch()
    ended = serve(tmp_path / place)
    assert ended.returncode == 2
    assert ended.stderr == f"slimjobs: SlimData__Directory: {tmp_path / place} cannot be used: {reason}\n"


def test_a_directory_that_another_process_holds_is_told_in_one_line(tmp_path: Path) -> None:
    with node(tmp_path) as holder:
        holder.ready()
        ended = serve(tmp_path)
        assert ended.returncode == 3
        assert ended.stderr == (
            f"slimjobs: the directory {tmp_path} is held by process {holder.pid} (or a process it started)\n"
        )


def test_a_port_that_is_taken_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = slimjobs("serve", "--directory", str(tmp_path / "data"), "--http-port", str(port))
    assert ended.returncode == 3
    assert ended.stderr == f"slimjobs: cannot listen on 127.0.0.1 port {port}: Address already in use\n"
    assert not (tmp_path / "data").exists()


# What a crash, a disk or a hand leaves --------------------------------------------------------------------------------


def used_directory(directory: Path) -> Path:
    """A directory with a run in its log; gives the segment. The node ended well, so all of the log is durable."""
    with node(directory, ECHO) as started:
        started.until_status("echo", started.trigger("echo", "hello"), "Succeeded")
        assert started.stop() == 0
    return next(iter(sorted(directory.glob("segment-*.log"))))


def test_a_flipped_byte_in_the_log_stops_the_start_and_names_segment_and_offset(tmp_path: Path) -> None:
    segment = used_directory(tmp_path)
    content = bytearray(segment.read_bytes())
    at = content.index(b"echo")
    content[at] ^= 1
    segment.write_bytes(content)
    ended = serve(tmp_path)
    assert ended.returncode == 4
    assert f"{segment.name} is damaged at byte " in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    verified = slimjobs("log", "verify", "--directory", str(tmp_path))
    assert verified.returncode == 4
    assert f"{segment.name} is damaged at byte " in verified.stderr
    assert segment.read_bytes() == content


def test_a_torn_tail_is_cut_and_told_and_everything_before_it_is_there(tmp_path: Path) -> None:
    segment = used_directory(tmp_path)
    end = len(segment.read_bytes().rstrip(b"\0"))
    with segment.open("r+b") as file:
        file.seek(end + 8 - end % 8)
        file.write(b"half a batch")
    with node(tmp_path, ECHO) as started:
        (row,) = started.ready().client.request("GET", "/job/echo").body
        assert row["Status"] == "Succeeded"
        (told,) = started.said("the log ended in a torn write, which was cut")
        assert told["file"] == segment.name
        assert told["dropped_bytes"] > 0
        assert started.stop() == 0


def test_a_directory_of_a_later_version_is_refused_clearly(tmp_path: Path) -> None:
    used_directory(tmp_path)
    line = b"slimjobs-log 2 and what only that version knows"
    (tmp_path / "identity").write_bytes(b"%s %s\n" % (line, hashlib.blake2b(line, digest_size=8).hexdigest().encode()))
    ended = serve(tmp_path)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert "format 2" in ended.stderr


# Standard streams -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def started_by_shell(directory: Path, redirection: str) -> Iterator[subprocess.Popen[bytes]]:
    """A node whose standard streams a shell closes or redirects; it listens where `listening_port` finds it."""
    given = {
        "SlimFaas__Orchestrator": "Process",
        "SlimFaas__HttpPort": "0",
        "SlimData__Directory": str(directory),
        "SlimFaas__JobsConfiguration": json.dumps({"Configurations": {"echo": {"Command": ["/bin/echo"]}}}),
    }
    process = subprocess.Popen(
        ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *SLIMJOBS, "serve"],
        env=environment(given),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def listening_port(pid: int) -> int | None:
    """The port on which a process listens, if it does."""
    table = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    ports = {line[9]: int(line[1].rpartition(":")[2], 16) for line in table if line[3] == "0A"}
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            port = ports.get(os.readlink(descriptor).removeprefix("socket:[").removesuffix("]"))
            if port is not None:
                return port
    return None


@pytest.mark.parametrize("redirection", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_a_node_serves_and_stops_whatever_its_standard_streams_are(tmp_path: Path, redirection: str) -> None:
    with started_by_shell(tmp_path / "data", redirection) as process:
        until(lambda: process.poll() is not None or listening_port(process.pid) is not None, "it listens")
        assert process.poll() is None
        url = f"http://127.0.0.1:{listening_port(process.pid)}"
        until(lambda: slimjobs("run", "echo", "--wait", "--url", url).returncode == 0, "it runs jobs")
        for number in (0, 1, 2):
            assert os.readlink(f"/proc/{process.pid}/fd/{number}").startswith(("/dev/", "pipe:"))
        process.terminate()
        assert process.wait(5) == 0


def test_a_node_goes_on_when_nobody_reads_its_messages_any_more(tmp_path: Path) -> None:
    with started_by_shell(tmp_path / "data", "") as process:
        until(lambda: listening_port(process.pid) is not None, "it listens")
        assert process.stderr is not None
        process.stderr.close()
        process.stderr = None
        url = f"http://127.0.0.1:{listening_port(process.pid)}"
        # Each of these is a message: what is refused is told at the level that is shown.
        for _ in range(3):
            assert slimjobs("show", "echo/nothing", "--url", url).returncode == 1
        assert slimjobs("run", "echo", "--wait", "--url", url).returncode == 0
        process.terminate()
        assert process.wait(5) == 0


def test_a_node_that_is_told_to_stop_before_it_is_ready_stops(tmp_path: Path) -> None:
    with node(tmp_path) as started:
        until(lambda: (tmp_path / "lock").exists() or started.process.poll() is not None, "it has its directory")
        assert started.stop() == 0


def names(started: Node) -> list[str]:
    return [each["Name"] for each in started.client.request("GET", "/jobs/status").body["Definitions"]]


def test_a_node_without_any_configuration_serves_the_default_one(tmp_path: Path) -> None:
    with node(tmp_path, SlimFaas__JobsConfiguration="") as started:
        assert names(started) == ["default"]
