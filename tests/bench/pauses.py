"""How long a node does nothing else while it takes a snapshot of many runs: what those see who trigger meanwhile."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.bench.served import served_node
from tests.bench.table import Row

QUEUED: Final = 100_000
BATCH: Final = 100
MORE: Final = 200
"""Entries between the last batch and the one that makes a snapshot due, and as many after it."""

MAX_TRIGGERS: Final = 2_000


def main() -> list[Row]:
    """The rows of the table."""
    interval = {"SlimData__SnapshotIntervalEntries": str(QUEUED // BATCH + MORE)}
    with tempfile.TemporaryDirectory(dir=".") as place, served_node(Path(place) / "data", **interval) as node:
        client, taken, left = node.client, list[float](), MORE
        for _ in range(QUEUED // BATCH):
            client.request("POST", "/jobs", [{"Name": "fibonacci", "Args": ["42"]}] * BATCH)
        assert not _has_snapshot(Path(place))
        while left:
            begun = time.perf_counter()
            client.request("POST", "/job/fibonacci", {"Args": ["42"]})
            taken.append(time.perf_counter() - begun)
            left -= _has_snapshot(Path(place))
            assert len(taken) < MAX_TRIGGERS, "no snapshot was written"
    shown = f"{1000 * max(taken):.0f} ms (median {1000 * statistics.median(taken):.1f} ms)"
    return [Row(f"longest trigger, a snapshot of {QUEUED:,} runs meanwhile", shown, "at most 100 ms")]


def _has_snapshot(place: Path) -> bool:
    return any(place.rglob("snapshot-*.snap"))
