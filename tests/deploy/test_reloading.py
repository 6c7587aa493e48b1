"""A configuration file that changes under a running node."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.deploy.nodes import Node, configuration, node, until

# The file is looked at every second; that what it says is in force takes an fsync more.
HEEDED_SECONDS = 2.0


def job(cap: int) -> str:
    return configuration({"long": {"Command": ["/bin/sleep", "1000"], "NumberParallelJob": cap}})


def status(running: Node) -> Mapping[str, Any]:
    said: Mapping[str, Any] = running.client.request("GET", "/jobs/status").body
    return said


def definition(running: Node) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(each for each in status(running)["Definitions"] if each["Name"] == "long")
    return found


def test_a_raised_cap_admits_at_once_and_a_lowered_one_stops_admissions_not_runs(tmp_path: Path) -> None:
    file = tmp_path / "jobs.json"
    file.write_text(job(1))
    with node(tmp_path / "data", SlimFaas__JobsConfiguration="", SlimFaas__JobsConfigurationFile=str(file)) as running:
        for _ in range(4):
            running.trigger("long")
        assert (definition(running)["Occupied"], definition(running)["Queued"]) == (1, 3)
        file.write_text(job(3))
        until(lambda: bool(definition(running)["Occupied"] == 3), "three are admitted", HEEDED_SECONDS)
        assert definition(running)["Queued"] == 1
        file.write_text(job(2))
        until(lambda: bool(definition(running)["NumberParallelJob"] == 2), "the cap is lowered", HEEDED_SECONDS)
        assert (definition(running)["Occupied"], definition(running)["Queued"]) == (3, 1)


def test_a_bad_change_keeps_what_is_in_force_and_is_shown_until_it_is_mended(tmp_path: Path) -> None:
    file = tmp_path / "jobs.json"
    file.write_text(job(1))
    with node(tmp_path / "data", SlimFaas__JobsConfiguration="", SlimFaas__JobsConfigurationFile=str(file)) as running:
        assert status(running)["Problems"] == []
        file.write_text(job(2).replace("NumberParallelJob", "NumberParalelJob"))
        until(lambda: bool(status(running)["Problems"]), "the problem is shown", HEEDED_SECONDS)
        (problem,) = status(running)["Problems"]
        assert "unknown key 'NumberParalelJob'; did you mean 'NumberParallelJob'?" in problem
        assert definition(running)["NumberParallelJob"] == 1
        until(lambda: bool(running.said("the changed configuration is refused")), "it is in the messages")
        running.trigger("long")
        file.write_text(job(2))
        until(lambda: bool(definition(running)["NumberParallelJob"] == 2), "the mended one holds", HEEDED_SECONDS)
        until(lambda: status(running)["Problems"] == [], "the problem is gone", HEEDED_SECONDS)


def test_a_file_that_is_gone_keeps_what_is_in_force(tmp_path: Path) -> None:
    file = tmp_path / "jobs.json"
    file.write_text(job(1))
    with node(tmp_path / "data", SlimFaas__JobsConfiguration="", SlimFaas__JobsConfigurationFile=str(file)) as running:
        running.ready()
        file.unlink()
        until(lambda: bool(status(running)["Problems"]), "the problem is shown", HEEDED_SECONDS)
        assert "No such file or directory" in status(running)["Problems"][0]
        assert definition(running)["NumberParallelJob"] == 1


def test_a_file_that_did_not_change_writes_nothing_however_often_the_node_starts(tmp_path: Path) -> None:
    file = tmp_path / "jobs.json"
    file.write_text(job(1))
    given = {"SlimFaas__JobsConfiguration": "", "SlimFaas__JobsConfigurationFile": str(file)}
    with node(tmp_path / "data", **given) as first:
        until(lambda: bool(first.said("a new configuration is in force")), "it is told")
        assert first.stop() == 0
    with node(tmp_path / "data", **given) as second:
        second.ready()
        file.touch()
        time.sleep(1.2)  # longer than until it is looked at again
        assert second.stop() == 0
        assert not second.said("a new configuration is in force")
