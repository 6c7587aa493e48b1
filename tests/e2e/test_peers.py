"""A pod learns from a real API server who its peers are, if its service account may ask."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import trio

from slimjobs.core.configuration.stateful_set import StatefulSet, peers_of
from slimjobs.core.orchestrators.kubernetes import Account, Patience, Unanswered, find_stateful_set
from tests.cluster.api import Api
from tests.cluster.control_plane import ControlPlane
from tests.deploy.nodes import until
from tests.deploy.pods import pod

NAMESPACES: Final = (f"peers-{number}" for number in itertools.count())
RBAC: Final = "rbac.authorization.k8s.io"
PATIENCE: Final = Patience(total_seconds=2, attempt_seconds=5, pause_seconds=0.1)
LONG: Final = Patience(total_seconds=20, attempt_seconds=5, pause_seconds=0.1)


class Namespace:
    """A namespace of a test's own, with a service account `slimjobs` that may do nothing yet, and its files."""

    def __init__(self, plane: ControlPlane, service_account: Path) -> None:
        self.api: Api = plane.api("admin")
        self.name = next(NAMESPACES)
        self.files = service_account
        self.environment = {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(plane.place.api_port),
        }
        self.post("/api/v1/namespaces", {"metadata": {"name": self.name}})
        accounts = f"/api/v1/namespaces/{self.name}/serviceaccounts"
        self.post(accounts, {"metadata": {"name": "slimjobs"}})
        token = self.post(f"{accounts}/slimjobs/token", {"spec": {}})["status"]["token"]
        (self.files / "token").write_text(token)
        (self.files / "namespace").write_text(self.name)
        (self.files / "ca.crt").write_bytes(plane.place.certificate.read_bytes())

    @property
    def stateful_sets(self) -> str:
        return f"/apis/apps/v1/namespaces/{self.name}/statefulsets"

    def post(self, path: str, given: dict[str, object]) -> Any:
        answer = self.api.post(path, given)
        assert answer.status == 201, answer
        return answer.body

    def create(self, replicas: int, **spec: object) -> None:
        """The StatefulSet `slimjobs`; its pods are for no node there is."""
        labels = {"app": "slimjobs"}
        nowhere = {"nodeSelector": {"for": "nobody"}, "containers": [{"name": "main", "image": "none"}]}
        template = {"metadata": {"labels": labels}, "spec": nowhere}
        given = {"serviceName": "nodes", "replicas": replicas, "selector": {"matchLabels": labels}}
        self.post(
            self.stateful_sets, {"metadata": {"name": "slimjobs"}, "spec": {**given, "template": template, **spec}}
        )

    def scale(self, replicas: int) -> None:
        path = f"{self.stateful_sets}/slimjobs/scale"
        scale = self.api.get(path).body
        assert self.api.request("PUT", path, {**scale, "spec": {"replicas": replicas}}).status == 200

    def let_ask(self) -> None:
        """The Role that the messages speak of, for the service account."""
        roles = f"/apis/{RBAC}/v1/namespaces/{self.name}"
        rule = {"apiGroups": ["apps"], "resources": ["statefulsets"], "verbs": ["get"]}
        self.post(f"{roles}/roles", {"metadata": {"name": "peers"}, "rules": [rule]})
        role = {"apiGroup": RBAC, "kind": "Role", "name": "peers"}
        subject = {"kind": "ServiceAccount", "name": "slimjobs", "namespace": self.name}
        self.post(f"{roles}/rolebindings", {"metadata": {"name": "peers"}, "roleRef": role, "subjects": [subject]})

    async def found(self, patience: Patience = LONG) -> StatefulSet | None:
        return await find_stateful_set(Account(self.files, self.environment), self.name, "slimjobs", patience)


@pytest.fixture
def namespace(plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Namespace]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    files = tmp_path / "serviceaccount"
    files.mkdir()
    made = Namespace(plane, files)
    yield made
    assert made.api.request("DELETE", f"/api/v1/namespaces/{made.name}").status == 200


async def test_an_account_that_may_ask_is_told_service_and_replicas(namespace: Namespace) -> None:
    namespace.create(3)
    namespace.let_ask()
    found = await namespace.found()
    assert found == StatefulSet("slimjobs", namespace.name, "nodes", 3)
    assert [peer.host for peer in peers_of(found, 0, 3262)] == [
        f"slimjobs-{ordinal}.nodes.{namespace.name}.svc" for ordinal in range(3)
    ]


async def test_whoever_asks_after_scaling_is_told_the_new_number(namespace: Namespace) -> None:
    namespace.create(3, ordinals={"start": 2})
    namespace.let_ask()
    namespace.scale(5)
    assert await namespace.found() == StatefulSet("slimjobs", namespace.name, "nodes", 5, first=2)
    namespace.scale(0)
    assert await namespace.found() == StatefulSet("slimjobs", namespace.name, "nodes", 0, first=2)


async def test_a_stateful_set_may_have_no_service(namespace: Namespace) -> None:
    namespace.create(3, serviceName="")
    namespace.let_ask()
    assert await namespace.found() == StatefulSet("slimjobs", namespace.name, "", 3)


async def test_where_there_is_none_that_is_the_answer(namespace: Namespace) -> None:
    namespace.let_ask()
    assert await namespace.found() is None


async def test_an_account_that_may_not_ask_is_told_so_whether_there_is_one_or_not(namespace: Namespace) -> None:
    expected = f'status 403: statefulsets.apps "slimjobs" is forbidden: .*serviceaccount:{namespace.name}:slimjobs'
    with pytest.raises(Unanswered, match=expected):
        await namespace.found(PATIENCE)
    namespace.create(3)
    with pytest.raises(Unanswered, match=expected):
        await namespace.found(PATIENCE)


async def test_a_right_that_comes_late_is_waited_for(namespace: Namespace) -> None:
    namespace.create(1)
    found: list[StatefulSet | None] = []

    async def look() -> None:
        found.append(await namespace.found())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(look)
        await trio.sleep(0.5)
        assert found == []
        await trio.to_thread.run_sync(namespace.let_ask)
    assert found == [StatefulSet("slimjobs", namespace.name, "nodes", 1)]


async def test_a_token_of_nobody_is_no_answer(namespace: Namespace) -> None:
    (namespace.files / "token").write_text("nobody")
    with pytest.raises(Unanswered, match="status 401: Unauthorized"):
        await namespace.found(PATIENCE)


def test_an_api_server_that_is_away_when_a_pod_starts_is_waited_for(
    plane: ControlPlane, namespace: Namespace, tmp_path: Path
) -> None:
    namespace.create(1)
    namespace.let_ask()
    plane.parts["kube-apiserver"].kill()
    with pod("slimjobs-0", tmp_path / "data", namespace.files, namespace.environment) as node:
        until(lambda: bool(node.said("the StatefulSet is asked for again")), "it has asked")
        plane.start("kube-apiserver")
        assert [row["Name"] for row in node.client.request("GET", "/cluster").body["Members"]] == ["slimjobs-0"]
        assert node.stop() == 0


def test_a_pod_that_may_not_ask_never_starts_alone(namespace: Namespace, tmp_path: Path) -> None:
    namespace.create(3)
    with pod("slimjobs-0", tmp_path / "data", namespace.files, namespace.environment) as node:
        until(lambda: bool(node.said("the StatefulSet is asked for again")), "it has asked")
        node.signal(signal.SIGTERM)
        assert node.exit_code(20) == 0
    assert not (tmp_path / "data").exists()
