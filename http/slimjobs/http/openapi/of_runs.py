"""The routes of runs, in the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

from msgspec import Meta

from slimjobs.core.decide.refusals import UnknownRun
from slimjobs.eventlog.events.definitions import RestartPolicy, Source, Visibility
from slimjobs.http.bodies import MAX_BATCH
from slimjobs.http.openapi.common import AT, ENQUEUE, ID, OF_A_RUN, READ, REPLAYABLE, WRITE
from slimjobs.http.openapi.parameters import (
    ATTEMPT,
    CONSISTENCY,
    CONTINUE,
    FOLLOW,
    JOB,
    KEY,
    REST_BEFORE_LOGS,
    REST_OF_PATH,
    ROWS,
    RUN,
    STATUS,
    TAIL,
    WAIT,
)
from slimjobs.http.openapi.parts import JSON_TYPE, NDJSON_TYPE, TEXT, Body, Media, Parameter, Route, Shown
from slimjobs.http.openapi.wire import LineAsked, Made, MadeOfBatch, TriggerAsked
from slimjobs.http.rendering import (
    DefinitionJson,
    DefinitionStatusJson,
    ResourcesJson,
    RunJson,
    StatusJson,
    VariableJson,
)
from slimjobs.projections.views import RunEvent, RunRow, RunStatus, Why, WhyKind

DEFINITION: Final = DefinitionJson(
    image="fibonacci:1",
    images_whitelist=["fibonacci:*"],
    command=[],
    args=["42"],
    resources=ResourcesJson({"cpu": "400m"}, {"cpu": "400m"}),
    depends_on=[],
    environments=[VariableJson("LEVEL", "debug")],
    backoff_limit=1,
    visibility=Visibility.PUBLIC,
    number_parallel_job=2,
    ttl_seconds_after_finished=60,
    restart_policy=RestartPolicy.NEVER,
    max_queued_jobs=None,
    active_deadline_seconds=None,
    image_pull_deadline_seconds=300,
    allow_reference_overrides=False,
    pod_template=None,
)
OBJECT: Final = f"fibonacci-slimfaas-job-{ID}"
ROW: Final = RunRow(ID, OBJECT, RunStatus.QUEUED, 1, AT)
DETAIL: Final = RunJson(
    id=ID,
    name=OBJECT,
    status=RunStatus.QUEUED,
    position_in_queue=1,
    in_queue_timestamp=AT,
    start_timestamp=-1,
    finish_timestamp=-1,
    reason="",
    attempts=0,
    job="fibonacci",
    path="",
    definition=DEFINITION,
    events=[RunEvent(7, AT, "RunQueued")],
    why=[Why(WhyKind.CAP, "2 of 2 runs hold a slot", AT, (ID,))],
)
STATUS_NOW: Final = StatusJson(
    [
        DefinitionStatusJson(
            name="fibonacci",
            source=Source.CONFIGURATION,
            visibility=Visibility.PUBLIC,
            number_parallel_job=2,
            queued=1,
            occupied=0,
            queue=[ROW],
            active=[],
            schedules=[],
            definition=DEFINITION,
        )
    ],
    [],
)

TRIGGER: Final = Body(
    {JSON_TYPE: (TriggerAsked, {"Args": ["42"], "Environments": [{"name": "LEVEL", "value": "info"}]})}
)
ENQUEUED: Final = Shown(202, "The run is enqueued.", {JSON_TYPE: (Made, Made(ID))}, REPLAYABLE, OF_A_RUN)
OUTPUT: Final[Media] = {
    TEXT: ({"type": "string", "description": "What the run wrote, byte for byte."}, "one\n"),
}


def _trigger(path: str, name: str, summary: str, description: str, parameters: Sequence[Parameter]) -> Route:
    return Route("POST", path, name, summary, "runs", (ENQUEUED,), ENQUEUE, (*parameters, KEY), TRIGGER, description)


Batch = Annotated[Sequence[LineAsked], Meta(min_length=1, max_length=MAX_BATCH)]

TRIGGERS: Final = (
    _trigger(
        "/job/{name}",
        "triggerRun",
        "Trigger a run of a job",
        "A name that nothing is configured for runs under the definition `Default`. Acknowledged when a majority of "
        "the nodes has it on disk.",
        [JOB],
    ),
    _trigger(
        "/job/{name}/{id}",
        "triggerRunWithPath",
        "Trigger a run of a job with a path",
        "The same; what follows the job's name reaches the container as `SLIMFAAS_JOB_PATH`.",
        [JOB, REST_OF_PATH],
    ),
    _trigger(
        "/job/{name}/{id}/logs",
        "triggerRunWithPathOfTwo",
        "Trigger a run of a job with a path that ends in logs",
        "A path may have any number of segments, and may be that of another method.",
        [JOB, REST_BEFORE_LOGS],
    ),
    Route(
        "POST",
        "/jobs",
        "triggerRuns",
        "Trigger many runs, all or none",
        "runs",
        (
            Shown(
                202,
                "All are enqueued: one result for each, in order, in the form in which they came.",
                {
                    JSON_TYPE: (list[MadeOfBatch], [MadeOfBatch(ID, "fibonacci")]),
                    NDJSON_TYPE: ({"type": "string"}, f'{{"Id":"{ID}","Name":"fibonacci"}}\n'),
                },
                ("Idempotent-Replayed",),
            ),
        ),
        ENQUEUE,
        (KEY,),
        Body(
            {
                JSON_TYPE: (Batch, [{"Name": "fibonacci", "Args": ["42"]}]),
                NDJSON_TYPE: ({"type": "string", "format": "ndjson"}, '{"Name":"fibonacci"}\n{"Name":"fibonacci"}\n'),
            },
            required=True,
        ),
    ),
)

RUNS: Final = (
    *TRIGGERS,
    Route(
        "GET",
        "/job/{name}",
        "listRuns",
        "List the runs of a job",
        "runs",
        (
            Shown(
                200,
                "The queue in order, then the others, newest first.",
                {JSON_TYPE: (Sequence[RunRow], [ROW])},
                ("Link",),
            ),
        ),
        READ,
        (JOB, STATUS, ROWS, CONTINUE, CONSISTENCY),
    ),
    Route(
        "GET",
        "/job/{name}/{id}",
        "showRun",
        "Show a run",
        "runs",
        (Shown(200, "The run, why it has not started, and what happened to it.", {JSON_TYPE: (RunJson, DETAIL)}),),
        (*READ, UnknownRun),
        (JOB, RUN, WAIT, CONSISTENCY),
        description="External callers see no values of variables.",
    ),
    Route(
        "DELETE",
        "/job/{name}/{id}",
        "deleteRun",
        "Delete a run, whatever it is doing",
        "runs",
        (
            Shown(200, "Nothing of it can start any more.", {JSON_TYPE: (Made, Made(ID))}),
            Shown(202, "It is being deleted, which takes longer than usual.", {JSON_TYPE: (Made, Made(ID))}),
        ),
        (*WRITE, UnknownRun),
        (JOB, RUN),
    ),
    Route(
        "GET",
        "/job/{name}/{id}/logs",
        "showOutput",
        "Show what a run wrote",
        "runs",
        (Shown(200, "The output as it is, with `follow` until the run ends.", OUTPUT),),
        (*READ, UnknownRun, 503),
        (JOB, RUN, FOLLOW, TAIL, ATTEMPT, CONSISTENCY),
    ),
    Route(
        "GET",
        "/jobs/status",
        "showStatus",
        "Show every job that the caller may see",
        "runs",
        (
            Shown(
                200,
                "Every definition with its queue, its runs and its schedules.",
                {JSON_TYPE: (StatusJson, STATUS_NOW)},
            ),
        ),
        READ,
        (CONSISTENCY,),
    ),
)
