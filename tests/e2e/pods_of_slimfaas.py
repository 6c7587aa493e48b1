"""Pods of a StatefulSet of ours that are processes of this machine: they are told what its manifest says, have the
token of its service account, and may do to the API server what its Role allows and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

from tests.cluster.api import Api
from tests.cluster.control_plane import ControlPlane
from tests.cluster.parts import free_ports
from tests.deploy.nodes import Node, until
from tests.deploy.pods import pod
from tests.e2e.manifests import Manifest, one

ACCOUNT: Final = "slimfaas"
TOKEN_SECONDS: Final = 3600


def new_namespace(api: Api, name: str, labels: Mapping[str, str] | None = None) -> None:
    """A namespace whose pods can be started."""
    answer = api.post("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels or {}}})
    assert answer.status == 201, answer
    await_account(api, name)


def await_account(api: Api, namespace: str) -> None:
    """Return once its pods have an account: the control plane makes it."""
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/default"
    until(lambda: api.get(path).status == 200, "pods have an account")


def remove_namespace(api: Api, name: str) -> None:
    """It is gone with all that was in it."""
    path = f"/api/v1/namespaces/{name}"
    api.request("DELETE", path)
    until(lambda: api.get(path).status == 404, f"{name} is gone", 60)


def service_account(plane: ControlPlane, namespace: str, directory: Path) -> Path:
    """The files of a service account, as a kubelet lays them out in a pod."""
    directory.mkdir()
    request = {"spec": {"expirationSeconds": TOKEN_SECONDS}}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{ACCOUNT}/token"
    answer = plane.api("admin").post(path, request)
    assert answer.status == 201, answer
    (directory / "token").write_text(answer.body["status"]["token"])
    (directory / "namespace").write_text(namespace)
    (directory / "ca.crt").write_bytes(plane.place.certificate.read_bytes())
    return directory


def told(objects: list[Manifest], name: str = "slimfaas") -> Mapping[str, str]:
    """The environment of the container of this StatefulSet: values, and what ConfigMaps hold."""
    [container] = one(objects, "StatefulSet", name)["spec"]["template"]["spec"]["containers"]
    return {each["name"]: _value(objects, each) for each in container["env"]}


def _value(objects: list[Manifest], variable: Mapping[str, Any]) -> str:
    if "value" in variable:
        return str(variable["value"])
    reference = variable["valueFrom"]["configMapKeyRef"]
    return str(one(objects, "ConfigMap", reference["name"])["data"][reference["key"]])


@contextmanager
def only_pod(
    plane: ControlPlane, namespace: str, environment: Mapping[str, str], directory: Path, **settings: str
) -> Iterator[Node]:
    """The pod `slimfaas-0`, alone: what it is told besides is where it is."""
    directory.mkdir(exist_ok=True)
    with _pod(plane, namespace, "slimfaas-0", directory, {**environment, **settings}) as node:
        yield node.ready()


@contextmanager
def three_pods(
    plane: ControlPlane, namespace: str, environment: Mapping[str, str], directory: Path, **settings: str
) -> Iterator[list[Node]]:
    """All pods. Nobody knows the names of their headless service here, so they are told where their peers are."""
    ports = {f"slimfaas-{ordinal}": port for ordinal, port in enumerate(free_ports(3))}
    peers = ",".join(f"{name}=127.0.0.1:{port}" for name, port in ports.items())
    given = {**environment, **settings, "SlimData__Peers": peers}
    with ExitStack() as stack:
        nodes = []
        for name in ports:
            (directory / name).mkdir(parents=True)
            nodes.append(stack.enter_context(_pod(plane, namespace, name, directory / name, given)))
        yield [node.ready() for node in nodes]


def _pod(
    plane: ControlPlane, namespace: str, name: str, directory: Path, environment: Mapping[str, str]
) -> AbstractContextManager[Node]:
    where = {
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(plane.place.api_port),
        "no_proxy": "127.0.0.1",
        "SlimFaas__Orchestrator": "Kubernetes",
        "SlimFaas__Namespace": namespace,
        "SlimFaas__HttpHost": "127.0.0.1",
        "SlimData__Directory": str(directory / "database"),
        "SlimData__BackupDirectory": "",
    }
    account = service_account(plane, namespace, directory / "serviceaccount")
    return pod(name, directory / "database", account, {**environment, **where})
