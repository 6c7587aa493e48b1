"""Refusals as problem documents (RFC 9457): one table says which refusal is which status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
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
from slimjobs.eventlog.events.runs import RunId, run_id_text
from slimjobs.http.answers import Answer, Header

PROBLEM_JSON: Final = b"application/problem+json"

Member = str | int | Sequence[Mapping[str, str | int]] | Sequence[str]


class Kind(msgspec.Struct, frozen=True):
    """A sort of problem: its status, its type (the end of a URN) and its title, the same at every occurrence."""

    status: int
    slug: str
    title: str


KINDS: Final[Mapping[type[Refusal], Kind]] = {
    Invalid: Kind(400, "invalid", "The request cannot be taken as it is"),
    Forbidden: Kind(403, "forbidden", "The caller may not do this"),
    UnknownRun: Kind(404, "unknown-run", "There is no such run"),
    UnknownSchedule: Kind(404, "unknown-schedule", "There is no such schedule"),
    DeclaredElsewhere: Kind(409, "declared-elsewhere", "The schedule is declared by the configuration or a CronJob"),
    NotPossible: Kind(409, "not-possible", "The cluster as it stands does not allow this"),
    KeyReused: Kind(422, "key-reused", "The Idempotency-Key was used with another body"),
    QueueFull: Kind(429, "queue-full", "As much waits as may wait"),
    TooManyKeys: Kind(429, "too-many-keys", "As many idempotency keys as may be are remembered"),
    NoLeader: Kind(503, "no-leader", "Nobody can decide now"),
    OutcomeUnknown: Kind(504, "outcome-unknown", "Whether this was done cannot be known now"),
    NoRoom: Kind(507, "no-room", "The log's disk is full"),
}


def refused(refusal: Refusal, instance: str, lines: Sequence[int] | None = None) -> Answer:
    """The answer that a refusal gets. `lines` are those of an NDJSON body, by which people find what is meant."""
    kind = KINDS[type(refusal)]
    members: dict[str, Member] = {}
    headers: list[Header] = []
    if isinstance(refusal, Invalid | Forbidden) and refusal.problems:
        members["errors"] = [_error(problem, lines) for problem in refusal.problems]
    if isinstance(refusal, QueueFull | TooManyKeys | NoRoom | NoLeader):
        headers.append((b"retry-after", str(refusal.retry_after_seconds).encode()))
    return problem(kind, refusal.detail, instance, members, headers)


def unknown_outcome(detail: str, job: str, run: RunId, instance: str) -> Answer:
    """The answer to a request about one run that may have been done: where that can be looked up."""
    place = run_location(job, run)
    members: dict[str, Member] = {"Id": run_id_text(run), "Location": place}
    return problem(KINDS[OutcomeUnknown], detail, instance, members, [(b"location", place.encode())])


def unknown_outcomes(detail: str, runs: Sequence[tuple[str, RunId]], instance: str) -> Answer:
    """The same for a batch, even of one; `runs` are (job, id), in the order of its triggers."""
    members: dict[str, Member] = {
        "Ids": [run_id_text(run) for _, run in runs],
        "Locations": [run_location(job, run) for job, run in runs],
    }
    return problem(KINDS[OutcomeUnknown], detail, instance, members)


def run_location(job: str, run: RunId) -> str:
    """The path under which a run can be looked up."""
    return f"/job/{job}/{run_id_text(run)}"


def plain_problem(status: int, detail: str, instance: str, headers: Sequence[Header] = ()) -> Answer:
    """A problem that is HTTP's own: its status says what it is."""
    return problem(_http_kind(status), detail, instance, {}, headers)


def too_large(limit: int, instance: str) -> Answer:
    """The answer to a body that is longer than it may be; what is left of it is not read, so the connection ends."""
    setting = "a batch: SlimFaas__MaxBatchBytes, else SlimFaas__MaxBodyBytes"
    return plain_problem(413, f"The body has more than {limit} bytes, which is the limit ({setting}).", instance)


def problem(
    kind: Kind, detail: str, instance: str, members: Mapping[str, Member], headers: Sequence[Header] = ()
) -> Answer:
    """An answer that refuses; `members` extend the document."""
    return Answer(kind.status, _encoded(kind, detail, instance, members), PROBLEM_JSON, tuple(headers))


def problem_body(status: int, detail: str) -> bytes:
    """The document of a problem of HTTP's own where no request could be read to be its instance."""
    return _encoded(_http_kind(status), detail, "", {})


def _http_kind(status: int) -> Kind:
    """RFC 9457 §4.2.1: `about:blank` means nothing more than the status code, and has its phrase for a title."""
    return Kind(status, "", HTTPStatus(status).phrase)


def _encoded(kind: Kind, detail: str, instance: str, members: Mapping[str, Member]) -> bytes:
    document: dict[str, Member] = {
        "type": f"urn:slimjobs:problem:{kind.slug}" if kind.slug else "about:blank",
        "title": kind.title,
        "status": kind.status,
        "detail": detail,
    }
    if instance:
        document["instance"] = instance
    return msgspec.json.encode({**document, **members})


def _error(problem: Problem, lines: Sequence[int] | None) -> Mapping[str, str | int]:
    error: dict[str, str | int] = {"pointer": problem.pointer, "detail": problem.detail}
    if lines is not None and problem.pointer:
        error["line"] = lines[int(problem.pointer.split("/", 2)[1])]
    return error
