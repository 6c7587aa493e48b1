"""What counts as an answer about a StatefulSet, and what happens until there is one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import structlog.testing
import trio

from slimjobs.core.configuration.stateful_set import StatefulSet
from slimjobs.core.orchestrators.kubernetes import Account, Patience, Unanswered, find_stateful_set
from slimjobs.core.orchestrators.kubernetes.account import MAX_BYTES
from tests.core.orchestrators.kubernetes.api_server import (
    FORBIDDEN,
    SILENCE,
    ApiServer,
    Asked,
    Certificate,
    Said,
    api,
    no_such,
    refused,
    stateful_set,
)

__all__ = ["api"]

LONG = Patience(total_seconds=20, attempt_seconds=20, pause_seconds=0.01)
SHORT = Patience(total_seconds=0.3, attempt_seconds=20, pause_seconds=0.1)


async def found(server: ApiServer, patience: Patience = LONG, **environment: str) -> StatefulSet | None:
    account = Account(server.service_account, server.environment | environment)
    return await find_stateful_set(account, "demo", "slimjobs", patience)


async def why(server: ApiServer, **environment: str) -> str:
    with pytest.raises(Unanswered) as unanswered:
        await found(server, SHORT, **environment)
    assert "\n" not in str(unanswered.value)
    return str(unanswered.value)


async def test_it_is_asked_for_in_the_name_of_the_service_account(api: ApiServer) -> None:
    assert await found(api) == StatefulSet("slimjobs", "demo", "nodes", 3)
    assert api.asked == [Asked("/apis/apps/v1/namespaces/demo/statefulsets/slimjobs", "bearer a-token")]


async def test_its_ordinals_may_begin_elsewhere_and_its_service_may_be_missing(api: ApiServer) -> None:
    api.says(stateful_set(2, ordinals={"start": 5}, serviceName=""))
    assert await found(api) == StatefulSet("slimjobs", "demo", "", 2, first=5)


async def test_that_there_is_none_is_an_answer(api: ApiServer) -> None:
    api.says(no_such())
    assert await found(api) is None
    assert len(api.asked) == 1


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (FORBIDDEN, "status 403: cannot get resource statefulsets"),
        (refused(401, "Unauthorized", "Unauthorized"), "status 401: Unauthorized"),
        (refused(404, "NotFound", "the server could not find the requested resource"), "status 404: the server could"),
        (refused(503, "ServiceUnavailable", ""), "status 503: ServiceUnavailable"),
        (Said(404, b"404 page not found\n"), "status 404 with '404 page not found\\n', which is no answer of the API"),
        (Said(200, b"{"), "status 200 with '{', which is no answer of the API"),
        (Said(200, b"\xff\xfe"), "status 200 with "),
        (Said(200, {"kind": "StatefulSet", "spec": {"serviceName": "nodes", "replicas": "3"}}), "status 200 with "),
        (Said(200, {"kind": "Pod", "spec": {}}), "status 200 with "),
        (Said(200, b" " * MAX_BYTES + b"{}"), "status 200 with "),
        (Said(302, b"elsewhere"), "status 302 with 'elsewhere'"),
        (Said(500, {"kind": "StatefulSet", "spec": {}}), "status 500 with a StatefulSet"),
    ],
    ids=lambda value: f"{value.status}" if isinstance(value, Said) else "",
)
async def test_nothing_else_is_one(api: ApiServer, said: Said, reason: str) -> None:
    api.says(said)
    assert (await why(api)).startswith(reason)
    assert len(api.asked) > 1


async def test_it_is_asked_for_again_and_each_new_reason_is_told_once(api: ApiServer) -> None:
    broken = refused(500, "InternalError", "etcdserver: leader changed")
    api.says(broken, broken, FORBIDDEN, stateful_set())
    with structlog.testing.capture_logs() as told:
        assert await found(api) == StatefulSet("slimjobs", "demo", "nodes", 3)
    assert [each["reason"] for each in told] == [
        "status 500: etcdserver: leader changed",
        "status 403: cannot get resource statefulsets",
    ]


async def test_a_server_that_says_nothing_is_given_up_and_asked_again(api: ApiServer) -> None:
    api.says(SILENCE, stateful_set())
    assert await found(api, Patience(20, attempt_seconds=0.2, pause_seconds=0.01)) is not None
    assert len(api.asked) == 2


async def test_waiting_for_a_silent_server_ends_with_its_caller(api: ApiServer) -> None:
    api.says(SILENCE)
    begun = time.monotonic()
    with trio.move_on_after(0.2) as scope:
        await found(api)
    assert scope.cancelled_caught
    assert time.monotonic() - begun < 10


async def test_nobody_listens(api: ApiServer) -> None:
    with trio.socket.socket() as probe:
        await probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        assert "Connection refused" in await why(api, KUBERNETES_SERVICE_PORT=str(port))


async def test_a_server_of_another_authority_is_not_told_the_token(api: ApiServer, tmp_path: Path) -> None:
    (api.service_account / "ca.crt").write_bytes(Certificate.made(tmp_path).file.read_bytes())
    assert "CERTIFICATE_VERIFY_FAILED" in await why(api)
    assert api.asked == []


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("token", None, "Service token file does not exist."),
        ("token", b"", "Token file exists but empty."),
        ("token", b"two\nlines", "the file of the token does not hold one line of text"),
        ("token", b"\xff", "can't decode byte"),
        ("ca.crt", None, "Service certification file does not exist."),
        ("ca.crt", b"no certificate", "NO_CERTIFICATE_OR_CRL_FOUND"),
    ],
)
async def test_an_account_without_proper_files_is_told(
    api: ApiServer, name: str, content: bytes | None, reason: str
) -> None:
    (api.service_account / name).unlink()
    if content is not None:
        (api.service_account / name).write_bytes(content)
    assert reason in await why(api)


async def test_a_token_that_comes_late_is_used(api: ApiServer) -> None:
    (api.service_account / "token").unlink()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(found, api)
        await trio.sleep(0.1)
        (api.service_account / "token").write_text("a-late-token")
    assert api.asked[-1].authorization == "bearer a-late-token"


@pytest.mark.parametrize("variable", ["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"])
async def test_an_address_that_is_missing_is_told(api: ApiServer, variable: str) -> None:
    assert await why(api, **{variable: ""}) == "Service host/port is set but empty."
