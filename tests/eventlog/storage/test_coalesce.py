"""Several requests as one write leave the disk as they would one after the other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from slimjobs.eventlog.raft.types import Entry, Index
from slimjobs.eventlog.storage.coalesce import coalesce
from slimjobs.eventlog.storage.requests import Persist, Ticket
from tests.eventlog.storage.entries import entries, state

STORED = 5
STOOD_FOR = 0
"""The term by which these tests tell entries that a snapshot stands for."""


def after(log: list[Entry], request: Persist) -> list[Entry]:
    if request.restart_after is not None:
        log = entries(1, request.restart_after, term=STOOD_FOR)
    kept = log if request.truncate_after is None else log[: request.truncate_after]
    return [*kept, *request.entries]


@st.composite
def requests(draw: st.DrawFn) -> list[Persist]:
    """Requests that could follow each other on a log of five entries."""
    last, made, committed = STORED, [], 0
    for ticket in range(1, draw(st.integers(1, 6)) + 1):
        restart = draw(st.none() | st.none() | st.integers(committed, last + 5))
        if restart is not None:
            last = committed = restart
        cut = draw(st.none() | st.integers(committed, last))
        first = (last if cut is None else cut) + 1
        last = first - 1 + draw(st.integers(0, 4))
        term = draw(st.none() | st.integers(1, 9))
        made.append(
            Persist(
                Ticket(ticket),
                entries(first, last, term=ticket + 1),
                None if term is None else state(term),
                None if cut is None else Index(cut),
                None if restart is None else Index(restart),
            )
        )
    return made


@given(requests())
def test_one_write_comes_to_the_same_as_many(asked: list[Persist]) -> None:
    log = entries(1, STORED)
    for request in asked:
        log = after(log, request)
    write = coalesce(asked)
    one = Persist(Ticket(1), write.entries, write.hard_state, write.truncate_after, write.restart_after)
    assert after(entries(1, STORED), one) == log
    assert write.hard_state == next((r.hard_state for r in reversed(asked) if r.hard_state), None)


def test_what_was_asked_before_a_restart_is_never_written() -> None:
    write = coalesce(
        [
            Persist(Ticket(1), entries(6, 9), state(2), truncate_after=Index(3)),
            Persist(Ticket(2), entries(21, 23), restart_after=Index(20)),
            Persist(Ticket(3), entries(22, 22, term=2), truncate_after=Index(21)),
        ]
    )
    assert (write.hard_state, write.restart_after, write.truncate_after) == (state(2), 20, None)
    assert write.entries == [*entries(21, 21), *entries(22, 22, term=2)]


def test_entries_that_a_later_request_cuts_are_never_written() -> None:
    write = coalesce(
        [Persist(Ticket(1), entries(6, 9)), Persist(Ticket(2), entries(8, 8, term=2), truncate_after=Index(7))]
    )
    assert write.truncate_after is None
    assert write.entries == [*entries(6, 7), *entries(8, 8, term=2)]
