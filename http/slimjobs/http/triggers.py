"""The POST routes, from a whole body to an answer: read it, mint ids, ask the node, say what became of it.

Both ways in (`hot` and `app`) end here, so they cannot differ.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import msgspec

from slimjobs.core.decide.commands import Accepted, IdempotencyKey, Requested, Trigger
from slimjobs.core.decide.refusals import Invalid, OutcomeUnknown, Problem
from slimjobs.core.node.service import Reply
from slimjobs.eventlog.events.runs import RunId, run_id_text
from slimjobs.http.answers import JSON, NDJSON, Answer, Header, json_answer
from slimjobs.http.bodies import BadBody, Batch, Line, read_batch, read_trigger
from slimjobs.http.problems import refused, run_location, unknown_outcome
from slimjobs.http.surface import Asked, BadRequest, Surface, checked_name, mint

DIGEST_BYTES: Final = 16
MAX_PATH_CHARACTERS: Final = 4096

_VISIBLE: Final = re.compile(rb"[\x21-\x7e]{1,255}")
_NORMALISED: Final = msgspec.msgpack.Encoder(order="deterministic")
_REPLAYED: Final[Header] = (b"idempotent-replayed", b"true")


async def trigger(surface: Surface, asked: Asked, name: str, path: str, key: bytes | None, body: bytes) -> Answer:
    """`POST /job/{name}[/{path}]`. Raises BadRequest."""
    job = checked_name(name)
    try:
        overrides = read_trigger(body)
        _check_path(path)
        key_digests = _key(key, f"/job/{job}/{path}", asked, [Line(job, overrides)])
    except (BadBody, BadRequest) as error:
        refusal = Invalid(error.problems) if isinstance(error, BadBody) else error.refusal
        return await surface.forbidden(job, asked) or refused(refusal, asked.path)
    [run] = mint(1)
    reply = await _ask(surface, (Requested(run, job, overrides, path),), asked, key_digests)
    if isinstance(reply.value, Accepted):
        [accepted] = reply.value.runs
        headers = ((b"location", run_location(job, accepted).encode()), *_replayed(reply.value))
        return Answer(202, b'{"Id":"%s"}' % run_id_text(accepted).encode(), JSON, headers, reply.index)
    return _not_accepted(surface, reply, [(job, run)], asked, None)


async def trigger_batch(surface: Surface, asked: Asked, key: bytes | None, body: bytes) -> Answer:
    """`POST /jobs`: all of them or none."""
    try:
        batch = read_batch(body)
        key_digests = _key(key, "/jobs", asked, batch.triggers)
    except BadBody as error:
        return refused(Invalid(error.problems), asked.path, error.lines)
    runs = mint(len(batch.triggers))
    requested = tuple(
        Requested(run, line.job, line.overrides, "", f"/{at}")
        for at, (run, line) in enumerate(zip(runs, batch.triggers, strict=True))
    )
    reply = await _ask(surface, requested, asked, key_digests)
    if isinstance(reply.value, Accepted):
        return _accepted_batch(batch, reply.value, reply.index)
    named = [(line.job, run) for line, run in zip(batch.triggers, runs, strict=True)]
    return _not_accepted(surface, reply, named, asked, batch.lines)


async def _ask(surface: Surface, requested: tuple[Requested, ...], asked: Asked, key: IdempotencyKey | None) -> Reply:
    command = Trigger(requested, internal=asked.caller.internal, key=key)
    return surface.seen(await surface.service.command(command))


def _accepted_batch(batch: Batch, accepted: Accepted, index: int) -> Answer:
    """One result for each trigger, in order, in the form in which they came."""
    results = [
        {"Id": run_id_text(run), "Name": line.job} for line, run in zip(batch.triggers, accepted.runs, strict=True)
    ]
    if batch.lines is None:
        return json_answer(202, results, index, _replayed(accepted))
    return Answer(202, msgspec.json.Encoder().encode_lines(results), NDJSON, _replayed(accepted), index)


def _not_accepted(
    surface: Surface, reply: Reply, runs: Sequence[tuple[str, RunId]], asked: Asked, lines: Sequence[int] | None
) -> Answer:
    """The answer to a trigger that was refused, or that may or may not have been done."""
    if isinstance(reply.value, OutcomeUnknown):
        return msgspec.structs.replace(unknown_outcome(reply.value, runs, asked.path), index=reply.index)
    return surface.refusal(reply, asked, lines)


def _replayed(accepted: Accepted) -> tuple[Header, ...]:
    return (_REPLAYED,) if accepted.replayed else ()


def _check_path(path: str) -> None:
    """The rest of the path becomes a variable of the container. Raises BadRequest."""
    if "\0" in path or len(path) > MAX_PATH_CHARACTERS:
        detail = f"what follows the job's name holds no NUL and at most {MAX_PATH_CHARACTERS} characters"
        raise BadRequest(Invalid((Problem("", detail),)))


def _key(key: bytes | None, path: str, asked: Asked, triggers: Sequence[Line]) -> IdempotencyKey | None:
    """The digests of a key in its scope (method, path, internal or external) and of what came with it, normalised.

    Raises BadRequest if the key is none.
    """
    if key is None:
        return None
    if not _VISIBLE.fullmatch(key):
        detail = "an Idempotency-Key is one header of 1 to 255 visible ASCII characters"
        raise BadRequest(Invalid((Problem("", detail),)))
    scope = _NORMALISED.encode(("POST", path, asked.caller.internal, key))
    return IdempotencyKey(_digest(scope), _digest(_NORMALISED.encode(triggers)))


def _digest(of: bytes) -> bytes:
    return blake2b(of, digest_size=DIGEST_BYTES).digest()
