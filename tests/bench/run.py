"""`make bench`: every number that this project promises, measured here and now, as a table.

    python tests/bench/run.py [PART ...]      parts: see PARTS; all of them without one

Numbers of different machines, or of one at different times, do not compare; ratios within one run do.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[2]))

from slimjobs.deploy.assembly import SWITCH_INTERVAL_SECONDS
from tests.bench import (
    against_etcd,
    callers,
    catching_up,
    memory,
    on_kubernetes,
    over_http,
    pauses,
    queue_lengths,
    recovery,
    schedules,
    starting,
    storage,
    transport,
)
from tests.bench.table import Row, print_table

PARTS: Final[Mapping[str, tuple[str, Callable[[], list[Row]]]]] = {
    "memory": ("Memory of the whole node", memory.main),
    "callers": ("Triggers at the machine's caller, without HTTP", callers.main),
    "http": ("Over HTTP, 64 clients", over_http.main),
    "pauses": ("The snapshot of a long queue", pauses.main),
    "starting": ("From a trigger to a process", starting.main),
    "storage": ("The disk thread, and the storage alone", storage.main),
    "transport": ("The transport between two processes", transport.main),
    "recovery": ("Starting on a log of 300,000 records", recovery.main),
    "queue": ("Short and long queues", queue_lengths.main),
    "schedules": ("Schedules that are due", schedules.main),
    "catching-up": ("An empty node behind a log of a million records", catching_up.main),
    "kubernetes": ("Jobs of a real control plane, beside Jobs created directly", on_kubernetes.main),
    "etcd": ("Three nodes beside three members of etcd", against_etcd.main),
}


def main() -> None:
    """Run the parts that were asked for."""
    asked = sys.argv[1:] or list(PARTS)
    if unknown := [part for part in asked if part not in PARTS]:
        sys.exit(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    sys.setswitchinterval(SWITCH_INTERVAL_SECONDS)
    for number, part in enumerate(asked, 1):
        title, measure = PARTS[part]
        print(f"[{number}/{len(asked)}] {title} ...", file=sys.stderr, flush=True)
        print_table(title, measure())


if __name__ == "__main__":
    main()
