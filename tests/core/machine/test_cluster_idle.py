"""A cluster in which nothing happens: nobody wakes its nodes but their own clocks."""

from __future__ import annotations

import pytest

from slimjobs.core.machine.queries import ClusterView, ShowCluster
from tests.core.machine.cluster_world import ClusterWorld
from tests.core.machine.world import definition

NAMES = ("node-0", "node-1", "node-2")
LONGEST_ELECTION_SECONDS = 2.0
VOTING_SECONDS = 0.3


def idle_world(seed: int) -> ClusterWorld:
    """Three nodes that are ready, and have had nothing to do since."""
    world = ClusterWorld(NAMES, {"fib": definition(cap=1)}, seed)
    world.boot_all()
    world.run_until(lambda: all(host.process is not None and host.process.ready for host in world.hosts.values()))
    world.run_for(1.0)
    return world


# With seed 0 both followers stand at once, and it takes another round.
@pytest.mark.parametrize("seed", range(1, 6))
def test_a_leader_that_falls_silent_is_missed_within_an_election_timeout(seed: int) -> None:
    world = idle_world(seed)
    silent = world.leader
    assert silent is not None
    begun = world.timeline.now_ns
    world.put_to_sleep(silent.name)
    world.run_until(lambda: any(host.machine.leads for host in world.live if host is not silent))
    assert (world.timeline.now_ns - begun) / 1e9 < LONGEST_ELECTION_SECONDS + VOTING_SECONDS


def test_a_follower_shows_the_cluster_as_it_sees_it_if_that_is_asked_for() -> None:
    world = idle_world(0)
    leader = world.leader
    assert leader is not None
    world.put_to_sleep(leader.name)
    follower = next(host.name for host in world.live if host is not leader)
    asked = world.ask(follower, ShowCluster(), stale=True)
    world.run_for(0.01)
    view = world.value_of(asked)
    assert isinstance(view, ClusterView)
    assert (view.told_by, view.leader) == (follower, leader.name)
