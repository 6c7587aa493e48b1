"""The real node, machine and program, with a disk that is memory and an orchestrator whose objects the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec
import trio

from slimjobs.core.decide.commands import Configure, Configured, Declared
from slimjobs.core.decide.decision import Limits
from slimjobs.core.machine.machine import Machine
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.core.node.clock import Clock, SystemClock
from slimjobs.core.node.program import Node
from slimjobs.core.orchestrators.ports import (
    Accepted,
    Changed,
    Create,
    Created,
    Delete,
    Effect,
    Listed,
    Missing,
    Observation,
    ObservedAttempt,
    ObservedJob,
    Outcome,
    OutputMissing,
    Phase,
    Release,
    Vanished,
)
from slimjobs.eventlog.events.definitions import Definition, Source
from slimjobs.eventlog.events.runs import RunId
from slimjobs.eventlog.raft import Start
from slimjobs.eventlog.raft.types import Membership, NodeId
from slimjobs.eventlog.storage.errors import StorageError
from slimjobs.eventlog.storage.requests import (
    DiskAnswer,
    DiskRequest,
    Persist,
    Persisted,
    SnapshotHeader,
    SnapshotRefused,
)
from slimjobs.projections.state import State

ROOM = 1 << 30


class MemoryDisk:
    """Everything is durable at the next turn. `room` is what the node is told is left."""

    def __init__(self) -> None:
        self.room = ROOM
        self._deliver: Callable[[Sequence[DiskAnswer]], None] = lambda _: None

    def start(
        self, deliver: Callable[[Sequence[DiskAnswer]], None], failed: Callable[[StorageError], None]
    ) -> MemoryDisk:
        self._deliver = deliver
        return self

    def submit(self, request: DiskRequest) -> None:
        if isinstance(request, Persist):
            self._deliver([Persisted(request.ticket, self.room)])

    def snapshot_writer(self, header: SnapshotHeader) -> NoSnapshot:
        return NoSnapshot(header)


class NoSnapshot:
    """A snapshot that is not kept: tests are short."""

    def __init__(self, header: SnapshotHeader) -> None:
        self._header = header

    def write(self, frame: bytes) -> None:
        assert frame

    def finish(self) -> SnapshotRefused:
        return SnapshotRefused(self._header.index, "nothing is kept here")


class Objects:
    """An orchestrator: released objects run until the test says how they end."""

    def __init__(self) -> None:
        self.jobs: dict[str, ObservedJob] = {}
        self.output_pieces: Mapping[str, list[bytes]] = {}
        self._send, self._receive = trio.open_memory_channel[Observation](1000)

    async def carry_out(self, effect: Effect) -> Outcome:
        await trio.lowlevel.checkpoint()
        if isinstance(effect, Create):
            job = effect.job
            made = ObservedJob(job.name, f"uid-{len(self.jobs)}", job.cluster, job.run, Phase.SUSPENDED)
            self.jobs[job.name] = made
            return Created(made)
        held = self.jobs.get(effect.name)
        if held is None or held.uid != effect.uid:
            return Missing()
        if isinstance(effect, Release):
            self.move(effect.run, Phase.RUNNING, ObservedAttempt(1, 1))
        elif isinstance(effect, Delete):
            self._send.send_nowait(Vanished(self.jobs.pop(effect.name)))
        return Accepted()

    def move(self, run: RunId, phase: Phase, attempt: ObservedAttempt) -> None:
        """Let an object go on, and be seen doing so."""
        [name] = [name for name, job in self.jobs.items() if job.run == run]
        self.jobs[name] = msgspec.structs.replace(self.jobs[name], phase=phase, attempts=(attempt,))
        self._send.send_nowait(Changed(self.jobs[name]))

    async def observe(self) -> AsyncIterator[Observation]:
        yield Listed(tuple(self.jobs.values()))
        async for observation in self._receive:
            yield observation

    def output(
        self, name: str, uid: str, attempt: int | None, tail_lines: int | None, follow: bool
    ) -> AsyncIterator[bytes]:
        if name not in self.jobs:
            raise OutputMissing("The object is gone.")
        if attempt not in (None, 1):
            raise OutputMissing(f"There is no attempt {attempt}.")
        return self._output(f"{name} {attempt} {tail_lines} {follow}\n".encode())

    async def _output(self, written: bytes) -> AsyncIterator[bytes]:
        yield written


class LiveNode(msgspec.Struct, frozen=True):
    """A node that runs, and what is around it."""

    node: Node
    disk: MemoryDisk
    objects: Objects


@asynccontextmanager
async def live_node(
    definitions: Iterable[tuple[str, Definition]], limits: Limits | None = None, clock: Clock | None = None
) -> AsyncIterator[LiveNode]:
    """A lone node with these definitions, leading and configured."""
    start = Start(id=NodeId(1), seed=7, membership=Membership())
    machine = Machine(start, State(), ROOM, "cluster", MachineSettings(limits=limits or Limits()), blank=True)
    disk, objects = MemoryDisk(), Objects()
    node = Node(machine, disk.start, objects, clock or SystemClock())
    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        declared = {name: Declared(definition, Source.CONFIGURATION) for name, definition in definitions}
        reply = await node.command(Configure(declared))
        assert isinstance(reply.value, Configured)
        yield LiveNode(node, disk, objects)
        nursery.cancel_scope.cancel()
