"""Schedules over REST before the real node: the specification's lines, what is refused, what becomes of instants."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final

import pytest
import trio

from slimjobs.core.machine.inputs import Now
from slimjobs.core.orchestrators.ports import ObservedAttempt, Phase
from slimjobs.eventlog.events.definitions import Definition, Visibility
from slimjobs.eventlog.events.runs import RunId, parse_run_id
from slimjobs.http.surface import SurfaceSettings
from tests.http.client import Client, Response, running
from tests.http.conftest import LOOPBACK
from tests.http.live_node import LiveNode, live_node

FIBONACCI: Final = Definition(
    image="fibonacci:1", images_whitelist=("fibonacci:*",), visibility=Visibility.PUBLIC, number_parallel_job=2
)
SECRET: Final = Definition(image="secret:1")
MIDNIGHT: Final = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp() * 1000)
MINUTE: Final = 60_000


class Wall:
    """A clock on the wall that tests put forward; the monotonic one goes by itself."""

    def __init__(self) -> None:
        self._ahead_ms = MIDNIGHT - 500 - time.time_ns() // 1_000_000

    def now(self) -> Now:
        return Now(time.time_ns() // 1_000_000 + self._ahead_ms, int(trio.current_time() * 1e9))

    def put_forward(self, milliseconds: int) -> None:
        self._ahead_ms += milliseconds


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
async def live(wall: Wall) -> AsyncIterator[LiveNode]:
    async with live_node([("default", Definition()), ("fibonacci", FIBONACCI), ("secret", SECRET)], clock=wall) as node:
        yield node


@pytest.fixture
async def client(live: LiveNode) -> AsyncIterator[Client]:
    async with running(live.node, SurfaceSettings(trusted_networks=LOOPBACK)) as client:
        yield client


@pytest.fixture
async def stranger(live: LiveNode) -> AsyncIterator[Client]:
    async with running(live.node, SurfaceSettings()) as client:
        yield client


async def made(client: Client, body: Any, job: str = "fibonacci") -> str:
    """The place of a new schedule."""
    answer = await client.post(f"/job-schedules/{job}", body)
    assert answer.status == 201, answer.body
    assert answer.headers["location"] == f"/job-schedules/{job}/{answer.json['Id']}"
    return answer.headers["location"]


async def shown(client: Client, place: str) -> Any:
    """A schedule as the list of its job shows it."""
    name, schedule = place.split("/")[2:]
    [row] = [row for row in (await client.get(f"/job-schedules/{name}")).json if row["Id"] == schedule]
    return row


async def fires(client: Client, place: str, count: int) -> list[Any]:
    """What became of its instants, as soon as there are so many rows."""
    with trio.fail_after(10):
        while len(rows := (await client.get(f"{place}/fires")).json["Fires"]) < count:
            pass
    return list(rows)


async def until_status(client: Client, run: str, status: str) -> None:
    with trio.fail_after(10):
        while (await client.get(f"/job/fibonacci/{run}?wait=0.05")).json["Status"] != status:
            pass


def run_of(text: str) -> RunId:
    run = parse_run_id(text)
    assert run is not None
    return run


def pointers(answer: Response) -> set[str]:
    assert answer.status == 400, answer.body
    return {error["pointer"] for error in answer.json["errors"]}


# The specification ----------------------------------------------------------------------------------------------------


async def test_the_lines_of_the_specification(client: Client) -> None:
    daily = await client.post("/job-schedules/fibonacci", b'{"Schedule":"0 0 * * *","Args":["42"]}')
    weekly = await client.post("/job-schedules/fibonacci", b'{"Schedule":"0 0 * * 0","Args":["42"]}')
    assert (daily.status, weekly.status) == (201, 201)
    rows = (await client.get("/job-schedules/fibonacci")).json
    assert [{key: row[key] for key in ("Id", "Name", "Schedule", "Args")} for row in rows] == [
        {"Id": daily.json["Id"], "Name": "fibonacci", "Schedule": "0 0 * * *", "Args": ["42"]},
        {"Id": weekly.json["Id"], "Name": "fibonacci", "Schedule": "0 0 * * 0", "Args": ["42"]},
    ]
    gone = await client.delete(f"/job-schedules/fibonacci/{daily.json['Id']}")
    assert (gone.status, gone.body) == (204, b"")
    assert not {"content-length", "content-type"} & set(gone.headers)
    assert [row["Id"] for row in (await client.get("/job-schedules/fibonacci")).json] == [weekly.json["Id"]]
    assert (await client.delete(f"/job-schedules/fibonacci/{daily.json['Id']}")).status == 404


async def test_a_list_shows_what_was_given_and_when_it_fires(client: Client) -> None:
    body = {
        "schedule": "@daily",
        "timeZone": "Europe/Paris",
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": 0,
        "image": "fibonacci:2",
        "dependsOn": ["db"],
        "environments": [{"name": "LEVEL", "value": "debug"}],
        "backoffLimit": 3,
    }
    place = await made(client, body)
    assert await shown(client, place) == {
        "Id": place.rpartition("/")[2],
        "Name": "fibonacci",
        "Schedule": "@daily",
        "NextExecutionTimestamp": MIDNIGHT + 23 * 60 * MINUTE,
        "LastExecutionTimestamp": -1,
        "Source": "Api",
        "TimeZone": "Europe/Paris",
        "Paused": False,
        "ConcurrencyPolicy": "Forbid",
        "StartingDeadlineSeconds": 0,
        "Image": "fibonacci:2",
        "DependsOn": ["db"],
        "Environments": [{"name": "LEVEL", "value": "debug"}],
        "BackoffLimit": 3,
    }
    [row] = [row for row in (await client.get("/jobs/status")).json["Definitions"] if row["Name"] == "fibonacci"]
    assert row["Schedules"] == [await shown(client, place)]
    assert (await client.get("/job-schedules/nobody")).json == []


# What is refused ------------------------------------------------------------------------------------------------------


async def test_everything_that_is_wrong_is_told_at_once(client: Client) -> None:
    body = {
        "Schedule": "0 0 31 2 *",
        "TimeZone": "Europe/Pariss",
        "ConcurrencyPolicy": "allow",
        "StartingDeadlineSeconds": -1,
        "Paused": "no",
        "Argz": [],
        "BackoffLimit": "3",
    }
    assert pointers(await client.post("/job-schedules/fibonacci", body)) == {f"/{key}" for key in body}
    assert pointers(await client.post("/job-schedules/fibonacci", {"Args": []})) == {""}
    assert (await client.get("/job-schedules/fibonacci")).json == []


async def test_overrides_are_judged_as_those_of_a_trigger(client: Client) -> None:
    body = {"Schedule": "* * * * *", "Image": "evil:1", "Argz": []}
    assert pointers(await client.post("/job-schedules/fibonacci", body)) == {"/Image", "/Argz"}


@pytest.mark.parametrize(
    ("expression", "column"), [("* * * *", 8), ("60 * * * *", 1), ("0 0 * * L", 9), ("@every 5m", 1), ("0 0 1-", 7)]
)
async def test_an_expression_is_refused_with_its_column(client: Client, expression: str, column: int) -> None:
    answer = await client.post("/job-schedules/fibonacci", {"Schedule": expression})
    [error] = answer.json["errors"]
    assert f"(column {column} of the expression)" in error["detail"]


async def test_unknown_ids_and_methods(client: Client) -> None:
    place = await made(client, {"Schedule": "* * * * *"})
    for method, target, status in (
        ("DELETE", "/job-schedules/fibonacci/0", 404),
        ("DELETE", place.replace("fibonacci", "web"), 404),
        ("POST", "/job-schedules/fibonacci/aaaaaaaaaaaaaaaa/pause", 404),
        ("GET", "/job-schedules/fibonacci/aaaaaaaaaaaaaaaa/fires", 404),
        ("POST", "/job-schedules/a_b", 400),
        ("GET", f"{place}/fires?limit=0", 400),
        ("GET", f"{place}/fires?form=1", 400),
        ("PUT", place, 405),
        ("PATCH", place, 405),
    ):
        answer = await client.request(method, target)
        assert answer.status == status, (method, target, answer.body)
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_stranger_neither_sees_nor_touches_the_schedules_of_a_private_job(
    client: Client, stranger: Client
) -> None:
    place = await made(client, {"Schedule": "* * * * *"}, "secret")
    for method, target in (
        ("POST", "/job-schedules/secret"),
        ("GET", "/job-schedules/secret"),
        ("DELETE", place),
        ("DELETE", "/job-schedules/secret/0"),
        ("POST", f"{place}/pause"),
        ("POST", f"{place}/resume"),
        ("POST", f"{place}/run"),
        ("GET", f"{place}/fires"),
        ("GET", "/job-schedules/secret/0/fires"),
    ):
        answer = await stranger.request(method, target, b'{"Schedule": "x"}' if method == "POST" else b"")
        assert answer.status == 403, (method, target, answer.body)
    assert (await shown(client, place))["Paused"] is False


async def test_a_stranger_sees_no_values_of_variables(client: Client, stranger: Client) -> None:
    variables = [{"name": "TOKEN", "value": "hidden"}]
    place = await made(client, {"Schedule": "* * * * *", "Environments": variables})
    assert (await shown(stranger, place))["Environments"] == [{"name": "TOKEN"}]


async def test_a_key_makes_one_schedule(client: Client) -> None:
    headers = {"idempotency-key": "k"}
    first = await client.post("/job-schedules/fibonacci", {"Schedule": "@daily"}, headers=headers)
    again = await client.post("/job-schedules/fibonacci", {"Schedule": "@daily"}, headers=headers)
    other = await client.post("/job-schedules/fibonacci", {"Schedule": "@hourly"}, headers=headers)
    assert (first.status, again.status, other.status) == (201, 201, 422)
    assert first.json == again.json
    assert again.headers["idempotent-replayed"] == "true"
    assert len((await client.get("/job-schedules/fibonacci")).json) == 1


# What it does ---------------------------------------------------------------------------------------------------------


async def test_it_fires_at_its_instant_and_tells(client: Client, live: LiveNode, wall: Wall) -> None:
    place = await made(client, {"Schedule": "* * * * *", "Args": ["42"]})
    [fire] = await fires(client, place, 1)
    assert (fire["Instant"], fire["Until"], fire["Count"], fire["Outcome"]) == (MIDNIGHT, MIDNIGHT, 1, "Fired")
    assert 0 <= fire["LateMilliseconds"] < 1000
    run = (await client.get(f"/job/fibonacci/{fire['Id']}")).json
    assert run["Definition"]["Args"] == ["42"]
    row = await shown(client, place)
    assert (row["LastExecutionTimestamp"], row["NextExecutionTimestamp"]) == (MIDNIGHT, MIDNIGHT + MINUTE)


async def test_a_wall_clock_that_was_put_forward_obeys_the_deadline(client: Client, wall: Wall) -> None:
    place = await made(client, {"Schedule": "0 * * * *", "StartingDeadlineSeconds": 60})
    await fires(client, place, 1)
    wall.put_forward(150 * MINUTE)
    skipped, _ = await fires(client, place, 2)
    assert (skipped["Outcome"], skipped["Reason"], skipped["Count"]) == ("Skipped", "Deadline", 2)
    assert skipped["Until"] == MIDNIGHT + 120 * MINUTE


async def test_forbid_waits_for_no_two_at_once_and_goes_on_when_the_first_has_ended(
    client: Client, live: LiveNode, wall: Wall
) -> None:
    place = await made(client, {"Schedule": "* * * * *", "ConcurrencyPolicy": "Forbid"})
    [first] = await fires(client, place, 1)
    wall.put_forward(MINUTE)
    skipped, _ = await fires(client, place, 2)
    assert (skipped["Outcome"], skipped["Reason"]) == ("Skipped", "Overlap")
    await until_status(client, first["Id"], "Running")
    live.objects.move(run_of(first["Id"]), Phase.SUCCEEDED, ObservedAttempt(1, 1, 2, 0))
    await until_status(client, first["Id"], "Succeeded")
    wall.put_forward(MINUTE)
    assert (await fires(client, place, 3))[0]["Outcome"] == "Fired"


async def test_replace_deletes_the_run_before(client: Client, wall: Wall) -> None:
    place = await made(client, {"Schedule": "* * * * *", "ConcurrencyPolicy": "Replace"})
    [first] = await fires(client, place, 1)
    wall.put_forward(MINUTE)
    second, before = await fires(client, place, 2)
    assert (second["Outcome"], before["Outcome"], before["Id"]) == ("Fired", "Replaced", first["Id"])
    assert (await client.get(f"/job/fibonacci/{first['Id']}")).status == 404


async def test_a_paused_one_skips_and_a_resumed_one_fires(client: Client, wall: Wall) -> None:
    place = await made(client, {"Schedule": "* * * * *", "Paused": True})
    assert (await shown(client, place))["Paused"] is True
    wall.put_forward(5 * MINUTE)
    resumed = await client.post(f"{place}/resume")
    assert (resumed.status, resumed.json) == (200, {"Id": place.rpartition("/")[2], "Paused": False})
    [skipped] = await fires(client, place, 1)
    assert (skipped["Outcome"], skipped["Reason"], skipped["Instant"]) == ("Skipped", "Paused", MIDNIGHT)
    assert (await client.post(f"{place}/pause")).json["Paused"] is True
    assert (await shown(client, place))["Paused"] is True


async def test_run_now_triggers_beside_the_instants(client: Client) -> None:
    place = await made(client, {"Schedule": "@yearly", "Args": ["7"]})
    answer = await client.post(f"{place}/run")
    assert answer.status == 202
    assert answer.headers["location"] == f"/job/fibonacci/{answer.json['Id']}"
    assert (await client.get(answer.headers["location"])).json["Definition"]["Args"] == ["7"]
    assert (await client.get(f"{place}/fires")).json == {"Fires": [], "KeptFrom": -1}
    keyed = [await client.post(f"{place}/run", headers={"idempotency-key": "once"}) for _ in range(2)]
    assert keyed[0].json == keyed[1].json


async def test_fires_can_be_asked_for_by_time(client: Client, wall: Wall) -> None:
    place = await made(client, {"Schedule": "* * * * *"})
    await fires(client, place, 1)
    wall.put_forward(MINUTE)
    await fires(client, place, 2)

    async def between(query: str) -> list[int]:
        return [row["Instant"] for row in (await client.get(f"{place}/fires?{query}")).json["Fires"]]

    assert await between(f"from={MIDNIGHT + 1}") == [MIDNIGHT + MINUTE]
    assert await between(f"to={MIDNIGHT}") == [MIDNIGHT]
    assert await between("limit=1") == [MIDNIGHT + MINUTE]


async def test_a_reference_that_the_definition_does_not_have_is_forbidden(client: Client) -> None:
    reference = {"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    answer = await client.post("/job-schedules/fibonacci", {"Schedule": "* * * * *", "Environments": [reference]})
    assert answer.status == 403
