"""Ours: Kubernetes takes every manifest as it is, and the Role is what a node needs, no verb more and none less."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.cluster.api import Api
from tests.cluster.control_plane import ControlPlane
from tests.deploy.nodes import Node, slimjobs, until
from tests.e2e.manifests import DEMO, KUSTOMIZATIONS, Manifest, apply, built, identity, one, path_of, post
from tests.e2e.pods_of_slimfaas import (
    ACCOUNT,
    await_account,
    new_namespace,
    only_pod,
    remove_namespace,
    three_pods,
    told,
)

NAMESPACE: Final = "slimfaas-demo"

AFTER_AN_OUTAGE_SECONDS: Final = 90
"""Kubernetes' own watchers (client-go's reflectors) try again after pauses of up to 30 s each."""

Right = tuple[str, str, str]
"""Group, resource and verb."""


@pytest.fixture
def admin(plane: ControlPlane) -> Api:
    return plane.api("admin")


@pytest.fixture
def demo(plane: ControlPlane, admin: Api) -> Iterator[list[Manifest]]:
    """The demonstration, applied; of its StatefulSet one pod."""
    objects = built(DEMO)
    one(objects, "StatefulSet", "slimfaas")["spec"]["replicas"] = 1
    apply(admin, objects)
    await_account(admin, NAMESPACE)
    yield objects
    remove_namespace(admin, NAMESPACE)


def test_every_manifest_is_one_that_the_api_server_takes(admin: Api) -> None:
    objects = built(DEMO)
    new_namespace(admin, NAMESPACE)
    for each in objects:
        answer = post(admin, each, "&dryRun=All")
        expected = 409 if each["kind"] == "Namespace" else 201
        assert answer.status == expected, (identity(each), answer)
    remove_namespace(admin, NAMESPACE)


def test_no_file_of_the_manifests_is_left_out() -> None:
    folders = [KUSTOMIZATIONS / "base", DEMO]
    for folder in folders:
        written = yaml.safe_load((folder / "kustomization.yaml").read_text())
        named = {*written["resources"], *(each["path"] for each in written.get("patches", ()))}
        there = {file.name for file in folder.glob("*.yaml")} - {"kustomization.yaml"}
        assert {name for name in named if name.endswith(".yaml")} == there


def test_what_the_nodes_run_as_may_do_nothing_else_to_their_machine() -> None:
    spec = one(built(DEMO), "StatefulSet", "slimfaas")["spec"]["template"]["spec"]
    [container] = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"] == {"memory": "76Mi", "cpu": "400m"}


def test_the_nodes_are_admitted_where_the_restricted_pod_security_standard_is_enforced(admin: Api) -> None:
    new_namespace(admin, NAMESPACE, {"pod-security.kubernetes.io/enforce": "restricted"})
    objects = built(DEMO)
    apply(admin, [one(objects, "ServiceAccount", ACCOUNT)])
    template = one(objects, "StatefulSet", "slimfaas")["spec"]["template"]
    metadata = {**template["metadata"], "name": "slimfaas-0", "namespace": NAMESPACE}
    spec = {
        **template["spec"],
        "volumes": [*template["spec"]["volumes"], *claimed("slimfaas-volume", "slimfaas-backup")],
    }
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    answer = post(admin, pod, "&dryRun=All")
    assert answer.status == 201, answer
    [container] = copy.deepcopy(spec["containers"])
    del container["securityContext"]
    assert post(admin, {**pod, "spec": {**spec, "containers": [container]}}, "&dryRun=All").status == 403
    remove_namespace(admin, NAMESPACE)


def test_every_verb_of_the_role_is_used_and_none_is_missing(
    plane: ControlPlane, admin: Api, demo: list[Manifest], tmp_path: Path
) -> None:
    begun = len(plane.audit())
    add_a_dependency_of_the_other_kind(admin)
    with demonstration(plane, demo, tmp_path) as node:
        run = node.trigger("fibonacci", "10")
        node.until_status("fibonacci", run, "Succeeded")
        assert slimjobs("logs", f"fibonacci/{run}", "--url", node.url).stdout == "55\n"
        depending = node.client.request("POST", "/job/fibonacci", {"DependsOn": ["database"]}).body["Id"]
        node.until_status("fibonacci", depending, "Succeeded")
        assert node.client.request("DELETE", f"/job/fibonacci/{run}").status in (200, 202)
        until(lambda: asked(plane, begun) >= allowed(demo), "every right is used")
    assert asked(plane, begun) == allowed(demo)
    assert refused(plane, begun) == []


def test_three_nodes_run_under_it_and_answer_their_probes_and_one_of_them_may_be_lost(
    plane: ControlPlane, admin: Api, demo: list[Manifest], tmp_path: Path
) -> None:
    begun = len(plane.audit())
    [container] = one(demo, "StatefulSet", "slimfaas")["spec"]["template"]["spec"]["containers"]
    settings = {**as_mounted(demo, tmp_path), "SlimFaas__TrustedNetworks": "127.0.0.0/8"}
    with three_pods(plane, NAMESPACE, told(demo), tmp_path / "pods", **settings) as nodes:
        for node in nodes:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                assert node.client.request("GET", container[probe]["httpGet"]["path"]).status == 200
        runs = [node.trigger("fibonacci", "10") for node in nodes]
        leader = leader_of(nodes)
        leader.kill()
        others = [node for node in nodes if node is not leader]
        for run in runs:
            others[0].until_status("fibonacci", run, "Succeeded")
    jobs = admin.get(f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs").body["items"]
    assert {each["metadata"]["name"] for each in jobs} == {f"fibonacci-slimfaas-job-{run}" for run in runs}
    assert refused(plane, begun) == []


def test_who_loses_a_right_says_which_and_goes_on_when_it_is_back(
    plane: ControlPlane, admin: Api, demo: list[Manifest], tmp_path: Path
) -> None:
    role = one(demo, "Role", ACCOUNT)
    path = f"{path_of(role)}/{ACCOUNT}"
    less = copy.deepcopy(role["rules"])
    less[0]["verbs"].remove("create")
    with demonstration(plane, demo, tmp_path) as node:
        assert admin.request("PATCH", path, {"rules": less}).status == 200
        run = node.client.request("POST", "/job/fibonacci", {"DependsOn": []}).body["Id"]

        def is_told() -> bool:
            said = [each["Detail"] for each in node.row("fibonacci", run)["Why"]]
            return any("cannot create resource" in each and "jobs" in each for each in said)

        until(is_told, "its run says what may not be done")
        assert admin.request("PATCH", path, {"rules": role["rules"]}).status == 200
        node.until_status("fibonacci", run, "Succeeded")


def test_who_may_not_see_jobs_any_more_says_so_and_sees_them_again(
    plane: ControlPlane, admin: Api, demo: list[Manifest], tmp_path: Path
) -> None:
    role = one(demo, "Role", ACCOUNT)
    path = f"{path_of(role)}/{ACCOUNT}"
    with demonstration(plane, demo, tmp_path, SlimFaas__TrustedNetworks="127.0.0.0/8") as node:
        assert admin.request("PATCH", path, {"rules": []}).status == 200
        plane.parts["kube-apiserver"].kill()  # watches that were allowed go on otherwise
        plane.start("kube-apiserver")

        def is_blind() -> bool:
            return "cannot list resource" in str(node.client.request("GET", "/jobs/status").body["Problems"])

        until(is_blind, "it is told why")
        assert admin.request("PATCH", path, {"rules": role["rules"]}).status == 200
        until(lambda: not is_blind(), "it sees again")
        run = node.client.request("POST", "/job/fibonacci", {"DependsOn": []}).body["Id"]
        until(lambda: bool(node.row("fibonacci", run)["Status"] == "Succeeded"), "it has run", AFTER_AN_OUTAGE_SECONDS)


# ----------------------------------------------------------------------------------------------------------------------


def demonstration(
    plane: ControlPlane, objects: list[Manifest], directory: Path, **settings: str
) -> AbstractContextManager[Node]:
    """Its one pod."""
    given = {**as_mounted(objects, directory), **settings}
    return only_pod(plane, NAMESPACE, told(objects), directory / "pod", **given)


def as_mounted(objects: list[Manifest], directory: Path) -> dict[str, str]:
    """What a pod is told in which the ConfigMap is a file; its port for callers is any."""
    mounted = directory / "SlimFaas__JobsConfiguration"
    mounted.write_text(one(objects, "ConfigMap", "slimfaas-config")["data"][mounted.name])
    configuration = {"SlimFaas__JobsConfiguration": "", "SlimFaas__JobsConfigurationFile": str(mounted)}
    return {**configuration, "SlimFaas__HttpPort": "0"}


def leader_of(nodes: list[Node]) -> Node:
    """The one that leads, as they say."""
    name = nodes[0].client.request("GET", "/cluster").body["Leader"]
    return nodes[int(name.removeprefix("slimfaas-"))]


def claimed(*names: str) -> list[Mapping[str, Any]]:
    """The volumes that a StatefulSet's claims of these names become."""
    return [{"name": name, "persistentVolumeClaim": {"claimName": f"{name}-slimfaas-0"}} for name in names]


def add_a_dependency_of_the_other_kind(admin: Api) -> None:
    """A StatefulSet that is asleep."""
    template = {
        "metadata": {"labels": {"app": "database"}, "annotations": {"SlimFaas/Function": "true"}},
        "spec": {"containers": [{"name": "main", "image": "axaguildev/fibonacci:latest"}]},
    }
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "database"}}, "template": template}
    metadata = {"name": "database", "namespace": NAMESPACE}
    apply(admin, [{"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": spec}])


def of_the_nodes(plane: ControlPlane, begun: int) -> list[Mapping[str, Any]]:
    """What the nodes have asked for since."""
    user = f"system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
    return [each for each in plane.audit()[begun:] if each["user"]["username"] == user]


def refused(plane: ControlPlane, begun: int) -> list[Mapping[str, Any]]:
    """What of it they had no right to."""
    return [each for each in of_the_nodes(plane, begun) if each["responseStatus"]["code"] in (401, 403)]


def asked(plane: ControlPlane, begun: int) -> set[Right]:
    """The rights that they needed for it."""
    return {_right(each["objectRef"], each["verb"]) for each in of_the_nodes(plane, begun)}


def _right(of: Mapping[str, str], verb: str) -> Right:
    resource = f"{of['resource']}/{of['subresource']}" if "subresource" in of else of["resource"]
    return of.get("apiGroup", ""), resource, verb


def allowed(objects: list[Manifest]) -> set[Right]:
    """The rights that they have."""
    return {
        (group, resource, verb)
        for rule in one(objects, "Role", ACCOUNT)["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
