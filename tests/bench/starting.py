"""From the acceptance of a trigger to the start of its process, as the process itself sees it."""

from __future__ import annotations

import statistics
import time

from slimjobs.deploy.client import Client
from tests.bench.served import served_node
from tests.bench.table import Row

RUNS = 60


def main() -> list[Row]:
    """The rows of the table: each process prints its own clock when it starts."""
    with served_node() as node:
        taken = sorted(_trigger(node.client) for _ in range(RUNS))
    p50, p99 = statistics.median(taken), taken[int(0.99 * len(taken))]
    return [Row("accept to process start, p50", f"{p50:.1f} ms (p99 {p99:.1f})", "under 50 ms")]


def _trigger(client: Client) -> float:
    run_id = client.request("POST", "/job/stamp").body["Id"]
    accepted_ns = time.time_ns()
    path = f"/job/stamp/{run_id}"
    detail = client.request("GET", path).body
    while detail["Status"] not in ("Succeeded", "Failed"):
        detail = client.request("GET", f"{path}?wait=10").body
    started_ns = int(b"".join(client.stream(f"{path}/logs")))
    return (started_ns - accepted_ns) / 1e6
