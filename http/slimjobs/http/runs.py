"""The routes of runs that exist: list, show, delete, output."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Final
from urllib.parse import urlencode

import msgspec

from slimjobs.core.decide.commands import Deleted, DeleteRun
from slimjobs.core.decide.refusals import OutcomeUnknown, UnknownRun
from slimjobs.core.machine.queries import ListRuns, ShowRun, ShowStatus
from slimjobs.core.orchestrators.ports import OutputMissing, OutputUnavailable
from slimjobs.eventlog.events.runs import parse_run_id, run_id_text
from slimjobs.http.answers import Answer, Header, json_answer
from slimjobs.http.parameters import MAX_ROWS, MAX_TAIL_LINES, MAX_WAIT_SECONDS, Parameters
from slimjobs.http.problems import KINDS, plain_problem, problem, unknown_outcome
from slimjobs.http.rendering import run_json, status_json
from slimjobs.http.strict_json import shown
from slimjobs.http.surface import Asked, Surface, checked_name
from slimjobs.projections.views import RunDetail, RunPage, Status

MAX_ATTEMPT: Final = 1_000_000
MAX_CURSOR_CHARACTERS: Final = 1000


class Output(msgspec.Struct, frozen=True):
    """The output of an attempt: its first piece, and what follows it."""

    first: bytes
    rest: AsyncIterator[bytes]
    index: int

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """All of it. However this ends, what gives the output is told."""
        try:
            yield self.first
            async for piece in self.rest:
                yield piece
        finally:
            if isinstance(self.rest, AsyncGenerator):
                await self.rest.aclose()


async def list_runs(surface: Surface, asked: Asked, name: str, given: Mapping[str, str]) -> Answer:
    """`GET /job/{name}`. Raises BadRequest."""
    job = checked_name(name)
    parameters = Parameters(given)
    status = parameters.status("status")
    limit = parameters.whole("limit", MAX_ROWS, 1, MAX_ROWS) or MAX_ROWS
    cursor = parameters.text("continue", MAX_CURSOR_CHARACTERS) or None
    stale = parameters.stale()
    parameters.raise_if_wrong()
    query = ListRuns(job, asked.caller.internal, status, limit, cursor)
    reply = surface.seen(await surface.service.query(query, stale))
    if not isinstance(reply.value, RunPage):
        return surface.refusal(reply, asked)
    return json_answer(200, reply.value.rows, reply.index, _next(job, given, reply.value.next_cursor))


async def show_run(surface: Surface, asked: Asked, name: str, text: str, given: Mapping[str, str]) -> Answer:
    """`GET /job/{name}/{id}`. Raises BadRequest."""
    parameters = Parameters(given)
    wait_seconds = parameters.seconds("wait", MAX_WAIT_SECONDS)
    stale = parameters.stale()
    parameters.raise_if_wrong()
    job, run = checked_name(name), parse_run_id(text)
    if run is None:
        return await _no_id(surface, asked, job, text, stale)
    reply = surface.seen(await surface.waited(ShowRun(job, run, asked.caller.internal, wait_seconds), stale))
    if not isinstance(reply.value, RunDetail):
        return surface.refusal(reply, asked)
    return json_answer(200, run_json(reply.value, asked.caller.internal), reply.index)


async def delete_run(surface: Surface, asked: Asked, name: str, text: str, given: Mapping[str, str]) -> Answer:
    """`DELETE /job/{name}/{id}`: 202 as long as it is no promise yet. Raises BadRequest."""
    Parameters(given).raise_if_wrong()
    job, run = checked_name(name), parse_run_id(text)
    if run is None:
        return await _no_id(surface, asked, job, text)
    reply = surface.seen(await surface.service.command(DeleteRun(job, run, asked.caller.internal)))
    if isinstance(reply.value, Deleted):
        return json_answer(200 if reply.value.promised else 202, {"Id": run_id_text(run)}, reply.index)
    if isinstance(reply.value, OutcomeUnknown):
        detail = "Whether the run is deleted cannot be known now. Delete it again: if it was, that is 404 and says so."
        return msgspec.structs.replace(unknown_outcome(detail, job, run, asked.path), index=reply.index)
    return surface.refusal(reply, asked)


async def run_output(
    surface: Surface, asked: Asked, name: str, text: str, given: Mapping[str, str], *, follow_allowed: bool
) -> Answer | Output:
    """`GET /job/{name}/{id}/logs`: the output, or why there is none. Raises BadRequest."""
    parameters = Parameters(given)
    follow = parameters.switch("follow") and follow_allowed
    tail_lines = parameters.whole("tail", None, 0, MAX_TAIL_LINES)
    attempt = parameters.whole("attempt", None, 1, MAX_ATTEMPT)
    stale = parameters.stale()
    parameters.raise_if_wrong()
    job, run = checked_name(name), parse_run_id(text)
    if run is None:
        return await _no_id(surface, asked, job, text, stale)
    reply = surface.seen(await surface.service.query(ShowRun(job, run, asked.caller.internal), stale))
    if not isinstance(reply.value, RunDetail):
        return surface.refusal(reply, asked)
    if not reply.value.uid:
        return _no_output(asked, f"The run is {reply.value.row.status} and has not written anything yet.", reply.index)
    try:
        pieces = surface.service.output(reply.value.row.name, reply.value.uid, attempt, tail_lines, follow)
        first = await anext(pieces, b"")
    except OutputUnavailable as away:
        return plain_problem(503, f"The output cannot be read now: {away}.", asked.path, ((b"retry-after", b"1"),))
    except OutputMissing as missing:
        return _no_output(asked, str(missing), reply.index)
    return Output(first, pieces, reply.index)


async def show_status(surface: Surface, asked: Asked, given: Mapping[str, str]) -> Answer:
    """`GET /jobs/status`. Raises BadRequest."""
    parameters = Parameters(given)
    stale = parameters.stale()
    parameters.raise_if_wrong()
    reply = surface.seen(await surface.service.query(ShowStatus(asked.caller.internal), stale))
    if not isinstance(reply.value, Status):
        return surface.refusal(reply, asked)
    return json_answer(200, status_json(reply.value, asked.caller.internal), reply.index)


def ready(surface: Surface, asked: Asked) -> Answer:
    """`GET /ready`: who asks it is a probe, whose parameters are its own."""
    why = surface.service.not_ready
    if not why:
        return json_answer(200, {"Status": "ready"}, surface.newest_index)
    return plain_problem(503, f"This node is not ready: {why}.", asked.path, ((b"retry-after", b"1"),))


def _next(job: str, given: Mapping[str, str], cursor: str | None) -> tuple[Header, ...]:
    """The `Link` that leads on (RFC 8288), with the same filters."""
    if cursor is None:
        return ()
    kept = {name: given[name] for name in ("status", "limit", "consistency") if name in given}
    return ((b"link", f'</job/{job}?{urlencode({**kept, "continue": cursor})}>; rel="next"'.encode()),)


async def _no_id(surface: Surface, asked: Asked, job: str, text: str, stale: bool = False) -> Answer:
    """The answer to an id that can be none: 404 as for an unknown one, to whom may know that."""
    detail = f"No run '{shown(text)}' of job '{job}' exists: an id has 16 characters of a-z and 2-7."
    return await surface.forbidden(job, asked, stale) or problem(KINDS[UnknownRun], detail, asked.path, {})


def _no_output(asked: Asked, detail: str, index: int) -> Answer:
    return msgspec.structs.replace(plain_problem(404, detail, asked.path), index=index)
