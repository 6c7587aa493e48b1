"""Whatever comes over a connection ends that connection and nothing else; and who may listen where."""

from __future__ import annotations

import os
import socket
import stat
import struct
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
import trio

from slimjobs.core.configuration.setting_kinds import LoopbackAddress, UnixAddress
from slimjobs.core.orchestrators.ports import (
    Accepted,
    Effect,
    Listed,
    Observation,
    ObservedJob,
    Outcome,
    OutputMissing,
    Phase,
    Unobserved,
)
from slimjobs.core.orchestrators.process import open_runner
from slimjobs.core.orchestrators.shared import AddressTaken, connection, listening, server
from slimjobs.core.orchestrators.shared.words import (
    PROTOCOL,
    ForEffects,
    ForObservations,
    Hello,
    Next,
    Refused,
    Welcome,
    decode_reply,
    framed,
)
from slimjobs.eventlog.events.runs import RunId
from slimjobs.eventlog.transport.frames import Frames, frame
from tests.core.orchestrators.process.world import QUICK, a_job, until
from tests.core.orchestrators.shared.sharing import WithoutServices, a_node, an_address, served

GREETING = framed(Hello(PROTOCOL, ForEffects()))


async def answer_to(address: UnixAddress, *said: bytes) -> bytes:
    """All that the runner says to this, until it closes the connection."""
    with trio.fail_after(10):
        async with await trio.open_unix_socket(os.fspath(address.path)) as stream:
            for part in said:
                await stream.send_all(part)
            try:
                return b"".join([bytes(chunk) async for chunk in stream])
            except trio.BrokenResourceError:  # closed with something of ours unread
                return b""


GARBAGE = {
    "HTTP": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "bytes": bytes(range(256)) * 100,
    "an empty frame": struct.pack(">I", 0),
    "a frame without end": struct.pack(">I", 2**32 - 1),
    "a long greeting": struct.pack(">I", 4097) + b"longer than a greeting may be",
    "no MessagePack": frame(b"\xc1 is none"),
    "a greeting without purpose": frame(msgspec.msgpack.encode({"type": "Hello", "protocol": PROTOCOL})),
    "no greeting": framed(Next()),
    "two greetings": GREETING + GREETING,
    "a word for another purpose": GREETING + framed(Next()),
    "a long frame": GREETING + struct.pack(">I", 4 * 1024 * 1024 + 1),
    "a greeting while observing": framed(Hello(PROTOCOL, ForObservations())) + GREETING,
}


@pytest.mark.parametrize("said", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_ends_its_own_connection_only(tmp_path: Path, said: bytes) -> None:
    with an_address() as address:
        async with open_runner(tmp_path, QUICK) as runner, served(runner, address), a_node(address) as world:
            job = await world.create(a_job("true"))
            assert await answer_to(address, said) in (b"", framed(Welcome()))
            await world.release(job)
            assert (await world.ended(job)).phase is Phase.SUCCEEDED
            assert [type(seen).__name__ for seen in world.seen[:2]] == ["Unobserved", "Listed"]
            assert {type(seen).__name__ for seen in world.seen[2:]} == {"Changed"}


async def test_who_speaks_another_protocol_is_told_which_one_is_understood(tmp_path: Path) -> None:
    with an_address() as address:
        async with open_runner(tmp_path, QUICK) as runner, served(runner, address):
            frames = Frames()
            frames.feed(await answer_to(address, framed(Hello(PROTOCOL + 1, ForEffects()))))
            assert [decode_reply(body) for body in frames.take_all()] == [
                Refused(f"it speaks protocol {PROTOCOL}, and was spoken to in {PROTOCOL + 1}")
            ]


async def test_who_does_not_introduce_itself_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "CONNECT_SECONDS", 0.1)
    with an_address() as address:
        async with open_runner(tmp_path, QUICK) as runner, served(runner, address):
            assert await answer_to(address, GREETING[:5]) == b""


async def test_connections_beyond_the_limit_are_closed_and_leave_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CONNECTIONS", 3)
    with an_address() as address:
        async with open_runner(tmp_path, QUICK) as runner, served(runner, address), a_node(address) as world:
            await world.run(a_job("true"))
            async with await trio.open_unix_socket(os.fspath(address.path)):
                assert await answer_to(address) == b""
            assert (await world.run(a_job("true"))).phase is Phase.SUCCEEDED


async def ask_without_end(deaf: trio.SocketStream) -> None:
    await deaf.send_all(framed(Hello(PROTOCOL, ForObservations())))
    while True:
        await deaf.send_all(framed(Next()))
        await trio.sleep(0.001)


class Crowded(WithoutServices):
    """An orchestrator with more objects than a socket holds."""

    async def carry_out(self, effect: Effect) -> Outcome:
        return Accepted()

    async def observe(self) -> AsyncIterator[Observation]:
        yield Unobserved("")
        yield Listed((ObservedJob("name", "uid", "cluster", RunId(bytes(10)), Phase.PENDING),) * 20_000)
        await trio.sleep_forever()

    def output(
        self, name: str, uid: str, attempt: int | None, tail_lines: int | None, follow: bool
    ) -> AsyncIterator[bytes]:
        raise OutputMissing("there is none")


async def test_a_node_that_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "SILENCE_SECONDS", 0.2)
    with an_address() as address, trio.fail_after(10):
        async with served(Crowded(), address), a_node(address) as world:
            async with await trio.open_unix_socket(os.fspath(address.path)) as deaf:
                with pytest.raises(trio.BrokenResourceError):
                    await ask_without_end(deaf)
            await until(lambda: len(world.jobs) == 1)


# Listening ----------------------------------------------------------------------------------------------------------


def test_a_sockets_file_is_for_its_user_alone_and_goes_with_its_runner() -> None:
    with an_address() as address:
        with listening(address):
            assert stat.S_IMODE(address.path.stat().st_mode) == 0o600
        assert not address.path.exists()


def test_an_address_where_a_runner_answers_is_taken() -> None:
    with an_address() as address, listening(address):
        said = r"cannot listen on unix:.*: a runner answers there already"
        with pytest.raises(AddressTaken, match=said), listening(address):
            pass
        assert address.path.exists()


def test_the_file_that_a_dead_runner_left_is_replaced() -> None:
    with an_address() as address:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(os.fspath(address.path))
        assert address.path.exists()
        with listening(address), socket.socket(socket.AF_UNIX) as somebody:
            somebody.connect(os.fspath(address.path))


def test_a_file_that_is_no_socket_is_left_alone() -> None:
    with an_address() as address:
        address.path.write_text("precious")
        with pytest.raises(AddressTaken, match="there is a file that is no socket"), listening(address):
            pass
        assert address.path.read_text() == "precious"


def test_a_runner_whose_file_was_removed_by_hand_does_not_remove_that_of_the_next() -> None:
    with an_address() as address, ExitStack() as second:
        with listening(address):
            address.path.unlink()
            second.enter_context(listening(address))
        assert address.path.exists()


@pytest.mark.parametrize(
    ("path", "said"),
    [("missing/runner.sock", "No such file or directory"), ("x" * 200, "AF_UNIX path too long")],
)
def test_a_path_that_cannot_be_used_is_told(path: str, said: str) -> None:
    with an_address() as address:
        elsewhere = UnixAddress(address.path.parent / path)
        with pytest.raises(AddressTaken, match=said), listening(elsewhere):
            pass


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = f"cannot listen on 127.0.0.1:{port}: Address already in use"
        with pytest.raises(AddressTaken, match=said), listening(LoopbackAddress("127.0.0.1", port)):
            pass
