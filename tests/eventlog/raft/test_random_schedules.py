"""Safety under everything that can happen at random, and agreement once it stops.

Fifteen seconds; with `SLIMJOBS_SOAK=1` it is 10,000 seeds and ten minutes. One seed is repeated by its test's name.
"""

from __future__ import annotations

import os

import pytest

from tests.eventlog.raft.schedule import Schedule

SEEDS = 10_000 if os.environ.get("SLIMJOBS_SOAK") else 300


@pytest.mark.parametrize("seed", range(SEEDS))
def test_is_safe_and_finds_together(seed: int) -> None:
    Schedule(seed).run()
