"""The program around the machine: whoever brings the news turns it, and what goes wrong in a turn is not theirs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from slimjobs.core.machine.machine import Machine
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.core.node.clock import SystemClock
from slimjobs.core.node.program import Node
from slimjobs.eventlog.raft import Membership, NodeId, Start
from slimjobs.eventlog.storage.errors import DiskFailed, StorageError
from slimjobs.eventlog.storage.requests import DiskAnswer, DiskRequest
from slimjobs.eventlog.transport.greeting import PROTOCOL, Greeting, PeerMet
from slimjobs.projections.state import State
from tests.http.live_node import ROOM, MemoryDisk, Objects

PEERS = ("node-0", "node-1")
MET = Greeting(PROTOCOL, "", "node-1", NodeId(2), empty=True, guest=False, level=1, version="1", has_log=False)


class EndingDisk(MemoryDisk):
    """It takes so many requests and no more; `answer` brings what its thread would."""

    def __init__(self, requests: int) -> None:
        super().__init__()
        self._left = requests

    def start(
        self, deliver: Callable[[Sequence[DiskAnswer]], None], failed: Callable[[StorageError], None]
    ) -> EndingDisk:
        super().start(deliver, failed)
        return self

    def submit(self, request: DiskRequest) -> None:
        if not self._left:
            raise DiskFailed("the disk takes nothing more")
        self._left -= 1
        super().submit(request)


def founder(disk: EndingDisk) -> Node:
    """A node that founds a cluster as soon as it has met the other one, which is its first write."""
    settings = MachineSettings(name=PEERS[0], peers={name: f"{name}:1" for name in PEERS})
    machine = Machine(Start(id=NodeId(1), seed=7, membership=Membership()), State(), ROOM, "c1", settings, blank=True)
    return Node(machine, disk.start, Objects(), SystemClock())


@pytest.mark.parametrize("requests", [0, 1])
async def test_a_disk_that_fails_in_a_turn_ends_the_node_and_not_whoever_brought_the_news(requests: int) -> None:
    node, told = founder(EndingDisk(requests)), False
    with pytest.RaisesGroup(DiskFailed, flatten_subgroups=True), trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            await nursery.start(node.run)
            await wait_all_tasks_blocked()
            await node.deliver([PeerMet(MET)])
            told = True
            await trio.sleep_forever()
    assert told


async def test_news_after_the_end_turns_nothing() -> None:
    disk = EndingDisk(0)
    node = founder(disk)
    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        nursery.cancel_scope.cancel()
    await node.deliver([PeerMet(MET)])  # it would found, and raise
