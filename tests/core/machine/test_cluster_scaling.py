"""A StatefulSet is scaled while its pods start and end: each pod's peers are those that it sees when it starts."""

from __future__ import annotations

from functools import partial

import msgspec

from slimjobs.core.configuration.stateful_set import StatefulSet, peers_of
from slimjobs.core.decide.commands import Accepted, Requested, TransferLeadership, Transferred, Trigger
from slimjobs.core.machine.machine import Machine
from slimjobs.eventlog.events.runs import RunId
from tests.core.machine.cluster_world import ClusterWorld
from tests.core.machine.world import definition

DEFINITIONS = {"fib": definition(cap=2)}


def new_world(pods: int) -> ClusterWorld:
    return ClusterWorld([name(ordinal) for ordinal in range(pods)], DEFINITIONS)


def name(ordinal: int) -> str:
    return f"slimjobs-{ordinal}"


def start(world: ClusterWorld, replicas: int, *ordinals: int) -> None:
    """These pods start, and see so many replicas."""
    for ordinal in ordinals:
        peers = peers_of(StatefulSet("slimjobs", "demo", "nodes", replicas), ordinal, 3262)
        host = world.hosts[name(ordinal)]
        named = {peer.name: f"{peer.host}:{peer.port}" for peer in peers}
        host.settings = msgspec.structs.replace(host.settings, peers=named)
        world.boot(host.name)


def restart(world: ClusterWorld, replicas: int, *ordinals: int) -> None:
    """A rolling restart: each pod is ready before the next one goes."""
    for ordinal in ordinals:
        world.crash(name(ordinal))
        start(world, replicas, ordinal)
        world.run_until(partial(is_ready, world, ordinal))


def machine(world: ClusterWorld, ordinal: int) -> Machine:
    return world.hosts[name(ordinal)].machine


def is_ready(world: ClusterWorld, ordinal: int) -> bool:
    return machine(world, ordinal).ready


def voters(world: ClusterWorld) -> set[str]:
    """The names of those who vote."""
    named = {node: member for member, node in world.chronicle.state.members.items()}
    return {named.get(node, "nobody") for node in world.chronicle.membership.voters}


def pods(*ordinals: int) -> set[str]:
    return {name(ordinal) for ordinal in ordinals}


def cluster_of(pod_count: int) -> ClusterWorld:
    world = new_world(pod_count)
    start(world, pod_count, *range(pod_count))
    world.run_until(lambda: voters(world) == pods(*range(pod_count)))
    return world


def takes_triggers(world: ClusterWorld, ordinal: int) -> bool:
    run = RunId(ordinal.to_bytes(10, "big"))
    return world.told(name(ordinal), Trigger((Requested(run, "fib"),), internal=True)) == Accepted((run,))


def test_more_replicas_are_more_voters() -> None:
    world = new_world(5)
    start(world, 3, 0, 1, 2)
    world.run_until(lambda: voters(world) == pods(0, 1, 2))
    start(world, 5, 3, 4)
    restart(world, 5, 2, 1, 0)
    world.run_until(lambda: voters(world) == pods(0, 1, 2, 3, 4))
    assert takes_triggers(world, 4)


def test_one_replica_becomes_three() -> None:
    world = new_world(3)
    start(world, 1, 0)
    assert takes_triggers(world, 0)
    start(world, 3, 1, 2)
    world.crash(name(0))
    start(world, 3, 0)
    world.run_until(lambda: voters(world) == pods(0, 1, 2))
    assert takes_triggers(world, 2)


def test_who_is_beyond_the_replicas_is_dropped_when_it_is_gone_and_the_others_know() -> None:
    world = cluster_of(5)
    world.crash(name(4))
    world.crash(name(3))
    world.run_for(10)
    assert voters(world) == pods(0, 1, 2, 3, 4), "as far as anybody knows they come back"
    restart(world, 3, 2, 1, 0)
    world.run_until(lambda: voters(world) == pods(0, 1, 2))
    assert takes_triggers(world, 1)


def test_a_pod_that_is_being_removed_drops_nobody_who_was_there_before_it() -> None:
    world = cluster_of(5)
    restart(world, 3, 4)
    assert world.told(name(0), TransferLeadership(name(4))) == Transferred(name(4))
    world.run_until(lambda: machine(world, 4).leads)
    world.crash(name(3))
    world.run_for(10)
    assert machine(world, 4).leads
    assert voters(world) == pods(0, 1, 2, 3, 4)


def test_a_pod_beyond_the_replicas_never_founds_a_cluster_of_its_own() -> None:
    world = new_world(3)
    start(world, 0, 2)
    start(world, 1, 1)
    world.run_for(30)
    assert not world.chronicle.entries
    start(world, 3, 0)
    world.run_until(lambda: voters(world) == pods(0, 1, 2))
