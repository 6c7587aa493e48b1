"""A disk that is full under a running node: writes are refused with 507, reads go on, and writes return by themselves.

The disk is filled by a limit on the size of files, given to the running process: the log's next segment then finds no
room, as on a full disk (EFBIG instead of ENOSPC, which storage treats alike), while everything else goes on.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from slimjobs.deploy.client import Refused
from slimjobs.eventlog.storage.writer import SEGMENT_BYTES
from tests.deploy.nodes import Definitions, Node, configuration, node, until

DEFINITIONS: Definitions = {"long": {"Command": ["/bin/sleep", "1000"]}, "echo": {"Command": ["/bin/echo"]}}
ROOMY = {"SlimFaas__MaxQueuedJobs": "1000000", "SlimFaas__MaxQueuedBytes": "1Gi"}
NO_ROOM = 507
LARGE = {"Environments": [{"name": "FILL", "value": "x" * 100_000}]}


def limit_files(running: Node, size: int) -> None:
    resource.prlimit(running.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@contextmanager
def limited(size: int) -> Iterator[None]:
    """Whatever is started meanwhile finds the disk full from the first moment: children inherit the limit."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def fits(running: Node, job: str, body: object) -> bool:
    """Whether a trigger is accepted; one that is not, is refused for want of room and for nothing else."""
    try:
        running.client.request("POST", f"/job/{job}", body)
    except Refused as refused:
        if refused.status != NO_ROOM:
            raise
        return False
    return True


def fill(running: Node) -> int:
    """Trigger until there is no room; gives how many were accepted."""
    return next(accepted for accepted in range(1000) if not fits(running, "long", LARGE))


def queued(running: Node, job: str) -> int:
    (found,) = (
        each for each in running.client.request("GET", "/jobs/status").body["Definitions"] if each["Name"] == job
    )
    return int(found["Queued"]) + int(found["Occupied"])


def test_a_full_disk_refuses_writes_with_507_and_nothing_else_until_there_is_room(tmp_path: Path) -> None:
    with node(tmp_path, DEFINITIONS, **ROOMY) as running:
        first = running.trigger("long")
        running.until_status("long", first, "Running")
        limit_files(running, SEGMENT_BYTES - 1)
        accepted = 1 + fill(running)
        assert accepted > 1
        assert queued(running, "long") == accepted
        assert running.row("long", first)["Status"] == "Running"
        for _ in range(3):
            with pytest.raises(Refused, match="507"):
                running.client.request("POST", "/job/long", LARGE)
        assert running.client.request("GET", "/ready").status == 200
        limit_files(running, resource.RLIM_INFINITY)
        until(lambda: fits(running, "echo", {}), "writes return")
        assert running.stop() == 0
    with node(tmp_path, DEFINITIONS, **ROOMY) as again:
        assert queued(again.ready(), "long") == accepted


def test_what_runs_may_end_and_be_deleted_on_a_full_disk(tmp_path: Path) -> None:
    with node(tmp_path, DEFINITIONS, **ROOMY) as running:
        first = running.trigger("long")
        running.until_status("long", first, "Running")
        limit_files(running, SEGMENT_BYTES - 1)
        fill(running)
        assert running.client.request("DELETE", f"/job/long/{first}").status == 200
        with pytest.raises(Refused, match="404"):
            running.row("long", first)
        assert running.stop() == 0


def test_a_node_starts_on_a_full_disk_and_reads(tmp_path: Path) -> None:
    with node(tmp_path, DEFINITIONS, **ROOMY) as running:
        limit_files(running.ready(), SEGMENT_BYTES - 1)
        accepted = fill(running)
        running.kill()
    with limited(SEGMENT_BYTES - 1), node(tmp_path, DEFINITIONS, **ROOMY) as again:
        assert queued(again, "long") == accepted
        assert not fits(again, "long", LARGE)
        limit_files(again, resource.RLIM_INFINITY)
        until(lambda: fits(again, "echo", {}), "writes return")


def defined(running: Node, job: str) -> bool:
    return job in {each["Name"] for each in running.client.request("GET", "/jobs/status").body["Definitions"]}


def test_a_changed_configuration_waits_for_room_and_reads_go_on_meanwhile(tmp_path: Path) -> None:
    file, directory = tmp_path / "jobs.json", tmp_path / "data"
    added = {
        "added": {
            "Command": ["/bin/echo"],
            "Environments": [{"name": f"FILL{n}", "value": "x" * 100_000} for n in range(4)],
        }
    }
    file.write_text(configuration({**DEFINITIONS, **added}))
    with node(directory, DEFINITIONS, **ROOMY) as running:
        limit_files(running.ready(), SEGMENT_BYTES - 1)
        accepted = fill(running)
        running.kill()
    in_file = {
        "SlimFaas__JobsConfiguration": "",
        "SlimFaas__JobsConfigurationFile": str(file),
        "SlimFaas__HttpPort": "0",
    }
    with limited(SEGMENT_BYTES - 1), node(directory, **ROOMY, **in_file) as again:
        until(lambda: bool(again.said("the configuration is not in force yet")), "it says so")
        assert queued(again, "long") == accepted
        assert not defined(again, "added")
        limit_files(again, resource.RLIM_INFINITY)
        until(lambda: defined(again, "added"), "the new configuration is in force")
        assert fits(again, "added", {})
