"""The POST routes, from a whole body to an answer: read it, mint ids, ask the node, say what became of it.

Both ways in (`application` and `routes`) end here, so they cannot differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from slimjobs.core.decide.commands import Accepted, IdempotencyKey, Requested, Trigger
from slimjobs.core.decide.refusals import Invalid, OutcomeUnknown, Problem
from slimjobs.core.node.service import Reply
from slimjobs.eventlog.events.definitions import Overrides
from slimjobs.eventlog.events.runs import run_id_text
from slimjobs.http.answers import JSON, NDJSON, Answer, json_answer
from slimjobs.http.bodies import BadBody, Batch, Line, Read, read_batch, read_trigger
from slimjobs.http.keys import idempotency_key, key_problems, replayed
from slimjobs.http.problems import refused, run_location, unknown_outcome, unknown_outcomes
from slimjobs.http.surface import Asked, Surface, checked_name, mint

MAX_PATH_CHARACTERS: Final = 4096

_UNSAFE_IN_PATH: Final = re.compile("[\0\ufffd]")  # what was no UTF-8 has become U+FFFD


async def trigger(surface: Surface, asked: Asked, name: str, path: str, key: bytes | None, body: bytes) -> Answer:
    """`POST /job/{name}[/{path}]`. Raises BadRequest."""
    job = checked_name(name)
    problems = [*_path_problems(path), *key_problems(key)]
    overrides: Read | None
    try:
        overrides = read_trigger(body)
    except BadBody as error:
        [overrides] = error.read or [None]
        problems += error.problems
    if not isinstance(overrides, Overrides):
        return await surface.forbidden(job, asked) or refused(Invalid(tuple(problems)), asked.path)
    [run] = mint(1)
    digests = None if problems else idempotency_key(key, f"/job/{job}/{path}", asked, [Line(job, overrides)])
    reply = await _ask(surface, (Requested(run, job, overrides, path),), asked, digests, problems)
    if isinstance(reply.value, Accepted):
        [accepted] = reply.value.runs
        headers = ((b"location", run_location(job, accepted).encode()), *replayed(reply.value.replayed))
        return Answer(202, b'{"Id":"%s"}' % run_id_text(accepted).encode(), JSON, headers, reply.index)
    if isinstance(reply.value, OutcomeUnknown):
        [maybe] = reply.value.runs or (run,)
        unknown = unknown_outcome(reply.value.detail, job, maybe, asked.path)
        return msgspec.structs.replace(unknown, index=reply.index)
    return surface.refusal(reply, asked)


async def trigger_batch(surface: Surface, asked: Asked, key: bytes | None, body: bytes) -> Answer:
    """`POST /jobs`: all of them or none."""
    problems = key_problems(key)
    try:
        batch = read_batch(body)
    except BadBody as error:
        problems += error.problems
        readable = [(at, line) for at, line in enumerate(error.read) if isinstance(line, Line)]
        reply = await _ask(surface, _requested(readable), asked, None, problems)
        return surface.refusal(reply, asked, error.lines)
    requested = _requested(enumerate(batch.triggers))
    digests = None if problems else idempotency_key(key, "/jobs", asked, batch.triggers)
    reply = await _ask(surface, requested, asked, digests, problems)
    if isinstance(reply.value, Accepted):
        return _accepted_batch(batch, reply.value, reply.index)
    if isinstance(reply.value, OutcomeUnknown):
        maybes = reply.value.runs or [each.run for each in requested]
        named = [(line.job, maybe) for line, maybe in zip(batch.triggers, maybes, strict=True)]
        unknown = unknown_outcomes(reply.value.detail, named, asked.path)
        return msgspec.structs.replace(unknown, index=reply.index)
    return surface.refusal(reply, asked, batch.lines)


def _requested(lines: Iterable[tuple[int, Line]]) -> tuple[Requested, ...]:
    """The runs that the lines of a batch ask for, each with where it stood."""
    placed = list(lines)
    runs = mint(len(placed))
    return tuple(
        Requested(run, line.job, line.overrides, "", f"/{at}") for run, (at, line) in zip(runs, placed, strict=True)
    )


# What is wrong with a request is told all at once, by the node: it alone knows whether the caller may see the job at
# all, and what else its definition has against the request.
async def _ask(
    surface: Surface,
    requested: tuple[Requested, ...],
    asked: Asked,
    key: IdempotencyKey | None,
    problems: Sequence[Problem],
) -> Reply:
    command = Trigger(requested, asked.caller.internal, key, tuple(problems))
    return surface.seen(await surface.service.command(command))


def _accepted_batch(batch: Batch, accepted: Accepted, index: int) -> Answer:
    """One result for each trigger, in order, in the form in which they came."""
    results = [
        {"Id": run_id_text(run), "Name": line.job} for line, run in zip(batch.triggers, accepted.runs, strict=True)
    ]
    if batch.lines is None:
        return json_answer(202, results, index, replayed(accepted.replayed))
    return Answer(202, msgspec.json.Encoder().encode_lines(results), NDJSON, replayed(accepted.replayed), index)


def _path_problems(path: str) -> list[Problem]:
    """What is wrong with the rest of the path, which becomes a variable of the container."""
    if not _UNSAFE_IN_PATH.search(path) and len(path) <= MAX_PATH_CHARACTERS:
        return []
    return [Problem("", f"what follows the job's name is UTF-8 without NUL, at most {MAX_PATH_CHARACTERS} characters")]
