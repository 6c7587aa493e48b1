"""The jobs configuration: the specification's examples as printed, every key, and every problem with its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimjobs.core.configuration.definitions import BUILT_IN_DEFAULT
from slimjobs.core.configuration.definitions import KEYS as DEFINITION_KEYS
from slimjobs.core.configuration.jobs import EMPTY, Configuration, read_configuration
from slimjobs.core.configuration.services import Service
from slimjobs.eventlog.events.definitions import (
    Definition,
    EnvironmentVariable,
    Overrides,
    Resources,
    RestartPolicy,
    Source,
    Visibility,
)
from slimjobs.eventlog.events.schedules import ConcurrencyPolicy

EXAMPLES = Path(__file__).parent / "examples"
FOUR_HUNDRED = {"cpu": "400m", "memory": "400Mi"}


def read(text: str | bytes) -> Configuration:
    reading = read_configuration(text)
    assert reading.problems == ()
    assert reading.configuration is not None
    return reading.configuration


def definition(text: str, name: str = "job") -> Definition:
    return read(f'{{"Configurations": {{"{name}": {text}}}}}').definitions[name.lower()]


def complaints(text: str | bytes) -> list[tuple[str, int, int, str]]:
    reading = read_configuration(text)
    assert reading.configuration is None
    return [(problem.path, problem.line, problem.column, problem.text) for problem in reading.problems]


def complaint_about(body: str, name: str = "job") -> tuple[str, str]:
    """The path within the definition, and the text, of the one problem that this definition has."""
    (found,) = complaints(f'{{"Configurations": {{"{name}": {body}}}}}')
    return found[0].removeprefix(f"$.Configurations.{name}"), found[3]


def test_the_configmap_of_the_specification_loads_as_printed() -> None:
    configuration = read((EXAMPLES / "configmap.txt").read_text())
    assert configuration.definitions["fibonacci"] == Definition(
        image="axaguildev/fibonacci-batch:latest",
        resources=Resources(requests=FOUR_HUNDRED, limits=FOUR_HUNDRED),
        depends_on=("fibonacci1",),
        visibility=Visibility.PUBLIC,
        number_parallel_job=2,
        ttl_seconds_after_finished=36000,
    )
    daily, weekly = configuration.schedules["fibonacci"]
    assert (daily.expression.text, weekly.expression.text) == ("0 0 * * *", "0 0 * * 0")
    assert daily.overrides == Overrides(args=("42",))
    assert weekly.overrides == Overrides(args=("42",), depends_on=("fibonacci2",))


def test_the_explained_example_of_the_specification_loads_as_printed() -> None:
    configuration = read((EXAMPLES / "explained.txt").read_bytes())
    assert configuration.definitions["fibonacci"].images_whitelist == ("axaguildev/fibonacci-batch:*",)
    assert [schedule.overrides.args for schedule in configuration.schedules["fibonacci"]] == [("43",), ("43",)]


def test_the_schedules_example_needs_no_definition() -> None:
    configuration = read((EXAMPLES / "schedules.txt").read_text())
    assert set(configuration.definitions) == {"default"}
    assert len(configuration.schedules["fibonacci"]) == 2


@pytest.mark.parametrize("text", ["", " \n\t", "{}", '{"Configurations": {}}', '{"Schedules": null}', b"", b"{}"])
def test_an_empty_configuration_has_the_built_in_default(text: str | bytes) -> None:
    assert read(text) == EMPTY
    assert EMPTY.definitions == {"default": BUILT_IN_DEFAULT}
    assert EMPTY.source_of("default") is Source.BUILT_IN
    assert BUILT_IN_DEFAULT.resources.limits == {"cpu": "100m", "memory": "100Mi"}


@pytest.mark.parametrize("name", ["Default", "default", "DEFAULT"])
def test_the_default_can_be_customised_and_keeps_what_is_not_given(name: str) -> None:
    configuration = read(f'{{"Configurations": {{"{name}": {{"Image": "busybox", "NumberParallelJob": 5}}}}}}')
    default = configuration.definitions["default"]
    assert (default.image, default.number_parallel_job) == ("busybox", 5)
    assert default.resources == BUILT_IN_DEFAULT.resources
    assert configuration.source_of("default") is Source.CONFIGURATION


def test_absent_values_are_those_of_the_contract() -> None:
    made = definition("{}")
    assert made == Definition()
    assert (made.backoff_limit, made.number_parallel_job, made.ttl_seconds_after_finished) == (1, 1, 60)
    assert (made.restart_policy, made.visibility) == (RestartPolicy.NEVER, Visibility.PRIVATE)
    assert made.image_pull_deadline_seconds == 300


def test_every_key_of_a_definition_is_read_whatever_its_case() -> None:
    body = """{
      "IMAGE": "a/b:1", "imageswhitelist": ["a/*"], "resources": {"requests": {"CPU": 1, "memory": "1024Mi"}},
      "dependson": ["db", "web.internal"], "environments": [{"name": "A", "value": "1"}], "backofflimit": 0,
      "visibility": "Public", "numberparalleljob": 3, "ttlsecondsafterfinished": 0, "restartpolicy": "OnFailure",
      "args": ["x", ""], "command": ["/bin/run", "-v"], "podtemplate": {"spec": {"b": 1, "a": [true, null, 0.5]}},
      "maxqueuedjobs": 7, "activedeadlineseconds": 60, "imagepulldeadlineseconds": 30, "allowreferenceoverrides": true
    }"""
    assert {key.casefold() for key in json.loads(body)} == set(DEFINITION_KEYS)
    assert definition(body) == Definition(
        image="a/b:1",
        images_whitelist=("a/*",),
        resources=Resources(requests={"cpu": "1", "memory": "1Gi"}),
        depends_on=("db", "web.internal"),
        environments=(EnvironmentVariable("A", "1"),),
        backoff_limit=0,
        visibility=Visibility.PUBLIC,
        number_parallel_job=3,
        ttl_seconds_after_finished=0,
        restart_policy=RestartPolicy.ON_FAILURE,
        args=("x", ""),
        command=("/bin/run", "-v"),
        pod_template=b'{"spec":{"a":[true,null,0.5],"b":1}}',
        max_queued_jobs=7,
        active_deadline_seconds=60,
        image_pull_deadline_seconds=30,
        allow_reference_overrides=True,
    )


def test_names_are_lower_cased() -> None:
    assert "my-job" in read('{"Configurations": {"My-Job": {}}}').definitions


def test_environments_take_values_and_references_in_either_spelling() -> None:
    made = definition("""{"Environments": [
      {"name": "A", "value": "1"}, {"Name": "B", "Value": ""}, {"Name": "C"},
      {"name": "D", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": true}}},
      {"Name": "E", "ValueFrom": {"ConfigMapKeyRef": {"Key": "k", "Name": "c"}}},
      {"name": "F", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
      {"name": "G", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1000m"}}}
    ]}""")
    assert made.environments == (
        EnvironmentVariable("A", "1"),
        EnvironmentVariable("B", ""),
        EnvironmentVariable("C", ""),
        EnvironmentVariable("D", value_from=b'{"secretKeyRef":{"key":"k","name":"s","optional":true}}'),
        EnvironmentVariable("E", value_from=b'{"configMapKeyRef":{"key":"k","name":"c"}}'),
        EnvironmentVariable("F", value_from=b'{"fieldRef":{"fieldPath":"status.podIP"}}'),
        EnvironmentVariable("G", value_from=b'{"resourceFieldRef":{"divisor":"1","resource":"limits.cpu"}}'),
    )


def test_a_schedule_takes_all_that_a_trigger_can_override() -> None:
    (schedule,) = read("""{"Schedules": {"Job": [{
      "schedule": "@daily", "TimeZone": "Europe/Paris", "ConcurrencyPolicy": "Forbid", "StartingDeadlineSeconds": 10,
      "Args": [], "Image": "i", "DependsOn": [], "Resources": {"Limits": {"cpu": "0.1"}}, "BackoffLimit": 2,
      "Environments": [{"name": "A", "value": "1"}], "TtlSecondsAfterFinished": 5, "RestartPolicy": "Never"
    }]}}""").schedules["job"]
    assert schedule.expression.text == "@daily"
    assert schedule.time_zone == "Europe/Paris"
    assert schedule.concurrency_policy is ConcurrencyPolicy.FORBID
    assert schedule.starting_deadline_seconds == 10
    assert schedule.overrides == Overrides(
        args=(),
        image="i",
        resources=Resources(limits={"cpu": "100m"}),
        environments=(EnvironmentVariable("A", "1"),),
        depends_on=(),
        backoff_limit=2,
        ttl_seconds_after_finished=5,
        restart_policy=RestartPolicy.NEVER,
    )


def test_a_schedule_alone_takes_the_contracts_policy_and_deadline() -> None:
    (schedule,) = read('{"Schedules": {"job": [{"Schedule": "0 0 * * *"}]}}').schedules["job"]
    assert (schedule.time_zone, schedule.concurrency_policy) == (None, ConcurrencyPolicy.ALLOW)
    assert schedule.starting_deadline_seconds == 200


def test_services_wake_and_sleep_as_the_contract_prints_them() -> None:
    services = read("""{"Dependencies": {
      "fibonacci1": {"Command": ["serve"], "ReadyPort": 8081, "ReplicasAtStart": 2,
                     "TimeoutSecondBeforeSetReplicasMin": 9},
      "db": {"Command": ["db"], "ReadyPort": 1}
    }}""").services
    assert services == {"fibonacci1": Service(("serve",), 8081, 2, 9), "db": Service(("db",), 1, 1, 300)}


@pytest.mark.parametrize(
    ("body", "path", "words"),
    [
        ('{"Imge": "a"}', ".Imge", "unknown key 'Imge'; did you mean 'Image'?"),
        ('{"Xyzzy": 1}', ".Xyzzy", "unknown key 'Xyzzy'"),
        ('{"Image": "a", "image": "b"}', ".image", "'Image' is given twice"),
        ('{"Image": 1}', ".Image", "expected a text, found the number 1"),
        ('{"Image": "a b"}', ".Image", "expected an image without spaces"),
        ('{"ImagesWhitelist": "a"}', ".ImagesWhitelist", 'expected an array, found "a"'),
        ('{"ImagesWhitelist": [""]}', ".ImagesWhitelist[0]", "expected an image"),
        ('{"DependsOn": ["Upper"]}', ".DependsOn[0]", "the name of a Deployment or StatefulSet"),
        ('{"Visibility": "Internal"}', ".Visibility", 'expected "Public" or "Private", found "Internal"'),
        ('{"Visibility": "public"}', ".Visibility", 'expected "Public" or "Private"'),
        ('{"RestartPolicy": "Always"}', ".RestartPolicy", 'expected "Never" or "OnFailure"'),
        ('{"BackoffLimit": -1}', ".BackoffLimit", "expected a whole number from 0 to 2147483647, found the number -1"),
        ('{"BackoffLimit": 1.5}', ".BackoffLimit", "expected a whole number"),
        ('{"BackoffLimit": "1"}', ".BackoffLimit", "expected a whole number"),
        ('{"BackoffLimit": true}', ".BackoffLimit", "found true"),
        ('{"BackoffLimit": 2147483648}', ".BackoffLimit", "expected a whole number"),
        ('{"NumberParallelJob": 0}', ".NumberParallelJob", "from 1"),
        ('{"TtlSecondsAfterFinished": -5}', ".TtlSecondsAfterFinished", "from 0"),
        ('{"MaxQueuedJobs": 0}', ".MaxQueuedJobs", "from 1"),
        ('{"ActiveDeadlineSeconds": 0}', ".ActiveDeadlineSeconds", "from 1"),
        ('{"ImagePullDeadlineSeconds": 0}', ".ImagePullDeadlineSeconds", "from 1"),
        ('{"AllowReferenceOverrides": "yes"}', ".AllowReferenceOverrides", "expected true or false"),
        ('{"Args": [1]}', ".Args[0]", "expected a text, found the number 1"),
        ('{"Args": ["a\\u0000"]}', ".Args[0]", "NUL"),
        ('{"Args": ["' + "x" * 131072 + '"]}', ".Args[0]", "at most 131071 bytes"),
        ('{"Command": [""]}', ".Command", "is not empty"),
        ('{"PodTemplate": []}', ".PodTemplate", "expected an object, a Kubernetes PodTemplateSpec, found an array"),
        ('{"Resources": []}', ".Resources", "expected an object, found an array"),
        ('{"Resources": {"Limit": {}}}', ".Resources.Limit", "did you mean 'Limits'?"),
        ('{"Resources": {"Limits": {"memroy": "1"}}}', ".Resources.Limits.memroy", "did you mean 'memory'?"),
        ('{"Resources": {"Limits": {"cpu": "much"}}}', ".Resources.Limits.cpu", '"much" cannot be read: expected a'),
        ('{"Resources": {"Limits": {"cpu": "-1"}}}', ".Resources.Limits.cpu", '"-1" is negative'),
        ('{"Resources": {"Limits": {"cpu": []}}}', ".Resources.Limits.cpu", "expected a Kubernetes quantity"),
        ('{"Resources": {"Limits": {"cpu": "1", "CPU": "1"}}}', ".Resources.Limits.CPU", "'cpu' is given twice"),
        (
            '{"Resources": {"Requests": {"memory": "1Gi"}, "Limits": {"memory": "1G"}}}',
            ".Resources.Requests.memory",
            "the request for memory (1Gi) is above its limit (1G)",
        ),
        ('{"Environments": {}}', ".Environments", "expected an array, found an object"),
        ('{"Environments": [{"value": "1"}]}', ".Environments[0]", "'name' is missing"),
        ('{"Environments": [{"name": "A", "value": 1}]}', ".Environments[0].value", "expected a text"),
        ('{"Environments": [{"name": "A=B"}]}', ".Environments[0].name", "holds no '='"),
        ('{"Environments": [{"name": "A"}, {"Name": "A"}]}', ".Environments[1]", "the variable 'A' is set twice"),
        ('{"Environments": [{"name": "A", "vlaue": "1"}]}', ".Environments[0].vlaue", "did you mean 'value'?"),
        ('{"Environments": [{"name": "A", "valueFrom": {}}]}', ".Environments[0].valueFrom", "exactly one of"),
        (
            '{"Environments": [{"name": "A", "value": "", "valueFrom": {"fieldRef": {"fieldPath": "x"}}}]}',
            ".Environments[0]",
            "not both",
        ),
        (
            '{"Environments": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]}',
            ".Environments[0].valueFrom.secretKeyRef",
            "'key' is missing",
        ),
        ("[]", "", "expected an object, found an array"),
        ("null", "", "expected an object, found null"),
    ],
)
def test_what_is_wrong_with_a_definition_is_named_with_its_path(body: str, path: str, words: str) -> None:
    at, text = complaint_about(body)
    assert at == path
    assert words in text


@pytest.mark.parametrize("name", ["ab", "a" * 31, "my_job", "-job", "job-", "jöb", "a.b", "job ", "\\u0130job"])
def test_a_name_that_cannot_name_a_job_is_refused(name: str) -> None:
    for section, value in (("Configurations", "{}"), ("Schedules", "[]")):
        ((_, line, column, text),) = complaints(f'{{"{section}": {{"{name}": {value}}}}}')
        assert (line, column) == (1, len(section) + 7)
        assert "3 to 30 of a-z, 0-9 and '-'" in text


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("[]", "$", "expected an object, found an array"),
        ("null", "$", "expected an object, found null"),
        ('{"Configuration": {}}', "$.Configuration", "did you mean 'Configurations'?"),
        ('{"Configurations": []}', "$.Configurations", "expected an object"),
        ('{"Configurations": {"job": {}, "JOB": {}}}', "$.Configurations.JOB", "'job' is given twice"),
        ('{"Configurations": {"job": {}, "job": {}}}', "$.Configurations.job", "already in line 1"),
        ('{"Schedules": {"job": {}}}', "$.Schedules.job", "expected an array"),
        ('{"Schedules": {"job": [{}]}}', "$.Schedules.job[0]", "'Schedule' is missing"),
        ('{"Schedules": {"job": [{"Schedule": null}]}}', "$.Schedules.job[0].Schedule", "found null"),
        (
            '{"Schedules": {"job": [{"Schedule": "0 0 31 2 *"}]}}',
            "$.Schedules.job[0].Schedule",
            "never due (column 5 of the expression)",
        ),
        (
            '{"Schedules": {"job": [{"Schedule": "@daily", "TimeZone": "Mars"}]}}',
            "$.Schedules.job[0].TimeZone",
            "no IANA time zone",
        ),
        (
            '{"Schedules": {"job": [{"Schedule": "@daily", "ConcurrencyPolicy": "Skip"}]}}',
            "$.Schedules.job[0].ConcurrencyPolicy",
            'expected "Allow", "Forbid" or "Replace"',
        ),
        (
            '{"Schedules": {"job": [{"Schedule": "@daily", "Visibility": "Public"}]}}',
            "$.Schedules.job[0].Visibility",
            "unknown key 'Visibility'",
        ),
        ('{"Dependencies": {"Db": {"Command": [], "ReadyPort": 1}}}', "$.Dependencies.Db.Command", "needs a program"),
        ('{"Dependencies": {"db": {"Command": ["x"]}}}', "$.Dependencies.db", "'ReadyPort' is missing"),
        (
            '{"Dependencies": {"db": {"Command": ["x"], "ReadyPort": 0}}}',
            "$.Dependencies.db.ReadyPort",
            "from 1 to 65535",
        ),
    ],
)
def test_what_is_wrong_elsewhere_is_named_too(text: str, path: str, words: str) -> None:
    ((at, _, _, said),) = complaints(text)
    assert at == path
    assert words in said


def test_every_problem_is_listed_in_the_order_of_the_text() -> None:
    text = """{
  "Configurations": {
    "fib": {
      "Visibilty": "Public",
      "BackoffLimit": -1,
      "Resources": {"Requests": {"cpu": "2"}, "Limits": {"cpu": "1"}},
      "Args": ["a" "b"],
      "Image": oops,
    },
    "x": {},
  },
  "Schedules": {"fib": [{"Schedule": "0 0 L * *"}, {"Schedule": "61 * * * *"}]}
}"""
    assert [(path, line, column) for path, line, column, _ in complaints(text)] == [
        ("$.Configurations.fib.Visibilty", 4, 7),
        ("$.Configurations.fib.BackoffLimit", 5, 23),
        ("$.Configurations.fib.Resources.Requests.cpu", 6, 41),
        ("$.Configurations.fib.Args", 7, 20),
        ("$.Configurations.fib.Image", 8, 16),
        ("$.Configurations.x", 10, 5),
        ("$.Schedules.fib[0].Schedule", 12, 38),
        ("$.Schedules.fib[1].Schedule", 12, 65),
    ]


def test_a_hundred_problems_are_listed_and_the_rest_is_counted() -> None:
    keys = ", ".join(f'"Imag{number}": 1' for number in range(50_000))
    found = complaints(f'{{"Configurations": {{"job": {{{keys}}}}}}}')
    assert len(found) == 101
    assert found[-1][3] == "and 49900 more problems"


def test_a_problem_is_one_line_for_people() -> None:
    (problem,) = read_configuration('{"Configurations": {"my-job": {"Image": 5}}}').problems
    assert str(problem) == ("$.Configurations['my-job'].Image (line 1, column 41): expected a text, found the number 5")


def test_the_order_of_keys_makes_no_other_definition() -> None:
    one = '{"Resources": {"Limits": {"cpu": "1", "memory": "1Gi"}}, "PodTemplate": {"a": 1, "b": 2}}'
    other = '{"PodTemplate": {"b": 2, "a": 1}, "Resources": {"Limits": {"memory": "1024Mi", "cpu": "1000m"}}}'
    assert definition(one) == definition(other)
    assert list(definition(one).resources.limits) == list(definition(other).resources.limits)


scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "a", "Public", "0 0 * * *", "1Gi"])
words = st.sampled_from(
    [*DEFINITION_KEYS.values(), "Configurations", "Schedules", "Dependencies", "job", "Default", "Limits", "Schedule"]
)
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4), max_leaves=25
)


@given(st.dictionaries(st.sampled_from(["Configurations", "schedules", "Dependencies"]), trees) | trees)
def test_any_json_is_a_configuration_or_a_list_of_problems(tree: object) -> None:
    reading = read_configuration(json.dumps(tree))
    assert (reading.configuration is None) == bool(reading.problems)
