"""What the disk thread costs beside a bare fdatasync, and how fast the storage alone reads a log of small batches."""

from __future__ import annotations

import os
import queue
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from slimjobs.eventlog.raft.types import Entry, EntryKind, HardState, Index, NodeId, Term
from slimjobs.eventlog.storage.disk import DiskThread
from slimjobs.eventlog.storage.files import DirectoryOnDisk
from slimjobs.eventlog.storage.recovery import scan_log
from slimjobs.eventlog.storage.requests import DiskAnswer, Persist, Persisted, Ticket
from slimjobs.eventlog.storage.store import Storage
from tests.bench.table import Row

INCARNATION = "0123456789abcdef" * 2
ROUNDS = 3000
RECORDS = 300_000
BATCH = 10
PAYLOAD = os.urandom(128)


def entries(first: int, count: int) -> list[Entry]:
    return [Entry(Index(index), Term(1), EntryKind.RECORD, PAYLOAD) for index in range(first, first + count)]


def bare_fdatasync(directory: Path) -> list[float]:
    """Seconds of each write of a batch's size and its fdatasync, in a preallocated file."""
    content, taken = bytes(1600), []
    file = os.open(directory / "bare", os.O_RDWR | os.O_CREAT)
    os.posix_fallocate(file, 0, ROUNDS * len(content))
    os.fsync(file)
    for number in range(ROUNDS):
        started = time.perf_counter()
        os.pwrite(file, content, number * len(content))
        os.fdatasync(file)
        taken.append(time.perf_counter() - started)
    os.close(file)
    return taken


def submit_to_callback(directory: Path) -> list[float]:
    """Seconds from submitting ten entries to the callback that says they are durable, one request at a time."""
    answered: queue.SimpleQueue[float] = queue.SimpleQueue()

    def deliver(answers: Sequence[DiskAnswer]) -> None:
        if any(isinstance(answer, Persisted) for answer in answers):
            answered.put(time.perf_counter())

    disk = DiskThread(opened(directory), deliver, failed=lambda failure: sys.exit(str(failure)))
    disk.start()
    taken = []
    for number in range(ROUNDS):
        request = Persist(Ticket(number + 1), entries(1 + number * BATCH, BATCH))
        started = time.perf_counter()
        disk.submit(request)
        taken.append(answered.get() - started)
    disk.stop()
    return taken


def scan_rates(directory: Path) -> tuple[float, float]:
    """Records a second: verifying the log, and then reading its entries."""
    storage = opened(directory)
    for first in range(1, RECORDS + 1, BATCH):
        storage.append(None, entries(first, BATCH))
    storage.close()
    started = time.perf_counter()
    scanned = scan_log(DirectoryOnDisk(directory), bytes.fromhex(INCARNATION), 1, 0)
    verified = time.perf_counter()
    assert scanned.chain.next_index == RECORDS + 1
    storage = opened(directory)
    opened_again = time.perf_counter()
    assert sum(1 for _ in storage.entries(Index(1))) == RECORDS
    read = time.perf_counter()
    storage.close()
    return RECORDS / (verified - started), RECORDS / (verified - started + read - opened_again)


def opened(directory: Path) -> Storage:
    storage = Storage.open(DirectoryOnDisk(directory), INCARNATION)
    storage.write_hard_state(HardState(Term(1), NodeId(0)))
    return storage


def microseconds(taken: list[float]) -> str:
    percentiles = statistics.quantiles(taken, n=100)
    return f"p50 {percentiles[49] * 1e6:.0f} us, p99 {percentiles[98] * 1e6:.0f} us"


def main() -> list[Row]:
    """The rows of the table."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        bare = bare_fdatasync(Path(folder))
        whole = submit_to_callback(Path(folder) / "latency")
        verify, scan = scan_rates(Path(folder) / "scan")
    ratio = statistics.median(whole) / statistics.median(bare)
    return [
        Row("a bare write of a batch and its fdatasync", microseconds(bare), ""),
        Row(
            "disk thread: submit to callback", f"{microseconds(whole)}, {ratio:.2f} times", "p50 about 2 times at most"
        ),
        Row(f"verify, batches of {BATCH} entries", f"{verify:,.0f} records/s", ""),
        Row("verify and read", f"{scan:,.0f} records/s", "at least 300,000"),
    ]
