"""The peers that a pod has by its name and its StatefulSet (design §4)."""

from __future__ import annotations

import pytest

from slimjobs.core.configuration.setting_kinds import PEERS, Peer
from slimjobs.core.configuration.stateful_set import StatefulSet, numbered, peers_of, why_no_peers

THREE = StatefulSet("slimjobs", "demo", "nodes", 3)


def names(stateful_set: StatefulSet, ordinal: int) -> list[str]:
    return [peer.name for peer in peers_of(stateful_set, ordinal, 3262)]


@pytest.mark.parametrize(
    ("pod", "of"),
    [
        ("slimjobs-0", ("slimjobs", 0)),
        ("slimjobs-12", ("slimjobs", 12)),
        ("slim-jobs-2-1", ("slim-jobs-2", 1)),
        ("slimjobs-24567", ("slimjobs", 24567)),
    ],
)
def test_a_pod_is_named_after_its_stateful_set_and_its_ordinal(pod: str, of: tuple[str, int]) -> None:
    assert numbered(pod) == of


@pytest.mark.parametrize(
    "pod",
    [
        "slimjobs",
        "laptop7",
        "-0",
        "slimjobs-",
        "slimjobs-01",
        "slimjobs-2.demo",
        "slimjobs-6b9f7c5d8-x2kqz",
        "slimjobs-6b9f7c5d8-24567",
        "slimjobs-x2kqz",
    ],
)
def test_a_pod_of_another_name_is_of_no_stateful_set(pod: str) -> None:
    assert numbered(pod) is None


def test_the_peers_are_all_pods_at_the_names_that_the_headless_service_gives_them() -> None:
    assert peers_of(THREE, 1, 4000) == (
        Peer("slimjobs-0", "slimjobs-0.nodes.demo.svc", 4000),
        Peer("slimjobs-1", "slimjobs-1.nodes.demo.svc", 4000),
        Peer("slimjobs-2", "slimjobs-2.nodes.demo.svc", 4000),
    )


def test_they_are_what_the_setting_would_take() -> None:
    peers = peers_of(THREE, 0, 3262)
    assert PEERS.read(",".join(f"{peer.name}={peer.host}:{peer.port}" for peer in peers)) == peers


def test_one_replica_is_alone() -> None:
    assert names(StatefulSet("slimjobs", "demo", "nodes", 1), 0) == ["slimjobs-0"]


def test_ordinals_may_begin_elsewhere() -> None:
    assert names(StatefulSet("slimjobs", "demo", "nodes", 2, first=5), 6) == ["slimjobs-5", "slimjobs-6"]


def test_a_pod_that_is_being_removed_counts_as_it_did_before() -> None:
    assert names(THREE, 4) == [f"slimjobs-{ordinal}" for ordinal in range(5)]
    moved = StatefulSet("slimjobs", "demo", "nodes", 2, first=3)
    assert names(moved, 1) == ["slimjobs-1", "slimjobs-2", "slimjobs-3", "slimjobs-4"]


@pytest.mark.parametrize("ordinal", range(3))
def test_the_pods_that_stay_do_not_count_those_that_go(ordinal: int) -> None:
    assert names(THREE, ordinal) == ["slimjobs-0", "slimjobs-1", "slimjobs-2"]


def test_without_a_service_or_a_replica_there_is_nobody_to_name() -> None:
    assert why_no_peers(THREE) == ""
    assert "has no serviceName" in why_no_peers(StatefulSet("slimjobs", "demo", "", 3))
    assert "has 0 replicas" in why_no_peers(StatefulSet("slimjobs", "demo", "nodes", 0))
