"""Backups of a real node and of a real cluster: every volume of the log is lost, and the schedules are there again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from slimjobs.core.backups.folder import NAME
from slimjobs.deploy.client import Refused
from tests.deploy.cluster.machines import NAMES, Machine, cluster
from tests.deploy.nodes import Node, node, slimjobs, until

REPORT = {"report": {"Command": ["/bin/true"]}}


@pytest.fixture
def often(tmp_path: Path) -> Mapping[str, str]:
    return {"SlimData__BackupDirectory": str(tmp_path / "backup"), "SlimData__BackupIntervalSeconds": "0.1"}


def schedules(running: Node) -> dict[str, Mapping[str, Any]]:
    said = running.ready().client.request("GET", "/job-schedules/report").body
    return {each["Id"]: each for each in said}


def add(running: Node, expression: str, **more: Any) -> str:
    body = {"Schedule": expression, **more}
    made: str = running.ready().client.request("POST", "/job-schedules/report", body).body["Id"]
    return made


def backed_up(folder: Path) -> set[str]:
    file = folder / NAME
    return {each["Id"] for each in json.loads(file.read_bytes())["Schedules"]} if file.exists() else set()


def problems(running: Node) -> list[str]:
    said: list[str] = running.client.request("GET", "/jobs/status").body["Problems"]
    return said


def test_a_node_that_lost_its_log_has_its_schedules_again(tmp_path: Path, often: Mapping[str, str]) -> None:
    folder = tmp_path / "backup"
    with node(tmp_path / "data", REPORT, **often) as running:
        yearly = add(running, "@yearly", TimeZone="Europe/Berlin", Args=["--all"])
        paused = add(running, "*/5 * * * *", Paused=True)
        until(lambda: backed_up(folder) == {yearly, paused}, "they are backed up")
        before = schedules(running)
        running.kill()
    shutil.rmtree(tmp_path / "data")
    with node(tmp_path / "data", REPORT, **often) as running:
        until(lambda: schedules(running) == before, "they are restored")
        until(lambda: problems(running) == [], "nothing is waited for")
        running.client.request("DELETE", f"/job-schedules/report/{yearly}")
        running.client.request("DELETE", f"/job-schedules/report/{paused}")
        until(lambda: backed_up(folder) == set(), "the log has removed them, and so has the backup")
    assert (folder / NAME).exists()


def test_an_empty_node_never_writes_over_a_backup_and_a_damaged_one_is_kept_and_told(
    tmp_path: Path, often: Mapping[str, str]
) -> None:
    file = tmp_path / "backup" / NAME
    file.parent.mkdir()
    file.write_text('{"Format": 1, "Cluster": "c1", "Ind')
    with node(tmp_path / "data", REPORT, **often) as running:
        until(lambda: any("is kept as it is" in each for each in running_problems(running)), "it is told")
        assert file.read_text().endswith("Ind")
        made = add(running, "@yearly")
        until(lambda: made in file.read_text(), "what is there now is backed up")
        until(lambda: problems(running) == [], "it is told no more")
    [kept] = file.parent.glob(f"{NAME}.kept-*")
    assert kept.read_text().endswith("Ind")


def running_problems(running: Node) -> list[str]:
    running.ready()
    return problems(running)


def test_by_hand_a_log_gives_a_backup_and_a_running_service_takes_it(tmp_path: Path) -> None:
    file = tmp_path / "by hand.json"
    with node(tmp_path / "old", REPORT) as running:
        made = {add(running, "@yearly"), add(running, "0 12 1 * *")}
        said = slimjobs("backup", "--directory", str(tmp_path / "old"))  # beside the running node
        assert {each["Id"] for each in json.loads(said.stdout)["Schedules"]} == made
        dry = slimjobs("backup", str(file), "--dry-run", "--directory", str(tmp_path / "old"))
        assert "2 schedules" in dry.stderr
        assert not file.exists()
        assert slimjobs("backup", str(file), "--directory", str(tmp_path / "old")).returncode == 0
    with node(tmp_path / "new", REPORT) as running:
        url = running.url
        dry = slimjobs("restore", str(file), "--dry-run", "--url", url)
        assert (dry.returncode, len(dry.stdout.splitlines())) == (0, 2)
        assert schedules(running) == {}
        done = slimjobs("restore", str(file), "--url", url, "--json")
        assert json.loads(done.stdout) == {"Restored": 2, "Known": 0}
        assert set(schedules(running)) == made
        again = slimjobs("restore", "-", "--url", url, given=file.read_text())
        assert again.stdout == "0 schedules came in force; 2 were already, and are as they were\n"


def test_what_cannot_be_used_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "backup.json"
    with node(tmp_path / "data", REPORT) as running:
        add(running, "@yearly")
        slimjobs("backup", str(file), "--directory", str(tmp_path / "data"))
        file.write_text(file.read_text().replace("@yearly", "@daily"))
        before = schedules(running)
        refused = slimjobs("restore", str(file), "--url", running.url)
        assert refused.returncode == 2
        assert "damaged, or somebody edited it (--edited takes it all the same)" in refused.stderr
        with pytest.raises(Refused, match="the body is no backup that can be restored"):
            running.client.request("POST", "/cluster/restore", file.read_bytes())
        assert slimjobs("restore", str(file), "--edited", "--url", running.url).returncode == 0
        assert schedules(running) == before
    missing = slimjobs("restore", str(tmp_path / "none"), "--url", "http://127.0.0.1:1")
    assert missing.returncode == 2
    nowhere = slimjobs("backup", "--directory", str(tmp_path / "none"))
    assert nowhere.returncode == 2


def test_many_are_restored_in_parts(tmp_path: Path) -> None:
    file = tmp_path / "many.json"
    with node(tmp_path / "old", REPORT) as running:
        for _ in range(6):
            add(running, "@yearly", Args=["x" * 100_000] * 2)
        slimjobs("backup", str(file), "--directory", str(tmp_path / "old"))
    with node(tmp_path / "new", REPORT) as running:
        done = slimjobs("restore", str(file), "--url", running.url)
        assert done.stdout.startswith("6 schedules came in force")
        assert "slimjobs: 6 of 6 schedules" in done.stderr
        assert len(schedules(running)) == 6


def test_a_cluster_that_lost_every_log_takes_the_newest_backup_of_any_node(tmp_path: Path) -> None:
    folders = {name: tmp_path / f"backup of {name}" for name in NAMES}
    with cluster(tmp_path, REPORT, SlimData__BackupIntervalSeconds="0.1") as running:
        for machine in running.machines:  # each its own, from its next start on
            machine.settings["SlimData__BackupDirectory"] = str(folders[machine.name])
        running.until_ready()
        founder, *others = running.machines
        for machine in running.machines:
            machine.stop()
            machine.start()
            running.until_ready()
        old = others[0].ask("POST", "/job-schedules/report", {"Schedule": "@yearly"})[1]["Id"]
        until(lambda: all(backed_up(folder) == {old} for folder in folders.values()), "all have it")
        founder.kill()
        until(lambda: others[0].is_ready, "the others go on")
        new = others[0].ask("POST", "/job-schedules/report", {"Schedule": "@monthly"})[1]["Id"]
        for _ in range(200):
            others[1].ask("POST", "/job/report", {})
        newest = [folders[machine.name] for machine in others]
        until(lambda: all(backed_up(folder) == {old, new} for folder in newest), "those who are there have both")
        for machine in others:
            machine.kill()
        for machine in running.machines:
            shutil.rmtree(machine.directory)
            machine.start()
        running.until_ready()

        def has_both(machine: Machine) -> bool:
            said = machine.ask("GET", "/job-schedules/report")[1]
            return {each["Id"] for each in said} == {old, new}

        until(lambda: all(map(has_both, running.machines)), "every node shows both")
        until(lambda: all(backed_up(folder) == {old, new} for folder in folders.values()), "and has them backed up")
