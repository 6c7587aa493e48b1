"""Several requests as one write leave the disk as they would one after the other."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from slimjobs.eventlog.raft.types import Entry, Index
from slimjobs.eventlog.storage.coalesce import coalesce
from slimjobs.eventlog.storage.requests import Persist, Ticket
from tests.eventlog.storage.entries import entries, state

STORED = 5


def after(log: list[Entry], request: Persist) -> list[Entry]:
    kept = log if request.truncate_after is None else log[: request.truncate_after]
    return [*kept, *request.entries]


@st.composite
def requests(draw: st.DrawFn) -> list[Persist]:
    """Requests that could follow each other on a log of five entries."""
    last, made = STORED, []
    for ticket in range(1, draw(st.integers(1, 6)) + 1):
        cut = draw(st.none() | st.integers(0, last))
        first = (last if cut is None else cut) + 1
        last = first - 1 + draw(st.integers(0, 4))
        term = draw(st.none() | st.integers(1, 9))
        made.append(
            Persist(
                Ticket(ticket),
                entries(first, last, term=ticket + 1),
                None if term is None else state(term),
                None if cut is None else Index(cut),
            )
        )
    return made


@given(requests())
def test_one_write_comes_to_the_same_as_many(asked: list[Persist]) -> None:
    log = entries(1, STORED)
    for request in asked:
        log = after(log, request)
    write = coalesce(asked)
    one = Persist(Ticket(1), write.entries, write.hard_state, write.truncate_after)
    assert after(entries(1, STORED), one) == log
    assert write.hard_state == next((r.hard_state for r in reversed(asked) if r.hard_state), None)


def test_entries_that_a_later_request_cuts_are_never_written() -> None:
    write = coalesce(
        [Persist(Ticket(1), entries(6, 9)), Persist(Ticket(2), entries(8, 8, term=2), truncate_after=Index(7))]
    )
    assert write.truncate_after is None
    assert write.entries == [*entries(6, 7), *entries(8, 8, term=2)]
