"""Manifests as a person applies them: files of YAML, and what kustomize makes of a folder of ours.

Of kustomize only what those folders use: `resources`, `namespace`, and `patches` of maps by kind and name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from tests.cluster.api import Answer, Api

Manifest = dict[str, Any]

KUSTOMIZATIONS: Final = Path(__file__).parents[2] / "deploy" / "kubernetes"
DEMO: Final = KUSTOMIZATIONS / "overlays" / "demo"


class Kind(NamedTuple):
    """How the API server calls the objects of a kind; `is_global`: they are in no namespace."""

    plural: str
    is_global: bool = False


KINDS: Final[Mapping[str, Kind]] = {
    "ConfigMap": Kind("configmaps"),
    "CronJob": Kind("cronjobs"),
    "Deployment": Kind("deployments"),
    "Namespace": Kind("namespaces", is_global=True),
    "NetworkPolicy": Kind("networkpolicies"),
    "Pod": Kind("pods"),
    "PodDisruptionBudget": Kind("poddisruptionbudgets"),
    "Role": Kind("roles"),
    "RoleBinding": Kind("rolebindings"),
    "Service": Kind("services"),
    "ServiceAccount": Kind("serviceaccounts"),
    "StatefulSet": Kind("statefulsets"),
}


def read(file: Path) -> list[Manifest]:
    """The objects in a file."""
    return [each for each in yaml.safe_load_all(file.read_text()) if each is not None]


def built(folder: Path) -> list[Manifest]:
    """The objects of a kustomization."""
    [kustomization] = read(folder / "kustomization.yaml")
    unknown = set(kustomization) - {"apiVersion", "kind", "resources", "namespace", "patches"}
    assert not unknown, f"this is not kustomize: {unknown}"
    objects = [each for name in kustomization["resources"] for each in _resource(folder / name)]
    for patch in kustomization.get("patches", ()):
        [change] = read(folder / patch["path"])
        [changed] = [each for each in objects if identity(each) == identity(change)]
        _merge(changed, change)
    if "namespace" in kustomization:
        for each in objects:
            _move(each, kustomization["namespace"])
    return objects


def identity(manifest: Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]


def one(objects: list[Manifest], kind: str, name: str) -> Manifest:
    """The object of this kind and name."""
    [found] = [each for each in objects if identity(each) == (kind, name)]
    return found


def path_of(manifest: Manifest) -> str:
    """Where the API server takes objects of this kind."""
    version, kind = manifest["apiVersion"], KINDS[manifest["kind"]]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    return f"{root}/{kind.plural}" if kind.is_global else f"{root}/namespaces/{_namespace(manifest)}/{kind.plural}"


def post(api: Api, manifest: Manifest, query: str = "") -> Answer:
    """What the API server says to a new object; what it does not know in it is refused."""
    return api.post(f"{path_of(manifest)}?fieldValidation=Strict{query}", manifest)


def apply(api: Api, objects: list[Manifest]) -> None:
    """Create these objects."""
    for each in objects:
        answer = post(api, each)
        assert answer.status == 201, (identity(each), answer)


def _resource(place: Path) -> Iterator[Manifest]:
    yield from built(place) if place.is_dir() else read(place)


def _namespace(manifest: Manifest) -> str:
    return str(manifest["metadata"].get("namespace", "default"))


def _move(manifest: Manifest, namespace: str) -> None:
    if not KINDS[manifest["kind"]].is_global:
        manifest["metadata"]["namespace"] = namespace
    for subject in manifest.get("subjects", ()):
        subject["namespace"] = namespace


def _merge(into: Manifest, change: Manifest) -> None:
    """A strategic merge of maps; a list in a patch would want to know how its items are told apart."""
    for key, value in change.items():
        assert not isinstance(value, list), f"a list in a patch: {key}"
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value
