"""Any sequence of commands and observations keeps the invariants 1, 3 and 4 of the design (§6).

Every record is judged by an onlooker who knows the vocabulary and nothing else; the state's indexes are compared with a
count from scratch after every step.
"""

from __future__ import annotations

import random
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimjobs.core.decide.decision import Limits
from slimjobs.eventlog.events.definitions import Overrides
from slimjobs.projections.state import Run, State, queued_numbers, unpack_queued
from tests.core.decide.chronicle import CONFIGURATIONS, Chronicle

SMALL = Limits(queued_jobs=12, queued_bytes=200, idempotency_keys=3, finished_jobs=3)
STEPS = st.lists(st.tuples(st.integers(0, 13), st.integers(0, 20), st.integers(0, 20)), min_size=5, max_size=120)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_every_record_keeps_the_cap_and_the_order_and_ends_a_run_once(steps: list[tuple[int, int, int]]) -> None:
    chronicle = Chronicle(SMALL)
    chronicle.configure(CONFIGURATIONS[0])
    for step in steps:
        chronicle.tell([step])
        assert not list(chronicle.onlooker.idle_slots(chronicle.observed)), "somebody waits who could start"
        chronicle.onlooker.agrees_with(chronicle.state)
        indexes_are_right(chronicle.state)


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_when_the_world_is_well_every_accepted_run_ends_in_exactly_one_outcome(
    steps: list[tuple[int, int, int]],
) -> None:
    chronicle = Chronicle(SMALL)
    chronicle.configure(CONFIGURATIONS[0])
    chronicle.tell(steps)
    chronicle.drain()
    onlooker = chronicle.onlooker
    assert set(onlooker.outcomes) == set(onlooker.enqueued)
    assert not any(onlooker.holders.values())


@settings(max_examples=100, deadline=None)
@given(STEPS)
def test_limits_are_never_exceeded(steps: list[tuple[int, int, int]]) -> None:
    chronicle = Chronicle(SMALL)
    chronicle.configure(CONFIGURATIONS[2])
    for step in steps:
        chronicle.tell([step])
        state = chronicle.state
        assert len(state.queued) <= SMALL.queued_jobs
        assert state.queued_override_bytes <= SMALL.queued_bytes
        assert len(state.keys) <= SMALL.idempotency_keys
        assert all(len(queue.finished) <= SMALL.finished_jobs for queue in state.queues.values())


@pytest.mark.parametrize("seed", range(25))
def test_a_long_history_keeps_everything_right(seed: int) -> None:
    chronicle, chance = Chronicle(SMALL), random.Random(seed)
    chronicle.configure(CONFIGURATIONS[0])
    for _ in range(400):
        chronicle.tell([(chance.randrange(14), chance.randrange(21), chance.randrange(21))])
        assert not list(chronicle.onlooker.idle_slots(chronicle.observed))
        chronicle.onlooker.agrees_with(chronicle.state)
    indexes_are_right(chronicle.state)
    chronicle.drain()
    assert set(chronicle.onlooker.outcomes) == set(chronicle.onlooker.enqueued)


def indexes_are_right(state: State) -> None:
    """Everything that is kept beside the tables is what a count over the tables gives."""
    queued = {run: (queued_numbers(packed), unpack_queued(packed)) for run, packed in state.queued.items()}
    left = [run for run_id in (*state.active, *state.finished) if (run := state.left_queue(run_id)) is not None]
    versions = Counter([numbers.definition for numbers, _ in queued.values()] + [run.definition for run in left])
    assert versions == Counter({number: version.runs for number, version in state.versions.items()})
    assert set(state.versions) == set(versions) | set(state.current.values())

    stored = [msgspec.msgpack.encode(each.overrides) for _, each in queued.values() if each.overrides != Overrides()]
    assert state.queued_override_bytes == sum(map(len, stored))

    jobs: dict[str, set[object]] = {}
    for numbers, each in queued.values():
        jobs.setdefault(each.job, set()).add((state.versions[numbers.definition].name, numbers.ordinal))
    for run in left:
        jobs.setdefault(run.job, set()).add((run.admission, run.run))
    assert set(state.jobs) == set(jobs)
    for job, index in state.jobs.items():
        waiting = {(name, ordinal) for name, lane in index.queued.items() for ordinal in lane.after(-1)}
        assert waiting | set(index.admitted.items()) == jobs[job]
        assert list(index.admitted) == sorted(index.admitted)

    for name, queue in state.queues.items():
        lanes = [(names, ordinal) for names, lane in queue.lanes.items() for ordinal in lane.after(-1)]
        assert sorted(lanes) == sorted(
            (state.depends_on(numbers.definition, each.overrides), numbers.ordinal)
            for numbers, each in queued.values()
            if state.versions[numbers.definition].name == name
        )
        assert queue.order.length == len(lanes)
        assert queue.finished.keys() == {run.run for run in left if run.ended_at >= 0 and _queue(state, run) == name}
    due = {run for _, run in state.expiries}
    assert state.finished.keys() <= due
    assert len(due) <= 2 * len(state.finished) + 64


def _queue(state: State, run: Run) -> str:
    return state.versions[run.definition].name
