"""Whoever is no peer: garbage, other protocols, silence, wrong greetings. It costs them their connection, no more."""

from __future__ import annotations

import logging

import msgspec
import pytest
import trio

from slimjobs.eventlog.transport.complaints import AGAIN_SECONDS, EVERYONE, MAX_ADDRESSES, Complaints
from slimjobs.eventlog.transport.frames import frame
from slimjobs.eventlog.transport.greeting import PROTOCOL, PeerMet
from slimjobs.eventlog.transport.limits import Limits
from slimjobs.eventlog.transport.sockets import PeerAddress
from tests.eventlog.transport.nodes import IMPATIENT, Talker, logged, place, running

HELLO = frame(msgspec.msgpack.encode([PROTOCOL, "c", "b", 2, False, False, 1, "1"]))


async def answer_of(address: PeerAddress, said: bytes) -> bytes:
    """Everything that comes back until the other side closes."""
    stream = await trio.open_tcp_stream(address.host, address.port)
    async with stream:
        try:
            await stream.send_all(said)
            return b"".join([chunk async for chunk in stream])
        except trio.BrokenResourceError:  # closed with something unread
            return b""


async def dawdle(stream: trio.SocketStream) -> None:
    for byte in HELLO:
        await stream.send_all(bytes([byte]))
        await trio.sleep(0.05)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "a frame of 1,195,725,856 bytes, where 2,048 are the limit"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", "a frame of 369,295,618 bytes, where 2,048 are the limit"),
        (bytes(4), "an empty frame"),
        (frame(b"\xc1"), "no greeting: "),
        (frame(msgspec.msgpack.encode({"name": "b"})), "no greeting: "),
        (frame(b"\x91" * 2000), "no greeting: "),
        (frame(msgspec.msgpack.encode("no")), "a refusal where a greeting was due"),
        (HELLO + frame(b"\xc1"), "no letter: "),
        (HELLO + b"\xff\xff\xff\xff", "a frame of 4,294,967,295 bytes, where 8,388,608 are the limit"),
    ],
    ids=["HTTP", "TLS", "empty", "no MessagePack", "no greeting", "nested", "refusal", "no letter", "too long"],
)
async def test_garbage_closes_its_connection_with_one_warning_and_nothing_else_happens(
    said: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    here = await place("a")
    a = Talker("a", 1, [here.address, PeerAddress("b", "127.0.0.1", 1)])
    with trio.fail_after(5):
        async with running((a, here.listeners)):
            for _ in range(20):
                await answer_of(here.address, said)
    (warning,) = warnings(caplog)
    assert warning.startswith(f"a connection from 127.0.0.1 was closed: {reason}")
    assert a.told == []


async def test_a_node_talks_on_with_its_peers_while_strangers_knock() -> None:
    here, there = await place("a"), await place("b")
    a, b = Talker("a", 1, [there.address]), Talker("b", 2, [here.address])
    with trio.fail_after(5):
        async with running((a, here.listeners), (b, there.listeners)), trio.open_nursery() as nursery:
            await a.met(b)
            for _ in range(20):
                nursery.start_soon(answer_of, there.address, b"\xff" * 100_000)
            for number in range(100):
                a.say(b, str(number))
                await trio.lowlevel.checkpoint()
            assert await b.got(100) == [str(number) for number in range(100)]


async def test_who_does_not_introduce_itself_in_time_is_closed_however_it_dawdles(
    caplog: pytest.LogCaptureFixture,
) -> None:
    here = await place("a")
    a = Talker("a", 1, [], limits=Limits(greeting_seconds=0.2))
    with trio.fail_after(5):
        async with running((a, here.listeners)):
            stream = await trio.open_tcp_stream(here.address.host, here.address.port)
            begun = trio.current_time()
            with pytest.raises(trio.BrokenResourceError):
                await dawdle(stream)
            assert trio.current_time() - begun < 1
            await stream.aclose()
    assert warnings(caplog) == ["a connection from 127.0.0.1 was closed: no greeting within 0.2 s"]


async def test_those_that_have_said_nothing_for_longest_make_room() -> None:
    here = await place("a")
    a = Talker("a", 1, [], limits=Limits(handshakes=3))
    with trio.fail_after(5):
        async with running((a, here.listeners)):
            silent = [await trio.open_tcp_stream(here.address.host, here.address.port) for _ in range(6)]
            for stream in silent[:3]:
                assert await ending_of(stream) == b""
            for stream in silent[3:]:
                with trio.move_on_after(0.1) as waited:
                    await stream.receive_some()
                assert waited.cancelled_caught, "there is room for three, and these are the latest"
            for stream in silent:
                await stream.aclose()


async def ending_of(stream: trio.SocketStream) -> bytes:
    """What comes until the other side ends it, however it does."""
    try:
        return bytes(await stream.receive_some())
    except trio.BrokenResourceError:
        return b""


async def test_another_cluster_is_refused_with_the_reason_told_once_on_both_sides(
    caplog: pytest.LogCaptureFixture,
) -> None:
    here, there = await place("a"), await place("b")
    a, b = Talker("a", 1, [there.address], cluster="c"), Talker("b", 2, [here.address], cluster="d")
    with trio.fail_after(5):
        async with running((a, here.listeners), (b, there.listeners)):
            for where in (f"to {there.address}", f"to {here.address}", "from a at", "from b at"):
                await logged(caplog, f"no connection {where}")
            await trio.sleep(5 * IMPATIENT.last_redial_seconds)  # time for more refusals
    assert a.told == b.told == []
    assert set(warnings(caplog)) == {
        "no connection from a at 127.0.0.1: it belongs to cluster c, not to d",
        "no connection from b at 127.0.0.1: it belongs to cluster d, not to c",
        f"no connection to {there.address}: it says 'it belongs to cluster c, not to d'",
        f"no connection to {here.address}: it says 'it belongs to cluster d, not to c'",
    }
    assert len(warnings(caplog)) == 4


async def test_another_protocol_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    here, there = await place("a"), await place("b")
    a, b = Talker("a", 1, [there.address]), Talker("b", 2, [here.address], protocol=PROTOCOL + 1)
    with trio.fail_after(5):
        async with running((a, here.listeners), (b, there.listeners)):
            await logged(caplog, f"'b' speaks protocol {PROTOCOL + 1}, 'a' {PROTOCOL}")
            await logged(caplog, f"no connection to {here.address}: it says ")
    assert a.told == b.told == []


async def test_a_dialer_refuses_an_address_where_another_name_answers(caplog: pytest.LogCaptureFixture) -> None:
    here, there = await place("a"), await place("b")
    mistaken = PeerAddress("c", there.address.host, there.address.port)
    a, b = Talker("a", 1, [mistaken]), Talker("b", 2, [here.address])
    with trio.fail_after(5):
        async with running((a, here.listeners), (b, there.listeners)):
            await logged(caplog, f"no connection to {mistaken}: there it is 'b' who answers")
    assert a.told == []


async def test_a_name_that_no_peer_has_is_refused_unless_it_is_a_guest(caplog: pytest.LogCaptureFixture) -> None:
    here = await place("a")
    a, x = Talker("a", 1, []), Talker("x", 9, [here.address])
    with trio.fail_after(5):
        async with running((a, here.listeners), (x, [])):
            await logged(caplog, f"no connection to {here.address}: it says \"no configured peer is called 'x'\"")
    assert x.told == []


async def test_a_guest_is_answered_on_the_connection_that_it_dialed() -> None:
    here = await place("a")
    a = Talker("a", 1, [here.address])
    guest = Talker("somebody", 77, [here.address], guest=True)
    with trio.fail_after(5):
        async with running((a, here.listeners), (guest, [])):
            await guest.met(a)
            guest.say(a, "a question")
            assert await a.got(1) == ["a question"]
            a.say(guest, "an answer", "and more")
            assert await guest.got(2) == ["an answer", "and more"]
        a.say(guest, "too late")
    assert not any(isinstance(each, PeerMet) for each in a.told)


async def test_guests_are_bounded_and_a_place_that_is_left_is_free_again(caplog: pytest.LogCaptureFixture) -> None:
    here = await place("a")
    a = Talker("a", 1, [], limits=Limits(guests=2))
    guests = [Talker("somebody", 70 + number, [here.address], guest=True) for number in range(3)]
    with trio.fail_after(5):
        async with running((a, here.listeners), (guests[0], [])):
            await guests[0].met(a)
            async with running((guests[1], [])):
                await guests[1].met(a)
                async with running((guests[2], [])):
                    await logged(caplog, "it says 'there are 2 guests already'")
                    assert guests[2].told == []
            async with running((guests[2], [])):
                await guests[2].met(a)


def test_warnings_about_an_address_come_once_a_minute_with_a_count(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    complaints = Complaints(lambda: now)
    for _ in range(1000):
        complaints.about_address("10.0.0.1", "garbage")
    now = AGAIN_SECONDS
    complaints.about_address("10.0.0.1", "garbage\nof two lines")
    assert warnings(caplog) == [
        "a connection from 10.0.0.1 was closed: garbage",
        "a connection from 10.0.0.1 was closed: garbage?of two lines"
        " (and 999 more from there since this was last said)",
    ]


def test_more_addresses_than_are_remembered_count_as_one(caplog: pytest.LogCaptureFixture) -> None:
    complaints = Complaints(lambda: 0.0)
    for number in range(10 * MAX_ADDRESSES):
        complaints.about_address(f"10.0.{number // 256}.{number % 256}", "garbage")
    assert len(warnings(caplog)) == MAX_ADDRESSES + 1
    assert warnings(caplog)[-1].startswith(f"a connection from {EVERYONE} was closed")
