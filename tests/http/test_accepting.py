"""What a client can read and send is heeded: 406 where `Accept` excludes the answer, 415 where a body is coded."""

from __future__ import annotations

import gzip

import pytest

from tests.http.client import Client
from tests.http.memory_service import MemoryService

READABLE = [
    "*/*",
    "application/*",
    "application/json",
    "APPLICATION/JSON; charset=utf-8",
    "text/html, application/json;q=0.1",
    "text/html,application/xhtml+xml,*/*;q=0.8",
    "application/json, */*;q=0",
    "",
    "what is this",
]
UNREADABLE = ["text/html", "application/xml, text/*", "application/json;q=0", "application/json;q=0, */*", "*/*;q=0"]


@pytest.mark.parametrize("chunked", [False, True], ids=["short", "chunked"])
@pytest.mark.parametrize("accept", READABLE)
async def test_whoever_can_read_the_answer_gets_it(inside: Client, accept: str, chunked: bool) -> None:
    assert (await inside.post("/job/fibonacci", chunked=chunked, headers={"accept": accept})).status == 202
    assert (await inside.get("/job/fibonacci", headers={"accept": accept})).status == 200


@pytest.mark.parametrize("chunked", [False, True], ids=["short", "chunked"])
@pytest.mark.parametrize("accept", UNREADABLE)
async def test_whoever_cannot_gets_406_and_nothing_is_done(
    service: MemoryService, inside: Client, accept: str, chunked: bool
) -> None:
    answer = await inside.post("/job/fibonacci", chunked=chunked, headers={"accept": accept})
    assert answer.status == 406
    assert answer.headers["content-type"] == "application/problem+json"
    assert "application/json" in answer.json["detail"]
    assert (await inside.get("/job/fibonacci", headers={"accept": accept})).status == 406
    assert (await inside.request("HEAD", "/job/fibonacci", headers={"accept": accept})).status == 406
    assert service.enqueued == []


async def test_what_is_asked_for_is_what_this_route_gives(inside: Client) -> None:
    location = (await inside.post("/job/fibonacci")).headers["location"]
    lines = {"accept": "application/x-ndjson"}
    text = {"accept": "text/plain"}
    assert (await inside.post("/jobs", b'{"Name":"fibonacci"}', headers=lines)).status == 202
    assert (await inside.post("/job/fibonacci", headers=lines)).status == 406
    assert (await inside.get(f"{location}/logs", headers=text)).status == 200
    assert (await inside.get(location, headers=text)).status == 406


async def test_where_nothing_is_given_any_accept_will_do(inside: Client) -> None:
    assert (await inside.request("OPTIONS", "/job/fibonacci", headers={"accept": "text/html"})).status == 204
    assert (await inside.get("/nowhere", headers={"accept": "text/html"})).status == 404


@pytest.mark.parametrize("chunked", [False, True], ids=["short", "chunked"])
async def test_a_compressed_body_is_415_and_says_what_is_read(
    service: MemoryService, inside: Client, chunked: bool
) -> None:
    for target in ("/job/fibonacci", "/jobs", "/job-schedules/fibonacci"):
        coding = {"content-encoding": "gzip"}
        answer = await inside.post(target, gzip.compress(b'{"Args":["1"]}'), chunked=chunked, headers=coding)
        assert answer.status == 415
        assert answer.headers["accept-encoding"] == "identity"
    assert service.commands == []
    plain = {"content-encoding": "Identity"}
    assert (await inside.post("/job/fibonacci", chunked=chunked, headers=plain)).status == 202
