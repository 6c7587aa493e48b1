"""The client of the API server, over real connections to one that does what it should not."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import trio
from kubernetes.client.configuration import Configuration

from slimjobs.core.orchestrators.kubernetes import api as module
from slimjobs.core.orchestrators.kubernetes.api import CALLS_AT_ONCE, Answer, Api, NoAnswer, Refused
from slimjobs.core.orchestrators.kubernetes.line import Line, Request
from tests.core.orchestrators.kubernetes.wire import CHUNKED, Exchange, client_of

SECONDS = 10.0
PODS = "/api/v1/namespaces/demo/pods"


async def trickle(exchange: Exchange) -> None:
    """An answer that never comes to its end, though it never stops."""
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        await exchange.send(b" ")
        await trio.sleep(0.02)


async def test_an_answer_that_trickles_is_none_and_keeps_no_thread(tmp_path: Path) -> None:
    async def script(exchange: Exchange) -> None:
        if exchange.path.endswith("/slow"):
            await trickle(exchange)
        await exchange.answer(200, {"quick": True})

    async with client_of(script, tmp_path) as (_, api):
        async with trio.open_nursery() as nursery:

            async def slow() -> None:
                with pytest.raises(NoAnswer, match=r"no whole answer within 0\.3 s"):
                    await api.call("GET", f"{PODS}/slow", timeout_seconds=0.3)

            for _ in range(CALLS_AT_ONCE):
                nursery.start_soon(slow)
        assert (await api.call("GET", PODS, timeout_seconds=5)).status == 200


async def test_an_answer_that_is_too_long_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1000)

    async def script(exchange: Exchange) -> None:
        await exchange.answer(200, b"x" * 2_000_000)

    async with client_of(script, tmp_path) as (wire, api):
        with pytest.raises(NoAnswer, match="more than 1000 bytes"):
            await api.call("GET", PODS)
        await wire.until(lambda: wire.open == 0)


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"\x15\x03\x01\x00\x02\x02F",
        b"",
    ],
)
async def test_what_is_no_answer_is_told_in_one_line(tmp_path: Path, garbage: bytes) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(garbage)
        raise trio.BrokenResourceError

    async with client_of(script, tmp_path) as (_, api):
        with pytest.raises(NoAnswer) as told:
            await api.call("GET", PODS)
        assert str(told.value)
        assert "\n" not in str(told.value)


async def test_credentials_that_are_refused_are_loaded_once_more(tmp_path: Path) -> None:
    async def script(exchange: Exchange) -> None:
        good = exchange.headers["authorization"] == "Bearer second"
        (tmp_path / "token").write_text("second")
        await exchange.answer(200 if good else 401, {})

    async with client_of(script, tmp_path) as (wire, api):
        assert (await api.call("GET", PODS)).status == 200
        assert [asked.headers["authorization"] for asked in wire.asked] == ["Bearer first", "Bearer second"]


async def test_who_is_refused_with_both_is_told_so(tmp_path: Path) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.answer(401, {"message": "Unauthorized"})

    async with client_of(script, tmp_path) as (wire, api):
        assert (await api.call("GET", PODS)).status == 401
        assert len(wire.asked) == 2


async def test_connections_are_kept_and_one_that_was_closed_meanwhile_costs_nothing(tmp_path: Path) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.answer(200, {})
        if exchange.path.endswith("/last"):
            raise trio.BrokenResourceError

    async with client_of(script, tmp_path) as (wire, api):
        await api.call("GET", PODS)
        await api.call("GET", f"{PODS}/last")
        await wire.until(lambda: wire.open == 0)
        assert (await api.call("GET", PODS)).status == 200
        assert wire.open == 1
    assert wire.open == 0, "a client that ends closes what it has"


async def test_what_can_be_asked_again_is_asked_until_there_is_an_answer(tmp_path: Path) -> None:
    told = iter([(500, ()), (429, ("Retry-After: 1",)), (503, ()), (404, ())])

    async def script(exchange: Exchange) -> None:
        status, headers = next(told)
        await exchange.answer(status, {}, *headers)

    async with client_of(script, tmp_path) as (wire, api):
        begun = trio.current_time()
        assert await api.get(PODS) == Answer(404, b"{}")
        assert trio.current_time() - begun > 1
        assert len(wire.asked) == 4


async def test_what_may_have_been_done_is_never_asked_again(tmp_path: Path) -> None:
    async def script(exchange: Exchange) -> None:
        raise trio.BrokenResourceError

    async with client_of(script, tmp_path) as (wire, api):
        with pytest.raises(NoAnswer):
            await api.call("POST", PODS, {"kind": "Pod"})
        assert len(wire.asked) == 1


# Streams ------------------------------------------------------------------------------------------------------------


async def test_a_stream_that_nobody_waits_for_any_more_is_closed_when_it_begins(tmp_path: Path) -> None:
    left = trio.Event()

    async def script(exchange: Exchange) -> None:
        await left.wait()
        await exchange.send(CHUNKED)
        await exchange.until_left()

    async with client_of(script, tmp_path) as (wire, api):
        with trio.move_on_after(0.1):
            async with api.stream(PODS, idle_seconds=5):
                raise AssertionError("it has not begun")
        left.set()
        await wire.until(lambda: bool(wire.asked) and wire.open == 0)


async def test_a_stream_that_has_begun_when_nobody_waits_any_more_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(CHUNKED)
        await exchange.until_left()

    begun, left = threading.Event(), threading.Event()
    take, kept = module._Beginning.take, list[object]()

    def taken_too_late(beginning: module._Beginning) -> object:
        kept.append(take(beginning))  # or the garbage collector would close it
        begun.set()
        assert left.wait(SECONDS)
        return kept[0]

    monkeypatch.setattr(module._Beginning, "take", taken_too_late)
    async with client_of(script, tmp_path) as (wire, api):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_never_begun, api)
                await trio.to_thread.run_sync(begun.wait, SECONDS)
                scope.cancel()
        left.set()
        await wire.until(lambda: wire.open == 0)


async def _never_begun(api: Api) -> None:
    async with api.stream(PODS, idle_seconds=5):
        raise AssertionError("whoever waited for it is gone")


async def test_a_stream_that_may_be_silent_for_ever_must_begin_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEAD_SECONDS", 0.2)

    async def script(exchange: Exchange) -> None:
        if exchange.path.endswith("/log"):
            await exchange.send(CHUNKED)
            await trio.sleep(0.6)
            await exchange.chunk(b"late")
        await exchange.until_left()

    async with client_of(script, tmp_path) as (_, api):
        async with api.stream(f"{PODS}/a/log", idle_seconds=None) as pieces:
            assert await anext(pieces) == b"late"
        with pytest.raises(NoAnswer, match="timed out"):
            async with api.stream(PODS, idle_seconds=None):
                raise AssertionError("it has not begun")


async def test_a_stream_that_is_silent_for_too_long_is_over(tmp_path: Path) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(CHUNKED)
        await exchange.chunk(b"first")
        await exchange.until_left()

    async with client_of(script, tmp_path) as (wire, api):
        async with api.stream(PODS, idle_seconds=0.2) as pieces:
            assert await anext(pieces) == b"first"
            with pytest.raises(NoAnswer, match="timed out"):
                await anext(pieces)
        await wire.until(lambda: wire.open == 0)


async def test_whoever_leaves_in_the_middle_of_a_stream_leaves_nothing_open(tmp_path: Path) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.send(CHUNKED)
        await exchange.chunk(b"first")
        await exchange.until_left()

    async with client_of(script, tmp_path) as (wire, api):
        with trio.move_on_after(0.2) as scope:
            async with api.stream(PODS, idle_seconds=30) as pieces:
                assert await anext(pieces) == b"first"
                await anext(pieces)
        assert scope.cancelled_caught
        await wire.until(lambda: wire.open == 0)


async def test_a_refused_stream_says_why_and_when_to_ask_again(tmp_path: Path) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.answer(429, {"reason": "TooManyRequests", "message": "later"}, "Retry-After: 7")

    async with client_of(script, tmp_path) as (_, api):
        with pytest.raises(Refused, match="later") as refused:
            async with api.stream(PODS, idle_seconds=1):
                raise AssertionError("it was refused")
        assert (refused.value.status, refused.value.retry_after) == (429, 7)


# Credentials --------------------------------------------------------------------------------------------------------


class HangingAccess:
    """Credentials of a plugin that does not come to its end."""

    def __init__(self) -> None:
        self.asked, self.ends = threading.Event(), threading.Event()

    def load(self) -> Configuration:
        self.asked.set()
        self.ends.wait(20)
        return Configuration(host="http://127.0.0.1:1")


def test_a_plugin_that_hangs_keeps_nobody_but_the_one_who_asked_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slimjobs.core.orchestrators.kubernetes.line.LOAD_SECONDS", 0.1)
    access = HangingAccess()
    line, request = Line(access, 1), Request("GET", PODS, None, "", 1.0)

    def ask() -> None:
        with pytest.raises(NoAnswer):
            line.send(request)

    first = threading.Thread(target=ask)
    first.start()
    assert access.asked.wait(5)
    with pytest.raises(NoAnswer, match="still being loaded"):
        line.send(request)
    access.ends.set()
    first.join()


async def test_what_is_counted_is_what_rbac_calls_it(tmp_path: Path) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.answer(404, {})

    async with client_of(script, tmp_path) as (_, api):
        for method, path in (
            ("GET", PODS),
            ("GET", f"{PODS}/a"),
            ("DELETE", f"{PODS}/a"),
            ("PATCH", f"{PODS}/a/status"),
        ):
            await api.call(method, path)
        with pytest.raises(Refused):
            async with api.stream(f"{PODS}?watch=1", idle_seconds=1):
                pass
        assert api.counts == {
            ("list", "pods"): 1,
            ("get", "pods"): 1,
            ("delete", "pods"): 1,
            ("patch", "pods/status"): 1,
            ("watch", "pods"): 1,
        }
