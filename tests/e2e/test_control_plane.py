"""The control plane that tests run against does what Kubernetes does, survives faults, and leaves nothing behind."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cluster.api import Api
from tests.cluster.control_plane import ControlPlane, control_plane
from tests.deploy.nodes import until

JOBS: Final = "/apis/batch/v1/namespaces/default/jobs"
PODS: Final = "/api/v1/namespaces/default/pods"
NAMES: Final = (f"job-{number}" for number in itertools.count())


@pytest.fixture
def admin(plane: ControlPlane) -> Api:
    return plane.api("admin")


def create(api: Api, **container: object) -> str:
    """The name of a new Job of one pod that is never repeated."""
    name = next(NAMES)
    pod = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "none", **container}]}
    job = {"metadata": {"name": name}, "spec": {"backoffLimit": 0, "template": {"spec": pod}}}
    answer = api.post(JOBS, {"apiVersion": "batch/v1", "kind": "Job", **job})
    assert answer.status == 201, answer
    return name


def conditions(api: Api, name: str) -> set[str]:
    job = api.get(f"{JOBS}/{name}").body
    return {each["type"] for each in job["status"].get("conditions", ())}


def pod_of(api: Api, name: str) -> Mapping[str, Any]:
    """The pod of a Job, as soon as there is one that has been reported on."""
    found: list[Mapping[str, Any]] = []

    def look() -> bool:
        pods = api.get(f"{PODS}?labelSelector=job-name={name}").body["items"]
        found[:] = [pod for pod in pods if "containerStatuses" in pod["status"]]
        return bool(found)

    until(look, f"{name} has a pod")
    return found[0]


def is_running(api: Api, name: str) -> bool:
    return bool(pod_of(api, name)["status"]["phase"] == "Running")


def output(api: Api, name: str, query: str = "") -> str:
    pod = pod_of(api, name)["metadata"]["name"]
    return str(api.get(f"{PODS}/{pod}/log?container=main{query}").body)


def processes(mark: str) -> list[int]:
    """The processes of this machine that were called with this in an argument."""
    return [pid for pid, command in _commands() if mark in command]


def _commands() -> Iterator[tuple[int, str]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                yield int(folder.name), (folder / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue


def test_a_job_runs_to_its_end_and_its_output_can_be_read(admin: Api) -> None:
    name = create(admin, image="axaguildev/fibonacci-batch:1.0.1", args=["30"])
    until(lambda: "Complete" in conditions(admin, name), "the job is complete")
    assert output(admin, name) == "832040\n"


def test_a_container_that_fails_fails_its_job(admin: Api) -> None:
    name = create(admin, command=["sh", "-c", "exit 3"])
    until(lambda: "Failed" in conditions(admin, name), "the job has failed")
    (container,) = pod_of(admin, name)["status"]["containerStatuses"]
    assert container["state"]["terminated"]["exitCode"] == 3


def test_output_can_be_followed_until_the_container_ends(admin: Api) -> None:
    name = create(admin, command=["sh", "-c", "echo begun; sleep 1; echo ended"])
    assert output(admin, name, "&follow=true") == "begun\nended\n"


def test_an_image_that_nobody_has_cannot_be_pulled(admin: Api) -> None:
    (container,) = pod_of(admin, create(admin, image="nobody/has:this"))["status"]["containerStatuses"]
    assert container["state"]["waiting"]["reason"] == "ImagePullBackOff"


def test_a_container_ends_with_its_job(admin: Api) -> None:
    mark = "3600.25"
    name = create(admin, command=["sleep", mark])
    until(lambda: is_running(admin, name) and processes(mark) != [], "the container runs")
    gone = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"}
    assert admin.request("DELETE", f"{JOBS}/{name}", gone).status == 200
    until(lambda: admin.get(f"{JOBS}/{name}").status == 404, "the job is gone")
    assert processes(mark) == []


def test_a_user_without_rights_may_do_nothing(plane: ControlPlane) -> None:
    assert plane.api("outsider").get(PODS).status == 403
    assert plane.api("nobody").get(PODS).status == 401


def test_jobs_run_through_the_death_of_the_api_server(plane: ControlPlane, admin: Api) -> None:
    name = create(admin, command=["sh", "-c", "sleep 1; echo done"])
    until(lambda: is_running(admin, name), "the container runs")
    plane.parts["kube-apiserver"].kill()
    with pytest.raises(OSError, match="refused"):
        admin.get(PODS)
    plane.start("kube-apiserver")
    assert plane.parts["kube-apiserver"].is_running
    second = create(admin, command=["true"])
    until(lambda: "Complete" in conditions(admin, second), "a job created afterwards is complete")


def test_a_node_that_dies_takes_its_containers_with_it(plane: ControlPlane, admin: Api) -> None:
    mark = "3600.5"
    name = create(admin, command=["sleep", mark])
    until(lambda: is_running(admin, name) and processes(mark) != [], "the container runs")
    plane.parts["node-0"].kill()
    until(lambda: processes(mark) == [], "the container is dead")
    plane.start("node-0")
    until(lambda: "Failed" in conditions(admin, name), "the job has failed")


def test_nothing_is_left_running(tmp_path: Path) -> None:
    mark = "3600.75"
    with control_plane(tmp_path, nodes=2) as plane:
        create(plane.api("admin"), command=["sh", "-c", f"sleep {mark} & wait"])
        until(lambda: len(processes(mark)) == 2, "the container's shell and its child run")
        assert len(processes(str(tmp_path))) == len(plane.parts)
    assert processes(str(tmp_path)) == processes(mark) == []
