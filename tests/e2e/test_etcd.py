"""The members of etcd that the project is measured against are real ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.etcd import Etcd, running_etcd


@pytest.fixture
def etcd(tmp_path: Path) -> Iterator[Etcd]:
    with running_etcd(tmp_path) as running:
        yield running


def test_more_callers_get_more_put_through_the_leader(etcd: Etcd) -> None:
    alone, many = etcd.puts(1), etcd.puts(64)
    assert alone.failed == many.failed == 0
    assert many.rate > alone.rate > 0


def test_another_member_takes_over_from_a_leader_that_was_killed(etcd: Etcd) -> None:
    before = etcd.members.leader.endpoint
    outage_seconds = etcd.outage_seconds()
    assert 0 < outage_seconds < 10
    assert all(member.part.is_running for member in etcd.members.all)
    assert etcd.members.leader.endpoint != before
