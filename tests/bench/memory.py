"""Memory of the whole node: idle, with 50,000 queued runs, while snapshots are written, after a restart."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.bench.served import Served, served_node
from tests.bench.table import Row

QUEUED = 50_000
BATCH = 100


def main() -> list[Row]:
    """The rows of the table. Settings and limits are the defaults, but for how often a snapshot is written."""
    with tempfile.TemporaryDirectory(dir=".") as place:
        directory = Path(place) / "data"
        # A snapshot every 25 batches: several are written while the queue fills, the last of nearly all of it.
        frequent = {"SlimData__SnapshotIntervalEntries": "25"}
        with served_node(directory, **frequent) as node:
            idle, children = node.rss_mib(), node.children_mib()
            _fill(node)
            full, peak = node.rss_mib(), node.peak_mib()
        with served_node(directory) as again:
            assert len(again.client.request("GET", "/job/fibonacci").body) == 1000
            restarted, restarted_peak = again.rss_mib(), again.peak_mib()
    return [
        Row("resident, idle", f"{idle:.1f} MiB (and its guard {children:.1f})", "at most 54"),
        Row(f"resident, {QUEUED:,} queued", f"{full:.1f} MiB", "at most 68"),
        Row("most ever, snapshots written meanwhile", f"{peak:.1f} MiB", "at most 68"),
        Row("after a restart from a snapshot", f"{restarted:.1f} MiB, most {restarted_peak:.1f}", "at most 68"),
    ]


def _fill(node: Served) -> None:
    client = node.client
    for _ in range(QUEUED // BATCH):
        client.request("POST", "/jobs", [{"Name": "fibonacci", "Args": ["42"]}] * BATCH)
