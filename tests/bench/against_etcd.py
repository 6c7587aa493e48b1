"""Three nodes beside three members of etcd: committed records, and how long service is away without the leader."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.bench.contenders import CALLERS, FAILOVER_CALLERS, KILLS, ROUNDS, Contender, Puts, in_rounds, ratio
from tests.bench.etcd import running_etcd
from tests.bench.table import Row, fdatasync_p50_ms


def main() -> list[Row]:
    """The rows of the table."""
    with tempfile.TemporaryDirectory(dir=".") as place:
        fsync_ms = fdatasync_p50_ms(Path(place))
        with running_etcd(Path(place) / "etcd") as etcd:
            measured = [row for rows in (rates([etcd]), outages([etcd])) for row in rows]
    return [Row("fdatasync, p50", f"{fsync_ms:.3f} ms", ""), *measured]


def rates(contenders: Sequence[Contender]) -> list[Row]:
    """Records a second, or for a single caller the time of one: of each contender, and as ratio to the last of them."""
    rows = []
    for callers in CALLERS:
        measured = in_rounds(contenders, partial(_puts, callers), ROUNDS, f"{callers} callers")
        what = f"{callers:,} callers" if callers > 1 else "one caller"
        last = measured[contenders[-1].name]
        rows += [Row(f"{name}, {what}", _shown(slices, last), "") for name, slices in measured.items()]
    return rows


def _puts(callers: int, contender: Contender) -> Puts:
    return contender.puts(callers)


def _shown(slices: Sequence[Puts], last: Sequence[Puts]) -> str:
    rate, p50_us, p99_us = (
        statistics.median(getattr(each, field) for each in slices) for field in ("rate", "p50_us", "p99_us")
    )
    text = f"{rate:,.0f} /s, p50 {p50_us:,.0f} us, p99 {p99_us:,.0f} us"
    if slices is last:
        return text
    more = ratio([each.rate for each in slices], [each.rate for each in last])
    slower = ratio([each.p50_us for each in slices], [each.p50_us for each in last])
    return f"{text} = {more:.2f} times the rate, {slower:.2f} times the p50"


def outages(contenders: Sequence[Contender]) -> list[Row]:
    """How long no record is acknowledged after the leader was killed."""
    measured = in_rounds(contenders, lambda each: each.outage_seconds(), KILLS, "kills")
    what = f"{KILLS} kills of the leader under {FAILOVER_CALLERS} callers, to the next acknowledgement"
    return [
        Row(f"{name}, {what}", f"median {statistics.median(taken):.2f} s, worst {max(taken):.2f} s", "")
        for name, taken in measured.items()
    ]
