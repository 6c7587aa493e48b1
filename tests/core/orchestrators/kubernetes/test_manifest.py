"""The Job object of a run: its definition, on top of a pod template if there is one."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
import pytest

from slimjobs.core.orchestrators.kubernetes.manifest import TemplateUnusable, manifest
from slimjobs.core.orchestrators.ports import Job
from slimjobs.eventlog.events.definitions import Definition, EnvironmentVariable, Resources, RestartPolicy
from slimjobs.eventlog.events.runs import job_object_name, run_id_text
from tests.core.orchestrators.kubernetes.objects import CLUSTER, NAME, RUN

WHO: Final = [
    {"name": "SLIMFAAS_JOB_ID", "value": run_id_text(RUN)},
    {"name": "SLIMFAAS_JOB_PATH", "value": "a/path"},
]
LABEL_VALUE: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


def made(definition: Definition, job: str = "fibonacci") -> Any:
    """What is posted, as JSON reads."""
    name = job_object_name(job, RUN)
    return msgspec.json.decode(msgspec.json.encode(manifest(Job(name, CLUSTER, RUN, job, "a/path", definition))))


def template(**container: object) -> bytes:
    return msgspec.json.encode({"spec": {"containers": [{"name": "own", **container}]}})


def container_of(definition: Definition) -> Any:
    return made(definition)["spec"]["template"]["spec"]["containers"][0]


def test_a_definition_becomes_a_suspended_job_without_ttl() -> None:
    definition = Definition(
        image="fibonacci:1",
        args=("30",),
        command=("python3", "-u"),
        resources=Resources({"cpu": "100m"}, {"cpu": "1", "memory": "400Mi"}),
        environments=(EnvironmentVariable("A", "1"),),
        backoff_limit=3,
        restart_policy=RestartPolicy.ON_FAILURE,
        active_deadline_seconds=600,
    )
    labels = {
        "slimfaas-job-name": "fibonacci",
        "slimfaas-job-element-id": run_id_text(RUN),
        "slimfaas-cluster": CLUSTER,
        "app.kubernetes.io/name": "fibonacci",
        "app.kubernetes.io/instance": NAME,
        "app.kubernetes.io/component": "job",
        "app.kubernetes.io/managed-by": "slimjobs",
    }
    assert made(definition) == {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": NAME, "labels": labels},
        "spec": {
            "suspend": True,
            "parallelism": 1,
            "completions": 1,
            "backoffLimit": 3,
            "activeDeadlineSeconds": 600,
            "podReplacementPolicy": "Failed",
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "restartPolicy": "OnFailure",
                    "containers": [
                        {
                            "name": "fibonacci",
                            "image": "fibonacci:1",
                            "command": ["python3", "-u"],
                            "args": ["30"],
                            "resources": {
                                "requests": {"cpu": "100m"},
                                "limits": {"cpu": "1", "memory": "400Mi"},
                            },
                            "env": [*WHO, {"name": "A", "value": "1"}],
                            "securityContext": {"allowPrivilegeEscalation": False},
                        }
                    ],
                },
            },
        },
    }


def test_what_a_definition_does_not_say_is_left_to_the_image() -> None:
    container = container_of(Definition(image="fibonacci:1"))
    assert container.keys() == {"name", "image", "env", "securityContext"}
    assert "activeDeadlineSeconds" not in made(Definition(image="fibonacci:1"))["spec"]


@pytest.mark.parametrize("name", ["abc", "a-b", "0a0", "x" * 30])
def test_the_labels_are_valid_for_any_name_of_a_job(name: str) -> None:
    labels = made(Definition(), name)["metadata"]["labels"]
    assert all(LABEL_VALUE.fullmatch(value) for value in labels.values()), labels


@pytest.mark.parametrize(
    "reference",
    [
        {"secretKeyRef": {"key": "k", "name": "s", "optional": True}},
        {"configMapKeyRef": {"key": "k", "name": "c"}},
        {"fieldRef": {"fieldPath": "status.podIP"}},
        {"resourceFieldRef": {"divisor": "1", "resource": "limits.cpu"}},
    ],
)
def test_references_are_passed_on_as_they_are(reference: object) -> None:
    variable = EnvironmentVariable("A", value_from=msgspec.json.encode(reference))
    container = container_of(Definition(environments=(variable, EnvironmentVariable("EMPTY"))))
    assert container["env"] == [*WHO, {"name": "A", "valueFrom": reference}, {"name": "EMPTY", "value": ""}]


def test_a_pod_template_stays_whole_but_for_what_the_definition_says_itself() -> None:
    pod_template = msgspec.json.encode(
        {
            "metadata": {"annotations": {"note": "kept"}, "labels": {"team": "a", "slimfaas-cluster": "another's"}},
            "spec": {
                "serviceAccountName": "jobs",
                "automountServiceAccountToken": False,
                "restartPolicy": "Always",
                "volumes": [{"name": "scratch", "emptyDir": {}}],
                "tolerations": [{"operator": "Exists"}],
                "containers": [
                    {
                        "name": "own",
                        "image": "fibonacci:1",
                        "command": ["old"],
                        "args": ["old"],
                        "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
                        "resources": {"limits": {"cpu": "1", "nvidia.com/gpu": "1"}, "claims": [{"name": "c"}]},
                        "securityContext": {"runAsUser": 1000},
                    },
                    {"name": "beside", "image": "sidecar:1"},
                ],
            },
        }
    )
    definition = Definition(
        image="fibonacci:2", args=("new",), resources=Resources({}, {"cpu": "2"}), pod_template=pod_template
    )
    made_template = made(definition)["spec"]["template"]
    assert made_template["metadata"]["annotations"] == {"note": "kept"}
    assert made_template["metadata"]["labels"]["team"] == "a"
    assert made_template["metadata"]["labels"]["slimfaas-cluster"] == CLUSTER
    assert made_template["spec"] == {
        "serviceAccountName": "jobs",
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
        "volumes": [{"name": "scratch", "emptyDir": {}}],
        "tolerations": [{"operator": "Exists"}],
        "containers": [
            {
                "name": "own",
                "image": "fibonacci:2",
                "command": ["old"],
                "args": ["new"],
                "volumeMounts": [{"name": "scratch", "mountPath": "/scratch"}],
                "resources": {"limits": {"cpu": "2", "nvidia.com/gpu": "1"}, "claims": [{"name": "c"}]},
                "env": WHO,
                "securityContext": {"allowPrivilegeEscalation": False, "runAsUser": 1000},
            },
            {"name": "beside", "image": "sidecar:1"},
        ],
    }


def test_variables_keep_the_templates_order_and_nobody_says_otherwise_who_the_run_is() -> None:
    own = [
        {"name": "A", "value": "template"},
        {"name": "SLIMFAAS_JOB_ID", "value": "forged"},
        {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]
    variables = (
        EnvironmentVariable("C", "new"),
        EnvironmentVariable("A", "definition"),
        EnvironmentVariable("SLIMFAAS_JOB_PATH", "forged"),
    )
    container = container_of(Definition(environments=variables, pod_template=template(env=own)))
    assert container["env"] == [
        *WHO,
        {"name": "A", "value": "definition"},
        own[2],
        {"name": "C", "value": "new"},
    ]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        (None, {"allowPrivilegeEscalation": False}),
        ({}, {"allowPrivilegeEscalation": False}),
        ({"readOnlyRootFilesystem": True}, {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True}),
        ({"privileged": False}, {"allowPrivilegeEscalation": False, "privileged": False}),
        # What the operator said stands; also where it follows from what was said.
        ({"allowPrivilegeEscalation": True}, {"allowPrivilegeEscalation": True}),
        ({"privileged": True}, {"privileged": True}),
        ({"capabilities": {"add": ["CAP_SYS_ADMIN"]}}, {"capabilities": {"add": ["CAP_SYS_ADMIN"]}}),
        (
            {"capabilities": {"add": ["NET_BIND_SERVICE"]}},
            {"allowPrivilegeEscalation": False, "capabilities": {"add": ["NET_BIND_SERVICE"]}},
        ),
    ],
)
def test_privileges_are_not_escalated_unless_the_template_says_so(said: object, kept: object) -> None:
    assert container_of(Definition(pod_template=template(securityContext=said)))["securityContext"] == kept


@pytest.mark.parametrize(
    "empty", ["{}", '{"spec": null}', '{"spec": {"containers": []}}', '{"spec": {"containers": [{}]}}']
)
def test_a_template_need_not_have_a_container(empty: str) -> None:
    assert container_of(Definition(image="a", pod_template=empty.encode()))["name"] == "fibonacci"


@pytest.mark.parametrize(
    ("written", "where"),
    [
        ('{"spec": 1}', "PodTemplate.spec"),
        ('{"metadata": []}', "PodTemplate.metadata"),
        ('{"metadata": {"labels": "a"}}', "PodTemplate.metadata.labels"),
        ('{"spec": {"containers": {}}}', "PodTemplate.spec.containers"),
        ('{"spec": {"containers": [1]}}', "PodTemplate.spec.containers"),
        ('{"spec": {"containers": [{"env": {}}]}}', "PodTemplate.spec.containers[0].env"),
        ('{"spec": {"containers": [{"resources": 1}]}}', "PodTemplate.spec.containers[0].resources"),
        ('{"spec": {"containers": [{"securityContext": []}]}}', "PodTemplate.spec.containers[0].securityContext"),
    ],
)
def test_a_template_that_is_not_built_as_one_is_refused_where_it_is_not(written: str, where: str) -> None:
    with pytest.raises(TemplateUnusable, match=rf"^{re.escape(where)}: Expected"):
        made(Definition(image="a", pod_template=written.encode()))
