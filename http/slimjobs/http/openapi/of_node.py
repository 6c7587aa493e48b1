"""The routes of a node itself, in the table."""

from __future__ import annotations

from typing import Final

from slimjobs.http.openapi.common import TOO_OFTEN
from slimjobs.http.openapi.parts import JSON_TYPE, Route, Shown
from slimjobs.http.openapi.wire import Alive

NODE: Final = (
    Route(
        "GET",
        "/health",
        "isAlive",
        "Whether the process lives",
        "node",
        (Shown(200, "It does.", {JSON_TYPE: (Alive, Alive("alive"))}),),
    ),
    Route(
        "GET",
        "/ready",
        "isReady",
        "Whether the service can serve",
        "node",
        (Shown(200, "It can.", {JSON_TYPE: (Alive, Alive("ready"))}),),
        (503,),
    ),
    Route(
        "GET",
        "/openapi.json",
        "showOpenApi",
        "Show this document",
        "node",
        (Shown(200, "OpenAPI 3.1.", {JSON_TYPE: ({"type": "object"}, {"openapi": "3.1.1"})}),),
        (TOO_OFTEN,),
    ),
)
