"""Three nodes beside three members of etcd: committed records, and how long service is away without the leader."""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from tests.bench.bare_way import BareWay
from tests.bench.contenders import CALLERS, FAILOVER_CALLERS, KILLS, ROUNDS, Contender, Puts, Writer, in_rounds, ratio
from tests.bench.etcd import running_etcd
from tests.bench.ours import OverHttp, Slimjobs
from tests.bench.processors import rate_allowed
from tests.bench.table import Row, fdatasync_p50_ms

HTTP_CLIENTS: Final = 64
LIMIT: Final = f"of {len(os.sched_getaffinity(0))} processors a record takes, leader/followers/callers"

GOALS: Final[Mapping[tuple[str, int], str]] = {
    (Slimjobs.name, 1): "at most 0.9 times the p50",
    (Slimjobs.name, 64): "at least 2 times the rate",
    (Slimjobs.name, 1024): "at least 2 times the rate",
}


class Disk:
    """The disk that all of them write to, as a contender for a single caller."""

    name = "fdatasync"

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def puts(self, callers: int) -> Puts:
        """Small writes into a preallocated file, each made durable."""
        p50_ms = fdatasync_p50_ms(self._directory)
        return Puts(rate=1000 / p50_ms, p50_us=1000 * p50_ms, p99_us=0.0, failed=0)


def main() -> list[Row]:
    """The rows of the table."""
    with tempfile.TemporaryDirectory(dir=".") as folder, running_etcd(Path(folder) / "etcd") as etcd:
        place = Path(folder)
        ours = Slimjobs(place)
        return [
            *beside_the_disk(ours, place),
            *rates([ours, etcd]),
            *http_rates(OverHttp(place), etcd),
            *outages([ours, etcd]),
        ]


def beside_the_disk(ours: Slimjobs, place: Path) -> list[Row]:
    """A commit on three nodes, in units of what one write takes at the same moment."""
    writers: list[Writer] = [ours, BareWay(place), Disk(place)]
    measured = in_rounds(writers, partial(_puts, 1), ROUNDS, "beside the disk")
    commits, ways, writes = ([each.p50_us for each in slices] for slices in measured.values())

    def shown(taken: Sequence[float]) -> str:
        return f"{statistics.median(taken):,.0f} us = {ratio(taken, writes):.1f} times that"

    return [
        Row("fdatasync, p50", f"{statistics.median(writes):,.0f} us", ""),
        Row(f"{BareWay.name}, without a decision, p50", shown(ways), ""),
        Row(f"{ours.name}, one caller, p50", shown(commits), "at most 5 times"),
    ]


def http_rates(ours: OverHttp, etcd: Contender) -> list[Row]:
    """Triggers a second over HTTP, and as a part of etcd's puts with as many callers."""
    measured = in_rounds([ours, etcd], lambda each: each.puts(HTTP_CLIENTS).rate, ROUNDS, "HTTP")
    rate = statistics.median(measured[ours.name])
    shown = f"{rate:,.0f} /s = {ratio(measured[ours.name], measured[etcd.name]):.2f} times etcd's puts"
    return [Row(f"{ours.name}, {HTTP_CLIENTS} clients", shown, "at least 0.25 times")]


def rates(contenders: Sequence[Contender]) -> list[Row]:
    """Records a second, or for a single caller the time of one: of each contender, and as ratio to the last of them."""
    rows = []
    for callers in CALLERS:
        measured = in_rounds(contenders, partial(_puts, callers), ROUNDS, f"{callers} callers")
        what = f"{callers:,} callers" if callers > 1 else "one caller"
        last = measured[contenders[-1].name]
        rows += [
            Row(f"{name}, {what}", _shown(slices, last), GOALS.get((name, callers), ""))
            for name, slices in measured.items()
        ]
        if callers > 1:
            rows += [Row("  " + LIMIT, work_shown(slices), "") for slices in measured.values() if slices[0].work_us]
    return rows


def work_shown(slices: Sequence[Puts]) -> str:
    """What a record takes of the processors, and what they would allow at most."""
    callers, leader, *followers = map(statistics.median, zip(*(each.work_us for each in slices), strict=True))
    shown = "/".join(f"{each:.0f}" for each in (leader, *followers, callers))
    return f"{shown} us: at most {rate_allowed((callers, leader, *followers)):,.0f} /s with no processor ever idle"


def _puts(callers: int, contender: Writer) -> Puts:
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
        Row(
            f"{name}, {what}",
            f"median {statistics.median(taken):.2f} s, worst {max(taken):.2f} s",
            "not above etcd's" if name == Slimjobs.name else "",
        )
        for name, taken in measured.items()
    ]
