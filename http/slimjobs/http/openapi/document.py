"""The OpenAPI document, made from the table."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from itertools import groupby
from typing import Any, Final

import msgspec

from slimjobs.core.decide.refusals import OutcomeUnknown
from slimjobs.http.openapi.parts import Media, Parameter, RefusalKind, Route, Schema, Shown
from slimjobs.http.openapi.refusals import SCHEMAS, name_of, response_of, status_of
from slimjobs.http.openapi.schemas import schemas_of
from slimjobs.http.openapi.table import ROUTES, SUBJECTS

VERSION: Final = "3.1.1"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

ABOUT: Final = """\
Jobs that are triggered over HTTP or by schedules, queued, and run a few at a time.

Request bodies are read as JSON whatever their Content-Type says, an empty one as `{}`; their keys match without regard
to case. Timestamps are Unix milliseconds, -1 for none. Every answer says in `X-SlimFaas-Index` which place in the log
it reflects. Callers from outside are refused what is private (403). Every path takes OPTIONS; what takes GET takes
HEAD; any other method is 405 with `Allow`.
"""

HEADERS: Final[Mapping[str, Schema]] = {
    "X-SlimFaas-Index": {"description": "The log index that the answer reflects.", "schema": {"type": "integer"}},
    "Location": {"description": "Where it can be looked up.", "schema": {"type": "string"}},
    "Retry-After": {"description": "In how many seconds to try again.", "schema": {"type": "integer"}},
    "Link": {"description": "The next page (RFC 8288), if there is one.", "schema": {"type": "string"}},
    "Idempotent-Replayed": {
        "description": "Whether this is the answer to an earlier request with the same key.",
        "schema": {"const": "true"},
    },
    "Allow": {"description": "The methods that the path takes.", "schema": {"type": "string"}},
    "Accept-Encoding": {"description": "The codings in which a body is read.", "schema": {"type": "string"}},
}
MADE: Final = {"name": "$request.path.name", "id": "$response.body#/Id"}

# An answer may be without these; any other that is listed with it, it always has.
SOMETIMES: Final = frozenset({"Link", "Idempotent-Replayed"})

OF_REFUSALS: Final[Mapping[str, frozenset[int]]] = {
    "Retry-After": frozenset({429, 503, 507}),
    "Accept-Encoding": frozenset({415}),
}


@cache
def document() -> bytes:
    """The document as JSON: made when somebody first asks for it."""
    return msgspec.json.encode(build(ROUTES))


def build(routes: Sequence[Route]) -> Schema:
    """The document of these routes."""
    types, components = schemas_of([shown for route in routes for shown in _types(route)])
    schemas = iter(types)
    responses: dict[str, Schema] = {}
    paths: dict[str, Schema] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas, responses)
    for path, item in paths.items():
        _add_implied(path, item)
    return {
        "openapi": VERSION,
        "jsonSchemaDialect": DIALECT,
        "info": {
            "title": "slimjobs",
            "version": version("slimjobs"),
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "tags": [{"name": name, "description": said} for name, said in SUBJECTS.items()],
        "paths": paths,
        "components": {
            "schemas": {**components, **SCHEMAS},
            "responses": dict(sorted(responses.items())),
            "headers": {name: {"required": name not in SOMETIMES, **header} for name, header in HEADERS.items()},
        },
    }


def _types(route: Route) -> Iterator[Any]:
    """What a route carries, in the order in which `_operation` shows it."""
    if route.body is not None:
        yield from (shown for shown, _ in route.body.media.values())
    for answer in route.answers:
        yield from (shown for shown, _ in answer.media.values())


def _operation(route: Route, schemas: Iterator[Schema], responses: dict[str, Schema]) -> Schema:
    operation: Schema = {"operationId": route.name, "summary": route.summary, "tags": [route.subject]}
    if route.description:
        operation["description"] = route.description
    if route.parameters:
        operation["parameters"] = [_parameter(each) for each in route.parameters]
    if route.body is not None:
        operation["requestBody"] = {
            "required": route.body.required,
            "content": _content(route.body.media, schemas),
        }
    operation["responses"] = {str(shown.status): _answer(shown, schemas) for shown in route.answers}
    for status, kinds in _by_status(route):
        name = name_of(kinds)
        responses.setdefault(name, _refusal(status, kinds))
        operation["responses"][str(status)] = {"$ref": f"#/components/responses/{name}"}
    return operation


def _parameter(parameter: Parameter) -> Schema:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.place == "path",
        "description": parameter.description,
        "schema": parameter.schema,
        "example": parameter.example,
    }


def _content(media: Media, schemas: Iterator[Schema]) -> Schema:
    return {
        name: {"schema": next(schemas), "example": msgspec.to_builtins(example)} for name, (_, example) in media.items()
    }


def _answer(shown: Shown, schemas: Iterator[Schema]) -> Schema:
    answer: Schema = {"description": shown.description, "headers": _headers(shown.headers)}
    if shown.media:
        answer["content"] = _content(shown.media, schemas)
    if shown.leads_to:
        answer["links"] = {name: {"operationId": name, "parameters": MADE} for name in shown.leads_to}
    return answer


def _by_status(route: Route) -> Iterator[tuple[int, list[RefusalKind]]]:
    """What a route refuses by status, with what every route does that has a body or an answer to choose."""
    kinds: list[RefusalKind] = [*route.refusals, 500]
    if "{" in route.path:
        kinds.append(404)  # what is written there may lead elsewhere
    if route.media:
        kinds.append(406)
    if route.method == "POST":
        kinds += [408, 413, 415, 503]
    ordered = sorted(dict.fromkeys(kinds), key=lambda kind: (status_of(kind), name_of([kind])))
    for status, same in groupby(ordered, key=status_of):
        yield status, list(same)


def _refusal(status: int, kinds: Sequence[RefusalKind]) -> Schema:
    headers = _headers([name for name, statuses in OF_REFUSALS.items() if status in statuses])
    if OutcomeUnknown in kinds:
        headers["Location"] = {**HEADERS["Location"], "required": False}  # where one run can be looked up
    return {**response_of(kinds), "headers": headers}


def _headers(names: Sequence[str]) -> Schema:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-SlimFaas-Index", *names)}


def _add_implied(path: str, item: Schema) -> None:
    """The methods that a path takes because of what it is: HEAD where it takes GET, and OPTIONS."""
    if "get" in item:
        item["head"] = _head_of(item["get"])
    first = next(iter(item.values()))
    named = [{**each, "schema": {"type": "string"}} for each in first.get("parameters", ()) if each["in"] == "path"]
    item["options"] = {
        "operationId": "methodsOf" + re.sub(r"\W+(\w)|\W", lambda found: (found[1] or "").upper(), path),
        "summary": "Which methods this path takes",
        "tags": ["methods"],
        **({"parameters": named} if named else {}),
        "responses": {"204": {"description": "They are in `Allow`.", "headers": _headers(["Allow"])}},
    }


def _head_of(get: Schema) -> Schema:
    """What HEAD answers: the same without content."""
    name = get["operationId"]
    answers = {status: {"description": "As GET.", "headers": _headers([])} for status in get["responses"]}
    told = {key: get[key] for key in ("parameters",) if key in get}
    summary = f"{get['summary']}: the headers alone"
    return {
        "operationId": f"headOf{name[0].upper()}{name[1:]}",
        "summary": summary,
        "tags": ["methods"],
        **told,
        "responses": answers,
    }
