"""The routes of schedules, in the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from slimjobs.core.decide.refusals import DeclaredElsewhere, KeyReused, TooManyKeys, UnknownSchedule
from slimjobs.eventlog.events.definitions import Source
from slimjobs.eventlog.events.schedules import ConcurrencyPolicy
from slimjobs.http.openapi.common import AT, ENQUEUE, ID, OF_A_RUN, READ, REPLAYABLE, WRITE
from slimjobs.http.openapi.parameters import CONSISTENCY, FIRES, FROM, JOB, KEY, SCHEDULE, TO
from slimjobs.http.openapi.parts import JSON_TYPE, Body, Media, Route, Shown
from slimjobs.http.openapi.wire import Fires, Made, Paused, ScheduleAsked
from slimjobs.http.rendering import ScheduleJson
from slimjobs.projections.views import Fire, FireOutcome

LISTED: Final = ScheduleJson(
    id=ID,
    name="fibonacci",
    schedule="0 0 * * *",
    next_execution_timestamp=AT,
    last_execution_timestamp=-1,
    source=Source.API,
    time_zone="UTC",
    paused=False,
    concurrency_policy=ConcurrencyPolicy.ALLOW,
    starting_deadline_seconds=200,
    args=["42"],
)
FIRED: Final = Fire(AT, AT, 1, FireOutcome.FIRED, 3, "", ID)


def _paused(paused: bool) -> Media:
    return {JSON_TYPE: (Paused, Paused(ID, paused))}


SCHEDULES: Final = (
    Route(
        "POST",
        "/job-schedules/{name}",
        "addSchedule",
        "Have a job triggered by itself",
        "schedules",
        (
            Shown(
                201,
                "The schedule is in force.",
                {JSON_TYPE: (Made, Made(ID))},
                REPLAYABLE,
                ("listFires", "pauseSchedule", "resumeSchedule", "runSchedule", "removeSchedule"),
            ),
        ),
        (*WRITE, KeyReused, TooManyKeys),
        (JOB, KEY),
        Body({JSON_TYPE: (ScheduleAsked, {"Schedule": "0 0 * * *", "Args": ["42"]})}, required=True),
    ),
    Route(
        "GET",
        "/job-schedules/{name}",
        "listSchedules",
        "List the schedules of a job",
        "schedules",
        (Shown(200, "In the order in which they came.", {JSON_TYPE: (Sequence[ScheduleJson], [LISTED])}),),
        READ,
        (JOB, CONSISTENCY),
    ),
    Route(
        "DELETE",
        "/job-schedules/{name}/{id}",
        "removeSchedule",
        "Let a schedule be due no more",
        "schedules",
        (Shown(204, "It is gone."),),
        (*WRITE, UnknownSchedule, DeclaredElsewhere),
        (JOB, SCHEDULE),
    ),
    Route(
        "POST",
        "/job-schedules/{name}/{id}/pause",
        "pauseSchedule",
        "Skip the instants of a schedule from now on",
        "schedules",
        (Shown(200, "It is paused.", _paused(True)),),
        (*WRITE, UnknownSchedule),
        (JOB, SCHEDULE),
    ),
    Route(
        "POST",
        "/job-schedules/{name}/{id}/resume",
        "resumeSchedule",
        "Let a paused schedule fire again",
        "schedules",
        (Shown(200, "It fires again.", _paused(False)),),
        (*WRITE, UnknownSchedule),
        (JOB, SCHEDULE),
    ),
    Route(
        "POST",
        "/job-schedules/{name}/{id}/run",
        "runSchedule",
        "Trigger a run of a schedule now, beside its instants",
        "schedules",
        (Shown(202, "The run is enqueued.", {JSON_TYPE: (Made, Made(ID))}, REPLAYABLE, OF_A_RUN),),
        (*ENQUEUE, UnknownSchedule),
        (JOB, SCHEDULE, KEY),
    ),
    Route(
        "GET",
        "/job-schedules/{name}/{id}/fires",
        "listFires",
        "List what became of the instants of a schedule",
        "schedules",
        (Shown(200, "The latest first.", {JSON_TYPE: (Fires, Fires([FIRED], -1))}),),
        (*READ, UnknownSchedule),
        (JOB, SCHEDULE, FROM, TO, FIRES, CONSISTENCY),
    ),
)
