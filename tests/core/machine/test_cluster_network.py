"""The simulated network keeps the rules that it promises to the nodes it is to judge."""

from __future__ import annotations

from random import Random

import pytest

from slimjobs.core.machine.inputs import Input, Received
from slimjobs.core.machine.letters import Forwarded
from slimjobs.core.machine.queries import ShowCluster
from slimjobs.eventlog.raft import Index, NodeId, Term
from slimjobs.eventlog.raft.messages import CommitNotice
from slimjobs.eventlog.transport.greeting import Greeting, PeerLost, PeerMet
from tests.core.machine.network import Door, Network, Weather
from tests.core.machine.timeline import MILLISECOND, SECOND, Timeline


class Pair:
    """Two names with nothing behind them but a list of what they hear."""

    def __init__(self) -> None:
        self.timeline = Timeline()
        self.network = Network(self.timeline, Random(1))
        self.heard: dict[str, list[Input]] = {}
        self.open("a", 1)
        self.open("b", 2)
        self.timeline.run_for(SECOND)

    def open(self, name: str, node: int) -> None:
        heard = self.heard[name] = []
        self.network.open(name, Door(lambda: greeting(name, node), heard.append))

    def send(self, count: int) -> None:
        """So many letters from a to b, numbered by their index."""
        for index in range(1, count + 1):
            self.network.send("a", CommitNotice(NodeId(1), NodeId(2), Term(1), Index(index)))
        self.timeline.run_for(10 * SECOND)

    @property
    def arrived(self) -> list[int]:
        letters = [each.letter for each in self.heard["b"] if isinstance(each, Received)]
        return [letter.commit for letter in letters if isinstance(letter, CommitNotice)]

    def lost(self, name: str) -> list[PeerLost]:
        return [each for each in self.heard[name] if isinstance(each, PeerLost)]


def greeting(name: str, node: int) -> Greeting:
    return Greeting(1, "", name, NodeId(node), True, False, 1, "1")


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_each_side_meets_the_other_once(pair: Pair) -> None:
    assert pair.heard == {"a": [PeerMet(greeting("b", 2))], "b": [PeerMet(greeting("a", 1))]}


def test_letters_arrive_in_order_in_fair_weather(pair: Pair) -> None:
    pair.send(50)
    assert pair.arrived == list(range(1, 51))


def test_letters_to_a_node_that_nobody_is_any_more_are_lost(pair: Pair) -> None:
    pair.network.send("a", CommitNotice(NodeId(1), NodeId(9), Term(1), Index(1)))
    pair.timeline.run_for(SECOND)
    assert not pair.arrived


def test_in_bad_weather_they_overtake_each_other_double_and_get_lost(pair: Pair) -> None:
    pair.network.weather = Weather((0, 50 * MILLISECOND), lost=0.2, doubled=0.2, in_order=False)
    pair.send(100)
    assert pair.arrived != sorted(pair.arrived)
    assert len(set(pair.arrived)) < min(100, len(pair.arrived))


def test_a_request_is_never_doubled(pair: Pair) -> None:
    pair.network.weather = Weather(doubled=1.0)
    pair.network.send("a", Forwarded(NodeId(1), NodeId(2), 1, ShowCluster(), "test"))
    pair.timeline.run_for(SECOND)
    assert len(pair.heard["b"]) == 2


def test_a_cut_direction_loses_letters_and_its_sender_notices_late(pair: Pair) -> None:
    pair.network.sever("a", "b")
    pair.timeline.run_for(200 * MILLISECOND)
    assert not pair.lost("a")
    pair.send(3)
    assert (pair.lost("a"), pair.lost("b"), pair.arrived) == ([PeerLost("b", NodeId(2))], [], [])
    pair.network.heal()
    pair.timeline.run_for(SECOND)
    pair.send(1)
    assert pair.arrived == [1]


def test_a_process_that_ends_is_missed_and_its_address_refuses(pair: Pair) -> None:
    pair.network.close("b")
    pair.timeline.run_for(SECOND)
    assert pair.lost("a")[-1] == PeerLost("b", NodeId(2), refused=True)
    pair.open("b", 3)
    pair.timeline.run_for(SECOND)
    assert pair.heard["a"][-1] == PeerMet(greeting("b", 3))


def test_a_process_that_stands_still_stays_connected_and_is_not_met_anew(pair: Pair) -> None:
    pair.network.sleep("b")
    pair.send(2)
    assert (pair.arrived, pair.lost("a")) == ([1, 2], [])
    pair.network.close("a")
    pair.open("a", 1)
    pair.timeline.run_for(SECOND)
    assert not pair.heard["a"]
    pair.network.wake("b")
    pair.timeline.run_for(SECOND)
    assert pair.heard["a"] == [PeerMet(greeting("b", 2))]
