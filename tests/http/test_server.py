"""The guarded server: what one connection does, hostile or unlucky, is nobody else's trouble, and it ends when told to.

hypercorn's own server (0.18, on trio) fails the first of these, up to the client that never reads: it ends, waits for
ever, or breaks off its answer.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import structlog
import trio
import trio.testing
from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, Scope

from slimjobs.http.connection import IDLE_SECONDS, WRITE_SECONDS
from slimjobs.http.server import GRACE_SECONDS, AddressUnavailable, ConnectionLimits, listen, port_of, serve
from tests.http.client import Client, exchange

HELLO = b"hello"
MANY = ConnectionLimits()
PATIENCE_SECONDS = 300.0  # more than any limit that a test waits for; most tests take milliseconds


async def hello(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Read the whole request, answer."""
    while (event := await receive())["type"] == "http.request" and event["more_body"]:
        pass
    await answer(send, HELLO)


async def answer(send: ASGISendCallable, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length, *headers]})
    await send({"type": "http.response.body", "body": body, "more_body": False})


@asynccontextmanager
async def serving(app: ASGIFramework, limits: ConnectionLimits = MANY) -> AsyncIterator[Client]:
    """The server with this application."""
    stop = trio.Event()
    listeners = await listen("127.0.0.1", 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, app, listeners, limits, stop)
        try:
            with trio.fail_after(PATIENCE_SECONDS):
                yield Client(port_of(listeners), stop)
        finally:
            stop.set()


async def until_closed(stream: trio.SocketStream) -> bytes:
    """Everything that the server still sends."""
    received = b""
    try:
        while piece := await stream.receive_some():
            received += piece
    except trio.BrokenResourceError:
        pass
    return received


def reset(stream: trio.SocketStream) -> None:
    """Close the connection by force, as a client does that dies."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


async def test_a_byte_after_a_websocket_upgrade_ends_nothing() -> None:
    async with serving(hello) as client:
        async with await client.connect() as stream:
            await stream.send_all(
                b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
                b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\nx"
            )
            assert HELLO in await stream.receive_some()
        assert (await client.get("/")).body == HELLO


async def test_an_offer_of_http_2_is_answered_as_http_1_1() -> None:
    async with serving(hello) as client:
        offer = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2-settings": "AAMAAABkAAQAAP__"}
        assert (await client.get("/", headers=offer)).body == HELLO
        async with await client.connect() as stream:
            await stream.send_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 ")
        assert (await client.get("/")).body == HELLO


async def test_an_answer_that_http_does_not_allow_ends_its_own_connection_only() -> None:
    async def broken(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        if scope["type"] == "http" and scope["path"] == "/broken":
            await send({"type": "http.response.start", "status": 101, "headers": []})
        else:
            await hello(scope, receive, send)

    with structlog.testing.capture_logs() as logged:
        async with serving(broken) as client:
            async with await client.connect() as stream:
                await stream.send_all(b"GET /broken HTTP/1.1\r\nhost: x\r\n\r\n")
                assert await until_closed(stream) == b""
            assert (await client.get("/")).body == HELLO
    assert [line["event"] for line in logged] == ["a request failed", "a connection failed"]
    assert all(line["exc_info"] for line in logged)


async def test_a_request_that_is_no_http_gets_a_problem() -> None:
    async with serving(hello) as client:
        async with await client.connect() as stream:
            await stream.send_all(b"\x16\x03\x01 what is this\r\n\r\n")
            received = await until_closed(stream)
        assert received.startswith(b"HTTP/1.1 400 ")
        assert b'"status":400' in received
        async with await client.connect() as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nhost: x\r\nlong: " + b"x" * 100_000)
            assert (await until_closed(stream)).startswith(b"HTTP/1.1 431 ")
        assert (await client.get("/")).body == HELLO


async def test_an_answer_before_the_body_was_read_reaches_a_client_that_is_still_sending() -> None:
    async def early(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        await answer(send, HELLO)

    async with serving(early, ConnectionLimits(total=1)) as client:
        for _ in range(3):  # a connection that is never let go of would leave no room for the next
            async with await client.connect() as stream:
                await stream.send_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4000000\r\n\r\n")
                for _ in range(40):
                    await stream.send_all(bytes(100_000))
                assert HELLO in await until_closed(stream)
            await trio.testing.wait_all_tasks_blocked()


async def test_a_client_that_never_reads_does_not_keep_the_server_from_ending(clock: trio.abc.Clock) -> None:
    async with serving(endless) as client:
        stream = await client.connect()
        await stream.send_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await trio.testing.wait_all_tasks_blocked(0.05)
        told = trio.current_time()
        client.stop.set()
    assert trio.current_time() - told <= GRACE_SECONDS + 0.1
    await stream.aclose()


async def test_a_client_that_never_reads_is_let_go_of_in_time(clock: trio.abc.Clock) -> None:
    async with serving(endless, ConnectionLimits(total=1)) as client:
        stream = await client.connect()
        await stream.send_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await trio.testing.wait_all_tasks_blocked(0.05)
        await trio.sleep(WRITE_SECONDS + 1)
        async with await client.connect() as other:
            await other.send_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            assert (await other.receive_some()).startswith(b"HTTP/1.1 200 ")
        await stream.aclose()


async def test_a_client_that_says_nothing_is_let_go_of_in_time(clock: trio.abc.Clock) -> None:
    async with serving(hello) as client:
        for begun in (b"", b"GET / HT"):
            async with await client.connect() as stream:
                if begun:
                    await stream.send_all(begun)
                connected = trio.current_time()
                assert await until_closed(stream) == b""
                assert trio.current_time() - connected == pytest.approx(IDLE_SECONDS, abs=0.5)


async def test_a_connection_serves_one_request_after_another() -> None:
    async with serving(hello) as client, await client.connect() as stream:
        for _ in range(3):
            assert (await exchange(stream, "POST", "/", b"body")).body == HELLO


async def test_requests_that_are_sent_ahead_are_answered_in_order() -> None:
    async with serving(hello) as client, await client.connect() as stream:
        await stream.send_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" * 3)
        received = b""
        while received.count(HELLO) < 3:
            received += await stream.receive_some()


async def test_a_connection_above_the_limit_gets_503_and_is_closed() -> None:
    limits = ConnectionLimits(total=1, per_address=200)
    async with serving(hello, limits) as client, await client.connect() as first:
        await exchange(first, "GET", "/")
        assert await refusal(client)
        assert (await exchange(first, "GET", "/")).body == HELLO


async def test_one_address_cannot_take_all_connections() -> None:
    limits = ConnectionLimits(total=200, per_address=1)
    async with serving(hello, limits) as client, await client.connect() as first:
        await exchange(first, "GET", "/")
        assert await refusal(client)
        async with await trio.open_tcp_stream("127.0.0.1", client.port, local_address="127.0.0.2") as other:
            assert (await exchange(other, "GET", "/")).body == HELLO


async def test_a_place_is_free_again_when_its_connection_ends() -> None:
    async with serving(hello, ConnectionLimits(total=1)) as client:
        for end in (trio.SocketStream.aclose, reset):
            stream = await client.connect()
            await exchange(stream, "GET", "/")
            ended = end(stream)
            if ended is not None:
                await ended
            await trio.testing.wait_all_tasks_blocked(0.02)
        assert (await client.get("/")).body == HELLO


async def test_what_is_in_flight_is_finished_before_the_server_ends() -> None:
    asked, may_answer = trio.Event(), trio.Event()

    async def slow(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        asked.set()
        await may_answer.wait()
        await answer(send, HELLO)

    async with serving(slow) as client:
        idle = await client.connect()
        busy = await client.connect()
        await busy.send_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await asked.wait()
        client.stop.set()
        assert await until_closed(idle) == b""
        with pytest.raises(OSError, match="all attempts to connect"):
            await client.connect()
        may_answer.set()
        assert (await until_closed(busy)).endswith(HELLO)
        await idle.aclose()
        await busy.aclose()


async def test_a_request_that_takes_too_long_does_not_keep_the_server(clock: trio.abc.Clock) -> None:
    async def never(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        await trio.sleep_forever()

    async with serving(never) as client:
        stream = await client.connect()
        await stream.send_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        await trio.testing.wait_all_tasks_blocked(0.05)
        told = trio.current_time()
        client.stop.set()
    assert trio.current_time() - told == pytest.approx(GRACE_SECONDS, abs=0.1)
    assert await until_closed(stream) == b""
    await stream.aclose()


async def test_a_taken_port_is_a_refusal_in_one_line() -> None:
    [listener] = await listen("127.0.0.1", 0)
    async with listener:
        with pytest.raises(AddressUnavailable, match=f"cannot listen on 127.0.0.1 port {port_of([listener])}: "):
            await listen("127.0.0.1", port_of([listener]))


async def test_a_host_that_is_not_of_this_machine_is_a_refusal() -> None:
    with pytest.raises(AddressUnavailable, match=r"cannot listen on 192\.0\.2\.1 port 0: "):
        await listen("192.0.2.1", 0)


async def test_ipv6_is_served_too() -> None:
    listeners = await listen("::1", 0)
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, hello, listeners, MANY, stop)
        async with await trio.open_tcp_stream("::1", port_of(listeners)) as stream:
            assert (await exchange(stream, "GET", "/")).body == HELLO
        stop.set()


async def endless(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """An answer without end."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while True:
        await send({"type": "http.response.body", "body": bytes(65536), "more_body": True})


async def refusal(client: Client) -> bool:
    """Whether the next connection is told to come later."""
    async with await client.connect() as stream:
        received = await until_closed(stream)
    return received.startswith(b"HTTP/1.1 503 ") and b"retry-after: 1" in received and b'"status":503' in received
