"""The service as a person has it: nodes and commands that are processes of their own, reached over real sockets."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from slimjobs.deploy.client import Client

SLIMJOBS: Final = (sys.executable, "-c", "from slimjobs.deploy.cli import main; main()")
PATIENCE_SECONDS: Final = 30.0
OURS: Final = ("slimfaas__", "slimdata__", "slimjobs", "kube")

Definitions = Mapping[str, Mapping[str, Any]]


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process, without what the tests' own may say to the service."""
    return {name: value for name, value in os.environ.items() if not name.lower().startswith(OURS)} | dict(settings)


def slimjobs(*arguments: str, given: str = "", **settings: str) -> subprocess.CompletedProcess[str]:
    """What a command of the command line does; `given` is its stdin, settings are variables of its environment."""
    return subprocess.run(
        [*SLIMJOBS, *arguments],
        input=given,
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def configuration(definitions: Definitions) -> str:
    """These definitions, every one for everybody, as the service reads them."""
    return json.dumps(
        {"Configurations": {name: {"Visibility": "Public", **each} for name, each in definitions.items()}}
    )


def until(holds: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Return as soon as this holds; fail if it does not within so long."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)


class Node:
    """A node that was started as a process of its own, or a `command` like it. `messages` are its lines on stderr."""

    def __init__(self, settings: Mapping[str, str], command: str = "serve", program: Sequence[str] = SLIMJOBS) -> None:
        self.directory = Path(settings["SlimData__Directory"])
        given = {"SlimFaas__Orchestrator": "Process", "SlimFaas__HttpPort": "0", "SlimFaas__LogFormat": "json"}
        self.process = subprocess.Popen(
            [*program, command], env=environment(given | dict(settings)), stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        self.messages: list[dict[str, Any]] = []
        self._is_ready = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True)
        self._reader.start()

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            self.messages.append(json.loads(line) if line.startswith("{") else {"event": line.rstrip()})
            if self.messages[-1]["event"] == "ready":
                self._is_ready.set()
        lines.close()

    @property
    def pid(self) -> int:
        return self.process.pid

    def said(self, event: str) -> list[dict[str, Any]]:
        """Its messages of this kind."""
        return [message for message in self.messages if message["event"].startswith(event)]

    def ready(self) -> Node:
        """This node, once it is ready."""
        until(lambda: self._is_ready.is_set() or self.process.poll() is not None, "the node is ready")
        assert self._is_ready.is_set(), self.messages
        return self

    @property
    def url(self) -> str:
        return str(self.ready().said("ready")[0]["url"])

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def client(self) -> Client:
        return Client(self.url)

    def trigger(self, job: str, *arguments: str) -> str:
        """The id of a new run."""
        run_id: str = self.client.request("POST", f"/job/{job}", {"Args": list(arguments)} if arguments else {}).body[
            "Id"
        ]
        return run_id

    def row(self, job: str, run_id: str) -> Mapping[str, Any]:
        """How a run is."""
        row: Mapping[str, Any] = self.client.request("GET", f"/job/{job}/{run_id}").body
        return row

    def until_status(self, job: str, run_id: str, status: str) -> None:
        until(lambda: bool(self.row(job, run_id)["Status"] == status), f"{job}/{run_id} is {status}")

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def exit_code(self, seconds: float = PATIENCE_SECONDS) -> int:
        """The code with which it ends, within so long; everything that it said is in `messages` then."""
        code = self.process.wait(seconds)
        self._reader.join(seconds)
        return code

    def stop(self) -> int:
        """Its exit code after SIGTERM."""
        self.signal(signal.SIGTERM)
        return self.exit_code()

    def kill(self) -> None:
        """End it as `kill -9` does, if it still runs."""
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
        self.exit_code()


@contextmanager
def node(directory: Path, definitions: Definitions | None = None, /, **settings: str) -> Iterator[Node]:
    """A node in this directory. However the block ends, so does the node."""
    given = {"SlimData__Directory": str(directory), "SlimFaas__JobsConfiguration": configuration(definitions or {})}
    started = Node({key: value for key, value in (given | settings).items() if value})
    try:
        yield started
    finally:
        started.kill()


def descendants(pid: int) -> set[int]:
    """The processes that this one has started, and those have."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
    found: set[int] = set()
    while new := {child for child, parent in parents.items() if parent in {pid, *found}} - found:
        found |= new
    return found


def alive(pid: int) -> bool:
    """Whether a process runs (one that waits to be buried does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
