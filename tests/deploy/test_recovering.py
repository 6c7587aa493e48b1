"""One survivor becomes a cluster of its own: `slimjobs cluster recover`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.nodes import Node, node, slimjobs

DEFINITIONS: Mapping[str, Mapping[str, Any]] = {
    "long": {"Command": ["/bin/sleep", "60"], "NumberParallelJob": 1},
    "short": {"Command": ["/bin/true"], "NumberParallelJob": 1, "TtlSecondsAfterFinished": 3600},
}


def recover(directory: Path, *arguments: str) -> Any:
    done = slimjobs("cluster", "recover", "--yes", "--json", *arguments, SlimData__Directory=str(directory))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def cluster_of(running: Node) -> Mapping[str, Any]:
    view: Mapping[str, Any] = running.client.request("GET", "/cluster").body
    return view


def test_a_survivor_goes_on_under_a_new_id_and_gives_up_what_ran(tmp_path: Path) -> None:
    with node(tmp_path, DEFINITIONS, SlimData__Name="a") as before:
        ended = before.ready().trigger("short")
        before.until_status("short", ended, "Succeeded")
        started, queued = before.trigger("long"), before.trigger("long")
        before.until_status("long", started, "Running")
        old = cluster_of(before)["ClusterId"]
        before.kill()
    done = recover(tmp_path, "--name", "a")
    assert done["before"] == old
    assert (done["queued"], done["failed"]) == (1, 1)
    with node(tmp_path, DEFINITIONS, SlimData__Name="a") as after:
        view = cluster_of(after.ready())
        assert view["ClusterId"] == done["cluster"] != old
        assert [(member["Name"], member["Voter"]) for member in view["Members"]] == [("a", True)]
        assert after.row("short", ended)["Status"] == "Succeeded"
        row = after.row("long", started)
        assert (row["Status"], row["Reason"]) == ("Failed", "ClusterRecovered")
        after.until_status("long", queued, "Running")


def test_recovering_twice_is_harmless(tmp_path: Path) -> None:
    with node(tmp_path, DEFINITIONS, SlimData__Name="a") as before:
        ended = before.ready().trigger("short")
        before.until_status("short", ended, "Succeeded")
    first, second = recover(tmp_path, "--name", "a"), recover(tmp_path, "--name", "a")
    assert second["before"] == first["cluster"]
    with node(tmp_path, DEFINITIONS, SlimData__Name="a") as after:
        assert after.ready().row("short", ended)["Status"] == "Succeeded"
    assert slimjobs("log", "verify", SlimData__Directory=str(tmp_path)).returncode == 0


def test_it_has_to_be_meant(tmp_path: Path) -> None:
    with node(tmp_path, DEFINITIONS) as running:
        running.ready()
    refused = slimjobs("cluster", "recover", SlimData__Directory=str(tmp_path))
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert "Nothing was changed" in refused.stderr


def test_a_running_node_is_not_recovered(tmp_path: Path) -> None:
    with node(tmp_path, DEFINITIONS) as running:
        running.ready()
        refused = slimjobs("cluster", "recover", "--yes", SlimData__Directory=str(tmp_path))
        assert refused.returncode == 3


@pytest.mark.parametrize("exists", [True, False])
def test_where_there_is_nothing_it_says_so(tmp_path: Path, exists: bool) -> None:
    directory = tmp_path if exists else tmp_path / "missing"
    refused = slimjobs("cluster", "recover", "--yes", SlimData__Directory=str(directory))
    assert refused.returncode == 1
    assert not (tmp_path / "missing").exists()
