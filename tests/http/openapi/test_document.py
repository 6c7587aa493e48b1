"""The document and the routes are one: each has what the other has, and what it gives as an example it also allows.

That the answers are what the document says is judged wherever the tests of this package get one (`conformance`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import trio

from slimjobs.core.configuration.schedules import STARTING_DEADLINE_SECONDS
from slimjobs.core.decide.refusals import Refusal
from slimjobs.http import bodies, overrides
from slimjobs.http.application import PROBES
from slimjobs.http.openapi.refusals import DETAILS, EXAMPLES
from slimjobs.http.openapi.rules import as_documented
from slimjobs.http.openapi.table import ROUTES, SUBJECTS
from slimjobs.http.openapi.wire import KINDS_OF_REFERENCE
from slimjobs.http.routes import Framework
from slimjobs.http.surface import Surface, SurfaceSettings
from tests.http.client import Client
from tests.http.memory_service import MemoryService
from tests.http.openapi.conformance import DOCUMENT, check, resolved

# A trigger's path may be the path of anything else of a run, which only paths of one name can show in a document.
HIDDEN_BY_TRIGGERS = {("POST", "/job/{name}/{id}/logs")}

Operation = Mapping[str, Any]


def operations() -> Iterator[tuple[str, str, Operation]]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def contents() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Everything that is carried, under a name for people."""
    for method, path, operation in operations():
        for media, content in operation.get("requestBody", {"content": {}})["content"].items():
            yield f"{method} {path} {media}", content
        for status, response in operation["responses"].items():
            for media, content in resolved(response).get("content", {}).items():
                yield f"{method} {path} {status} {media}", content


@pytest.fixture
def framework() -> Framework:
    return Framework(Surface(MemoryService(), SurfaceSettings(), trio.Event()))


def test_every_rule_and_method_of_the_framework_is_in_the_document_and_nothing_else(framework: Framework) -> None:
    routed = {
        (method, as_documented(rule.rule)) for rule in framework.url_map.iter_rules() for method in rule.methods or ()
    }
    assert {(method, path) for method, path, _ in operations()} - HIDDEN_BY_TRIGGERS == routed


def test_every_parameter_of_a_rule_is_one_of_its_operation() -> None:
    for method, path, operation in operations():
        named = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"]
        assert named == re.findall(r"\{(\w+)\}", path), (method, path)


def test_every_operation_has_a_name_of_its_own_and_a_subject() -> None:
    names = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z]\w*", name) for name in names)
    assert {tag for _, _, operation in operations() for tag in operation["tags"]} == SUBJECTS.keys()


def test_every_link_leads_to_an_operation_that_takes_what_it_gives() -> None:
    taken = {
        each["operationId"]: {
            parameter["name"] for parameter in each.get("parameters", ()) if parameter["in"] == "path"
        }
        for _, _, each in operations()
    }
    links = [
        link
        for _, _, each in operations()
        for response in each["responses"].values()
        for link in response.get("links", {}).values()
    ]
    assert links
    for link in links:
        assert taken[link["operationId"]] == set(link["parameters"]), link


@pytest.mark.parametrize("name", [name for name, _ in contents()])
def test_every_example_is_what_its_schema_says(name: str) -> None:
    content = dict(contents())[name]
    examples = [each["value"] for each in content.get("examples", {}).values()] or [content["example"]]
    for example in examples:
        check(content["schema"], example)


def test_every_example_of_a_parameter_is_what_its_schema_says() -> None:
    for _, _, operation in operations():
        for parameter in operation.get("parameters", ()):
            check(parameter["schema"], parameter["example"])


def test_every_reference_leads_somewhere_and_every_component_is_referred_to() -> None:
    found = set(re.findall(r'"\$ref": "#/components/(\w+)/([^"]+)"', json.dumps(DOCUMENT)))
    there = {(kind, name) for kind, components in DOCUMENT["components"].items() for name in components}
    assert found == there


def test_every_refusal_of_the_node_has_an_example() -> None:
    explained = {re.sub(r"\W", "", kind.__name__) for kind in EXAMPLES} | {"OutcomeUnknown"}
    assert explained == {kind.__name__ for kind in Refusal.__args__}


def test_whoever_is_counted_may_be_refused_for_asking_too_often() -> None:
    assert {route.path for route in ROUTES if 429 not in route.refusals} == PROBES
    assert set(DETAILS) >= {kind for route in ROUTES for kind in route.refusals if isinstance(kind, int)}


@pytest.mark.parametrize(
    ("component", "keys"),
    [
        ("TriggerAsked", overrides.OVERRIDES),
        ("LineAsked", bodies._LINE),
        ("ScheduleAsked", bodies._PLAN),
        ("TransferAsked", bodies._TRANSFER),
        ("ResourcesAsked", overrides._RESOURCES),
        ("VariableAsked", overrides._VARIABLE),
    ],
)
def test_the_keys_of_a_body_are_those_that_its_reader_knows(component: str, keys: Mapping[str, str]) -> None:
    schema = DOCUMENT["components"]["schemas"][component]
    assert set(schema["properties"]) == set(keys.values())
    assert schema["additionalProperties"] is False


def test_what_is_taken_for_an_absent_key_is_what_the_reader_takes() -> None:
    plan = bodies.read_plan(b'{"Schedule":"@daily"}', "UTC")
    properties = DOCUMENT["components"]["schemas"]["ScheduleAsked"]["properties"]
    assert properties["ConcurrencyPolicy"]["default"] == plan.plan.concurrency
    assert properties["StartingDeadlineSeconds"]["default"] == plan.plan.starting_deadline_seconds
    assert properties["Paused"]["default"] is plan.paused
    assert plan.plan.starting_deadline_seconds == STARTING_DEADLINE_SECONDS


def test_the_kinds_of_reference_are_those_that_the_reader_knows() -> None:
    assert list(KINDS_OF_REFERENCE) == list(overrides._REFERENCES.values())


async def test_anybody_may_read_it(outside: Client) -> None:
    answer = await outside.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == DOCUMENT
    head = await outside.request("HEAD", "/openapi.json")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(answer.body)))


async def test_what_the_document_says_of_the_methods_of_a_path_its_options_say(outside: Client) -> None:
    for path, item in DOCUMENT["paths"].items():
        named = next(iter(item.values())).get("parameters", ())
        target = path
        for parameter in named:
            target = target.replace(f"{{{parameter['name']}}}", str(parameter["example"]))
        answer = await outside.request("OPTIONS", target)
        assert (answer.status, answer.body) == (204, b"")
        assert answer.headers["allow"].split(", ") == sorted(method.upper() for method in item)
        assert "content-type" not in answer.headers
