"""`slimjobs cluster`, and clients that know several nodes: commands as processes, before the real REST surface."""

from __future__ import annotations

import json
import subprocess
from collections.abc import AsyncIterator
from functools import partial

import msgspec
import pytest
import trio

from slimjobs.core.decide.commands import RemoveMember, TransferLeadership
from slimjobs.core.decide.refusals import NoLeader, NotPossible, OutcomeUnknown
from slimjobs.deploy.client import Client, Lost, Refused, Unreachable
from slimjobs.http.surface import SurfaceSettings
from tests.deploy.nodes import slimjobs
from tests.http.client import running
from tests.http.conftest import LOOPBACK
from tests.http.memory_service import CLUSTER, MemoryService, member

NOBODY = "http://127.0.0.1:1"
INSIDE = SurfaceSettings(trusted_networks=LOOPBACK)


@pytest.fixture
def service() -> MemoryService:
    return MemoryService()


@pytest.fixture
async def url(service: MemoryService) -> AsyncIterator[str]:
    async with running(service, INSIDE) as client:
        yield f"http://127.0.0.1:{client.port}"


async def ask(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What a client command does, while its service goes on here."""
    return await trio.to_thread.run_sync(lambda: slimjobs(*arguments, SLIMJOBS_URL=url))


async def request(client: Client, method: str, path: str, **headers: str) -> int:
    """The status of an answer."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = await trio.to_thread.run_sync(lambda: client.request(method, path, None, sent))
    return answer.status


# status ---------------------------------------------------------------------------------------------------------------


async def test_status_is_a_table_that_marks_who_leads(url: str) -> None:
    asked = await ask(url, "cluster", "status")
    assert (asked.returncode, asked.stderr) == (0, "")
    lines = [line.split() for line in asked.stdout.splitlines() if line.strip(" ─")]
    assert lines == [
        ["cluster", "c1,", "term", "3,", "led", "by", "a"],
        ["NAME", "ROLE", "VOTER", "INDEX", "LAG", "LAST", "CONTACT", "VERSION", "CHECKPOINT", "ADDRESS"],
        ["a", "*", "leader", "yes", "7", "0", "0.1.0", "5", "c0ffee", "a.jobs:3262"],
        ["b", "follower", "yes", "7", "0", "20", "ms", "ago", "0.1.0", "5", "c0ffee", "b.jobs:3262"],
        ["c", "follower", "yes", "4", "3", "20", "ms", "ago", "0.1.0", "5", "c0ffee", "c.jobs:3262"],
    ]


async def test_status_with_json_is_what_the_service_gave(service: MemoryService, url: str) -> None:
    asked = await ask(url, "cluster", "status", "--json")
    shown = json.loads(asked.stdout)
    assert (shown["ClusterId"], shown["Leader"], [row["Name"] for row in shown["Members"]]) == ("c1", "a", [*"abc"])
    service.cluster = msgspec.structs.replace(CLUSTER, leader="")
    asked = await ask(url, "cluster", "status", "--json")
    assert (asked.returncode, json.loads(asked.stdout)["Leader"]) == (1, "")


async def test_a_learner_that_is_being_caught_up_is_well(service: MemoryService, url: str) -> None:
    learner = member("d", "learner", 1, voter=False)
    service.cluster = msgspec.structs.replace(CLUSTER, members=(*CLUSTER.members, learner))
    asked = await ask(url, "cluster", "status")
    assert (asked.returncode, asked.stderr) == (0, "")


async def test_a_cluster_that_is_not_whole_is_a_no_that_says_why(service: MemoryService, url: str) -> None:
    never = member("d", "", -1, last_contact_ms=-1, voter=False)
    members = (member("b", "follower", last_contact_ms=61_234), never, member("e", "follower", voter=False))
    service.cluster = msgspec.structs.replace(CLUSTER, members=(CLUSTER.members[0], *members))
    asked = await ask(url, "cluster", "status")
    assert asked.returncode == 1
    assert "61.2 s ago" in asked.stdout
    assert asked.stderr.splitlines() == [
        "slimjobs: b was last heard: 61.2 s ago",
        "d was last heard: never",
        "e is neither voter nor learner",
    ]


async def test_without_a_leader_the_answer_is_what_one_node_knows_and_no(service: MemoryService, url: str) -> None:
    service.cluster = msgspec.structs.replace(CLUSTER, leader="", told_by="c")
    asked = await ask(url, "cluster", "status")
    assert asked.returncode == 1
    assert asked.stdout.splitlines()[0] == "cluster c1, term 3, without a leader, as c sees it"
    assert asked.stderr == "slimjobs: there is no leader: nothing can be accepted\n"


# transfer, remove -----------------------------------------------------------------------------------------------------


async def test_transfer_says_who_was_told(service: MemoryService, url: str) -> None:
    asked = await ask(url, "cluster", "transfer")
    assert asked.returncode == 0
    assert asked.stdout == "b has been told to lead; 'slimjobs cluster status' shows when it does\n"
    asked = await ask(url, "cluster", "transfer", "c", "--json")
    assert (asked.returncode, json.loads(asked.stdout)) == (0, {"To": "c"})
    assert service.commands == [TransferLeadership(), TransferLeadership("c")]


async def test_remove_says_what_it_means(service: MemoryService, url: str) -> None:
    asked = await ask(url, "cluster", "remove", "c")
    assert asked.returncode == 0
    assert asked.stdout.startswith("c belongs to the cluster no more: ")
    asked = await ask(url, "cluster", "remove", "b", "--json")
    assert json.loads(asked.stdout) == {"Name": "b"}
    assert service.commands == [RemoveMember("c"), RemoveMember("b")]


async def test_what_cannot_be_done_is_a_no_with_its_reason(service: MemoryService, url: str) -> None:
    service.refusal = NotPossible("'c' is no member.")
    for command in ("transfer", "remove"):
        asked = await ask(url, "cluster", command, "c")
        assert (asked.returncode, asked.stdout) == (1, "")
        assert asked.stderr == "slimjobs: 409 The cluster as it stands does not allow this: 'c' is no member.\n"
    service.refusal = OutcomeUnknown()
    assert "cannot be known now" in (await ask(url, "cluster", "remove", "c")).stderr


async def test_a_name_that_no_node_can_have_is_bad_usage(url: str) -> None:
    for command in ("transfer", "remove"):
        asked = await ask(url, "cluster", command, "a b")
        assert (asked.returncode, asked.stdout) == (2, "")
        assert "'a b' is not the name of a node" in asked.stderr


async def test_an_outsider_is_told_that_the_cluster_is_not_its_business(service: MemoryService) -> None:
    async with running(service, SurfaceSettings()) as client:
        asked = await ask(f"http://127.0.0.1:{client.port}", "cluster", "status")
    assert (asked.returncode, asked.stdout) == (1, "")
    assert asked.stderr.startswith("slimjobs: 403 ")


async def test_a_service_that_cannot_be_reached_is_told_in_one_line() -> None:
    for arguments in (["status"], ["transfer"], ["remove", "b"]):
        asked = await ask(NOBODY, "cluster", *arguments)
        assert (asked.returncode, asked.stdout) == (1, "")
        assert asked.stderr.startswith(f"slimjobs: no service answers at {NOBODY} (")


# Several nodes --------------------------------------------------------------------------------------------------------


async def test_whoever_answers_is_asked_if_others_cannot_be_reached(service: MemoryService, url: str) -> None:
    asked = await ask(f"{NOBODY}, {url}/", "run", "echo")
    assert (asked.returncode, asked.stderr) == (0, "")
    assert asked.stdout.startswith("echo/")
    assert len(service.commands) == 1


async def test_if_nobody_can_be_reached_every_address_is_named() -> None:
    asked = await ask(f"{NOBODY},http://127.0.0.1:2", "list")
    assert asked.returncode == 1
    assert asked.stderr.startswith(f"slimjobs: no service answers at {NOBODY} (")
    assert "), nor at http://127.0.0.1:2 (" in asked.stderr
    assert len(asked.stderr.splitlines()) == 1


async def test_an_address_that_is_none_among_others_is_bad_usage(url: str) -> None:
    asked = await ask(f"{url},", "list")
    assert (asked.returncode, asked.stderr) == (2, "slimjobs: --url takes http://HOST:PORT, not ''\n")


@pytest.mark.parametrize(("method", "path"), [("GET", "/jobs/status"), ("POST", "/job/echo")])
async def test_a_node_that_surely_did_nothing_is_followed_by_the_next(
    service: MemoryService, url: str, method: str, path: str
) -> None:
    lost = MemoryService()
    lost.refusal = NoLeader()
    async with running(lost, INSIDE) as other:
        client = Client(f"http://127.0.0.1:{other.port},{url}")
        assert await request(client, method, path) in (200, 202)
        asked_before = len(lost.queries) + len(lost.commands)
        assert await request(client, method, path) in (200, 202)
        assert len(lost.queries) + len(lost.commands) == asked_before == 1, "who has answered is asked first"
        service.refusal = NoLeader()
        with pytest.raises(Refused, match="nothing was done"):
            await request(client, method, path)


async def test_any_other_refusal_is_the_answer(service: MemoryService, url: str) -> None:
    refusing = MemoryService()
    refusing.refusal = OutcomeUnknown()
    async with running(refusing, INSIDE) as other:
        with pytest.raises(Refused, match="504"):
            await request(Client(f"http://127.0.0.1:{other.port},{url}"), "POST", "/job/echo")
    assert not service.commands


async def _hang_up(stream: trio.SocketStream) -> None:
    """Read a request and go without an answer, as a node does that is killed then."""
    async with stream:
        await stream.receive_some()


@pytest.fixture
async def dying() -> AsyncIterator[str]:
    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, _hang_up, 0, host="127.0.0.1")
        listeners: list[trio.SocketListener] = await nursery.start(serve)
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


async def test_what_a_node_took_with_it_is_asked_again_if_that_does_no_harm(
    service: MemoryService, url: str, dying: str
) -> None:
    assert await request(Client(f"{dying},{url}"), "GET", "/jobs/status") == 200
    assert await request(Client(f"{dying},{url}"), "POST", "/job/echo", Idempotency_Key="k") == 202
    service.commands.clear()
    for method, path in (("POST", "/job/echo"), ("DELETE", f"/job/echo/{'a' * 16}")):
        with pytest.raises(Lost, match="is not known"):
            await request(Client(f"{dying},{url}"), method, path)
    assert not service.commands
    with pytest.raises(Unreachable, match=f"no service answers at {dying} "):
        await request(Client(dying), "GET", "/jobs/status")
