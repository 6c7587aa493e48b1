"""A service on Kubernetes to which bad luck happens: one node or three, a proxy before the API server, and a recorder.

However a story goes, in the end the recorder's account is judged, and every outcome that the API server ever told has
to be what the service says.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from slimjobs.deploy.exits import Ended
from tests.cluster.api import Api
from tests.cluster.control_plane import ControlPlane, kubeconfig
from tests.cluster.parts import free_ports
from tests.deploy.nodes import Node, configuration, slimjobs, until
from tests.e2e.pods_of_slimfaas import new_namespace
from tests.e2e.proxy import Proxy, api_proxy
from tests.e2e.recorder import CLUSTER, Recorder, judge, outcomes, recording

IMAGE: Final = "axaguildev/fibonacci-batch:latest"
ROOM: Final = {"Requests": {"cpu": "1m", "memory": "1Mi"}, "Limits": {"cpu": "1m", "memory": "1Mi"}}
USUAL: Final = {"Image": IMAGE, "Resources": ROOM, "BackoffLimit": 1, "TtlSecondsAfterFinished": 36000}
CAP: Final = 2
DEFINITIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "quick": {**USUAL, "NumberParallelJob": CAP},
    "brief": {**USUAL, "NumberParallelJob": CAP, "Command": ["sleep", "1.5"]},
    "long": {**USUAL, "NumberParallelJob": CAP, "Command": ["sleep", "3600.125"]},
    "fleeting": {**USUAL, "NumberParallelJob": CAP, "Command": ["sleep", "1"], "TtlSecondsAfterFinished": 1},
}
SECONDS: Final = 60.0
NAMESPACES: Final = (f"misfortune-{number}" for number in itertools.count())


class World:
    """The service, and what happens around it."""

    def __init__(self, plane: ControlPlane, namespace: str, proxy: Proxy, recorder: Recorder, place: Path) -> None:
        self.plane = plane
        self.namespace = namespace
        self.proxy = proxy
        self.recorder = recorder
        self.nodes: dict[str, Node] = {}
        self.runs: dict[str, str] = {}  # and their jobs
        self.deleted: dict[str, int] = {}
        self.others_go = False  # with the namespace
        self._place = place
        self._settings: dict[str, dict[str, str]] = {}

    # The nodes ------------------------------------------------------------------------------------------------------

    def furnish(self, names: list[str]) -> None:
        """Give these nodes their settings."""
        file = self._place / "kubeconfig"
        file.write_text(json.dumps(kubeconfig(self.plane.place._replace(api_port=self.proxy.port), "admin")))
        raft = dict(zip(names, free_ports(len(names)), strict=True))
        peers = ",".join(f"{name}=127.0.0.1:{port}" for name, port in raft.items())
        for name in names:
            self._settings[name] = {
                "SlimFaas__Orchestrator": "Kubernetes",
                "SlimFaas__Namespace": self.namespace,
                "SlimFaas__HttpHost": "127.0.0.1",
                "SlimFaas__TrustedNetworks": "127.0.0.0/8",
                "SlimFaas__JobsConfiguration": configuration(DEFINITIONS),
                "SlimData__Directory": str(self._place / name),
                "SlimData__Name": name,
                "KUBECONFIG": str(file),
                "no_proxy": "127.0.0.1",
                **({"SlimData__Peers": peers} if len(names) > 1 else {}),
            }

    def directory(self, name: str) -> Path:
        """Where a node's log is."""
        return Path(self._settings[name]["SlimData__Directory"])

    def start(self, name: str) -> Node:
        """Begin a new life of a node."""
        self.nodes[name] = Node(self._settings[name])
        return self.nodes[name]

    def kill(self, name: str) -> None:
        """As `kill -9` does."""
        self.nodes.pop(name).kill()

    def end(self) -> None:
        for name in list(self.nodes):
            self.kill(name)

    @property
    def node(self) -> Node:
        """One that runs."""
        return next(iter(self.nodes.values())).ready()

    def leader(self) -> str:
        """The name of who leads."""
        found: list[str] = []

        def is_known() -> bool:
            found[:] = [self.node.client.request("GET", "/cluster").body["Leader"]]
            return found[0] in self.nodes

        until(is_known, "there is a leader", SECONDS)
        return found[0]

    # Its callers ----------------------------------------------------------------------------------------------------

    def trigger(self, job: str) -> str:
        """A new run."""
        run = self.node.trigger(job, *(["10"] if job == "quick" else []))
        self.runs[run] = job
        return run

    def delete(self, run: str) -> None:
        """Delete a run; it is acknowledged."""

        def is_acknowledged() -> bool:
            with suppress(Ended):
                return self.node.client.request("DELETE", f"/job/{self.runs[run]}/{run}").status == 200
            return self.row(run) is None  # it was 202 before, and is done

        until(is_acknowledged, "it is deleted", SECONDS)
        self.deleted[run] = self.recorder.revision()

    def row(self, run: str) -> Mapping[str, Any] | None:
        """How a run is; None if it is not there any more."""
        with suppress(Ended):
            row: Mapping[str, Any] = self.node.client.request("GET", f"/job/{self.runs[run]}/{run}").body
            return row
        return None

    def status(self, run: str) -> str:
        row = self.row(run)
        return "" if row is None else str(row["Status"])

    def until_status(self, status: str, *runs: str) -> None:
        """Return once all of these are so."""
        for run in runs:
            self._until_one(status, run)

    def _until_one(self, status: str, run: str) -> None:
        try:
            until(lambda: self.status(run) == status, f"{self.runs[run]} {run} is {status}", SECONDS)
        except AssertionError as late:
            said = [message for node in self.nodes.values() for message in node.messages[-10:]]
            raise AssertionError(f"{late}; it is {self.row(run)}; its Job is {self.job(run)}; {said}") from None

    def why(self, run: str) -> str:
        """Why a run waits, in words."""
        row = self.row(run)
        return "" if row is None else " ".join(each["Detail"] for each in row["Why"])

    # The API server's side ------------------------------------------------------------------------------------------

    @property
    def admin(self) -> Api:
        return self.plane.api("admin")

    def job_path(self, run: str) -> str:
        return f"/apis/batch/v1/namespaces/{self.namespace}/jobs/{self.runs[run]}-slimfaas-job-{run}"

    def job(self, run: str) -> Mapping[str, Any] | None:
        """Its Job; None where there is none."""
        answer = self.admin.get(self.job_path(run))
        return answer.body if answer.status == 200 else None

    def pods(self, run: str) -> list[Mapping[str, Any]]:
        query = f"labelSelector=slimfaas-job-element-id%3D{run}"
        items: list[Mapping[str, Any]] = self.admin.get(f"/api/v1/namespaces/{self.namespace}/pods?{query}").body[
            "items"
        ]
        return items

    def is_swept(self, run: str) -> bool:
        """Whether nothing of a run is there."""
        return self.job(run) is None and not self.pods(run)

    def judge(self) -> None:
        """What must hold, held; and what the API server told of ends is what the service says."""
        versions = self.recorder.until_even()
        cluster = str(self.node.client.request("GET", "/cluster").body["ClusterId"])
        if self.others_go:
            versions = [each for each in versions if each.label(CLUSTER) == cluster or each.change != "DELETED"]
        judge(versions, cluster, dict.fromkeys(DEFINITIONS, CAP), self.deleted)
        for run, outcome in outcomes(versions, cluster).items():
            if run not in self.deleted:
                self._until_logged(f'Run{outcome} run="{run}"')

    def _until_logged(self, event: str) -> None:
        until(lambda: event in self.log(), f"{event} is in the log", SECONDS)

    def log(self) -> str:
        """Everything that happened, as the log of a node has it."""
        return slimjobs("log", "cat", "--directory", str(self.directory(next(iter(self.nodes))))).stdout


@contextmanager
def world(plane: ControlPlane, place: Path, names: list[str]) -> Iterator[World]:
    """A service of these nodes, ready; judged at the end."""
    namespace, admin = next(NAMESPACES), plane.api("admin")
    new_namespace(admin, namespace)
    with recording(plane, namespace) as recorder, api_proxy(plane) as proxy:
        made = World(plane, namespace, proxy, recorder, place)
        made.furnish(names)
        _add_what_is_of_others(made)
        try:
            for name in names:
                made.start(name)
            for name in names:
                made.nodes[name].ready()
            until(lambda: _is_whole(made), "all nodes vote", SECONDS)
            yield made
            made.judge()
        finally:
            made.end()
            admin.request("DELETE", f"/api/v1/namespaces/{namespace}")


def _is_whole(made: World) -> bool:
    members = made.node.client.request("GET", "/cluster").body["Members"]
    return len(members) == len(made.nodes) and all(each["Voter"] for each in members)


def _add_what_is_of_others(made: World) -> None:
    """A Job of another installation, and one that nobody says anything of; neither is started."""
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": IMAGE}]}}
    for name, labels in (("others", {CLUSTER: "0123456789abcdef", "slimfaas-job-element-id": "a" * 16}), ("own", {})):
        job = {"metadata": {"name": name, "labels": labels}, "spec": {"suspend": True, "template": template}}
        assert made.admin.post(f"/apis/batch/v1/namespaces/{made.namespace}/jobs", job).status == 201


def after(seconds: float) -> None:
    """Let time go by for the world: Kubernetes keeps its own."""
    time.sleep(seconds)
