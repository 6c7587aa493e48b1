"""How the web framework's rules are written in the document."""

from __future__ import annotations

import re
from typing import Final

from slimjobs.http.openapi.table import ROUTES

MEDIA: Final = {(route.method, route.path): route.media for route in ROUTES}

_PART: Final = re.compile(r"<(?:path:)?(\w+)>")


def as_documented(rule: str) -> str:
    """The path of the document that a rule is. There, whatever has an id has it in `{id}`, for two paths that differ
    only in the names of their parts are one; a part of several segments is one of one segment; and an empty last
    segment is none.
    """
    return _PART.sub(lambda part: "{name}" if part[1] == "name" else "{id}", rule).rstrip("/")


def media_of(method: str, rule: str) -> tuple[str, ...]:
    """The media types that this gives where it does not refuse; none where that is not for the table to say."""
    return MEDIA.get(("GET" if method == "HEAD" else method, as_documented(rule)), ())
