"""The document as a judge: every answer that the tests of this package get from a real server is held to it.

Stricter than a client may be: a member that the document does not name is a member too much.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import jsonschema_rs

from slimjobs.http.openapi.document import document

DOCUMENT: Final[Mapping[str, Any]] = json.loads(document())
COMPONENTS: Final[Mapping[str, Any]] = DOCUMENT["components"]
PROBLEM: Final = {"$ref": "#/components/schemas/Problem"}
NOWHERE: Final = (404, 405)

Schema = Mapping[str, Any]


def judge(method: str, target: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Fail if this is no answer that the document has for this request. Header names are lower case."""
    path = path_of(method, target.partition("?")[0])
    if path is None or method.lower() not in DOCUMENT["paths"][path]:
        assert status in NOWHERE, f"{method} {target} is not in the document, and answered {status}"
        if method != "HEAD":
            check(PROBLEM, json.loads(body))
        return
    responses = DOCUMENT["paths"][path][method.lower()]["responses"]
    assert str(status) in responses, f"{method} {path} has no {status}: {body!r}"
    response = resolved(responses[str(status)])
    _check_headers(response, headers)
    _check_body(response, headers, body)


def path_of(method: str, path: str) -> str | None:
    """The path of the document that this one is; None if there is none."""
    if method == "POST" and re.fullmatch("/job/[^/]+/.+", path):
        return "/job/{name}/{id}"
    path = path if path.count("/") == 1 else path.rstrip("/")
    fitting = [each for each in DOCUMENT["paths"] if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", each), path)]
    return min(fitting, key=lambda each: each.count("{"), default=None)


def resolved(node: Schema) -> Schema:
    """What a reference refers to; anything else is itself."""
    if "$ref" not in node:
        return node
    found: Any = DOCUMENT
    for step in node["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    assert isinstance(found, dict)
    return found


def check(schema: Schema, value: object) -> None:
    """Fail if this is not what the schema says, all of it and nothing else."""
    _validator(json.dumps(schema)).validate(value)


@cache
def _validator(schema: str) -> jsonschema_rs.Draft202012Validator:
    whole = {**json.loads(schema), "components": COMPONENTS}
    return jsonschema_rs.Draft202012Validator(_closed(whole), validate_formats=False)


def _closed(node: Any) -> Any:
    """The same schema without room for members that it does not name."""
    if isinstance(node, list):
        return [_closed(each) for each in node]
    if not isinstance(node, dict):
        return node
    closed = {key: _closed(value) for key, value in node.items()}
    if isinstance(node.get("properties"), dict) and node.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed


def _check_headers(response: Schema, headers: Mapping[str, str]) -> None:
    for name, reference in response["headers"].items():
        header = resolved(reference)
        value = headers.get(name.lower())
        assert value is not None or not header["required"], f"no {name}: {headers}"
        if value is not None:
            check(header["schema"], int(value) if header["schema"].get("type") == "integer" else value)
    named = {name.lower() for name in response["headers"]}
    told = {"location", "retry-after", "link", "idempotent-replayed", "allow"} & headers.keys()
    assert told <= named, f"the document has not told of {told - named}"


def _check_body(response: Schema, headers: Mapping[str, str], body: bytes) -> None:
    if "content" not in response:
        assert body == b""
        return
    media = headers["content-type"].partition(";")[0]
    assert media in response["content"], f"{media} is none of {list(response['content'])}"
    if media.endswith("json") and not media.endswith("ndjson"):
        check(response["content"][media]["schema"], json.loads(body))
