"""Refusals as the document has them: for each status one answer, with an example of every problem that has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from slimjobs.core.decide.refusals import (
    DeclaredElsewhere,
    Forbidden,
    Invalid,
    KeyReused,
    NoLeader,
    NoRoom,
    NotPossible,
    OutcomeUnknown,
    Problem,
    QueueFull,
    Refusal,
    TooManyKeys,
    UnknownRun,
    UnknownSchedule,
)
from slimjobs.eventlog.events.definitions import Source
from slimjobs.eventlog.events.runs import RunId
from slimjobs.eventlog.events.schedules import ScheduleId
from slimjobs.http.openapi.parts import RefusalKind, Schema
from slimjobs.http.problems import KINDS, PROBLEM_JSON, plain_problem, refused, unknown_outcome, unknown_outcomes

RUN: Final = RunId(bytes(10))

EXAMPLES: Final[Mapping[type[Refusal], Refusal]] = {
    Invalid: Invalid((Problem("/Argz", "unknown key 'Argz'; did you mean 'Args'?"),)),
    Forbidden: Forbidden("Job 'secret' is private."),
    UnknownRun: UnknownRun("fibonacci", RUN),
    UnknownSchedule: UnknownSchedule("fibonacci", ScheduleId(RUN)),
    DeclaredElsewhere: DeclaredElsewhere("fibonacci", ScheduleId(RUN), Source.CONFIGURATION),
    NotPossible: NotPossible("Node 'b' is no member."),
    KeyReused: KeyReused(),
    QueueFull: QueueFull("1000 runs of 'fibonacci' wait, which is the limit (MaxQueuedJobs)."),
    TooManyKeys: TooManyKeys(100_000),
    NoLeader: NoLeader(),
    NoRoom: NoRoom(),
}

DETAILS: Final[Mapping[int, str]] = {
    404: "Nothing is under this path.",
    406: "Accept excludes what this gives: application/json.",
    408: "The body did not arrive in time.",
    413: "The body has more than 262144 bytes, which is the limit.",
    415: "The body has the coding 'gzip'; it is read only as it is.",
    429: "This address asks more often than it may (SlimFaas__ExternalRequestsPerSecond).",
    500: "Something went wrong here that should not have; the log of this node says what.",
    503: "As much is going on here as there is room for; nothing was done. Try again.",
}

SCHEMAS: Final[Mapping[str, Schema]] = {
    "Problem": {
        "description": "Why a request was refused (RFC 9457). The type says which sort of problem it is.",
        "type": "object",
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "instance": {"type": "string"},
            "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Error"}},
            "Id": {"type": "string"},
            "Location": {"type": "string"},
            "Ids": {"type": "array", "items": {"type": "string"}},
            "Locations": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["type", "title", "status", "detail"],
    },
    "Error": {
        "description": "One thing that is wrong with a body, and where: a JSON pointer, for NDJSON the line too.",
        "type": "object",
        "properties": {
            "pointer": {"type": "string", "format": "json-pointer"},
            "detail": {"type": "string"},
            "line": {"type": "integer", "minimum": 1},
        },
        "required": ["pointer", "detail"],
    },
}


def status_of(kind: RefusalKind) -> int:
    """The status that a refusal is answered with."""
    return kind if isinstance(kind, int) else KINDS[kind].status


def name_of(kinds: Sequence[RefusalKind]) -> str:
    """The name of the component for these, all of one status."""
    return ".".join(f"http-{kind}" if isinstance(kind, int) else KINDS[kind].slug for kind in kinds)


def response_of(kinds: Sequence[RefusalKind]) -> Schema:
    """The answer to requests that are refused for one of these, all of one status."""
    shown = {name_of([kind]): {"value": _example(kind)} for kind in kinds}
    types = sorted({each["value"]["type"] for each in shown.values()})
    status = status_of(kinds[0])
    schema = {
        "allOf": [{"$ref": "#/components/schemas/Problem"}],
        "properties": {"type": {"enum": types}, "status": {"const": status}},
    }
    if OutcomeUnknown in kinds:
        shown["outcome-unknown-of-batch"] = {"value": _example_of_batch()}
    return {
        "description": "; ".join(dict.fromkeys(each["value"]["title"] for each in shown.values())) + ".",
        "content": {PROBLEM_JSON.decode(): {"schema": schema, "examples": shown}},
    }


def _example(kind: RefusalKind) -> Schema:
    """A problem document as it is made for answers."""
    if isinstance(kind, int):
        answer = plain_problem(kind, DETAILS[kind], "/job/fibonacci")
    elif kind is OutcomeUnknown:
        answer = unknown_outcome(OutcomeUnknown().detail, "fibonacci", RUN, "/job/fibonacci")
    else:
        answer = refused(EXAMPLES[kind], "/job/fibonacci")
    document: Schema = msgspec.json.decode(answer.body)
    return document


def _example_of_batch() -> Schema:
    answer = unknown_outcomes(OutcomeUnknown().detail, [("fibonacci", RUN)], "/jobs")
    document: Schema = msgspec.json.decode(answer.body)
    return document
