"""REST as a client sees it (contract §2), over a real socket and the real server, before a node in memory."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import get_args

import pytest
import trio
import trio.testing

from slimjobs.core.configuration.place import Place
from slimjobs.core.configuration.settings import read_settings
from slimjobs.core.decide.commands import DeleteRun, Trigger
from slimjobs.core.decide.refusals import (
    Forbidden,
    Invalid,
    KeyReused,
    NoLeader,
    NoRoom,
    OutcomeUnknown,
    Problem,
    QueueFull,
    Refusal,
    TooManyKeys,
)
from slimjobs.core.machine.queries import ListRuns, ShowRun
from slimjobs.eventlog.events.definitions import Overrides
from slimjobs.eventlog.events.runs import parse_run_id
from slimjobs.http.parameters import MAX_UNKNOWN
from slimjobs.http.problems import KINDS
from slimjobs.http.room import ROOM_BYTES
from slimjobs.http.routes import BODY_SECONDS
from slimjobs.http.server import ConnectionLimits
from slimjobs.http.surface import SurfaceSettings, surface_settings
from slimjobs.projections.views import RunStatus
from tests.http.client import Client, Response, running
from tests.http.conftest import LOOPBACK
from tests.http.memory_service import MemoryService

UNKNOWN = "a" * 16


def last_trigger(service: MemoryService) -> Trigger:
    command = service.commands[-1]
    assert isinstance(command, Trigger)
    return command


def is_problem(response: Response, status: int, path: str) -> bool:
    """Whether an answer is a problem document that says all it has to (RFC 9457)."""
    document = response.json
    return (
        response.status == status == document["status"]
        and response.headers["content-type"] == "application/problem+json"
        and {"type", "title", "detail"} <= set(document)
        and document["instance"] == path
        and "x-slimfaas-index" in response.headers
    )


# Triggers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True], ids=["short", "chunked"])
async def test_a_trigger_is_accepted_with_an_id_and_where_to_look_it_up(
    service: MemoryService, inside: Client, chunked: bool
) -> None:
    answer = await inside.post("/job/Fibonacci/a/b%20c?x=y", {"Args": ["42"]}, chunked=chunked)
    assert answer.status == 202
    assert re.fullmatch(r"[a-z2-7]{16}", answer.json["Id"])
    assert answer.headers["location"] == f"/job/fibonacci/{answer.json['Id']}"
    assert answer.headers["x-slimfaas-index"] == "1"
    [run] = last_trigger(service).runs
    assert (run.job, run.path, run.overrides) == ("fibonacci", "a/b c", Overrides(args=("42",)))
    assert run.run == parse_run_id(answer.json["Id"])
    assert last_trigger(service).internal
    assert (await inside.get(answer.headers["location"])).json["Path"] == "a/b c"


@pytest.mark.parametrize("target", ["/job/fibonacci", "/job/fibonacci/"])
async def test_a_trigger_needs_no_body(service: MemoryService, inside: Client, target: str) -> None:
    for chunked in (False, True):
        assert (await inside.post(target, chunked=chunked)).status == 202
        [run] = last_trigger(service).runs
        assert (run.path, run.overrides) == ("", Overrides())


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", "nonsense"]
)
async def test_a_body_is_json_whatever_its_type_says(service: MemoryService, inside: Client, content_type: str) -> None:
    for chunked in (False, True):
        headers = {"content-type": content_type}
        assert (await inside.post("/job/fibonacci", {"Args": ["42"]}, chunked=chunked, headers=headers)).status == 202
        assert last_trigger(service).runs[0].overrides.args == ("42",)


@pytest.mark.parametrize("chunked", [False, True], ids=["short", "chunked"])
async def test_a_bad_body_is_refused_with_every_problem_and_enqueues_nothing(
    service: MemoryService, inside: Client, chunked: bool
) -> None:
    answer = await inside.post("/job/fibonacci", {"Args": "42", "Imag": ""}, chunked=chunked)
    assert is_problem(answer, 400, "/job/fibonacci")
    assert [error["pointer"] for error in answer.json["errors"]] == ["/Imag", "/Args"]
    assert not service.enqueued


@pytest.mark.parametrize("target", ["/job/a_b", "/job/ab", "/job/-abc", "/job/" + "x" * 31, "/job/f%00o"])
async def test_a_name_that_is_none_is_refused_with_the_rule(inside: Client, target: str) -> None:
    for answer in (await inside.post(target), await inside.post(target, chunked=True), await inside.get(target)):
        assert answer.status == 400
        assert "3 to 30 characters" in answer.json["detail"]


@pytest.mark.parametrize("chunked", [False, True], ids=["short", "chunked"])
async def test_a_path_may_hold_line_breaks(service: MemoryService, inside: Client, chunked: bool) -> None:
    assert (await inside.post("/job/fibonacci/a%0Ab/logs", chunked=chunked)).status == 202
    assert last_trigger(service).runs[0].path == "a\nb/logs"
    assert "POST" in (await inside.request("OPTIONS", "/job/fibonacci/a%0Ab/logs")).headers["allow"]


async def test_a_path_that_a_variable_cannot_hold_is_refused(inside: Client) -> None:
    for target in ("/job/fibonacci/a%00b", "/job/fibonacci/%ff", "/job/fibonacci/" + "x" * 5000):
        assert (await inside.post(target)).status == 400


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
async def test_a_body_above_its_limit_is_413(service: MemoryService, chunked: bool) -> None:
    settings = SurfaceSettings(trusted_networks=LOOPBACK, max_body_bytes=1000, max_batch_bytes=2000)
    async with running(service, settings) as client:
        for target, limit in (("/job/fibonacci", 1000), ("/jobs", 2000)):
            for length in (limit + 1, 10 * limit):
                answer = await client.post(target, b" " * length, chunked=chunked)
                assert is_problem(answer, 413, target)
        assert (await client.post("/job/fibonacci", b" " * 1000, chunked=chunked)).status == 202
        assert (await client.post("/jobs", b"[]".rjust(2000), chunked=chunked)).status == 400


async def test_a_body_that_does_not_arrive_is_408_in_time(service: MemoryService, clock: trio.abc.Clock) -> None:
    async with running(service, SurfaceSettings(trusted_networks=LOOPBACK)) as client:
        for framing in (b"content-length: 10", b"transfer-encoding: chunked"):
            async with await client.connect() as stream:
                await stream.send_all(b"POST /job/fibonacci HTTP/1.1\r\nhost: x\r\n" + framing + b"\r\n\r\n")
                begun = trio.current_time()
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 408 ")
                assert trio.current_time() - begun == pytest.approx(BODY_SECONDS, abs=0.5)
    assert not service.enqueued


async def test_long_bodies_that_nobody_finishes_leave_room_for_short_ones(
    service: MemoryService, inside: Client
) -> None:
    long = 1024 * 1024
    async with trio.open_nursery() as nursery:

        async def begin() -> None:
            async with await inside.connect() as stream:
                await stream.send_all(b"POST /jobs HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n[" % long)
                await trio.sleep_forever()

        for _ in range(ROOM_BYTES // long):
            nursery.start_soon(begin)
        await trio.testing.wait_all_tasks_blocked(0.02)
        assert is_problem(await inside.post("/jobs", b" " * long), 503, "/jobs")
        assert is_problem(await inside.post("/job/fibonacci", b"{}", chunked=True), 503, "/job/fibonacci")
        assert (await inside.post("/job/fibonacci")).status == 202
        nursery.cancel_scope.cancel()
    await trio.testing.wait_all_tasks_blocked(0.02)
    assert (await inside.post("/jobs", b'[{"Name": "fib"}]'.ljust(long))).status == 202


# Batches ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunked", [False, True], ids=["short", "chunked"])
async def test_a_batch_is_one_command_and_answered_as_it_came(
    service: MemoryService, inside: Client, chunked: bool
) -> None:
    array = await inside.post("/jobs", [{"Name": "Fibonacci", "Args": ["1"]}, {"Name": "other"}], chunked=chunked)
    assert (array.status, array.headers["content-type"]) == (202, "application/json")
    assert [result["Name"] for result in array.json] == ["fibonacci", "other"]
    assert [(run.job, run.pointer) for run in last_trigger(service).runs] == [("fibonacci", "/0"), ("other", "/1")]
    assert [parse_run_id(result["Id"]) for result in array.json] == [run.run for run in last_trigger(service).runs]
    lines = await inside.post("/jobs", b'{"Name": "fibonacci"}\n\n{"Name": "other"}\n', chunked=chunked)
    assert (lines.status, lines.headers["content-type"]) == (202, "application/x-ndjson")
    assert [line.count(b'"Id"') for line in lines.body.splitlines()] == [1, 1]
    assert len(service.commands) == 2


async def test_a_batch_with_bad_lines_is_refused_as_a_whole_with_their_numbers(
    service: MemoryService, inside: Client
) -> None:
    answer = await inside.post("/jobs", b'{"Name": "fibonacci"}\n\n{"Name": "x"}\n{')
    assert is_problem(answer, 400, "/jobs")
    assert [(error["pointer"], error["line"]) for error in answer.json["errors"]] == [("/1/Name", 3), ("/2", 4)]
    assert not service.enqueued


async def test_what_the_node_refuses_of_a_batch_has_its_line_too(service: MemoryService, inside: Client) -> None:
    service.refusal = Invalid((Problem("/1/Image", "not allowed"),))
    answer = await inside.post("/jobs", b'{"Name": "fibonacci"}\n\n{"Name": "other", "Image": "x"}')
    assert answer.json["errors"] == [{"pointer": "/1/Image", "detail": "not allowed", "line": 3}]


# Idempotency --------------------------------------------------------------------------------------------------------


async def digests(service: MemoryService, client: Client, target: str, body: bytes, key: str) -> tuple[bytes, bytes]:
    assert (await client.post(target, body, headers={"idempotency-key": key})).status == 202
    used = last_trigger(service).key
    assert used is not None
    return used.key, used.body


async def test_a_key_goes_with_method_path_and_verdict_and_with_what_the_body_means(
    service: MemoryService, inside: Client
) -> None:
    target = "/job/fibonacci"
    key, body = await digests(service, inside, target, b'{"Args": ["1"], "BackoffLimit": 2}', "k")
    assert (len(key), len(body)) == (16, 16)
    assert await digests(service, inside, "/job/Fibonacci", b'{ "backoffLimit":2,"args":["1"]}', "k") == (key, body)
    other_key, same_body = await digests(service, inside, target, b'{"Args": ["1"], "BackoffLimit": 2}', "K")
    assert other_key != key
    assert same_body == body
    assert (await digests(service, inside, target + "/path", b'{"Args": ["1"], "BackoffLimit": 2}', "k"))[0] != key
    assert (await digests(service, inside, target, b"", "k")) != (key, body)
    async with running(service, SurfaceSettings()) as outside:
        assert (await digests(service, outside, target, b'{"Args": ["1"], "BackoffLimit": 2}', "k"))[0] != key


async def test_a_replayed_answer_says_so(service: MemoryService, inside: Client) -> None:
    assert "idempotent-replayed" not in (await inside.post("/job/fibonacci")).headers
    service.replayed = True
    assert (await inside.post("/job/fibonacci")).headers["idempotent-replayed"] == "true"
    assert (await inside.post("/jobs", [{"Name": "fib"}])).headers["idempotent-replayed"] == "true"


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\u00e9"], ids=ascii)
async def test_a_key_that_is_none_is_refused(service: MemoryService, inside: Client, key: str) -> None:
    for chunked in (False, True):
        for target, body in (("/job/fibonacci", b""), ("/jobs", b'[{"Name":"fib"}]')):
            answer = await inside.post(target, body, chunked=chunked, headers={"idempotency-key": key})
            assert is_problem(answer, 400, target)
    assert not service.enqueued


# Refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refusal", "status", "retry_after"),
    [
        (Invalid((Problem("/Image", "not allowed"),)), 400, None),
        (Forbidden("not for you", (Problem("/Environments/0", "no"),)), 403, None),
        (KeyReused(), 422, None),
        (QueueFull("full", 7), 429, "7"),
        (TooManyKeys(10), 429, "60"),
        (NoLeader(), 503, "1"),
        (NoRoom(), 507, "5"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Refusal) else None,
)
async def test_a_refusal_of_the_node_has_its_status(
    service: MemoryService, inside: Client, refusal: Refusal, status: int, retry_after: str | None
) -> None:
    service.refusal = refusal
    for chunked in (False, True):
        answer = await inside.post("/job/fibonacci", chunked=chunked)
        assert is_problem(answer, status, "/job/fibonacci")
        assert answer.headers.get("retry-after") == retry_after
        assert answer.json["detail"] == refusal.detail
        problems = refusal.problems if isinstance(refusal, Invalid | Forbidden) else ()
        assert answer.json.get("errors", []) == [{"pointer": p.pointer, "detail": p.detail} for p in problems]


async def test_an_unknown_outcome_says_where_it_can_be_looked_up(service: MemoryService, inside: Client) -> None:
    service.refusal = OutcomeUnknown()
    answer = await inside.post("/job/fibonacci")
    assert is_problem(answer, 504, "/job/fibonacci")
    assert parse_run_id(answer.json["Id"]) == last_trigger(service).runs[0].run
    assert answer.headers["location"] == answer.json["Location"] == f"/job/fibonacci/{answer.json['Id']}"
    for names in (["fib", "fob"], ["fib"]):
        batch = await inside.post("/jobs", [{"Name": name} for name in names])
        assert is_problem(batch, 504, "/jobs")
        assert [parse_run_id(each) for each in batch.json["Ids"]] == [run.run for run in last_trigger(service).runs]
        expected = [f"/job/{name}/{run}" for name, run in zip(names, batch.json["Ids"], strict=True)]
        assert batch.json["Locations"] == expected


async def test_an_unknown_outcome_of_a_repeated_key_names_the_runs_of_the_first_time(
    service: MemoryService, inside: Client
) -> None:
    first = [parse_run_id(letter * 16) for letter in "ab"]
    one, other = (run for run in first if run is not None)
    service.refusal = OutcomeUnknown((one,))
    answer = await inside.post("/job/fibonacci", headers={"idempotency-key": "k"})
    assert answer.headers["location"] == "/job/fibonacci/" + "a" * 16
    service.refusal = OutcomeUnknown((one, other))
    batch = await inside.post("/jobs", [{"Name": "fib"}, {"Name": "fob"}], headers={"idempotency-key": "k"})
    assert batch.json["Locations"] == ["/job/fib/" + "a" * 16, "/job/fob/" + "b" * 16]


async def test_an_unknown_outcome_of_a_deletion_says_which_run_it_was(service: MemoryService, inside: Client) -> None:
    location = (await inside.post("/job/fibonacci")).headers["location"]
    service.refusal = OutcomeUnknown()
    answer = await inside.delete(location)
    assert is_problem(answer, 504, location)
    assert answer.headers["location"] == answer.json["Location"] == location
    assert "Delete it again" in answer.json["detail"]


def test_every_refusal_that_there_is_has_its_status() -> None:
    assert set(KINDS) == set(get_args(Refusal))
    assert len({kind.slug for kind in KINDS.values()}) == len(KINDS)


# Lists and runs -----------------------------------------------------------------------------------------------------


async def test_a_list_shows_what_the_specification_shows_and_more(service: MemoryService, inside: Client) -> None:
    run = (await inside.post("/job/fibonacci")).json["Id"]
    [row] = (await inside.get("/job/fibonacci")).json
    assert row == {
        "Id": run,
        "Name": f"fibonacci-slimfaas-job-{run}",
        "Status": "Queued",
        "PositionInQueue": 1,
        "InQueueTimestamp": 1,
        "StartTimestamp": -1,
        "FinishTimestamp": -1,
        "Reason": "",
        "Attempts": 0,
    }
    assert (await inside.get("/job/nobody")).json == []


async def test_a_long_list_leads_on_from_page_to_page(service: MemoryService, inside: Client) -> None:
    ids = [(await inside.post("/job/fibonacci")).json["Id"] for _ in range(5)]
    target, seen = "/job/fibonacci?limit=2&status=queued", []
    while target:
        page = await inside.get(target)
        seen += [row["Id"] for row in page.json]
        link = re.fullmatch(r'<(.*)>; rel="next"', page.headers.get("link", ""))
        target = link[1] if link else ""
    assert seen == ids
    last = service.queries[-1]
    assert isinstance(last, ListRuns)
    assert (last.status, last.limit, last.cursor) == (RunStatus.QUEUED, 2, "4")


@pytest.mark.parametrize(
    ("target", "wrong"),
    [
        ("/job/fibonacci?status=Queue", ["did you mean 'Queued'?"]),
        ("/job/fibonacci?limit=0", ["a whole number from 1 to 1000"]),
        ("/job/fibonacci?limit=1001", ["a whole number from 1 to 1000"]),
        ("/job/fibonacci?limit=x&status=y", ["'status'", "'limit'"]),
        ("/job/fibonacci?limit=%ff", ["'limit'"]),
        ("/job/fibonacci?consistency=stall", ["takes linearizable or stale, not 'stall'"]),
        ("/job/fibonacci?limt=1&_=2", ["unknown parameter 'limt'; did you mean 'limit'?", "unknown parameter '_'"]),
        ("/job/fibonacci?wait=1", ["unknown parameter 'wait'"]),
        ("/jobs/status?Consistency=stale", ["did you mean 'consistency'?"]),
        ("/cluster?consistency=strong", ["takes linearizable or stale, not 'strong'"]),
        (f"/job/fibonacci/{UNKNOWN}?wait=", ["a number of seconds from 0 to 60"]),
        (f"/job/fibonacci/{UNKNOWN}?wait=61", ["a number of seconds from 0 to 60"]),
        (f"/job/fibonacci/{UNKNOWN}?wait=nan", ["a number of seconds from 0 to 60"]),
        (f"/job/fibonacci/{UNKNOWN}/logs?follow=maybe&tail=-1&attempt=0", ["true or false", "'tail'", "'attempt'"]),
    ],
)
async def test_parameters_that_cannot_be_read_are_refused_all_at_once(
    inside: Client, target: str, wrong: list[str]
) -> None:
    answer = await inside.get(target)
    assert is_problem(answer, 400, target.partition("?")[0])
    assert len(answer.json["errors"]) == len(wrong)
    assert all(part in error["detail"] for part, error in zip(wrong, answer.json["errors"], strict=True))


async def test_of_very_many_unknown_parameters_some_are_told(inside: Client) -> None:
    answer = await inside.get("/job/fibonacci?" + "&".join(f"p{at}" for at in range(1000)))
    assert len(answer.json["errors"]) == MAX_UNKNOWN


async def test_a_deletion_with_a_parameter_is_refused_for_it_may_mean_something(
    service: MemoryService, inside: Client
) -> None:
    location = (await inside.post("/job/fibonacci")).headers["location"]
    assert is_problem(await inside.delete(location + "?dry-run=true"), 400, location)
    assert len(service.enqueued) == 1


async def test_a_run_is_shown_whole_to_insiders(service: MemoryService, inside: Client) -> None:
    location = (await inside.post("/job/fibonacci")).headers["location"]
    shown = (await inside.get(location + "?wait=1.5")).json
    assert (shown["Job"], shown["Status"], shown["Why"], shown["Events"]) == ("fibonacci", "Queued", [], [])
    assert shown["Definition"]["Environments"] == [
        {"name": "LEVEL", "value": "debug"},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"key": "k", "name": "s"}}},
    ]
    asked = service.queries[-1]
    assert isinstance(asked, ShowRun)
    assert asked.wait_seconds == 1.5


async def test_an_unknown_run_is_404_with_what_is_known_of_it(inside: Client) -> None:
    for target in (f"/job/fibonacci/{UNKNOWN}", f"/job/fibonacci/{UNKNOWN}/logs"):
        answer = await inside.get(target)
        assert is_problem(answer, 404, target)
        assert "deleted at 1" in answer.json["detail"]


@pytest.mark.parametrize("text", ["x", "A" * 16, "0" * 16, "\u00e9" * 16, "a" * 17])
async def test_an_id_that_is_none_is_404(inside: Client, text: str) -> None:
    target = "/job/fibonacci/" + "".join(f"%{byte:02x}" for byte in text.encode())
    for answer in (await inside.get(target), await inside.delete(target), await inside.get(target + "/logs")):
        assert answer.status == 404
        assert "16 characters" in answer.json["detail"]


async def test_a_deletion_is_200_once_it_is_promised_and_404_the_second_time(
    service: MemoryService, inside: Client
) -> None:
    location = (await inside.post("/job/fibonacci")).headers["location"]
    assert (await inside.delete(location)).status == 200
    command = service.commands[-1]
    assert isinstance(command, DeleteRun)
    assert command.internal
    assert (await inside.delete(location)).status == 404
    service.promised = False
    assert (await inside.delete((await inside.post("/job/fibonacci")).headers["location"])).status == 202


# Consistency --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target", ["/job/fibonacci", "{run}", "{run}?wait=1", "{run}/logs", "/jobs/status", "/cluster"]
)
async def test_a_read_asks_the_leader_unless_it_says_that_what_this_node_has_will_do(
    service: MemoryService, inside: Client, target: str
) -> None:
    target = target.format(run=(await inside.post("/job/fibonacci")).headers["location"])
    said = f"{target}{'&' if '?' in target else '?'}consistency="
    for asked in (target, said + "linearizable", said + "Stale"):
        assert (await inside.get(asked)).status == 200
    assert service.stale == [False, False, True]
    service.refusal = NoLeader()
    assert is_problem(await inside.get(target), 503, target.partition("?")[0])
    assert (await inside.get(said + "stale")).status == 200


async def test_the_pages_of_a_stale_list_are_stale(inside: Client) -> None:
    for _ in range(2):
        await inside.post("/job/fibonacci")
    assert "consistency=stale" in (await inside.get("/job/fibonacci?limit=1&consistency=stale")).headers["link"]


# Output -------------------------------------------------------------------------------------------------------------


async def test_output_is_passed_through_as_it_is(service: MemoryService, inside: Client) -> None:
    service.output_pieces = [b"\xff\x00", b"<script>", b""]
    location = (await inside.post("/job/fibonacci")).headers["location"]
    answer = await inside.get(location + "/logs?tail=10&attempt=2")
    assert (answer.status, answer.body) == (200, b"\xff\x00<script>")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert service.output_asked == (2, 10, False)
    service.output_pieces = []
    assert (await inside.get(location + "/logs")).body == b""


async def test_output_that_is_not_there_is_404_with_the_reason(service: MemoryService, inside: Client) -> None:
    location = (await inside.post("/job/fibonacci")).headers["location"]
    service.output_missing = "The pod is gone."
    answer = await inside.get(location + "/logs")
    assert is_problem(answer, 404, location + "/logs")
    assert answer.json["detail"] == "The pod is gone."
    service.uid = ""
    assert "Queued" in (await inside.get(location + "/logs")).json["detail"]


async def test_followed_output_comes_as_it_is_written_and_ends_with_its_reader(
    service: MemoryService, inside: Client
) -> None:
    location = (await inside.post("/job/fibonacci")).headers["location"]
    service.gate = trio.Event()
    async with await inside.connect() as stream:
        await stream.send_all(f"GET {location}/logs?follow=true HTTP/1.1\r\nhost: x\r\n\r\n".encode())
        received = b""
        while b"two\n" not in received:
            received += await stream.receive_some()
        assert not service.output_ended.is_set()
    with trio.fail_after(5):
        await service.output_ended.wait()
    assert service.output_asked == (None, None, True)


async def test_asking_only_for_the_head_of_the_output_follows_nothing(service: MemoryService, inside: Client) -> None:
    location = (await inside.post("/job/fibonacci")).headers["location"]
    service.gate = trio.Event()
    assert (await inside.request("HEAD", location + "/logs?follow=true")).body == b""
    assert service.output_asked == (None, None, False)


# Visibility ---------------------------------------------------------------------------------------------------------


async def test_an_external_caller_is_told_nothing_of_a_private_job_but_403(
    service: MemoryService, outside: Client
) -> None:
    answers = {
        "trigger": await outside.post("/job/private"),
        "bad trigger": await outside.post("/job/private", b"{"),
        "list": await outside.get("/job/private"),
        "run": await outside.get(f"/job/private/{UNKNOWN}"),
        "no run": await outside.get("/job/private/x"),
        "output": await outside.get(f"/job/private/{UNKNOWN}/logs"),
        "delete": await outside.delete(f"/job/private/{UNKNOWN}"),
        "delete none": await outside.delete("/job/private/x"),
        "batch": await outside.post("/jobs", [{"Name": "fibonacci"}, {"Name": "private"}]),
    }
    assert {what: answer.status for what, answer in answers.items()} == dict.fromkeys(answers, 403)


async def test_a_public_job_is_open_to_external_callers_but_for_its_values(
    service: MemoryService, outside: Client
) -> None:
    location = (await outside.post("/job/fibonacci")).headers["location"]
    assert not last_trigger(service).internal
    shown = (await outside.get(location)).json["Definition"]
    assert shown["Environments"] == [{"name": "LEVEL"}, {"name": "TOKEN"}]
    assert shown["PodTemplate"] is None
    status = (await outside.get("/jobs/status")).json
    assert status["Problems"] == []
    assert status["Definitions"][0]["Definition"]["Environments"] == [{"name": "LEVEL"}, {"name": "TOKEN"}]


async def test_a_forwarded_request_is_external_where_no_proxy_is_trusted(
    service: MemoryService, inside: Client
) -> None:
    assert (await inside.post("/job/private")).status == 202
    assert (await inside.post("/job/private", headers={"x-forwarded-for": "127.0.0.1"})).status == 403


async def test_an_external_address_asks_only_so_often(service: MemoryService) -> None:
    async with running(service, SurfaceSettings(external_requests_per_second=0.001)) as client:
        assert (await client.get("/jobs/status")).status == 200
        answer = await client.post("/job/fibonacci")
        assert is_problem(answer, 429, "/job/fibonacci")
        assert answer.headers["retry-after"] == "1"
        assert (await client.get("/health")).status == 200


async def test_a_body_of_the_longest_that_is_set_always_finds_room(service: MemoryService) -> None:
    long = 2 * ROOM_BYTES
    async with running(service, SurfaceSettings(trusted_networks=LOOPBACK, max_batch_bytes=long)) as client:
        assert (await client.post("/jobs", b'[{"Name": "fib"}]'.ljust(long))).status == 202


# The rest -----------------------------------------------------------------------------------------------------------


async def test_the_status_shows_every_definition(inside: Client) -> None:
    status = (await inside.get("/jobs/status")).json
    [definition] = status["Definitions"]
    assert (definition["Name"], definition["Source"], definition["Queued"]) == ("fibonacci", "Configuration", 1)
    assert status["Problems"] == ["something of 'private' is wrong"]


async def test_health_and_readiness(service: MemoryService, inside: Client) -> None:
    assert (await inside.get("/health")).status == 200
    assert (await inside.get("/ready")).status == 200
    service.not_ready = "no leader is known"
    assert (await inside.get("/health?probe=kubelet")).status == 200
    answer = await inside.get("/ready?probe=kubelet")
    assert is_problem(answer, 503, "/ready")
    assert answer.json["detail"] == "This node is not ready: no leader is known."
    assert answer.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("PUT", "/job/fibonacci", "GET, HEAD, OPTIONS, POST"),
        ("PATCH", f"/job/fibonacci/{UNKNOWN}", "DELETE, GET, HEAD, OPTIONS, POST"),
        ("DELETE", "/job/fibonacci/a/b", "OPTIONS, POST"),
        ("GET", "/jobs", "OPTIONS, POST"),
        ("POST", "/jobs/status", "GET, HEAD, OPTIONS"),
        ("POST", "/cluster", "GET, HEAD, OPTIONS"),
        ("GET", "/cluster/transfer", "OPTIONS, POST"),
        ("PUT", "/cluster/members/a", "DELETE, OPTIONS"),
        ("BREW", "/health", "GET, HEAD, OPTIONS"),
    ],
)
async def test_another_method_is_405_and_says_which_are_not(
    inside: Client, method: str, target: str, allowed: str
) -> None:
    answer = await inside.request(method, target)
    assert is_problem(answer, 405, target)
    assert answer.headers["allow"] == allowed


async def test_options_and_head_work(inside: Client) -> None:
    options = await inside.request("OPTIONS", "/job/fibonacci")
    assert options.status == 204
    assert set(options.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}
    assert "x-slimfaas-index" in options.headers
    head = await inside.request("HEAD", "/jobs/status")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len((await inside.get("/jobs/status")).body))


@pytest.mark.parametrize("target", ["/", "/nowhere", "/job", "/job/", "/jobs/", "/job//x", "//", "/%00", "/%ff", "*"])
async def test_an_unknown_route_is_404(inside: Client, target: str) -> None:
    answer = await inside.get(target)
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_mistake_of_ours_is_500_without_what_is_nobodys_business(
    service: MemoryService, inside: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: object) -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(service, "command", broken)
    monkeypatch.setattr(service, "query", broken)
    for answer in (
        await inside.post("/job/fibonacci"),
        await inside.post("/job/fibonacci", chunked=True),
        await inside.get("/job/fibonacci"),
    ):
        assert is_problem(answer, 500, "/job/fibonacci")
        assert b"secret" not in answer.body


def test_the_settings_of_a_node_are_those_of_its_surface() -> None:
    environment = {"SlimFaas__Orchestrator": "Process", "SlimFaas__MaxConnections": "500"}
    settings = read_settings(environment, {}, Place("host")).settings
    assert settings is not None
    loopback = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    expected = SurfaceSettings(trusted_networks=loopback, connections=ConnectionLimits(total=500))
    assert surface_settings(settings) == expected
