"""REST before the real node: what a client is told is what was decided, committed and observed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from slimjobs.core.decide.decision import Limits
from slimjobs.core.orchestrators.ports import ObservedAttempt, Phase
from slimjobs.eventlog.events.definitions import Definition, EnvironmentVariable, Resources, Visibility
from slimjobs.eventlog.events.runs import RunId, parse_run_id
from slimjobs.http.surface import SurfaceSettings
from tests.http.client import Client, running
from tests.http.conftest import LOOPBACK
from tests.http.live_node import LiveNode, live_node

FIBONACCI = Definition(
    image="fibonacci:1",
    images_whitelist=("fibonacci:*",),
    resources=Resources({"cpu": "400m"}, {"cpu": "400m"}),
    environments=(EnvironmentVariable("LEVEL", "debug"),),
    visibility=Visibility.PUBLIC,
    number_parallel_job=2,
    ttl_seconds_after_finished=36000,
)
SECRET = Definition(image="secret:1")


@pytest.fixture
async def live() -> AsyncIterator[LiveNode]:
    async with live_node([("default", Definition()), ("fibonacci", FIBONACCI), ("secret", SECRET)]) as node:
        yield node


@pytest.fixture
async def client(live: LiveNode) -> AsyncIterator[Client]:
    async with running(live.node, SurfaceSettings(trusted_networks=LOOPBACK)) as client:
        yield client


@pytest.fixture
async def stranger(live: LiveNode) -> AsyncIterator[Client]:
    async with running(live.node, SurfaceSettings()) as client:
        yield client


def run_of(text: str) -> RunId:
    run = parse_run_id(text)
    assert run is not None
    return run


async def until_status(client: Client, location: str, status: str) -> Any:
    """The run, once it has this status. A change may come between two requests, so no wait for the next one is long."""
    with trio.fail_after(10):
        shown = (await client.get(location)).json
        while shown["Status"] != status:
            shown = (await client.get(location + "?wait=0.05")).json
    return shown


async def test_what_is_wrong_with_a_body_and_with_what_it_asks_for_is_told_at_once(client: Client) -> None:
    body = {"Argz": ["1"], "Image": "evil:1", "BackoffLimit": -1}
    answer = await client.post("/job/fibonacci", body)
    assert answer.status == 400
    assert {error["pointer"] for error in answer.json["errors"]} == {"/Argz", "/Image", "/BackoffLimit"}
    lines = [{"Name": "fibonacci", "Image": "evil:1"}, {"Name": "fibonacci", "Argz": []}, {"Name": "fibonacci"}]
    answer = await client.post("/jobs", lines)
    assert answer.status == 400
    assert [error["pointer"] for error in answer.json["errors"]] == ["/0/Image", "/1/Argz"]
    assert (await client.get("/job/fibonacci")).json == []


async def test_an_outsider_learns_nothing_of_a_private_job_from_a_bad_body(stranger: Client) -> None:
    assert (await stranger.post("/job/secret", {"Argz": ["1"]})).status == 403
    assert (await stranger.post("/jobs", [{"Name": "secret", "Argz": ["1"]}])).status == 403


async def test_runs_go_from_the_queue_through_their_slots_to_their_end(client: Client, live: LiveNode) -> None:
    ids = [(await client.post("/job/fibonacci", {"Args": [str(at)]})).json["Id"] for at in range(4)]
    for id in ids[:2]:
        await until_status(client, f"/job/fibonacci/{id}", "Running")
    rows = (await client.get("/job/fibonacci")).json
    assert [(row["Id"], row["Status"], row["PositionInQueue"]) for row in rows[:2]] == [
        (ids[2], "Queued", 1),
        (ids[3], "Queued", 2),
    ]
    assert {(row["Id"], row["Status"], row["PositionInQueue"]) for row in rows[2:]} == {
        (ids[0], "Running", -1),
        (ids[1], "Running", -1),
    }
    waiting = (await client.get(f"/job/fibonacci/{ids[2]}")).json
    assert [why["Kind"] for why in waiting["Why"]] == ["Cap"]
    assert waiting["Definition"]["Args"] == ["2"]
    live.objects.move(run_of(ids[0]), Phase.SUCCEEDED, ObservedAttempt(1, 1, 2, 0))
    ended = await until_status(client, f"/job/fibonacci/{ids[0]}", "Succeeded")
    assert ended["FinishTimestamp"] >= ended["StartTimestamp"] >= ended["InQueueTimestamp"] > 0
    await until_status(client, f"/job/fibonacci/{ids[2]}", "Running")


async def test_a_rule_of_the_definition_is_refused_with_its_pointer(client: Client) -> None:
    body = {"Image": "other:1", "Resources": {"Limits": {"cpu": "1"}}}
    answer = await client.post("/job/fibonacci", body)
    assert answer.status == 400
    assert {error["pointer"] for error in answer.json["errors"]} >= {"/Image", "/Resources/Limits/cpu"}
    assert (await client.get("/job/fibonacci")).json == []
    batch = await client.post("/jobs", [{"Name": "fibonacci"}, {"Name": "fibonacci", **body}])
    assert {error["pointer"] for error in batch.json["errors"]} >= {"/1/Image", "/1/Resources/Limits/cpu"}
    assert (await client.get("/job/fibonacci")).json == []


async def test_a_key_enqueues_once_however_often_and_however_it_comes(client: Client) -> None:
    key = {"idempotency-key": "once"}
    first = await client.post("/job/fibonacci", {"Args": ["1"]}, headers=key)
    again = await client.post("/job/fibonacci", {"args": ["1"]}, headers=key, chunked=True)
    assert again.json == first.json
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert (await client.post("/job/fibonacci", {"Args": ["2"]}, headers=key)).status == 422
    assert len((await client.get("/job/fibonacci")).json) == 1
    many = [{"Name": "fibonacci"}] * 2
    assert (await client.post("/jobs", many, headers=key)).json == (await client.post("/jobs", many, headers=key)).json
    assert len((await client.get("/job/fibonacci")).json) == 3


async def test_the_index_of_an_answer_never_goes_back_and_covers_what_was_acknowledged(client: Client) -> None:
    indexes = []
    for _ in range(3):
        indexes.append(int((await client.post("/job/fibonacci")).headers["x-slimfaas-index"]))
        indexes.append(int((await client.get("/job/fibonacci")).headers["x-slimfaas-index"]))
        indexes.append(int((await client.post("/job/fibonacci", b"{")).headers["x-slimfaas-index"]))
    assert indexes == sorted(indexes)
    assert indexes[0] > 0


async def test_a_deleted_run_leaves_the_list_and_says_when_it_did(client: Client) -> None:
    ids = [(await client.post("/job/fibonacci")).json["Id"] for _ in range(3)]
    await until_status(client, f"/job/fibonacci/{ids[0]}", "Running")
    for id in (ids[0], ids[2]):  # one that runs, one that waits
        with trio.fail_after(5):
            assert (await client.delete(f"/job/fibonacci/{id}")).status == 200
        assert (await client.delete(f"/job/fibonacci/{id}")).status == 404
        gone = await client.get(f"/job/fibonacci/{id}")
        assert gone.status == 404
        assert "deleted" in gone.json["detail"].lower()
    assert [row["Id"] for row in (await client.get("/job/fibonacci")).json] == [ids[1]]


async def test_pages_lead_on_through_the_whole_list(client: Client) -> None:
    ids = [line["Id"] for line in (await client.post("/jobs", [{"Name": "fibonacci"}] * 7)).json]
    target, seen = "/job/fibonacci?limit=3", list[str]()
    while target:
        page = await client.get(target)
        assert len(page.json) <= 3
        seen += [row["Id"] for row in page.json]
        link = re.fullmatch(r'<(.*)>; rel="next"', page.headers.get("link", ""))
        target = link[1] if link else ""
    assert sorted(seen) == sorted(ids)
    queued = (await client.get("/job/fibonacci?status=queued")).json
    assert [row["PositionInQueue"] for row in queued] == [1, 2, 3, 4, 5]
    assert (await client.get("/job/fibonacci?continue=nonsense")).status == 400


async def test_waiting_ends_with_the_next_change_or_with_patience(client: Client, live: LiveNode) -> None:
    id = (await client.post("/job/fibonacci")).json["Id"]
    location = f"/job/fibonacci/{id}"
    await until_status(client, location, "Running")
    begun = trio.current_time()
    assert (await client.get(location + "?wait=0.05")).json["Status"] == "Running"
    assert trio.current_time() - begun >= 0.05
    async with trio.open_nursery() as nursery:

        async def wait() -> None:
            assert (await client.get(location + "?wait=30")).json["Status"] == "Failed"

        with trio.fail_after(10):
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked(0.01)
            live.objects.move(run_of(id), Phase.FAILED, ObservedAttempt(1, 1, 2, 3, "Error"))


async def test_output_is_that_of_the_object_of_the_run(client: Client) -> None:
    id = (await client.post("/job/fibonacci")).json["Id"]
    location = f"/job/fibonacci/{id}"
    await until_status(client, location, "Running")
    answer = await client.get(location + "/logs?attempt=1&tail=5")
    assert answer.body == f"fibonacci-slimfaas-job-{id} 1 5 False\n".encode()


async def test_output_of_an_attempt_that_was_never_made_is_404_with_the_reason(client: Client) -> None:
    id = (await client.post("/job/fibonacci")).json["Id"]
    await until_status(client, f"/job/fibonacci/{id}", "Running")
    for query in ("attempt=2", "attempt=2&follow=true"):
        answer = await client.get(f"/job/fibonacci/{id}/logs?{query}")
        assert answer.status == 404
        assert "There is no attempt 2." in answer.json["detail"]


async def test_a_stranger_gets_403_of_what_is_private_and_does_not_see_its_name(
    client: Client, stranger: Client
) -> None:
    location = (await client.post("/job/secret")).headers["location"]
    for answer in (
        await stranger.post("/job/secret"),
        await stranger.post("/jobs", [{"Name": "fibonacci"}, {"Name": "secret"}]),
        await stranger.get("/job/secret"),
        await stranger.get(location),
        await stranger.get(location + "/logs"),
        await stranger.delete(location),
        await stranger.get("/job/secret/none"),
        await stranger.post("/job/secret", b"{"),
        await stranger.post("/job/nobody-defined-this"),
    ):
        assert answer.status == 403
    assert (await client.get("/job/fibonacci")).json == []
    assert b"secret" not in (await stranger.get("/jobs/status")).body
    assert (await stranger.post("/job/fibonacci")).status == 202
    names = [each["Name"] for each in (await client.get("/jobs/status")).json["Definitions"]]
    assert {"fibonacci", "secret"} <= set(names)


async def test_a_full_queue_is_429_and_a_full_disk_507_and_reads_go_on() -> None:
    async with (
        live_node([("fibonacci", FIBONACCI)], Limits(queued_jobs=2)) as live,
        running(live.node, SurfaceSettings(trusted_networks=LOOPBACK)) as client,
    ):
        assert (await client.get("/ready")).status == 200
        assert [(await client.post("/job/fibonacci")).status for _ in range(4)] == [202] * 4
        full = await client.post("/job/fibonacci")
        assert (full.status, "retry-after" in full.headers) == (429, True)
        assert len((await client.get("/job/fibonacci")).json) == 4
        live.disk.room = 0
        [queued, *_] = (await client.get("/job/fibonacci?status=queued")).json
        await client.delete(f"/job/fibonacci/{queued['Id']}")
        assert (await client.post("/job/fibonacci")).status == 507
        assert (await client.get("/job/fibonacci")).status == 200
