"""Triggers at the machine's caller, without HTTP: the real node on the real disk, in one process."""

from __future__ import annotations

import secrets
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from slimjobs.core.configuration.jobs import read_configuration
from slimjobs.core.decide.commands import Accepted, Requested, Trigger
from slimjobs.core.decide.decision import Limits
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.core.node.clock import Clock, SystemClock
from slimjobs.core.node.configuring import proposal
from slimjobs.core.node.opening import open_machine
from slimjobs.core.node.program import Node
from slimjobs.core.orchestrators.process import RunnerSettings, open_runner
from slimjobs.eventlog.events.definitions import Overrides
from slimjobs.eventlog.events.runs import RunId
from slimjobs.eventlog.storage.files import DirectoryOnDisk
from slimjobs.eventlog.storage.store import StorageOptions
from tests.bench.table import Row, fdatasync_p50_ms

ROUNDS = 9
LIMITS = Limits(queued_jobs=10_000_000, queued_bytes=1 << 40)
CONFIGURATION = '{"Configurations": {"bench": {"Command": ["/bin/sleep", "3600"], "Visibility": "Public"}}}'


@asynccontextmanager
async def running_node(directory: Path, limits: Limits = LIMITS, clock: Clock | None = None) -> AsyncIterator[Node]:
    """A node with the real disk and the real runner; its one slot is taken, so that triggers queue."""
    configuration = read_configuration(CONFIGURATION).configuration
    assert configuration is not None
    settings = MachineSettings(limits=limits)
    async with (
        open_machine(DirectoryOnDisk(directory), StorageOptions(), settings) as opened,
        open_runner(directory / "runner", RunnerSettings(grace_seconds=1), lock_fd=opened.lock_fd) as runner,
        trio.open_nursery() as nursery,
    ):
        node = Node(opened.machine, opened.start_disk, runner, clock or SystemClock())
        await nursery.start(node.run)
        await node.command(proposal(configuration))
        await trigger(node)
        yield node
        nursery.cancel_scope.cancel()


async def trigger(node: Node) -> None:
    """One trigger, acknowledged."""
    requested = Requested(RunId(secrets.token_bytes(10)), "bench", Overrides(args=("42",)))
    reply = await node.command(Trigger((requested,), internal=True))
    assert isinstance(reply.value, Accepted), reply


async def sequential(node: Node, count: int) -> list[float]:
    """Seconds of each of so many triggers, one after the other."""
    taken = []
    for _ in range(count):
        begun = time.perf_counter()
        await trigger(node)
        taken.append(time.perf_counter() - begun)
    return taken


async def concurrent(node: Node, callers: int, count: int) -> float:
    """Triggers per second of so many callers, each with so many triggers one after the other."""
    begun = time.perf_counter()
    async with trio.open_nursery() as nursery:
        for _ in range(callers):
            nursery.start_soon(sequential, node, count)
    return callers * count / (time.perf_counter() - begun)


async def _beside_the_disk(node: Node, place: Path) -> tuple[float, float]:
    """Milliseconds, p50, of an fdatasync and of a trigger right after it: disks change their speed within seconds."""
    return fdatasync_p50_ms(place), 1000 * statistics.median(await sequential(node, 500))


async def measure() -> list[Row]:
    """The rows of the table."""
    with tempfile.TemporaryDirectory(dir=".") as place:
        async with running_node(Path(place) / "data") as node:
            await sequential(node, 200)
            rounds = [await _beside_the_disk(node, Path(place)) for _ in range(ROUNDS)]
            rate = statistics.median([await concurrent(node, 64, 400) for _ in range(5)])
    fsync_ms, p50_ms = (statistics.median(each) for each in zip(*rounds, strict=True))
    ratios = sorted(trigger_ms / disk_ms for disk_ms, trigger_ms in rounds)
    shown = f"{statistics.median(ratios):.1f} fdatasyncs ({ratios[0]:.1f} to {ratios[-1]:.1f})"
    return [
        Row("fdatasync, p50", f"{fsync_ms:.3f} ms", ""),
        Row("trigger, one caller, p50", f"{p50_ms:.3f} ms = {shown}", "at most 5"),
        Row("triggers, 64 callers", f"{rate:,.0f} /s", "at least 10,000"),
    ]


def main() -> list[Row]:
    """Measure, in an event loop of its own."""
    return trio.run(measure)
