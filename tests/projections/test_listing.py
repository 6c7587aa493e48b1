"""Lists in pages: queued runs in queue order, then those admitted last; nobody is shown twice, whatever moves."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slimjobs.core.orchestrators.ports import ObservedAttempt, Phase
from slimjobs.eventlog.events.definitions import Overrides
from slimjobs.eventlog.events.runs import run_id_text
from slimjobs.projections.listing import (
    BadCursor,
    Cursor,
    detail_of_run,
    first_page,
    page_of_runs,
    parse_cursor,
    status_of_definition,
)
from slimjobs.projections.snapshot import restore, snapshot_frames
from slimjobs.projections.state import State
from slimjobs.projections.views import RunRow, RunStatus
from tests.core.decide.chronicle import CONFIGURATIONS, FIB, JOBS, Chronicle


@pytest.fixture
def chronicle() -> Chronicle:
    chronicle = Chronicle()
    chronicle.configure({"fib": FIB})
    return chronicle


def rows(state: State, job: str, status: RunStatus | None = None) -> tuple[RunRow, ...]:
    return page_of_runs(state, job, status, 1000, first_page(state)).rows


def ids(shown: tuple[RunRow, ...]) -> list[str]:
    return [row.id for row in shown]


def test_a_list_has_the_queued_in_queue_order_and_then_those_admitted_last_first(chronicle: Chronicle) -> None:
    chronicle.trigger(*("fib",) * 5)
    runs = [run_id_text(run) for _, run in chronicle.runs]
    chronicle.see(chronicle.runs[0][1], Phase.SUCCEEDED)
    shown = rows(chronicle.state, "fib")
    assert ids(shown) == [runs[3], runs[4], runs[2], runs[1], runs[0]]
    assert [row.position_in_queue for row in shown] == [1, 2, -1, -1, -1]
    assert [str(row.status) for row in shown] == ["Queued", "Queued", "Pending", "Pending", "Succeeded"]


def test_a_name_nobody_used_has_an_empty_list(chronicle: Chronicle) -> None:
    assert page_of_runs(chronicle.state, "unheard-of", None, 1000, first_page(chronicle.state)).rows == ()


def test_names_that_share_defaults_queue_are_listed_apart_with_their_places_in_it(chronicle: Chronicle) -> None:
    chronicle.trigger("one", "two", "one", "two")
    assert [(row.status, row.position_in_queue) for row in rows(chronicle.state, "two")] == [
        (RunStatus.QUEUED, 1),
        (RunStatus.QUEUED, 3),
    ]
    assert [row.position_in_queue for row in rows(chronicle.state, "one")] == [2, -1]


@pytest.mark.parametrize("status", RunStatus)
def test_a_list_can_be_of_one_status(chronicle: Chronicle, status: RunStatus) -> None:
    chronicle.trigger(*("fib",) * 4)
    first, second = (run for _, run in chronicle.runs[:2])
    chronicle.see(first, Phase.FAILED)
    chronicle.see(second, Phase.RUNNING, ObservedAttempt(1, 1))
    everything = rows(chronicle.state, "fib")
    assert rows(chronicle.state, "fib", status) == tuple(row for row in everything if row.status is status)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 13), st.integers(0, 20), st.integers(0, 20)), max_size=80), st.integers(1, 5))
def test_pages_put_together_are_the_list(steps: list[tuple[int, int, int]], limit: int) -> None:
    chronicle = Chronicle()
    chronicle.configure(CONFIGURATIONS[0])
    chronicle.tell(steps)
    for job in JOBS:
        for status in (None, RunStatus.QUEUED, RunStatus.PENDING):
            shown: list[RunRow] = []
            cursor: Cursor | None = first_page(chronicle.state)
            while cursor is not None:
                page = page_of_runs(chronicle.state, job, status, limit, cursor)
                shown += page.rows
                cursor = None if page.next_cursor is None else parse_cursor(page.next_cursor)
            assert tuple(shown) == rows(chronicle.state, job, status)


@pytest.mark.parametrize("seed", range(100))
def test_while_things_change_nobody_is_shown_twice_and_who_stays_is_shown(seed: int) -> None:
    chronicle, chance = Chronicle(), random.Random(seed)
    chronicle.configure(CONFIGURATIONS[0])
    chronicle.tell((0, chance.randrange(2), chance.randrange(20)) for _ in range(30))
    there = set(ids(rows(chronicle.state, "fib")))
    shown: list[str] = []
    page = page_of_runs(chronicle.state, "fib", None, 3, first_page(chronicle.state))
    while True:
        shown += ids(page.rows)
        if page.next_cursor is None:
            break
        chronicle.tell((chance.randrange(14), chance.randrange(21), chance.randrange(21)) for _ in range(4))
        if seed % 2:
            chronicle.state = restore(snapshot_frames(chronicle.state))
        page = page_of_runs(chronicle.state, "fib", None, 3, parse_cursor(page.next_cursor))
    assert len(shown) == len(set(shown))
    assert there & set(ids(rows(chronicle.state, "fib"))) <= set(shown)


@pytest.mark.parametrize(
    "text", ["", "-", "q-1-2", "1-2-3-4", "-1-0-0-0-fib", "1-2-x-0-fib", "1" * 19 + "-0-0-0-", "٣-0-0-0-"]
)
def test_a_cursor_that_no_page_gave_is_refused(text: str) -> None:
    with pytest.raises(BadCursor):
        parse_cursor(text)


def test_the_detail_of_a_queued_run_has_its_effective_definition_and_why_it_waits(chronicle: Chronicle) -> None:
    chronicle.trigger("fib", "fib")
    run = chronicle.enqueue("fib", Overrides(args=("42",)))
    detail = detail_of_run(chronicle.state, run, ())
    assert detail is not None
    assert (detail.job, detail.uid, detail.definition.args) == ("fib", "", ("42",))
    assert [event.type for event in detail.events] == ["RunEnqueued"]
    assert [str(why.kind) for why in detail.why] == ["Cap"]


def test_the_detail_of_an_ended_run_tells_its_life(chronicle: Chronicle) -> None:
    run = chronicle.enqueue("fib")
    chronicle.see(run, Phase.RUNNING, ObservedAttempt(1, 10, 20, 3, "Error"), ObservedAttempt(2, 30))
    chronicle.see(run, Phase.FAILED, ObservedAttempt(2, 30, 40, None))
    detail = detail_of_run(chronicle.state, run, ())
    assert detail is not None
    assert [(event.type, event.detail) for event in detail.events] == [
        ("RunEnqueued", ""),
        ("RunAdmitted", ""),
        ("RunBound", f"uid-{run.hex()}"),
        ("AttemptStarted", "attempt 1"),
        ("AttemptEnded", "attempt 1, exit code 3, Error"),
        ("AttemptStarted", "attempt 2"),
        ("AttemptEnded", "attempt 2"),
        ("RunFailed", "Failed"),
    ]
    assert detail.row.finish_timestamp == chronicle.now
    assert detail.row.attempts == 2


def test_a_definitions_status_counts_everything_and_shows_the_first_hundred(chronicle: Chronicle) -> None:
    chronicle.trigger(*("fib",) * 300)
    state = chronicle.state
    status = status_of_definition(state, state.versions[state.current["fib"]])
    assert (status.queued, status.occupied, len(status.queue), len(status.active)) == (298, 2, 100, 2)
    assert [row.position_in_queue for row in status.queue] == list(range(1, 101))
