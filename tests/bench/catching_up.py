"""An empty node is caught up by log: two nodes hold a million records, snapshots are off, the third holds nothing.

The two begin with a log that was written for them, as their own writing would have left it.
"""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

from slimjobs.core.node.opening import node_id
from slimjobs.eventlog.events.cluster import ClusterFounded, DefinitionDeclared, MemberNamed
from slimjobs.eventlog.events.definitions import Definition, Overrides, Source
from slimjobs.eventlog.events.record import Event, Record, encode_record
from slimjobs.eventlog.events.runs import RunEnqueued, RunId
from slimjobs.eventlog.raft import Membership, encode_membership
from slimjobs.eventlog.raft.types import Entry, EntryKind, HardState, Index, NodeId, Term
from slimjobs.eventlog.storage.files import DirectoryOnDisk
from slimjobs.eventlog.storage.store import Storage
from tests.bench.peer_callers import PADDING
from tests.bench.table import Row
from tests.bench.three_nodes import JOB, Member, three_nodes

RECORDS: Final = 1_000_000
BATCH: Final = 1_000
BEHIND_AT_MOST: Final = 1_000
"""A node that is no further behind than this is caught up: it is promoted then."""

NO_SNAPSHOTS: Final[Mapping[str, str]] = {
    "SlimData__SnapshotIntervalEntries": "1000000000",
    "SlimData__SnapshotIntervalBytes": "64Gi",
    "SlimData__RetentionBytes": "64Gi",
}


def main() -> list[Row]:
    """The row of the table."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        place = Path(folder)
        write_logs([place / "node-0", place / "node-1"])
        with three_nodes(place, absent=("node-2",), **NO_SNAPSHOTS) as nodes:
            leader, late = nodes.leader, nodes.all[2]
            late.start()
            seconds = until_caught_up(leader, late.name)
    rate = RECORDS / seconds
    return [Row(f"an empty node, {RECORDS:,} records behind", f"{rate:,.0f} records/s", "at least 100,000")]


def write_logs(directories: Sequence[Path]) -> None:
    """The same log in each of these, of a cluster of the nodes that they make."""
    storages = {path.name: Storage.open(DirectoryOnDisk(path), secrets.token_hex(16)) for path in directories}
    members = {name: node_id(storage.incarnation) for name, storage in storages.items()}
    entries = _entries(members)
    while batch := list(islice(entries, BATCH)):
        for storage in storages.values():
            storage.append(None, batch)
            if storage.wants_preallocation:
                storage.preallocate()
    for storage in storages.values():
        storage.write_hard_state(HardState(Term(1), NodeId(0)))
        storage.close()


def _entries(members: Mapping[str, NodeId]) -> Iterator[Entry]:
    yield Entry(Index(1), Term(1), EntryKind.CONFIGURATION, encode_membership(Membership(tuple(members.values()))))
    for index, events in enumerate(_decisions(members), 2):
        payload = encode_record(Record(1_000_000_000_000 + index, "internal", events))
        yield Entry(Index(index), Term(1), EntryKind.RECORD, payload)


def _decisions(members: Mapping[str, NodeId]) -> Iterator[tuple[Event, ...]]:
    yield (ClusterFounded("bench"), *(MemberNamed(name, node) for name, node in members.items()))
    yield tuple(
        DefinitionDeclared(number, name, Source.BUILT_IN, Definition(command=("true",), number_parallel_job=1))
        for number, name in enumerate(("default", JOB), 1)
    )
    overrides = Overrides(args=(PADDING,))
    for _ in range(RECORDS):
        yield (RunEnqueued(RunId(secrets.token_bytes(10)), JOB, 2, overrides),)


def until_caught_up(leader: Member, name: str) -> float:
    """Seconds from when the leader first hears of that node's log to when it has nearly all of it."""
    begun = 0.0
    while True:
        row = _row(leader, name)
        if row["Index"] >= 0 and not begun:
            begun = time.perf_counter()
        if begun and 0 <= row["LagEntries"] <= BEHIND_AT_MOST:
            return time.perf_counter() - begun
        time.sleep(0.02)


def _row(leader: Member, name: str) -> Mapping[str, Any]:
    status, view = leader.get("/cluster")
    rows = view["Members"] if status == 200 else []
    return next((row for row in rows if row["Name"] == name), {"Index": -1, "LagEntries": -1})
