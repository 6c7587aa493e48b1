"""Queue positions and lanes against plain lists, and at a million queued."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from slimjobs.eventlog.events.runs import RunId
from slimjobs.projections.order import CHUNK_SIZE, Lane, QueueOrder


def run_of(ordinal: int) -> RunId:
    return RunId(ordinal.to_bytes(10, "big"))


class QueueAgainstAList(RuleBasedStateMachine):
    """Runs join at the end, alone or by the thousand, and leave at the front or anywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.order = QueueOrder()
        self.lane = Lane()
        self.ordinals: list[int] = []

    @rule(count=st.sampled_from([1, 2, CHUNK_SIZE - 1, CHUNK_SIZE, 3 * CHUNK_SIZE]))
    def join(self, count: int) -> None:
        for _ in range(count):
            ordinal = self.order.next_ordinal
            self.order.join(ordinal, run_of(ordinal))
            self.lane.append(ordinal)
            self.ordinals.append(ordinal)

    @precondition(lambda self: self.ordinals)
    @rule(place=st.integers(0), count=st.sampled_from([1, CHUNK_SIZE, 5 * CHUNK_SIZE]))
    def leave(self, place: int, count: int) -> None:
        start = place % len(self.ordinals)
        self._remove(self.ordinals[start : start + count])

    @precondition(lambda self: self.ordinals)
    @rule(count=st.sampled_from([1, CHUNK_SIZE, 20 * CHUNK_SIZE]))
    def drain(self, count: int) -> None:
        self._remove(self.ordinals[:count])

    def _remove(self, leaving: list[int]) -> None:
        for ordinal in leaving:
            self.order.remove(ordinal)
            self.lane.remove(ordinal)
        self.ordinals = [each for each in self.ordinals if each not in set(leaving)]

    @rule(place=st.integers(0))
    def go_on_after(self, place: int) -> None:
        after = place % (self.order.next_ordinal + 1) - 1
        rest = [each for each in self.ordinals if each > after]
        assert list(self.order.after(after)) == rest
        assert list(self.lane.after(after)) == rest
        assert self.lane.before(after + 1) == len(self.ordinals) - len(rest)

    @invariant()
    def everybody_has_the_place_of_the_list(self) -> None:
        assert list(self.order.after(-1)) == self.ordinals
        assert list(self.lane.after(-1)) == self.ordinals
        assert self.order.length == len(self.ordinals)
        assert bool(self.lane) == bool(self.ordinals)
        for place in {0, 1, len(self.ordinals) // 2, len(self.ordinals) - 1} & set(range(len(self.ordinals))):
            assert self.order.position(self.ordinals[place]) == place + 1
            assert self.order.run_at(self.ordinals[place]) == run_of(self.ordinals[place])

    @invariant()
    def a_copy_from_the_rows_of_a_snapshot_says_the_same(self) -> None:
        copy = QueueOrder(self.ordinals[0] if self.ordinals else self.order.next_ordinal)
        copy.next_ordinal = self.order.next_ordinal
        for ordinal in self.ordinals:
            copy.join(ordinal, self.order.run_at(ordinal))
        assert list(copy.after(-1)) == self.ordinals
        if self.ordinals:
            assert copy.position(self.ordinals[-1]) == len(self.ordinals)


TestQueueAgainstAList = QueueAgainstAList.TestCase
TestQueueAgainstAList.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)


def test_a_lane_whose_last_chunk_was_emptied_gives_nobody_twice() -> None:
    lane = Lane()
    lane.append(0)
    lane.append(CHUNK_SIZE)
    lane.remove(CHUNK_SIZE)
    lane.append(CHUNK_SIZE + 1)
    assert list(lane.after(-1)) == [0, CHUNK_SIZE + 1]


def test_behind_one_that_waits_for_long_any_number_may_come_and_go() -> None:
    lane = Lane()
    lane.append(0)
    for ordinal in range(1, 100 * CHUNK_SIZE):
        lane.append(ordinal)
        lane.remove(ordinal)
    assert len(lane._chunks) < 100
    assert list(lane.after(-1)) == [0]


def test_a_million_queued_have_their_places_until_the_last_has_left() -> None:
    order, million = QueueOrder(), 1_000_000
    for ordinal in range(million):
        order.join(ordinal, run_of(ordinal))
    for ordinal in (0, 1, 255, 256, 499_999, million - 1):
        assert order.position(ordinal) == ordinal + 1
    for ordinal in range(million):
        order.remove(ordinal)
        if ordinal % 100_000 == 0:
            assert order.position(million - 1) == million - ordinal - 1
            assert len(order._tree) <= 2 * (million - ordinal) // CHUNK_SIZE + 128, "it follows the queue's front"
    assert order.length == 0
