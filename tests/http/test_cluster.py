"""The cluster as an operator sees and changes it over REST (contract §2), and as nobody else does."""

from __future__ import annotations

from typing import Any

import pytest

from slimjobs.core.decide.commands import RemoveMember, TransferLeadership
from slimjobs.core.decide.refusals import NoLeader, NotPossible, OutcomeUnknown
from tests.http.client import Client
from tests.http.memory_service import MemoryService


async def test_members_are_shown_with_how_far_each_is(inside: Client) -> None:
    answer = await inside.get("/cluster")
    assert answer.status == 200
    assert {key: value for key, value in answer.json.items() if key != "Members"} == {
        "ClusterId": "c1",
        "Leader": "a",
        "Term": 3,
        "ToldBy": "a",
    }
    assert answer.json["Members"][2] == {
        "Name": "c",
        "Address": "c.jobs:3262",
        "Role": "follower",
        "Voter": True,
        "Index": 4,
        "CommitIndex": 4,
        "LagEntries": 3,
        "LastContactMs": 20,
        "Version": "0.1.0",
        "CheckpointIndex": 5,
        "CheckpointHash": "c0ffee",
    }


async def test_head_and_options_work(inside: Client) -> None:
    head = await inside.request("HEAD", "/cluster")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len((await inside.get("/cluster")).body))
    for target, methods in (
        ("/cluster", {"GET", "HEAD", "OPTIONS"}),
        ("/cluster/transfer", {"OPTIONS", "POST"}),
        ("/cluster/members/a", {"DELETE", "OPTIONS"}),
    ):
        assert set((await inside.request("OPTIONS", target)).headers["allow"].split(", ")) == methods


@pytest.mark.parametrize(
    ("method", "target"), [("GET", "/cluster"), ("POST", "/cluster/transfer"), ("DELETE", "/cluster/members/a")]
)
async def test_an_external_caller_neither_sees_nor_changes_it(
    service: MemoryService, outside: Client, method: str, target: str
) -> None:
    for asked, body in ((target, b""), (target, b"{"), (target + "?x", b"")):
        answer = await outside.request(method, asked, body)
        assert (answer.status, answer.json["type"]) == (403, "urn:slimjobs:problem:forbidden")
    assert (service.commands, service.queries) == ([], [])


@pytest.mark.parametrize("body", [b"", b"{}", b'{"To": null}'])
async def test_leadership_goes_to_whoever_is_furthest_if_nobody_is_named(
    service: MemoryService, inside: Client, body: bytes
) -> None:
    answer = await inside.post("/cluster/transfer", body)
    assert (answer.status, answer.json) == (202, {"To": "b"})
    assert service.commands == [TransferLeadership()]


async def test_leadership_goes_to_the_node_that_is_named(service: MemoryService, inside: Client) -> None:
    answer = await inside.post("/cluster/transfer", {"to": "c"})
    assert (answer.status, answer.json) == (202, {"To": "c"})
    assert service.commands == [TransferLeadership("c")]


@pytest.mark.parametrize(
    ("body", "pointer", "said"),
    [
        (b"{", "", "not JSON"),
        (b'["b"]', "", "the body is an object, not an array"),
        ({"To": 1}, "/To", "takes a string, not a number"),
        ({"To": ""}, "/To", "'' is not the name of a node"),
        ({"To": "../b"}, "/To", "'../b' is not the name of a node"),
        ({"Too": "b"}, "/Too", "did you mean 'To'?"),
    ],
)
async def test_a_body_that_cannot_be_taken_is_refused(
    service: MemoryService, inside: Client, body: bytes | Any, pointer: str, said: str
) -> None:
    answer = await inside.post("/cluster/transfer", body)
    assert answer.status == 400
    [error] = answer.json["errors"]
    assert error["pointer"] == pointer
    assert said in error["detail"]
    assert not service.commands


async def test_a_parameter_that_nobody_knows_is_refused(service: MemoryService, inside: Client) -> None:
    assert (await inside.post("/cluster/transfer?to=b")).status == 400
    assert (await inside.delete("/cluster/members/a?force=true")).status == 400
    assert not service.commands


async def test_a_member_is_removed_by_name(service: MemoryService, inside: Client) -> None:
    answer = await inside.delete("/cluster/members/node_c.1")
    assert (answer.status, answer.json) == (200, {"Name": "node_c.1"})
    assert service.commands == [RemoveMember("node_c.1")]


async def test_a_name_that_no_node_can_have_is_refused(service: MemoryService, inside: Client) -> None:
    for name in ("a%20b", "-a", "%ff", "x" * 300):
        answer = await inside.delete(f"/cluster/members/{name}")
        assert answer.status == 400
        assert "the name of a node: letters" in answer.json["detail"]
    assert not service.commands


async def test_what_cannot_be_done_as_things_stand_is_409(service: MemoryService, inside: Client) -> None:
    service.refusal = NotPossible("'b' is a learner and cannot lead.")
    for answer in (await inside.post("/cluster/transfer", {"To": "b"}), await inside.delete("/cluster/members/b")):
        assert (answer.status, answer.json["type"]) == (409, "urn:slimjobs:problem:not-possible")
        assert answer.json["detail"] == "'b' is a learner and cannot lead."


async def test_surely_not_done_and_perhaps_done_are_told_apart(service: MemoryService, inside: Client) -> None:
    service.refusal = NoLeader()
    for answer in (await inside.post("/cluster/transfer"), await inside.delete("/cluster/members/b")):
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    service.refusal = OutcomeUnknown()
    for answer in (await inside.post("/cluster/transfer"), await inside.delete("/cluster/members/b")):
        assert answer.status == 504
        assert "GET /cluster shows it" in answer.json["detail"]
        assert "Id" not in answer.json
