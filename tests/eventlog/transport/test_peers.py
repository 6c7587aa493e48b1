"""Peers on loopback: they meet, talk in order, lose each other, and meet again."""

from __future__ import annotations

import socket
from typing import Literal

import pytest
import trio
import trio.abc
import trio.testing

from slimjobs.eventlog.transport.greeting import PeerLost, PeerMet
from slimjobs.eventlog.transport.limits import Limits
from slimjobs.eventlog.transport.sockets import PeerAddress, PortUnavailable, listen
from tests.eventlog.transport.nodes import IMPATIENT, Note, Talker, place, running, same_place, texts


async def test_three_nodes_meet_each_other_and_each_letter_reaches_its_addressee() -> None:
    places = [await place(name) for name in "abc"]
    addresses = [each.address for each in places]
    a, b, c = (Talker(name, node, addresses) for node, name in enumerate("abc", 1))
    with trio.fail_after(5):
        async with running(*((node, each.listeners) for node, each in zip((a, b, c), places, strict=True))):
            for node in (a, b, c):
                for other in {a, b, c} - {node}:
                    await node.met(other)
            a.transport.send([Note(b.node, "to b"), Note(c.node, "to c"), Note(b.node, "again")])
            c.say(a, "to a")
            assert (await b.got(2), await c.got(1), await a.got(1)) == (["to b", "again"], ["to c"], ["to a"])
    assert a.transport.dropped == 0


async def test_order_is_kept_when_the_socket_takes_some_of_it_at_once_and_the_rest_later() -> None:
    here, there = await place("a"), await place("b")
    a, b = (Talker(name, node, [here.address, there.address]) for node, name in enumerate("ab", 1))
    long = "x" * 1000
    with trio.fail_after(10):
        async with running((a, here.listeners), (b, there.listeners)):
            await a.met(b)
            for turn in range(100):
                a.say(b, *(f"{number} {long}" for number in range(100 * turn, 100 * turn + 100)))
                if turn % 10 == 0:
                    await trio.lowlevel.checkpoint()
            got = await b.got(10_000 - a.transport.dropped)
    numbers = [int(text.split()[0]) for text in got]
    assert numbers == sorted(numbers)
    assert len(numbers) + a.transport.dropped == 10_000


async def test_a_letter_without_a_link_is_dropped_and_counted() -> None:
    a = Talker("a", 1, [])
    a.transport.send([Note(a.node, "to itself"), Note(a.node, "again")])
    assert a.transport.dropped == 2


async def test_a_peer_that_restarts_as_another_node_is_met_again_under_its_new_id() -> None:
    here, there = await place("a"), await place("b")
    addresses = [here.address, there.address]
    a, b, later = Talker("a", 1, addresses), Talker("b", 2, addresses), Talker("b", 3, addresses)
    with trio.fail_after(5):
        async with running((a, here.listeners)):
            async with running((b, there.listeners)):
                await a.met(b)
            await a.lost(b)
            async with running((later, (await same_place(there.address)).listeners)):
                await a.met(later)
                a.say(b, "to the node that has gone")
                a.say(later, "to the one that is")
                assert await later.got(1) == ["to the one that is"]
    assert a.transport.dropped == 1


async def test_a_loss_is_told_at_once_and_the_refusal_of_the_redial_after_it_once() -> None:
    here, there = await place("a"), await place("b")
    addresses = [here.address, there.address]
    a, b = Talker("a", 1, addresses), Talker("b", 2, addresses)
    with trio.fail_after(5):
        async with running((a, here.listeners)):
            async with running((b, there.listeners)):
                await a.met(b)
            await a.lost(b, refused=True)
            await trio.sleep(3 * IMPATIENT.last_redial_seconds)  # time for more refusals
    assert a.told == [PeerMet(b.greeting), PeerLost("b", b.node), PeerLost("b", b.node, refused=True)]


async def test_a_link_that_stood_is_dialed_again_at_once() -> None:
    patient = Limits(first_redial_seconds=0.2, last_redial_seconds=0.2)
    here, there = await place("a"), await place("b")
    a, b = Talker("a", 1, [there.address], limits=patient), Talker("b", 2, [here.address])
    with trio.fail_after(5):
        async with running((a, here.listeners)):
            async with running((b, there.listeners)):
                await a.met(b)
                await trio.sleep(0.25)
            await a.lost(b)
            lost_at = trio.current_time()
            await a.lost(b, refused=True)
    assert trio.current_time() - lost_at < 0.1


async def test_what_came_in_one_read_is_delivered_together_and_nothing_is_read_before_it_was_taken() -> None:
    here, there = await place("a"), await place("b")
    a, b = Talker("a", 1, [there.address]), Talker("b", 2, [here.address])
    with trio.fail_after(5):
        async with running((a, here.listeners), (b, there.listeners)):
            await a.met(b)
            await b.met(a)
            b.may_take = trio.Event()
            a.say(b, *"abc")
            await b.got(3)
            a.say(b, *"de")
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert texts(b.told) == ["a", "b", "c"]
            b.may_take.set()
            assert await b.got(5) == [*"abcde"]
    assert b.reads[-2:] == [3, 2]


async def test_what_waits_for_a_peer_that_does_not_read_is_bounded_and_what_was_kept_arrives_in_order() -> None:
    tight = Limits(buffered_bytes=100_000)
    here, there = await place("a"), await place("b")
    a, b = Talker("a", 1, [there.address], limits=tight), Talker("b", 2, [here.address])
    letter = "x" * 10_000
    with trio.fail_after(10):
        async with running((a, here.listeners), (b, there.listeners)):
            await a.met(b)
            b.may_take = trio.Event()
            sent = 0
            while not a.transport.dropped:
                a.say(b, f"{sent} {letter}")
                sent += 1
                await trio.lowlevel.checkpoint()
            a.say(b, *(f"late {letter}" for _ in range(100)))
            assert a.transport.dropped == 101
            b.may_take.set()
            got = await b.got(sent - 1)
    assert [int(text.split()[0]) for text in got] == list(range(sent - 1))


async def test_a_letter_longer_than_a_frame_may_be_is_dropped_and_the_link_stands(
    caplog: pytest.LogCaptureFixture,
) -> None:
    here, there = await place("a"), await place("b")
    small = Limits(frame_bytes=1000)
    a, b = Talker("a", 1, [there.address], limits=small), Talker("b", 2, [here.address])
    with trio.fail_after(5):
        async with running((a, here.listeners), (b, there.listeners)):
            await a.met(b)
            a.say(b, "x" * 1000, "short")
            assert await b.got(1) == ["short"]
    assert a.transport.dropped == 1
    assert "is too long to be sent: Note" in caplog.text


async def test_a_taken_port_is_an_error_that_says_which() -> None:
    there = await place("b")
    with pytest.raises(PortUnavailable, match=rf"^cannot listen for peers on 127.0.0.1 port {there.address.port}: "):
        await listen("127.0.0.1", there.address.port)
    for listener in there.listeners:
        await listener.aclose()


async def test_cancellation_ends_everything_promptly_even_while_a_peer_does_not_read() -> None:
    here, there = await place("a"), await place("b")
    a, b = Talker("a", 1, [there.address, PeerAddress("c", "127.0.0.1", 1)]), Talker("b", 2, [here.address])
    with trio.fail_after(5):
        async with running((a, here.listeners), (b, there.listeners)):
            await a.met(b)
            b.may_take = trio.Event()
            a.say(b, *("x" * 100_000 for _ in range(70)))
            await b.got(1)
            begun = trio.current_time()
    assert trio.current_time() - begun < 0.5


Resolved = tuple[Literal[socket.AddressFamily.AF_INET], socket.SocketKind, int, str, tuple[str, int]]
Resolved6 = tuple[
    Literal[socket.AddressFamily.AF_INET6],
    socket.SocketKind,
    int,
    str,
    tuple[str, int, int, int] | tuple[int, bytes],
]


class Directory(trio.abc.HostnameResolver):
    """Resolves names as it is told, and remembers what it was asked."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.asked: list[str] = []

    async def getaddrinfo(
        self,
        host: bytes | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> list[Resolved | Resolved6]:
        assert host is not None
        self.asked.append(host.decode())
        return [(socket.AddressFamily.AF_INET, socket.SOCK_STREAM, 6, "", (self.address, int(port or 0)))]

    async def getnameinfo(self, sockaddr: object, flags: int) -> tuple[str, str]:
        raise NotImplementedError


async def test_a_host_is_resolved_at_each_dial_so_that_a_peer_that_moves_is_found() -> None:
    here, there = await place("a"), await place("b")
    addresses = [here.address, PeerAddress("b", "b.jobs", there.address.port)]
    a, b, moved = Talker("a", 1, addresses), Talker("b", 2, addresses), Talker("b", 3, addresses)
    directory = Directory("127.0.0.1")
    trio.socket.set_custom_hostname_resolver(directory)
    with trio.fail_after(5):
        async with running((a, here.listeners)):
            async with running((b, there.listeners)):
                await a.met(b)
            directory.address = "127.0.0.2"
            async with running((moved, await listen("127.0.0.2", there.address.port))):
                await a.met(moved)
    assert directory.asked.count("b.jobs") >= 2
