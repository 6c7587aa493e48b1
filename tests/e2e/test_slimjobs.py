"""A node whose jobs are Jobs of a real cluster: what the specification shows, from the first `curl` on."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cluster.api import Api
from tests.cluster.control_plane import ControlPlane
from tests.core.orchestrators.kubernetes.test_cron_jobs import FIBONACCI
from tests.deploy.nodes import Node, node, slimjobs, until

SECONDS: Final = 60.0
NAMES: Final = (f"slimjobs-{number}" for number in itertools.count())
BATCH: Final = {
    "Image": "axaguildev/fibonacci-batch:1.0.1",
    "ImagesWhitelist": ["axaguildev/fibonacci-batch:*"],
    "Resources": {"Requests": {"cpu": "1m", "memory": "1Mi"}, "Limits": {"cpu": "1m", "memory": "1Mi"}},
    "NumberParallelJob": 2,
    "TtlSecondsAfterFinished": 36000,
}


class Namespace:
    """A namespace, and what an administrator sees of it."""

    def __init__(self, api: Api, name: str) -> None:
        self.api = api
        self.name = name

    def path(self, group: str, kind: str, name: str = "") -> str:
        collection = (
            f"/apis/{group}/v1/namespaces/{self.name}/{kind}" if group else f"/api/v1/namespaces/{self.name}/{kind}"
        )
        return f"{collection}/{name}" if name else collection

    def jobs(self) -> dict[str, Mapping[str, Any]]:
        return {each["metadata"]["name"]: each for each in self.api.get(self.path("batch", "jobs")).body["items"]}

    def post(self, group: str, kind: str, written: dict[str, Any]) -> None:
        answer = self.api.post(self.path(group, kind), written)
        assert answer.status == 201, answer


@pytest.fixture
def namespace(plane: ControlPlane) -> Iterator[Namespace]:
    name, admin = next(NAMES), plane.api("admin")
    assert admin.post("/api/v1/namespaces", {"metadata": {"name": name}}).status == 201
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    until(lambda: admin.get(account).status == 200, "pods have an account")
    yield Namespace(admin, name)
    admin.request("DELETE", f"/api/v1/namespaces/{name}")


@contextmanager
def serving(
    plane: ControlPlane, namespace: Namespace, directory: Path, definitions: Mapping[str, Any], **settings: str
) -> Iterator[Node]:
    """A node that runs its jobs there, as the administrator."""
    with node(
        directory,
        definitions,
        SlimFaas__Orchestrator="Kubernetes",
        SlimFaas__Namespace=namespace.name,
        SlimFaas__HttpHost="127.0.0.1",
        SlimFaas__TrustedNetworks="127.0.0.0/8",
        KUBECONFIG=str(plane.kubeconfig("admin")),
        **settings,
    ) as running:
        yield running.ready()


def why(running: Node, job: str, run: str) -> list[str]:
    """Why a run waits, in words."""
    return [each["Detail"] for each in running.client.request("GET", f"/job/{job}/{run}").body["Why"]]


def output(running: Node, job: str, run: str) -> str:
    return slimjobs("logs", f"{job}/{run}", "--url", running.url).stdout


def test_a_triggered_job_runs_as_a_job_and_its_output_can_be_read(
    plane: ControlPlane, namespace: Namespace, tmp_path: Path
) -> None:
    with serving(plane, namespace, tmp_path / "data", {"fibonacci": BATCH}) as running:
        run = running.trigger("fibonacci", "30")
        running.until_status("fibonacci", run, "Succeeded")
        [job] = namespace.jobs().values()
        assert job["metadata"]["name"] == f"fibonacci-slimfaas-job-{run}"
        assert job["metadata"]["labels"]["slimfaas-job-name"] == "fibonacci"
        assert job["metadata"]["labels"]["slimfaas-job-element-id"] == run
        assert output(running, "fibonacci", run) == "832040\n"
        until(
            lambda: all("ttlSecondsAfterFinished" in job["spec"] for job in namespace.jobs().values()), "it may expire"
        )


def test_never_more_run_than_the_cap_and_a_deleted_one_is_gone(
    plane: ControlPlane, namespace: Namespace, tmp_path: Path
) -> None:
    slow = {**BATCH, "Command": ["sleep", "3600.375"], "NumberParallelJob": 2}
    with serving(plane, namespace, tmp_path / "data", {"slow": slow}) as running:
        first, second, third = (running.trigger("slow") for _ in range(3))
        for run in (first, second):
            running.until_status("slow", run, "Running")
        assert next(each["Status"] for each in running.client.request("GET", "/job/slow").body) == "Queued"
        assert len(namespace.jobs()) == 2
        assert running.client.request("DELETE", f"/job/slow/{first}").status in (200, 202)
        running.until_status("slow", third, "Running")
        assert f"slow-slimfaas-job-{first}" not in namespace.jobs()


def test_the_cron_job_of_the_specification_is_a_job_to_be_triggered(
    plane: ControlPlane, namespace: Namespace, tmp_path: Path
) -> None:
    written = copy.deepcopy(dict(FIBONACCI))
    written["metadata"]["namespace"] = namespace.name
    del written["metadata"]["annotations"]["SlimFaas/DependsOn"]
    written["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["args"] = ["10"]
    with serving(plane, namespace, tmp_path / "data", {}) as running:
        namespace.post("batch", "cronjobs", written)

        def is_known() -> bool:
            rows = running.client.request("GET", "/jobs/status").body["Definitions"]
            return any((row["Name"], row["Source"]) == ("fibonacci5", "Annotation") for row in rows)

        until(is_known, "the CronJob is found")
        run = running.trigger("fibonacci5")
        running.until_status("fibonacci5", run, "Succeeded")
        assert output(running, "fibonacci5", run) == "55\n"


def test_a_run_waits_for_its_dependency_wakes_it_and_starts(
    plane: ControlPlane, namespace: Namespace, tmp_path: Path
) -> None:
    container = {"name": "main", "image": "none", "command": ["sleep", "3600.625"]}
    notes = {"SlimFaas/Function": "true", "SlimFaas/TimeoutSecondBeforeSetReplicasMin": "2"}
    template = {"metadata": {"labels": {"app": "db"}, "annotations": notes}, "spec": {"containers": [container]}}
    selector = {"matchLabels": {"app": "db"}}
    deployment = {"metadata": {"name": "db"}, "spec": {"replicas": 0, "selector": selector, "template": template}}
    with serving(plane, namespace, tmp_path / "data", {"fibonacci": {**BATCH, "DependsOn": ["db"]}}) as running:
        run = running.trigger("fibonacci", "10")
        until(lambda: why(running, "fibonacci", run) == ["'db' is not ready: it does not exist"], "it is told why")
        namespace.post("apps", "deployments", deployment)
        running.until_status("fibonacci", run, "Succeeded")
        path = namespace.path("apps", "deployments", "db")
        until(lambda: namespace.api.get(path).body["spec"]["replicas"] == 0, "it is put to sleep again")


def test_an_image_that_is_not_to_be_had_is_told(plane: ControlPlane, namespace: Namespace, tmp_path: Path) -> None:
    absent = {**BATCH, "Image": "nobody/has:this", "ImagesWhitelist": []}
    with serving(plane, namespace, tmp_path / "data", {"absent": absent}) as running:
        run = running.trigger("absent")
        running.until_status("absent", run, "ImagePullBackOff")


def test_after_its_deadline_it_fails_with_that_reason_and_gives_its_slot_back(
    plane: ControlPlane, namespace: Namespace, tmp_path: Path
) -> None:
    absent = {**BATCH, "Image": "nobody/has:this", "ImagesWhitelist": [], "ImagePullDeadlineSeconds": 2}
    definitions = {"absent": {**absent, "NumberParallelJob": 1}}
    with serving(plane, namespace, tmp_path / "data", definitions) as running:
        runs = [running.trigger("absent") for _ in range(2)]
        for run in runs:
            running.until_status("absent", run, "Failed")
            row = running.row("absent", run)
            assert (row["Reason"], row["Attempts"]) == ("ImagePullBackOff", 0)
        pods = namespace.api.get(namespace.path("", "pods")).body["items"]
        assert pods == [], "none of them waits for its image any more"


def test_an_unreadable_kubeconfig_stops_the_start_with_a_line_that_says_so(tmp_path: Path) -> None:
    ended = slimjobs(
        "serve",
        SlimFaas__Orchestrator="Kubernetes",
        SlimData__Directory=str(tmp_path / "data"),
        KUBECONFIG=str(tmp_path / "absent"),
    )
    assert ended.returncode == 2
    assert f"the kubeconfig {tmp_path / 'absent'} cannot be used" in ended.stderr
