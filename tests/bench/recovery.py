"""Starting on a long log: the scan of the disk, and the scan with everything that a node does before it serves."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import trio

from slimjobs.core.machine.settings import MachineSettings
from slimjobs.core.node.clock import SystemClock
from slimjobs.core.node.opening import open_machine
from slimjobs.core.node.program import Node
from slimjobs.core.orchestrators.process import RunnerSettings, open_runner
from slimjobs.eventlog.events.cluster import ClusterFounded, DefinitionDeclared
from slimjobs.eventlog.events.definitions import Definition, Overrides, Source
from slimjobs.eventlog.events.record import Event, Record, encode_record
from slimjobs.eventlog.events.runs import RunEnqueued, RunId
from slimjobs.eventlog.raft.types import Entry, EntryKind, HardState, Index, NodeId, Term
from slimjobs.eventlog.storage.files import DirectoryOnDisk
from slimjobs.eventlog.storage.store import Storage, StorageOptions
from tests.bench.table import Row

RECORDS = 300_000
BATCH = 64


def main() -> list[Row]:
    """The rows of the table, for a log of single triggers that were written 64 at a time."""
    with tempfile.TemporaryDirectory(dir=".") as place:
        directory = Path(place) / "data"
        _write(directory)
        scan_seconds = _scan(directory)
        start_seconds = trio.run(_start, directory)
    return [
        Row(
            "recovery: every byte checked, every entry read",
            f"{RECORDS / scan_seconds:,.0f} records/s",
            "at least 300,000",
        ),
        Row("recovery: scan, fold and election", f"{RECORDS / start_seconds:,.0f} records/s", "at least 100,000"),
    ]


def _write(directory: Path) -> None:
    storage = Storage.open(DirectoryOnDisk(directory), secrets.token_hex(16))
    storage.write_hard_state(HardState(Term(1), NodeId(int(storage.incarnation[:15], 16))))
    waiting: list[Entry] = []
    for index, events in enumerate(_decisions(), 1):
        payload = encode_record(Record(1_000_000 + index, "internal", events))
        waiting.append(Entry(Index(index), Term(1), EntryKind.RECORD, payload))
        if len(waiting) == BATCH:
            storage.append(None, waiting)
            waiting = []
    storage.append(None, waiting)
    storage.close()


def _decisions() -> Iterator[tuple[Event, ...]]:
    yield (ClusterFounded("bench"),)
    yield (DefinitionDeclared(1, "default", Source.BUILT_IN, Definition(command=("true",), number_parallel_job=1)),)
    for _ in range(RECORDS):
        yield (RunEnqueued(RunId(secrets.token_bytes(10)), "fibonacci", 1, Overrides(args=("42",))),)


def _scan(directory: Path) -> float:
    begun = time.perf_counter()
    storage = Storage.open(DirectoryOnDisk(directory), secrets.token_hex(16))
    found = sum(1 for _ in storage.entries(Index(1)))
    taken = time.perf_counter() - begun
    assert found == RECORDS + 2, found
    storage.close()
    return taken


async def _start(directory: Path) -> float:
    begun = time.perf_counter()
    settings = MachineSettings(snapshot_interval_entries=1 << 40, snapshot_interval_bytes=1 << 50)
    async with (
        open_machine(DirectoryOnDisk(directory), StorageOptions(), settings) as opened,
        open_runner(directory / "runner", RunnerSettings(grace_seconds=0), lock_fd=opened.lock_fd) as runner,
        trio.open_nursery() as nursery,
    ):
        node = Node(opened.machine, opened.start_disk, runner, SystemClock())
        await nursery.start(node.run)
        await node.until_ready()
        taken = time.perf_counter() - begun
        nursery.cancel_scope.cancel()
    return taken
