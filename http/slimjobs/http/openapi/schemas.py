"""Structs as JSON Schema: what msgspec says of them, in the words that a client should read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from slimjobs.http.openapi.parts import Schema

PLACE: Final = "#/components/schemas/"
WORDY: Final = "Json"  # what our structs' names end in where another struct has the plain name


def schemas_of(types: Iterable[Any]) -> tuple[list[Schema], dict[str, Schema]]:
    """The schema of each type, and the components that those refer to. A dict is a schema already."""
    given = list(types)
    typed, components = msgspec.json.schema_components(
        [each for each in given if not isinstance(each, dict)], ref_template=PLACE + "{name}"
    )
    found = iter(typed)
    schemas = [each if isinstance(each, dict) else next(found) for each in given]
    named = {_plain(name): _complete(schema) for name, schema in components.items()}
    return [_renamed(each) for each in schemas], {name: _renamed(schema) for name, schema in sorted(named.items())}


def _plain(name: str) -> str:
    return name.removesuffix(WORDY)


def _renamed(node: Any) -> Any:
    """The same, every reference to a component by its plain name."""
    if isinstance(node, Mapping):
        return {key: _plain(value) if key == "$ref" else _renamed(value) for key, value in node.items()}
    return [_renamed(each) for each in node] if isinstance(node, list) else node


def _complete(schema: Schema) -> Schema:
    """A component as it travels. The title only repeats its name; of its description the first paragraph is for
    clients. msgspec takes a field with a default for one that may be absent, which is so in requests only, and where
    a default is left out (`null` then never travels).
    """
    told = {key: value for key, value in schema.items() if key != "title"}
    if "description" in told:
        told["description"] = " ".join(told["description"].split("\n\n")[0].split())
    if told.get("type") == "object" and told.get("additionalProperties") is not False:
        told["required"] = [key for key, each in told["properties"].items() if each.get("default", "") is not None]
    return told
