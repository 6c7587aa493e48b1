"""A cluster in which nothing happens: nobody wakes its nodes but their own clocks."""

from __future__ import annotations

import pytest

from tests.core.machine.cluster_world import ClusterWorld
from tests.core.machine.world import definition

NAMES = ("node-0", "node-1", "node-2")
LONGEST_ELECTION_SECONDS = 2.0
VOTING_SECONDS = 0.3


@pytest.mark.parametrize("seed", range(5))
def test_a_leader_that_falls_silent_is_missed_within_an_election_timeout(seed: int) -> None:
    world = ClusterWorld(NAMES, {"fib": definition(cap=1)}, seed)
    world.boot_all()
    world.run_until(lambda: all(host.process is not None and host.process.ready for host in world.hosts.values()))
    world.run_for(1.0)
    silent = world.leader
    assert silent is not None
    begun = world.timeline.now_ns
    world.put_to_sleep(silent.name)
    world.run_until(lambda: any(host.machine.leads for host in world.live if host is not silent))
    assert (world.timeline.now_ns - begun) / 1e9 < LONGEST_ELECTION_SECONDS + VOTING_SECONDS
