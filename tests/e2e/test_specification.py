"""The specification's manifests, applied as printed, and every request that it shows for jobs and schedules."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cluster.api import Api
from tests.cluster.control_plane import ControlPlane
from tests.deploy.nodes import Node, until
from tests.e2e.manifests import DEMO, Manifest, apply, built, one, read
from tests.e2e.pods_of_slimfaas import await_account, only_pod, remove_namespace, told

NAMESPACE: Final = "slimfaas-demo"
PRINTED: Final = Path(__file__).parent / "specification.yaml"
OVERRIDES: Final = {
    "Image": "axaguildev/fibonacci-batch:1.0.1",
    "Args": ["42", "43"],
    "DependsOn": ["fibonacci2"],
    "Resources": {
        "Requests": {"cpu": "200m", "memory": "200Mi"},
        "Limits": {"cpu": "200m", "memory": "200Mi"},
    },
    "Environments": [],
    "BackoffLimit": 1,
    "TtlSecondsAfterFinished": 100,
    "RestartPolicy": "Never",
}


@pytest.fixture
def admin(plane: ControlPlane) -> Api:
    return plane.api("admin")


@pytest.fixture
def serving(plane: ControlPlane, admin: Api, tmp_path: Path) -> Iterator[Node]:
    """The manifests as printed, with what they speak of and do not print: a service account with our Role, and the
    Deployments that jobs depend on; and the pod of their StatefulSet, as a process, with the environment that they say.
    """
    printed, ours = read(PRINTED), built(DEMO)
    apply(admin, printed)
    named = [("ServiceAccount", "slimfaas"), ("Role", "slimfaas"), ("RoleBinding", "slimfaas")]
    named += [("Deployment", "fibonacci1"), ("Deployment", "fibonacci2")]
    apply(admin, [one(ours, *each) for each in named])
    await_account(admin, NAMESPACE)
    with only_pod(plane, NAMESPACE, told(printed), tmp_path / "pod", SlimFaas__HttpPort="0") as node:
        yield node
    remove_namespace(admin, NAMESPACE)


def curl(node: Node, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """Status and body of what a person gets who types it."""
    given = [] if body is None else ["-d", body if isinstance(body, str) else json.dumps(body)]
    command = ["curl", "--silent", "--noproxy", "*", "-w", "\n%{http_code}", "-X", method, f"{node.url}{path}", *given]
    text, _, status = subprocess.run(command, capture_output=True, text=True, check=True).stdout.rpartition("\n")
    return int(status), json.loads(text) if text else None


def replicas(admin: Api, name: str) -> int:
    path = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{name}"
    return int(admin.get(path).body["spec"]["replicas"])


def job_of(admin: Api, run: str, name: str = "fibonacci") -> Manifest:
    found: Manifest = admin.get(f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/{name}-slimfaas-job-{run}").body
    return found


def test_a_job_is_triggered_listed_and_deleted_and_wakes_what_it_depends_on(serving: Node, admin: Api) -> None:
    assert replicas(admin, "fibonacci1") == 0
    status, body = curl(serving, "POST", "/job/fibonacci", {"Args": ["42", "43"]})
    assert status == 202
    run = body["Id"]
    serving.until_status("fibonacci", run, "Succeeded")
    assert replicas(admin, "fibonacci1") == 1
    [container] = job_of(admin, run)["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["args"]) == ("axaguildev/fibonacci-batch:latest", ["42", "43"])
    assert container["resources"]["limits"] == {"cpu": "400m", "memory": "400Mi"}

    [row] = curl(serving, "GET", "/job/fibonacci")[1]
    assert (row["Id"], row["Name"]) == (run, f"fibonacci-slimfaas-job-{run}")
    assert (row["Status"], row["PositionInQueue"]) == ("Succeeded", -1)
    assert curl(serving, "DELETE", f"/job/fibonacci/{run}")[0] == 200
    until(lambda: job_of(admin, run)["kind"] == "Status", "its Job is gone")
    assert curl(serving, "DELETE", f"/job/fibonacci/{run}")[0] == 404
    assert curl(serving, "GET", "/job/daisy")[0] == 403, "it would be run by Default, which is private"


def test_what_overrides_the_defaults_has_to_be_allowed(serving: Node, admin: Api) -> None:
    status, problem = curl(serving, "POST", "/job/fibonacci", OVERRIDES)
    assert status == 400, "the printed whitelist is empty: only the image of the definition may be run"
    assert [each["pointer"] for each in problem["errors"]] == ["/Image"]

    allowed = {**OVERRIDES, "Image": "axaguildev/fibonacci-batch:latest"}
    run = curl(serving, "POST", "/job/fibonacci", allowed)[1]["Id"]
    serving.until_status("fibonacci", run, "Succeeded")
    assert replicas(admin, "fibonacci2") == 1
    [container] = job_of(admin, run)["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"cpu": "200m", "memory": "200Mi"}
    until(lambda: job_of(admin, run)["spec"].get("ttlSecondsAfterFinished") == 100, "it may expire")


def test_the_cron_job_is_a_job_that_is_triggered_as_any_other(serving: Node, admin: Api) -> None:
    def is_known() -> bool:
        rows = curl(serving, "GET", "/jobs/status")[1]["Definitions"]
        return any((row["Name"], row["Source"]) == ("fibonacci5", "Annotation") for row in rows)

    until(is_known, "the CronJob is found")
    run = curl(serving, "POST", "/job/fibonacci5", {})[1]["Id"]
    serving.until_status("fibonacci5", run, "Succeeded")
    assert (replicas(admin, "fibonacci1"), replicas(admin, "fibonacci2")) == (1, 1)
    [container] = job_of(admin, run, "fibonacci5")["spec"]["template"]["spec"]["containers"]
    assert container["name"] == "fibonacci11"


def test_schedules_are_declared_created_listed_and_deleted(serving: Node) -> None:
    declared = curl(serving, "GET", "/job-schedules/fibonacci")[1]
    assert [(each["Schedule"], each["Args"], each["Source"]) for each in declared] == [
        ("0 0 * * *", ["42"], "Configuration"),
        ("0 0 * * 0", ["42"], "Configuration"),
    ]
    status, made = curl(serving, "POST", "/job-schedules/fibonacci", '{"Schedule":"0 0 * * *","Args":["42"]}')
    assert status == 201
    status, weekly = curl(serving, "POST", "/job-schedules/fibonacci", '{"Schedule":"0 0 * * 0","Args":["42"]}')
    assert status == 201
    listed = curl(serving, "GET", "/job-schedules/fibonacci")[1]
    ours = [(each["Id"], each["Name"], each["Schedule"], each["Args"]) for each in listed if each["Source"] == "Api"]
    assert sorted(ours) == sorted(
        [(made["Id"], "fibonacci", "0 0 * * *", ["42"]), (weekly["Id"], "fibonacci", "0 0 * * 0", ["42"])]
    )
    for each in (made, weekly):
        assert curl(serving, "DELETE", f"/job-schedules/fibonacci/{each['Id']}")[0] == 204
    assert curl(serving, "DELETE", "/job-schedules/fibonacci/0")[0] == 404, "no schedule has the printed id"
    assert len(curl(serving, "GET", "/job-schedules/fibonacci")[1]) == 2
