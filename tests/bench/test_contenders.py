"""How contenders are measured side by side: alternating, and compared within a round only."""

from __future__ import annotations

import os

import pytest

from tests.bench.against_etcd import outages, rates, work_shown
from tests.bench.contenders import CALLERS, KILLS, ROUNDS, Puts, in_rounds, ratio
from tests.bench.processors import processor_seconds, rate_allowed


class Paced:
    """A contender that always takes its own time."""

    def __init__(self, name: str, seconds: float, calls: list[str]) -> None:
        self.name = name
        self._seconds = seconds
        self._calls = calls

    def puts(self, callers: int) -> Puts:
        return Puts(
            rate=callers / self.outage_seconds(), p50_us=1e6 * self._seconds, p99_us=2e6 * self._seconds, failed=0
        )

    def outage_seconds(self) -> float:
        self._calls.append(self.name)
        return self._seconds


def test_who_comes_first_changes_from_round_to_round() -> None:
    calls: list[str] = []
    contenders = [Paced("ours", 1.0, calls), Paced("theirs", 2.0, calls)]
    measured = in_rounds(contenders, lambda each: each.outage_seconds(), 3, "outages")
    assert calls == ["ours", "theirs", "theirs", "ours", "ours", "theirs"]
    assert measured == {"ours": [1.0] * 3, "theirs": [2.0] * 3}


def test_a_ratio_is_of_the_same_round_even_if_the_machine_becomes_slower() -> None:
    assert ratio([100.0, 50.0, 10.0], [50.0, 25.0, 5.0]) == pytest.approx(2.0)


def test_the_table_has_everybody_and_compares_with_the_last() -> None:
    calls: list[str] = []
    contenders = [Paced("ours", 0.25, calls), Paced("theirs", 0.5, calls)]
    rows = {row.what: row.measured for row in rates(contenders)}
    assert rows["theirs, one caller"] == "2 /s, p50 500,000 us, p99 1,000,000 us"
    assert rows["ours, one caller"] == "4 /s, p50 250,000 us, p99 500,000 us = 2.00 times the rate, 0.50 times the p50"
    assert len(calls) == 2 * ROUNDS * len(CALLERS)


def test_an_outage_is_told_by_its_median_and_its_worst() -> None:
    calls: list[str] = []
    (row,) = outages([Paced("ours", 1.5, calls)])
    assert row.measured == "median 1.50 s, worst 1.50 s"
    assert len(calls) == KILLS


def test_what_the_processors_allow_is_said_where_they_were_looked_at() -> None:
    slices = [Puts(1, 1, 1, 0, work_us=(5, 40, 10, 15)), Puts(1, 1, 1, 0, work_us=(6, 80, 10, 14))]
    assert work_shown(slices).startswith("60/10/14/6 us: at most ")


def test_a_single_process_computes_on_one_processor_at_a_time() -> None:
    assert rate_allowed((1.0, 50.0, 1.0)) <= 20_000
    assert processor_seconds(os.getpid()) > 0
