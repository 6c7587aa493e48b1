"""Folding and restoring: any way to the same log's end gives the same state, byte for byte."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimjobs.core.decide.decision import Limits
from slimjobs.core.orchestrators.ports import ObservedAttempt, Phase
from slimjobs.eventlog.events.definitions import Overrides
from slimjobs.eventlog.events.record import CHAIN_START, decode_record, extend_chain
from slimjobs.projections.desired import Desired, desired_of
from slimjobs.projections.fold import DEPARTURES_KEPT, HISTORY_HEAD, HISTORY_TAIL, apply
from slimjobs.projections.listing import departure_of, first_page, page_of_runs
from slimjobs.projections.snapshot import (
    FRAME_BYTES,
    UnreadableSnapshot,
    restore,
    snapshot_frames,
    state_hash,
)
from slimjobs.projections.state import State
from tests.core.decide.chronicle import CONFIGURATIONS, FIB, JOBS, Chronicle, Written
from tests.core.decide.test_any_history import indexes_are_right

SMALL = Limits(queued_jobs=12, queued_bytes=200, idempotency_keys=3, finished_jobs=3)
STEPS = st.lists(st.tuples(st.integers(0, 13), st.integers(0, 20), st.integers(0, 20)), min_size=5, max_size=100)


def history_of(steps: Iterable[tuple[int, int, int]]) -> Chronicle:
    chronicle = Chronicle(SMALL)
    chronicle.configure(CONFIGURATIONS[0])
    chronicle.tell(steps)
    return chronicle


def fold(state: State, log: Iterable[Written]) -> State:
    for written in log:
        apply(state, written.index, written.payload, decode_record(written.payload))
    return state


def image(state: State) -> bytes:
    return b"".join(snapshot_frames(state))


@settings(max_examples=100, deadline=None)
@given(STEPS, st.floats(0, 1))
def test_folding_a_prefix_and_then_the_rest_is_folding_all(steps: list[tuple[int, int, int]], where: float) -> None:
    log = history_of(steps).log
    cut = int(where * len(log))
    prefix = fold(State(), log[:cut])
    assert image(fold(prefix, log[cut:])) == image(fold(State(), log))


@settings(max_examples=100, deadline=None)
@given(STEPS, st.floats(0, 1))
def test_a_restored_snapshot_is_the_fold_and_goes_on_like_it(steps: list[tuple[int, int, int]], where: float) -> None:
    chronicle = history_of(steps)
    cut = int(where * len(chronicle.log))
    folded = fold(State(), chronicle.log[:cut])
    restored = restore(snapshot_frames(folded))
    assert image(restored) == image(folded)
    assert (restored.chain, restored.keys) == (folded.chain, folded.keys)
    indexes_are_right(restored)
    assert image(fold(restored, chronicle.log[cut:])) == image(chronicle.state)
    for job in JOBS:
        shown, expected = (
            page_of_runs(state, job, None, 1000, first_page(state)) for state in (restored, chronicle.state)
        )
        assert shown == expected


@settings(max_examples=100, deadline=None)
@given(STEPS, st.floats(0, 1))
def test_what_is_wanted_of_the_world_folds_with_the_log_and_comes_out_of_the_state(
    steps: list[tuple[int, int, int]], where: float
) -> None:
    chronicle = history_of(steps)
    cut = int(where * len(chronicle.log))
    desired, resumed = Desired(), desired_of(fold(State(), chronicle.log[:cut]))
    for place, written in enumerate(chronicle.log):
        before = dict(desired.runs)
        touched = desired.commit(written.record)
        assert {run for run in before | desired.runs if before.get(run) != desired.runs.get(run)} <= set(touched)
        if place >= cut:
            resumed.commit(written.record)
    assert desired.runs == resumed.runs == desired_of(chronicle.state).runs


def test_the_chain_covers_every_payload_in_its_order() -> None:
    chronicle = history_of([(0, 0, 1), (1, 0, 0), (1, 0, 5)])
    chain = CHAIN_START
    for written in chronicle.log:
        chain = extend_chain(chain, written.payload)
    assert chronicle.state.chain == chain
    assert extend_chain(chain, b"a") != extend_chain(chain, b"b")


def test_states_that_differ_in_anything_have_different_hashes() -> None:
    one, other = history_of([(0, 0, 1)]), history_of([(0, 0, 1)])
    assert state_hash(one.state) == state_hash(other.state)
    other.state.dependencies.clear()
    other.depend("db", ready=True)
    assert state_hash(one.state) != state_hash(other.state)


# Frames -------------------------------------------------------------------------------------------------------------


def full_state(queued: int) -> State:
    chronicle = Chronicle(Limits(queued_jobs=queued, queued_bytes=1 << 30))
    chronicle.configure({"fib": FIB})
    for _ in range(queued // 100):
        chronicle.trigger(*("fib",) * 100, overrides=Overrides(args=("x" * 50,)))
    return chronicle.state


def test_frames_are_at_most_64_kibibytes_and_full_but_for_the_last() -> None:
    frames = list(snapshot_frames(full_state(3000)))
    assert len(frames) > 3
    assert {len(frame) for frame in frames[:-1]} == {FRAME_BYTES} == {65_536}
    assert 0 < len(frames[-1]) <= FRAME_BYTES


def test_rows_are_read_however_they_are_cut_into_frames() -> None:
    state = full_state(300)
    whole = image(state)
    for size in (1, 7, 1000, len(whole)):
        frames = (whole[start : start + size] for start in range(0, len(whole), size))
        assert image(restore(frames)) == whole


@pytest.mark.parametrize("kept", [1, 4, 5, 40, -1])
def test_a_cut_stream_is_no_state(kept: int) -> None:
    with pytest.raises(UnreadableSnapshot):
        restore([image(full_state(100))[:kept]])


def test_a_stream_of_something_else_is_no_state() -> None:
    whole = image(full_state(100))
    for broken in (b"\x00\x00\x00\x00", b"\x01\x00\x00\x00\xff", whole[:4] + b"\x63" + whole[5:], b"\xff" * 100):
        with pytest.raises(UnreadableSnapshot):
            restore([broken])


# Bounds -------------------------------------------------------------------------------------------------------------


def test_a_run_that_is_tried_very_often_keeps_its_beginning_and_its_latest() -> None:
    chronicle = Chronicle()
    chronicle.configure({"fib": FIB})
    run = chronicle.enqueue("fib")
    for number in range(1, 200):
        chronicle.see(run, Phase.RUNNING, ObservedAttempt(number, number))
    history = chronicle.state.active[run].history
    assert len(history) == HISTORY_HEAD + HISTORY_TAIL
    assert [type(each.event).__name__ for each in history[:3]] == ["RunEnqueued", "RunAdmitted", "RunBound"]
    assert getattr(history[-1].event, "attempt", None) == 199


def test_departures_are_remembered_up_to_a_number_and_the_oldest_are_forgotten() -> None:
    chronicle = Chronicle()
    chronicle.configure({"fib": FIB})
    runs = [chronicle.enqueue("fib") for _ in range(DEPARTURES_KEPT + 1)]
    for run in runs:
        chronicle.delete("fib", run)
    assert len(chronicle.state.departures) == DEPARTURES_KEPT
    assert departure_of(chronicle.state, runs[0]) is None
    assert departure_of(chronicle.state, runs[1]) is not None
