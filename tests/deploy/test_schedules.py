"""Schedules of a real node: declared in a file that changes, and audited out of its log."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from slimjobs.deploy.client import Refused
from tests.deploy.nodes import Node, node, slimjobs, until

HEEDED_SECONDS = 2.0


def declaring(*expressions: str) -> str:
    job = {"Command": ["/bin/true"], "Visibility": "Public"}
    schedules = [{"Schedule": expression} for expression in expressions]
    return json.dumps({"Configurations": {"report": job}, "Schedules": {"report": schedules}})


def schedules(running: Node) -> list[Mapping[str, Any]]:
    said: list[Mapping[str, Any]] = running.client.request("GET", "/job-schedules/report").body
    return said


def test_declared_schedules_follow_their_file_and_are_not_for_callers_to_remove(tmp_path: Path) -> None:
    file = tmp_path / "jobs.json"
    file.write_text(declaring("0 0 1 1 *", "0 0 1 1 *"))
    settings = {
        "SlimFaas__JobsConfiguration": "",
        "SlimFaas__JobsConfigurationFile": str(file),
        "SlimFaas__JobDefaultTimeZone": "Europe/Paris",
    }
    with node(tmp_path / "data", **settings) as running:
        first, second = schedules(running.ready())
        assert {first["Source"], second["Source"]} == {"Configuration"}
        assert first["TimeZone"] == "Europe/Paris"
        assert first["Id"] != second["Id"]
        with pytest.raises(Refused, match="declared by the configuration"):
            running.client.request("DELETE", f"/job-schedules/report/{first['Id']}")
        file.write_text(declaring("0 0 1 1 *", "@yearly"))
        until(lambda: len({each["Schedule"] for each in schedules(running)}) == 2, "it is heeded", HEEDED_SECONDS)
        assert first["Id"] in {each["Id"] for each in schedules(running)}
        file.write_text(declaring())
        until(lambda: schedules(running) == [], "they are gone", HEEDED_SECONDS)


def test_schedules_outlive_a_kill(tmp_path: Path) -> None:
    with node(tmp_path / "data", {"report": {"Command": ["/bin/true"]}}) as running:
        made = running.ready().client.request("POST", "/job-schedules/report", {"Schedule": "@yearly"}).body["Id"]
        running.kill()
    with node(tmp_path / "data", {"report": {"Command": ["/bin/true"]}}) as running:
        assert [each["Id"] for each in schedules(running.ready())] == [made]


def test_the_audit_reads_a_log_and_says_how_far_it_reaches(tmp_path: Path) -> None:
    with node(tmp_path / "data", {"report": {"Command": ["/bin/true"]}}) as running:
        running.ready().client.request("POST", "/job-schedules/report", {"Schedule": "@yearly"})
        running.stop()
    directory = f"--directory={tmp_path / 'data'}"
    audited = slimjobs("schedule", "audit", directory)
    assert (audited.returncode, audited.stdout) == (0, "")
    assert "no instant in this period" in audited.stderr
    refused = slimjobs("schedule", "audit", directory, "--from=yesterday")
    assert refused.returncode == 2
    assert "'yesterday' is no time such as" in refused.stderr
    assert slimjobs("schedule", "audit", f"--directory={tmp_path / 'absent'}").returncode == 2
