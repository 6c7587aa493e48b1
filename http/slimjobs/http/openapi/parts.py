"""What a route is made of, as the table writes it and the document shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from slimjobs.core.decide.refusals import Refusal
from slimjobs.http.answers import JSON, NDJSON

JSON_TYPE: Final = JSON.decode()
NDJSON_TYPE: Final = NDJSON.decode()
TEXT: Final = "text/plain"

Schema = dict[str, Any]  # JSON Schema 2020-12, of which Python's types say nothing

Media = Mapping[str, tuple[Any, object]]
"""What is carried, by media type: a type, or a schema where types cannot say it; and an example."""

RefusalKind = type[Refusal] | int
"""A refusal of the node by its type, one that is HTTP's own by its status."""


class Parameter(msgspec.Struct, frozen=True):
    """A part of the path, a parameter of the query, or a header of the request."""

    name: str
    place: str
    schema: Schema
    example: object
    description: str


class Body(msgspec.Struct, frozen=True):
    """What a request carries. If it is not `required`, an absent one is as good as an empty object."""

    media: Media
    required: bool = False


class Shown(msgspec.Struct, frozen=True):
    """A good answer: its status, what it carries, and its headers beside the index. `leads_to` are names of routes that
    take the id in it.
    """

    status: int
    description: str
    media: Media = {}
    headers: tuple[str, ...] = ()
    leads_to: tuple[str, ...] = ()


class Route(msgspec.Struct, frozen=True):
    """One method of one path. `name` is what a client calls it."""

    method: str
    path: str
    name: str
    summary: str
    subject: str
    answers: tuple[Shown, ...]
    refusals: tuple[RefusalKind, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    description: str = ""

    @property
    def media(self) -> tuple[str, ...]:
        """The media types that it may give where it does not refuse."""
        return tuple(dict.fromkeys(media for answer in self.answers for media in answer.media))
