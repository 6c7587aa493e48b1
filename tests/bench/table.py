"""What every bench shares: rows of the table, and how fast this disk is at this moment."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path
from typing import NamedTuple


class Row(NamedTuple):
    """A line of the table: what was measured, how much it was, what it should be (empty: nothing in particular)."""

    what: str
    measured: str
    goal: str


def fdatasync_p50_ms(directory: Path, count: int = 500) -> float:
    """The median of an fdatasync after a small write into a preallocated file of this directory."""
    file = os.open(directory / "fdatasync", os.O_RDWR | os.O_CREAT)
    try:
        os.posix_fallocate(file, 0, 1 << 20)
        os.fdatasync(file)
        taken = []
        for turn in range(count):
            os.pwrite(file, b"x" * 256, turn * 256)
            begun = time.perf_counter()
            os.fdatasync(file)
            taken.append(time.perf_counter() - begun)
    finally:
        os.close(file)
        (directory / "fdatasync").unlink()
    return 1000 * statistics.median(taken)


def print_table(title: str, rows: list[Row]) -> None:
    """Print rows aligned under a title."""
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    print(f"\n{title}")
    for row in rows:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip(), flush=True)
