"""A leader that cannot see what runs the jobs lets another lead, and not for ever round and round."""

from __future__ import annotations

from slimjobs.core.machine.blindness import FIRST_PATIENCE_SECONDS, LONGEST_PATIENCE_SECONDS, Blindness
from slimjobs.core.machine.inputs import Now, Observed
from slimjobs.core.orchestrators.ports import Unobserved
from tests.core.machine.cluster_world import ClusterWorld
from tests.core.machine.test_cluster_stories import three_nodes

SECOND = 10**9


def at(seconds: float) -> Now:
    return Now(0, int(seconds * SECOND))


def test_patience_doubles_with_every_hand_over_and_is_short_again_once_it_sees() -> None:
    blindness = Blindness()
    blindness.begin_to_lead(at(0))
    assert not blindness.is_over(False, at(14.9))
    assert blindness.is_over(False, at(15))
    blindness.begin_to_lead(at(100))
    assert not blindness.is_over(False, at(129.9))
    assert blindness.is_over(False, at(130))
    for _ in range(10):
        blindness.is_over(False, at(10**6))
        blindness.begin_to_lead(at(0))
    assert not blindness.is_over(False, at(LONGEST_PATIENCE_SECONDS - 1))
    assert blindness.is_over(False, at(LONGEST_PATIENCE_SECONDS))
    assert not blindness.is_over(True, at(0))
    assert not blindness.is_over(False, at(0))
    assert blindness.is_over(False, at(FIRST_PATIENCE_SECONDS))


def leader_name(world: ClusterWorld) -> str:
    return "" if world.leader is None else world.leader.name


def blind(world: ClusterWorld, name: str) -> None:
    """What this node sees is lost, and does not come back."""
    host = world.hosts[name]
    if (watch := world.orchestrator.watches.get(name)) is not None:
        world._hear(host, host.life, Observed(watch.number, Unobserved("no route")))  # as its watch would
    world.orchestrator.silent.add(name)


def test_a_leader_that_sees_nothing_for_long_lets_another_lead() -> None:
    world = three_nodes()
    world.run_for(5)
    first = leader_name(world)
    blind(world, first)
    world.run_for(FIRST_PATIENCE_SECONDS - 1)
    assert leader_name(world) == first
    world.run_until(lambda: leader_name(world) not in ("", first), 5)
    second = leader_name(world)
    world.run_for(60)
    assert leader_name(world) == second, "it sees"


def test_where_nobody_sees_leadership_does_not_go_round_for_ever() -> None:
    world = three_nodes()
    world.run_for(5)
    for name in world.hosts:
        blind(world, name)
    reigns: list[str] = []
    for _ in range(600):
        world.run_for(1)
        name = leader_name(world)
        if name and (not reigns or reigns[-1] != name):
            reigns.append(name)
    assert 4 <= len(reigns) <= 16
