"""The routes of schedules: make, list, remove, pause, resume, run now, and what became of their instants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from slimjobs.core.decide.commands import (
    Accepted,
    AddSchedule,
    PauseSchedule,
    RemoveSchedule,
    RunSchedule,
    ScheduleMade,
    ScheduleSet,
)
from slimjobs.core.decide.refusals import Invalid, OutcomeUnknown, UnknownSchedule
from slimjobs.core.machine.queries import ListFires, ListSchedules
from slimjobs.core.node.service import Reply
from slimjobs.eventlog.events.runs import RunId, parse_run_id, run_id_text
from slimjobs.eventlog.events.schedules import ScheduleId
from slimjobs.http.answers import JSON, Answer, json_answer
from slimjobs.http.bodies import BadBody, Planned, read_plan
from slimjobs.http.keys import idempotency_key, key_problems, replayed
from slimjobs.http.parameters import Parameters
from slimjobs.http.problems import KINDS, Member, problem, refused, run_location
from slimjobs.http.rendering import schedule_json
from slimjobs.http.strict_json import shown
from slimjobs.http.surface import Asked, Surface, checked_name, mint
from slimjobs.projections.views import FireList, ScheduleList

MAX_FIRES: Final = 1000
MAX_MS: Final = 999_999_999_999_999


async def add(surface: Surface, asked: Asked, name: str, key: bytes | None, body: bytes) -> Answer:
    """`POST /job-schedules/{name}`. Raises BadRequest."""
    job, problems = checked_name(name), key_problems(key)
    planned: Planned | None
    try:
        planned = read_plan(body, surface.settings.default_time_zone)
    except BadBody as error:
        problems += error.problems
        planned = next((each for each in error.read if isinstance(each, Planned)), None)
    if planned is None:
        return await surface.forbidden(job, asked) or refused(Invalid(tuple(problems)), asked.path)
    [minted] = mint(1)
    digests = None if problems else idempotency_key(key, f"/job-schedules/{job}", asked, planned)
    internal = asked.caller.internal
    command = AddSchedule(ScheduleId(minted), job, planned.plan, internal, digests, tuple(problems), planned.paused)
    reply = surface.seen(await surface.service.command(command))
    if isinstance(reply.value, OutcomeUnknown):
        return _unknown(reply, f"/job-schedules/{job}", minted, asked)
    if not isinstance(reply.value, ScheduleMade):
        return surface.refusal(reply, asked)
    made = run_id_text(RunId(reply.value.schedule))
    headers = ((b"location", f"/job-schedules/{job}/{made}".encode()), *replayed(reply.value.replayed))
    return Answer(201, b'{"Id":"%s"}' % made.encode(), JSON, headers, reply.index)


async def list_schedules(surface: Surface, asked: Asked, name: str, given: Mapping[str, str]) -> Answer:
    """`GET /job-schedules/{name}`. Raises BadRequest."""
    job, parameters = checked_name(name), Parameters(given)
    stale = parameters.stale()
    parameters.raise_if_wrong()
    reply = surface.seen(await surface.service.query(ListSchedules(job, asked.caller.internal), stale))
    if not isinstance(reply.value, ScheduleList):
        return surface.refusal(reply, asked)
    return json_answer(200, [schedule_json(row, asked.caller.internal) for row in reply.value.rows], reply.index)


async def list_fires(surface: Surface, asked: Asked, name: str, text: str, given: Mapping[str, str]) -> Answer:
    """`GET /job-schedules/{name}/{id}/fires`. Raises BadRequest."""
    parameters = Parameters(given)
    first, last = parameters.whole("from", 0, 0, MAX_MS) or 0, parameters.whole("to", MAX_MS, 0, MAX_MS)
    limit = parameters.whole("limit", MAX_FIRES, 1, MAX_FIRES) or MAX_FIRES
    stale = parameters.stale()
    parameters.raise_if_wrong()
    job, schedule = checked_name(name), _schedule_id(text)
    if schedule is None:
        return await _no_id(surface, asked, job, text)
    query = ListFires(job, schedule, asked.caller.internal, first, MAX_MS if last is None else last, limit)
    reply = surface.seen(await surface.service.query(query, stale))
    if not isinstance(reply.value, FireList):
        return surface.refusal(reply, asked)
    return json_answer(200, {"Fires": reply.value.fires, "KeptFrom": reply.value.kept_from}, reply.index)


async def remove(surface: Surface, asked: Asked, name: str, text: str, given: Mapping[str, str]) -> Answer:
    """`DELETE /job-schedules/{name}/{id}`. Raises BadRequest."""
    Parameters(given).raise_if_wrong()
    job, schedule = checked_name(name), _schedule_id(text)
    if schedule is None:
        return await _no_id(surface, asked, job, text)
    reply = surface.seen(await surface.service.command(RemoveSchedule(job, schedule, asked.caller.internal)))
    if not isinstance(reply.value, ScheduleSet):
        return surface.refusal(reply, asked)
    return Answer(204, b"", index=reply.index)


async def pause(
    surface: Surface, asked: Asked, name: str, text: str, given: Mapping[str, str], *, paused: bool
) -> Answer:
    """`POST /job-schedules/{name}/{id}/pause`, `/resume`. Raises BadRequest."""
    Parameters(given).raise_if_wrong()
    job, schedule = checked_name(name), _schedule_id(text)
    if schedule is None:
        return await _no_id(surface, asked, job, text)
    reply = surface.seen(await surface.service.command(PauseSchedule(job, schedule, paused, asked.caller.internal)))
    if not isinstance(reply.value, ScheduleSet):
        return surface.refusal(reply, asked)
    return json_answer(200, {"Id": text, "Paused": paused}, reply.index)


async def run_now(
    surface: Surface, asked: Asked, name: str, text: str, given: Mapping[str, str], key: bytes | None
) -> Answer:
    """`POST /job-schedules/{name}/{id}/run`. Raises BadRequest."""
    Parameters(given).raise_if_wrong()
    job, schedule, problems = checked_name(name), _schedule_id(text), key_problems(key)
    if schedule is None:
        return await _no_id(surface, asked, job, text)
    if problems:
        return await surface.forbidden(job, asked) or refused(Invalid(tuple(problems)), asked.path)
    [run] = mint(1)
    digests = idempotency_key(key, f"/job-schedules/{job}/{text}/run", asked, ())
    reply = surface.seen(await surface.service.command(RunSchedule(job, schedule, run, asked.caller.internal, digests)))
    if isinstance(reply.value, OutcomeUnknown):
        return _unknown(reply, f"/job/{job}", run, asked)
    if not isinstance(reply.value, Accepted):
        return surface.refusal(reply, asked)
    [accepted] = reply.value.runs
    headers = ((b"location", run_location(job, accepted).encode()), *replayed(reply.value.replayed))
    return Answer(202, b'{"Id":"%s"}' % run_id_text(accepted).encode(), JSON, headers, reply.index)


def _schedule_id(text: str) -> ScheduleId | None:
    run = parse_run_id(text)
    return None if run is None else ScheduleId(run)


def _unknown(reply: Reply, under: str, minted: RunId, asked: Asked) -> Answer:
    """The answer to what may have been done: where it can be looked up."""
    assert isinstance(reply.value, OutcomeUnknown)
    [maybe] = reply.value.runs or (minted,)
    place = f"{under}/{run_id_text(maybe)}"
    members: dict[str, Member] = {"Id": run_id_text(maybe), "Location": place}
    told = problem(KINDS[OutcomeUnknown], reply.value.detail, asked.path, members, [(b"location", place.encode())])
    return msgspec.structs.replace(told, index=reply.index)


async def _no_id(surface: Surface, asked: Asked, job: str, text: str) -> Answer:
    detail = f"No schedule '{shown(text)}' of job '{job}' exists: an id has 16 characters of a-z and 2-7."
    return await surface.forbidden(job, asked) or problem(KINDS[UnknownSchedule], detail, asked.path, {})
