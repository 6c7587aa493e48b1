"""A real Kubernetes control plane on loopback: etcd, API server, controllers, scheduler, and worker nodes.

    with control_plane(directory) as plane:
        plane.api("admin").get("/api/v1/nodes")    may do everything; "outsider" may do nothing
        plane.kubeconfig("admin")                  the same for those who read a kubeconfig
        plane.parts["kube-apiserver"].kill()       a fault
        plane.start("kube-apiserver")              and the end of it, on the same data
    plane.audit()                              what service accounts have asked the API server for

Usable in 4 s, 750 MB of memory. A part's log is DIRECTORY/PART.log; what containers print is in
DIRECTORY/pods-N/NAMESPACE/POD/CONTAINER.log. How a node runs containers, and what an image is to it, is in go/node.go.
"""

from __future__ import annotations

import http.client
import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.cluster.api import Api
from tests.cluster.binary import built
from tests.cluster.parts import Part, free_ports

IMAGES: Final = Path(__file__).parent / "images.json"
# Of a request that goes on, as a watch does, the event comes when it begins. Others' requests are not written down.
AUDIT_POLICY: Final[Mapping[str, object]] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata", "userGroups": ["system:serviceaccounts"]}, {"level": "None"}],
}
GROUPS: Final[Mapping[str, str]] = {"admin": "system:masters", "outsider": ""}  # of users; each one's name is its token


class Place(NamedTuple):
    """Where a control plane has its files and ports, and how many nodes it has."""

    directory: Path
    api_port: int
    etcd_port: int
    etcd_peer_port: int
    nodes: int
    images: Path

    @property
    def audit_log(self) -> Path:
        """What service accounts ask for, one event a line."""
        return self.directory / "audit.log"

    @property
    def certificate(self) -> Path:
        """Of the API server, which made and signed it itself."""
        return self.directory / "certs" / "apiserver.crt"

    def kubeconfig(self, user: str) -> Path:
        return self.directory / f"{user}.kubeconfig"


class ControlPlane:
    """The parts of one control plane, by name, in the order in which they are started."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.parts = {
            name: Part(arguments, place.directory / f"{name}.log") for name, arguments in commands(place).items()
        }

    def kubeconfig(self, user: str) -> Path:
        """The file by which this user reaches the API server."""
        return self.place.kubeconfig(user)

    def api(self, user: str) -> Api:
        """The API server, as this user."""
        return Api(self.place.api_port, self.place.certificate, user)

    def audit(self) -> list[Mapping[str, Any]]:
        """What service accounts have asked for and were answered, oldest first (audit.k8s.io/v1, Event)."""
        return [json.loads(line) for line in self.place.audit_log.read_text().splitlines()]

    def start(self, name: str) -> None:
        """Start a part and wait until it is of use."""
        part = self.parts[name]
        part.start()
        if name == "kube-apiserver":
            part.until(lambda: self._answers("/readyz", bool), "ready")
        elif name == "kube-controller-manager":
            part.until(lambda: self._answers("/api/v1/namespaces/default/serviceaccounts/default", bool), "at work")
        elif name.startswith("node-"):
            part.until(lambda: self._answers(f"/api/v1/nodes/{name}", _is_ready), "registered")

    def end(self) -> None:
        """End every part, the nodes first: they take the containers with them."""
        for part in reversed(self.parts.values()):
            part.end()

    def _answers(self, path: str, is_well: Callable[[Any], bool]) -> bool:
        """Whether this can be had already, and is well."""
        try:
            answer = self.api("admin").get(path)
        except (OSError, http.client.HTTPException):
            return False
        return answer.status == 200 and is_well(answer.body)


def _is_ready(node: Mapping[str, Any]) -> bool:
    conditions = node["status"].get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


@contextmanager
def control_plane(directory: Path, *, nodes: int = 1, images: Path = IMAGES) -> Iterator[ControlPlane]:
    """A control plane that is ready for use, with its files in this directory; nothing of it is left running."""
    api_port, etcd_port, etcd_peer_port = free_ports(3)
    place = Place(directory.resolve(), api_port, etcd_port, etcd_peer_port, nodes, images)
    _furnish(place)
    plane = ControlPlane(place)
    try:
        for name in plane.parts:
            plane.start(name)
        yield plane
    finally:
        plane.end()


def _furnish(place: Place) -> None:
    place.certificate.parent.mkdir(parents=True, exist_ok=True)
    key = subprocess.run([built(), "key"], check=True, capture_output=True).stdout
    (place.directory / "sa.key").write_bytes(key)
    users = "".join(f'{user},{user},{user},"{group}"\n' for user, group in GROUPS.items())
    (place.directory / "tokens.csv").write_text(users)
    (place.directory / "audit-policy.json").write_text(json.dumps(AUDIT_POLICY))
    for user in GROUPS:
        place.kubeconfig(user).write_text(json.dumps(kubeconfig(place, user)))


def kubeconfig(place: Place, user: str) -> Mapping[str, object]:
    """What a kubeconfig of this user holds."""
    cluster = {"server": f"https://127.0.0.1:{place.api_port}", "certificate-authority": str(place.certificate)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": user, "user": {"token": user}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
    }


def commands(place: Place) -> Mapping[str, list[str]]:
    """The arguments of every part, by its name."""
    administrator = ["--kubeconfig", str(place.kubeconfig("admin"))]
    key = str(place.directory / "sa.key")
    unlimited = ["--leader-elect=false", "--secure-port=0", "--kube-api-qps=500", "--kube-api-burst=1000"]
    authority = ["--service-account-private-key-file", key, "--root-ca-file", str(place.certificate)]
    parts = {
        "etcd": _etcd(place),
        "kube-apiserver": _api_server(place, key),
        "kube-controller-manager": [*administrator, *unlimited, *authority],
        "kube-scheduler": [*administrator, *unlimited],
    }
    command = {name: [name, *flags] for name, flags in parts.items()}
    for number in range(place.nodes):
        name, logs = f"node-{number}", str(place.directory / f"pods-{number}")
        command[name] = ["node", *administrator, "--name", name, "--logs", logs, "--images", str(place.images)]
    return command


def _etcd(place: Place) -> list[str]:
    """One member that does not wait for the disk: what is tested is not its durability."""
    url, peer = (f"http://127.0.0.1:{port}" for port in (place.etcd_port, place.etcd_peer_port))
    urls = ["--listen-client-urls", url, "--advertise-client-urls", url]
    peers = ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"]
    return ["--data-dir", str(place.directory / "etcd"), *urls, *peers, "--unsafe-no-fsync", "--log-level=error"]


def _api_server(place: Place, key: str) -> list[str]:
    tokens, certificates = place.directory / "tokens.csv", place.certificate.parent
    serving = ["--bind-address=127.0.0.1", f"--secure-port={place.api_port}", "--cert-dir", str(certificates)]
    accounts = ["--service-account-key-file", key, "--service-account-signing-key-file", key]
    rights = ["--token-auth-file", str(tokens), "--authorization-mode=Node,RBAC"]
    cluster = ["--service-account-issuer=https://kubernetes.default.svc", "--service-cluster-ip-range=10.0.0.0/24"]
    storage = ["--etcd-servers", f"http://127.0.0.1:{place.etcd_port}", "--endpoint-reconciler-type=none"]
    policy = str(place.directory / "audit-policy.json")
    audit = ["--audit-policy-file", policy, "--audit-log-path", str(place.audit_log)]
    return [*serving, *accounts, *rights, *cluster, *storage, *audit]
