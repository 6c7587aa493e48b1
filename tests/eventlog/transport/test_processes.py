"""A peer in a process of its own, which dies as processes do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import trio

from slimjobs.eventlog.transport.greeting import PeerLost, PeerMet
from slimjobs.eventlog.transport.sockets import PeerAddress
from tests.eventlog.transport.nodes import Talker, place, running

PEER: Final = """
import sys, trio
from slimjobs.eventlog.transport.sockets import PeerAddress
from tests.eventlog.transport.nodes import Talker, place

async def main():
    here = await place("b")
    print(here.address.port, flush=True)
    talker = Talker("b", 2, [PeerAddress("a", "127.0.0.1", int(sys.argv[1]))])
    await talker.transport.run(here.listeners)

trio.run(main)
"""


@asynccontextmanager
async def peer_process(own: PeerAddress) -> AsyncIterator[tuple[trio.Process, PeerAddress]]:
    command = [sys.executable, "-c", PEER, str(own.port)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    start = partial(trio.run_process, command, env=environment, stdout=subprocess.PIPE, check=False)
    async with trio.open_nursery() as nursery:
        process: trio.Process = await nursery.start(start)
        assert process.stdout is not None
        port = int(await process.stdout.receive_some())
        try:
            yield process, PeerAddress("b", "127.0.0.1", port)
        finally:
            process.kill()


async def test_a_killed_process_is_lost_at_once_and_known_to_be_gone() -> None:
    here = await place("a")
    with trio.fail_after(10):
        async with peer_process(here.address) as (process, there):
            a, b = Talker("a", 1, [there]), Talker("b", 2, [])
            async with running((a, here.listeners)):
                await a.met(b)
                process.send_signal(signal.SIGKILL)
                killed_at = trio.current_time()
                await a.lost(b, refused=True)
                assert trio.current_time() - killed_at < 1
    assert a.told == [PeerMet(b.greeting), PeerLost("b", b.node), PeerLost("b", b.node, refused=True)]


async def test_a_stopped_process_is_not_taken_for_gone_and_costs_no_more_than_its_buffer() -> None:
    here = await place("a")
    with trio.fail_after(10):
        async with peer_process(here.address) as (process, there):
            a, b = Talker("a", 1, [there]), Talker("b", 2, [])
            async with running((a, here.listeners)):
                await a.met(b)
                process.send_signal(signal.SIGSTOP)
                while not a.transport.dropped:
                    a.say(b, "x" * 1_000_000)
                    await trio.lowlevel.checkpoint()
                assert a.told == [PeerMet(b.greeting)]
