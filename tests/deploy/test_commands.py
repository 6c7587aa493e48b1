"""The clients of the command line, as somebody meets them who has never seen them before."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.deploy.nodes import SLIMJOBS, Definitions, Node, environment, node, slimjobs, until

DEFINITIONS: Definitions = {
    "echo": {"Command": ["/bin/echo", "said:"]},
    "fail": {"Command": ["/bin/sh", "-c", "echo oh no; exit 3"], "BackoffLimit": 0},
    "twice": {"Command": ["/bin/sh", "-c", "echo once more; exit 1"], "BackoffLimit": 1},
    "long": {"Command": ["/bin/sh", "-c", "echo begun; exec sleep 1000"]},
    "flood": {"Command": ["/bin/sh", "-c", "yes | head -n 100000"]},
}
NOBODY = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    place = tmp_path_factory.mktemp("commands") / "data"
    with node(place, DEFINITIONS, SlimFaas__BackoffSeconds="0.01", SlimFaas__GraceSeconds="1") as running:
        yield running.ready()


def ask(served: Node, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What a client command does; where the service is, it knows from the environment."""
    return slimjobs(*arguments, SLIMJOBS_URL=served.url)


# run ------------------------------------------------------------------------------------------------------------------


def test_run_prints_what_show_takes(served: Node) -> None:
    ran = ask(served, "run", "echo", "a", "b")
    assert (ran.returncode, ran.stderr) == (0, "")
    named = ran.stdout.strip()
    until(lambda: "succeeded" in ask(served, "show", named).stdout, "it has succeeded")
    assert ask(served, "logs", named).stdout == "said: a b\n"


def test_run_wait_says_how_it_ended_and_messages_are_on_stderr(served: Node) -> None:
    ran = ask(served, "run", "echo", "--wait")
    assert ran.returncode == 0
    assert ran.stdout.splitlines()[0].startswith("echo/")
    assert ran.stdout.endswith(" succeeded\n")
    assert "was accepted" in ran.stderr


def test_run_wait_exits_with_1_for_a_job_that_failed(served: Node) -> None:
    ran = ask(served, "run", "fail", "--wait")
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1].endswith(" failed: BackoffLimitExceeded")


def test_run_logs_shows_the_output_of_every_attempt_and_nothing_else_on_stdout(served: Node) -> None:
    ran = ask(served, "run", "twice", "--logs")
    assert ran.returncode == 1
    assert ran.stdout == "once more\nonce more\n"


def test_arguments_that_look_like_options_reach_the_job(served: Node) -> None:
    assert ask(served, "run", "echo", "--logs", "--", "-x", "--wait").stdout == "said: -x --wait\n"


def test_run_with_a_key_starts_nothing_twice(served: Node) -> None:
    first, second = (ask(served, "run", "echo", "--key", "only-once").stdout for _ in range(2))
    assert first == second


def test_run_wait_with_json_gives_the_whole_run(served: Node) -> None:
    ran = ask(served, "run", "fail", "--wait", "--json")
    assert ran.returncode == 1
    assert json.loads(ran.stdout)["Reason"] == "BackoffLimitExceeded"


def test_a_request_that_the_service_refuses_is_told_with_every_reason(served: Node) -> None:
    ran = ask(served, "run", "a_name")
    assert ran.returncode == 2
    assert ran.stderr.startswith("slimjobs: 400 ")
    assert "a_name" in ran.stderr


# list, show, logs, delete ---------------------------------------------------------------------------------------------


def test_list_shows_definitions_and_the_runs_of_one(served: Node) -> None:
    ran = ask(served, "run", "echo", "--wait").stdout.split()[0].partition("/")[2]
    definitions, runs = ask(served, "list"), ask(served, "list", "echo")
    assert definitions.returncode == runs.returncode == 0
    assert all(name in definitions.stdout for name in DEFINITIONS)
    assert ran in runs.stdout
    assert {row["Name"] for row in json.loads(ask(served, "list", "--json").stdout)["Definitions"]} > set(DEFINITIONS)
    assert ran in {row["Id"] for row in json.loads(ask(served, "list", "echo", "--json").stdout)}
    assert json.loads(ask(served, "list", "echo", "--status", "Failed", "--json").stdout) == []


def test_list_of_a_name_that_nobody_used_says_so_and_is_no_error(served: Node) -> None:
    listed = ask(served, "list", "nobody")
    assert (listed.returncode, listed.stdout, listed.stderr) == (0, "", "no runs of 'nobody'\n")


def test_list_goes_through_all_pages(served: Node) -> None:
    served.client.request("POST", "/jobs", [{"Name": "long"}] * 1200)
    assert len(json.loads(ask(served, "list", "long", "--json").stdout)) >= 1200


def test_show_says_why_a_run_waits(served: Node) -> None:
    served.trigger("long")
    named = ask(served, "run", "long").stdout.strip()
    shown = ask(served, "show", named).stdout
    assert "queued" in shown
    assert "waits (Cap)" in shown
    assert "Cap" in {why["Kind"] for why in json.loads(ask(served, "show", named, "--json").stdout)["Why"]}


def test_logs_follow_goes_on_until_the_run_is_deleted(served: Node) -> None:
    for row in served.client.request("GET", "/job/long?status=Queued").body:
        served.client.request("DELETE", f"/job/long/{row['Id']}")
    (running,) = (row for row in served.client.request("GET", "/job/long").body if row["Status"] != "Queued")
    named = f"long/{running['Id']}"
    served.until_status("long", running["Id"], "Running")
    following = subprocess.Popen(
        [*SLIMJOBS, "logs", "-f", named, "--url", served.url], env=environment({}), stdout=subprocess.PIPE, text=True
    )
    assert following.stdout is not None
    assert following.stdout.readline() == "begun\n"
    deleted = ask(served, "delete", named)
    assert (deleted.returncode, deleted.stdout) == (0, f"{named} is deleted\n")
    assert following.communicate(timeout=10)[0] == ""
    assert following.returncode == 0
    assert "It was deleted at" in ask(served, "show", named).stderr


def test_delete_twice_is_a_no(served: Node) -> None:
    named = ask(served, "run", "echo", "--wait").stdout.split()[0]
    assert json.loads(ask(served, "delete", named, "--json").stdout)["Certain"] is True
    again = ask(served, "delete", named)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.startswith("slimjobs: 404 ")


def test_a_run_that_is_not_named_as_list_shows_it_is_bad_usage(served: Node) -> None:
    for command in ("show", "logs", "delete"):
        asked = ask(served, command, "just-an-id")
        assert asked.returncode == 2
        assert (
            asked.stderr == "slimjobs: a run is named NAME/ID, as 'slimjobs list NAME' shows it; 'just-an-id' is not\n"
        )


# Readers that leave ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["logs {flood}", "log cat --directory {directory}", "list long --json", "--help"])
def test_a_reader_that_leaves_early_is_no_error(served: Node, command: str) -> None:
    flood = ask(served, "run", "flood", "--wait").stdout.split()[0]
    directory = str(served.directory)
    arguments = [word.format(flood=flood, directory=directory) for word in command.split()]
    reading = subprocess.Popen(
        [*SLIMJOBS, *arguments],
        env=environment({"SLIMJOBS_URL": served.url}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert reading.stdout is not None
    reading.stdout.close()
    reading.stdout = None
    assert reading.communicate(timeout=20)[1] == b""
    assert reading.returncode == 0


def test_run_logs_still_says_whether_the_job_failed_when_its_reader_leaves(served: Node) -> None:
    reading = subprocess.Popen(
        [*SLIMJOBS, "run", "twice", "--logs", "--url", served.url], env=environment({}), stdout=subprocess.PIPE
    )
    assert reading.stdout is not None
    reading.stdout.close()
    assert reading.wait(20) == 1


def test_output_to_a_full_disk_is_told_in_one_line(served: Node) -> None:
    with open("/dev/full", "w") as full:
        listed = subprocess.run(
            [*SLIMJOBS, "list", "--url", served.url], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (listed.returncode, listed.stderr) == (1, "slimjobs: [Errno 28] No space left on device\n")


# The log, beside a running node ---------------------------------------------------------------------------------------


def test_log_commands_read_beside_the_running_node(served: Node) -> None:
    directory = str(served.directory)
    named = ask(served, "run", "echo", "--wait").stdout.split()[0]
    verified = json.loads(slimjobs("log", "verify", "--json", "--directory", directory).stdout)
    assert (verified["Usable"], verified["Problems"]) == (True, [])
    stat = json.loads(slimjobs("log", "stat", "--json", "--directory", directory).stdout)
    assert stat["LastIndex"] >= verified["LastIndex"] > 0
    assert stat["Events"]["RunSucceeded"] >= 1
    cat = slimjobs("log", "cat", "--json", "--job", "echo", "--directory", directory)
    lines = [json.loads(line) for line in cat.stdout.splitlines()]
    assert [line["Type"] for line in lines if line["run"] == named.partition("/")[2]] == [
        "RunEnqueued",
        "RunAdmitted",
        "RunBound",
        "AttemptStarted",
        "AttemptEnded",
        "RunSucceeded",
    ]
    for command in ("cat", "verify", "stat"):
        assert slimjobs("log", command, SlimData__Directory=directory).returncode == 0


def test_log_commands_say_where_there_is_no_log(tmp_path: Path) -> None:
    for command in ("cat", "verify", "stat"):
        asked = slimjobs("log", command, "--directory", str(tmp_path / "none"))
        assert asked.returncode == 2
        assert asked.stderr == f"slimjobs: the directory {tmp_path}/none holds no event log\n"


# check, and what needs no service -------------------------------------------------------------------------------------


def test_check_says_what_a_configuration_holds_or_every_problem_of_it(tmp_path: Path) -> None:
    good = slimjobs("check", "-", given='{"Configurations": {"echo": {"Command": ["/bin/echo"],},}} // as people write')
    assert (good.returncode, good.stdout) == (0, "valid: 2 definitions (default, echo), 0 schedules\n")
    bad = slimjobs("check", "-", "--json", given='{"Configurations": {"echo": {"Imag": "x", "BackoffLimit": -1}}}')
    assert bad.returncode == 2
    assert json.loads(bad.stdout)["Valid"] is False
    assert len(json.loads(bad.stdout)["Problems"]) == 2
    (tmp_path / "jobs.json").write_text("{")
    named = slimjobs("check", str(tmp_path / "jobs.json"))
    from_environment = slimjobs("check", SlimFaas__JobsConfigurationFile=str(tmp_path / "jobs.json"))
    assert named.returncode == from_environment.returncode == 2
    assert named.stderr == from_environment.stderr


def test_version_help_and_completion_need_nothing() -> None:
    assert slimjobs("--version").stdout.startswith("slimjobs, version ")
    for shell in ("bash", "zsh", "fish"):
        assert "_SLIMJOBS_COMPLETE" in slimjobs("completion", shell).stdout
    assert "Exit codes: 0 done" in slimjobs("--help").stdout


@pytest.mark.parametrize(
    "arguments", [["frobnicate"], ["run"], ["show"], ["list", "--nonsense"], ["completion", "tcsh"]]
)
def test_bad_usage_is_told_on_stderr_with_exit_code_2(arguments: list[str]) -> None:
    asked = slimjobs(*arguments)
    assert (asked.returncode, asked.stdout) == (2, "")
    assert "Usage: slimjobs" in asked.stderr


CLIENTS = (["list"], ["list", "echo"], ["run", "echo"], ["show", "echo/x"], ["logs", "echo/x"], ["delete", "echo/x"])


@pytest.mark.parametrize("arguments", CLIENTS)
def test_a_service_that_cannot_be_reached_is_told_in_one_line(arguments: list[str]) -> None:
    asked = slimjobs(*arguments, "--url", NOBODY)
    assert (asked.returncode, asked.stdout) == (1, "")
    assert asked.stderr.startswith(f"slimjobs: no service answers at {NOBODY} ([Errno 111] Connection refused); start ")
    assert len(asked.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "url", ["here", "http://[", "http://127.0.0.1:abc", "ftp://127.0.0.1", "http://127.0.0.1:99999"]
)
def test_a_url_that_is_none_is_bad_usage(url: str) -> None:
    asked = slimjobs("list", "--url", url)
    assert (asked.returncode, asked.stderr) == (2, f"slimjobs: --url takes http://HOST:PORT, not '{url}'\n")


class _SomebodyElse(BaseHTTPRequestHandler):
    """A web server that knows nothing of jobs, but answers everything."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("arguments", CLIENTS)
def test_somebody_else_at_the_address_is_told_in_one_line(arguments: list[str]) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _SomebodyElse) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        asked = slimjobs(*arguments, "--url", f"http://127.0.0.1:{server.server_port}")
        server.shutdown()
        thread.join()
    assert (asked.returncode, asked.stdout) == (1, "")
    assert "is not slimjobs" in asked.stderr
    assert len(asked.stderr.splitlines()) == 1
