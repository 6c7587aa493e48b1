"""A CronJob as a definition: every row of the specification's table, and everything that is wrong with one at once."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import pytest

from slimjobs.core.orchestrators.kubernetes.cron_jobs import CronJob, found_definition
from slimjobs.eventlog.events.definitions import (
    Definition,
    EnvironmentVariable,
    Overrides,
    Resources,
    RestartPolicy,
    Visibility,
)

# As the specification prints it (§2.3).
FIBONACCI: Final[Mapping[str, Any]] = {
    "apiVersion": "batch/v1",
    "kind": "CronJob",
    "metadata": {
        "name": "fibonacci5",
        "namespace": "slimfaas-demo",
        "annotations": {
            "SlimFaas/Job": "true",
            "SlimFaas/DefaultVisibility": "Public",
            "SlimFaas/NumberParallelJob": "1",
            "SlimFaas/DependsOn": "fibonacci1,fibonacci2",
        },
    },
    "spec": {
        "schedule": "0 0 * * *",
        "suspend": True,
        "jobTemplate": {
            "spec": {
                "backoffLimit": 1,
                "ttlSecondsAfterFinished": 60,
                "template": {
                    "spec": {
                        "containers": [
                            {
                                "name": "fibonacci11",
                                "image": "axaguildev/fibonacci-batch:latest",
                                "resources": {
                                    "requests": {"cpu": "400m", "memory": "400Mi"},
                                    "limits": {"cpu": "400m", "memory": "400Mi"},
                                },
                            }
                        ],
                        "restartPolicy": "Never",
                    }
                },
            }
        },
    },
}


def changed(path: str, value: object) -> dict[str, Any]:
    """The CronJob with this at that path; None removes what is there."""
    made = copy.deepcopy(dict(FIBONACCI))
    *way, last = path.split("|")
    at: Any = made
    for step in way:
        at = at[int(step)] if step.isdecimal() else at.setdefault(step, {})
    if value is None:
        at.pop(last, None)
    else:
        at[last] = value
    return made


def read(written: Mapping[str, Any]) -> CronJob:
    return msgspec.json.decode(msgspec.json.encode(written), type=CronJob)


JOB: Final = "spec|jobTemplate|spec"
CONTAINER: Final = f"{JOB}|template|spec|containers|0"
NOTE: Final = "metadata|annotations"


def definition(written: Mapping[str, Any]) -> Definition:
    found = found_definition(read(written))
    assert found.problems == ()
    assert found.definition is not None
    return found.definition


def test_the_cron_job_of_the_specification() -> None:
    found = definition(FIBONACCI)
    assert msgspec.structs.replace(found, pod_template=None) == Definition(
        image="axaguildev/fibonacci-batch:latest",
        resources=Resources({"cpu": "400m", "memory": "400Mi"}, {"cpu": "400m", "memory": "400Mi"}),
        depends_on=("fibonacci1", "fibonacci2"),
        backoff_limit=1,
        visibility=Visibility.PUBLIC,
        number_parallel_job=1,
        ttl_seconds_after_finished=60,
        restart_policy=RestartPolicy.NEVER,
    )
    assert found.pod_template is not None
    assert msgspec.json.decode(found.pod_template) == FIBONACCI["spec"]["jobTemplate"]["spec"]["template"]


@pytest.mark.parametrize(
    ("path", "value", "field", "expected"),
    [
        (f"{NOTE}|SlimFaas/JobImagesWhitelist", "a:*, b:1,", "images_whitelist", ("a:*", "b:1")),
        (f"{NOTE}|SlimFaas/DefaultVisibility", None, "visibility", Visibility.PRIVATE),
        (f"{NOTE}|SlimFaas/NumberParallelJob", "7", "number_parallel_job", 7),
        (f"{NOTE}|SlimFaas/DependsOn", None, "depends_on", ()),
        (f"{CONTAINER}|command", ["sh", "-c"], "command", ("sh", "-c")),
        (f"{CONTAINER}|args", ["42"], "args", ("42",)),
        (f"{CONTAINER}|resources", {"limits": {"cpu": 1}}, "resources", Resources({}, {"cpu": "1"})),
        (f"{JOB}|backoffLimit", None, "backoff_limit", 1),
        (f"{JOB}|backoffLimit", 0, "backoff_limit", 0),
        (f"{JOB}|ttlSecondsAfterFinished", None, "ttl_seconds_after_finished", 60),
        (f"{JOB}|activeDeadlineSeconds", 30, "active_deadline_seconds", 30),
        (f"{JOB}|template|spec|restartPolicy", "OnFailure", "restart_policy", RestartPolicy.ON_FAILURE),
    ],
)
def test_a_field_and_what_it_becomes(path: str, value: object, field: str, expected: object) -> None:
    assert getattr(definition(changed(path, value)), field) == expected


def test_every_kind_of_variable() -> None:
    variables: list[dict[str, Any]] = [
        {"name": "PLAIN", "value": "1"},
        {"name": "EMPTY"},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        {"name": "MAP", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k", "optional": True}}},
        {"name": "FIELD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "RESOURCE", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
    ]
    found = definition(changed(f"{CONTAINER}|env", variables)).environments
    assert found[:3] == (
        EnvironmentVariable("PLAIN", "1"),
        EnvironmentVariable("EMPTY", ""),
        EnvironmentVariable("SECRET", value_from=b'{"secretKeyRef":{"key":"k","name":"s"}}'),
    )
    assert [variable.name for variable in found] == [variable["name"] for variable in variables]


def test_the_whole_pod_template_is_kept() -> None:
    sidecar = {"name": "side", "image": "side:1"}
    written = changed(f"{JOB}|template|spec|serviceAccountName", "batch")
    written["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"].append(sidecar)
    template = definition(written).pod_template
    assert template is not None
    pod = msgspec.json.decode(template)["spec"]
    assert (pod["serviceAccountName"], pod["containers"][1]) == ("batch", sidecar)


def test_schedules_come_from_their_annotation_never_from_the_cron_job_itself() -> None:
    assert found_definition(read(FIBONACCI)).schedules == ()
    text = '[{"Schedule": "0 3 * * *", "Args": ["42"]}, {"Schedule": "@hourly", "TimeZone": "Europe/Paris"},]'
    first, second = found_definition(read(changed(f"{NOTE}|SlimFaas/Schedules", text))).schedules
    assert (first.expression.text, first.overrides, first.time_zone) == ("0 3 * * *", Overrides(args=("42",)), None)
    assert (second.expression.text, second.time_zone) == ("@hourly", "Europe/Paris")


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("metadata|name", "ab", "metadata.name: a job's name takes 3 to 30"),
        ("metadata|name", "a.b.c", "metadata.name: a job's name takes 3 to 30"),
        ("spec|suspend", None, "spec.suspend: expected true"),
        ("spec|suspend", False, "spec.suspend: expected true"),
        ("spec|suspend", "yes", "spec: Expected `bool`"),
        (f"{NOTE}|SlimFaas/DefaultVisibility", "public?", "the annotation SlimFaas/DefaultVisibility: "),
        (f"{NOTE}|SlimFaas/NumberParallelJob", "two", "the annotation SlimFaas/NumberParallelJob: "),
        (f"{NOTE}|SlimFaas/NumberParallelJob", "0", "the annotation SlimFaas/NumberParallelJob: "),
        (f"{NOTE}|SlimFaas/DependsOn", "ok,No Name", "the annotation SlimFaas/DependsOn[1]: "),
        (f"{NOTE}|SlimFaas/Schedules", '[{"Schedule": "* * *"}]', "the annotation SlimFaas/Schedules, line 1, column "),
        (f"{NOTE}|SlimFaas/Schedules", "[1]", "the annotation SlimFaas/Schedules, line 1, column "),
        (f"{JOB}|backoffLimit", -1, "spec.jobTemplate.spec.backoffLimit: "),
        (f"{JOB}|template|spec|restartPolicy", "Always", "spec.jobTemplate.spec.template.spec.restartPolicy: "),
        (f"{CONTAINER}|image", "a b", "spec.jobTemplate.spec.template.spec.containers[0].image: "),
        (
            f"{CONTAINER}|resources",
            {"limits": {"cpu": "x"}},
            "spec.jobTemplate.spec.template.spec.containers[0].resources.limits.cpu",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(path: str, value: object, said: str) -> None:
    found = found_definition(read(changed(path, value)))
    assert found.definition is None
    [problem] = found.problems
    assert problem.startswith(said)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    written = changed("spec|suspend", False)
    written["metadata"] |= {"name": "x", "annotations": {"SlimFaas/Job": "true", "SlimFaas/NumberParallelJob": "x"}}
    assert len(found_definition(read(written)).problems) == 3


@pytest.mark.parametrize(
    ("value", "declares"), [("true", True), ("True", True), ("false", False), ("", False), (None, False)]
)
def test_only_who_says_so_declares_a_job(value: str | None, declares: bool) -> None:
    assert read(changed(f"{NOTE}|SlimFaas/Job", value)).declares is declares


def test_one_without_anything_in_it_is_broken_and_not_the_end() -> None:
    assert found_definition(read({"metadata": {"name": "empty"}})).definition is None
    assert found_definition(read({"metadata": {"name": "text"}, "spec": "no"})).definition is None
