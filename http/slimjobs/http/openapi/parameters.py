"""The parameters that the table's routes take, each described once."""

from __future__ import annotations

from typing import Final

import msgspec

from slimjobs.core.configuration.setting_kinds import NODE_NAME
from slimjobs.http.openapi.parts import Parameter, Schema
from slimjobs.http.openapi.wire import ID, JOB_NAME
from slimjobs.http.parameters import MAX_ROWS, MAX_TAIL_LINES, MAX_WAIT_SECONDS
from slimjobs.http.runs import MAX_ATTEMPT, MAX_CURSOR_CHARACTERS
from slimjobs.http.schedules import MAX_FIRES, MAX_MS
from slimjobs.http.triggers import MAX_PATH_CHARACTERS
from slimjobs.projections.views import RunStatus


def whole(least: int, most: int, default: int | None = None) -> Schema:
    """A whole number within these bounds."""
    schema: Schema = {"type": "integer", "minimum": least, "maximum": most}
    return schema if default is None else {**schema, "default": default}


JOB: Final = Parameter(
    "name",
    "path",
    {"type": "string", "pattern": JOB_NAME},
    "fibonacci",
    "A job's name: 3 to 30 letters, digits and '-'; upper case is taken as lower case.",
)
RUN: Final = Parameter("id", "path", {"type": "string", "pattern": ID}, "aaaaaaaaaaaaaaaa", "The id of a run.")
SCHEDULE: Final = Parameter(
    "id", "path", {"type": "string", "pattern": ID}, "aaaaaaaaaaaaaaaa", "The id of a schedule."
)
REST_OF_PATH: Final = Parameter(
    "id",
    "path",
    {"type": "string", "pattern": "^[^\\u0000/]+$", "maxLength": MAX_PATH_CHARACTERS},
    "reports",
    "What the container gets as `SLIMFAAS_JOB_PATH`. It may have further segments, which OpenAPI cannot say.",
)
# The same, where `/logs` follows it.
REST_BEFORE_LOGS: Final = msgspec.structs.replace(
    REST_OF_PATH, schema={**REST_OF_PATH.schema, "maxLength": MAX_PATH_CHARACTERS - len("/logs")}
)
NODE: Final = Parameter("name", "path", {"type": "string", "pattern": f"^{NODE_NAME}$"}, "c", "The name of a node.")

KEY: Final = Parameter(
    "Idempotency-Key",
    "header",
    {"type": "string", "pattern": "^[\\x21-\\x7e]{1,255}$"},
    "order-7",
    "Repeated with the same body within 24 hours, the request is answered what it was at first, and does nothing.",
)
CONSISTENCY: Final = Parameter(
    "consistency",
    "query",
    {"type": "string", "enum": ["linearizable", "stale"], "default": "linearizable"},
    "stale",
    "`stale` shows what this node has, without asking the leader.",
)
STATUS: Final = Parameter(
    "status",
    "query",
    {"type": "string", "enum": [str(each) for each in RunStatus]},
    "Queued",
    "Only runs of this status.",
)
ROWS: Final = Parameter("limit", "query", whole(1, MAX_ROWS, MAX_ROWS), 100, "At most so many; `Link` leads on.")
CONTINUE: Final = Parameter(
    "continue",
    "query",
    {"type": "string", "format": "cursor", "maxLength": MAX_CURSOR_CHARACTERS},
    "",
    "Where to go on: as in the `Link` of the page before, not to be made by anybody else.",
)
WAIT: Final = Parameter(
    "wait",
    "query",
    {"type": "number", "minimum": 0, "maximum": MAX_WAIT_SECONDS, "default": 0},
    0.05,
    "Answer at the next change of status, or after so many seconds.",
)
FOLLOW: Final = Parameter(
    "follow", "query", {"type": "boolean", "default": False}, False, "Go on with what is written from now on."
)
TAIL: Final = Parameter("tail", "query", whole(0, MAX_TAIL_LINES), 100, "Only so many of the last lines.")
ATTEMPT: Final = Parameter("attempt", "query", whole(1, MAX_ATTEMPT), 1, "That of which attempt; else the latest's.")
FROM: Final = Parameter("from", "query", whole(0, MAX_MS, 0), 0, "Not before this time (Unix ms).")
TO: Final = Parameter("to", "query", whole(0, MAX_MS, MAX_MS), MAX_MS, "Not after this time (Unix ms).")
FIRES: Final = Parameter("limit", "query", whole(1, MAX_FIRES, MAX_FIRES), 10, "At most so many, the latest first.")
