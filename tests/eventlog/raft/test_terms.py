"""The run-length encoded terms behave as a plain list of terms would."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from slimjobs.eventlog.raft import Index, Term
from slimjobs.eventlog.raft.entropy import Entropy
from slimjobs.eventlog.raft.terms import Terms

TERMS = st.lists(st.integers(1, 6), max_size=30).map(sorted)


def runs(plain: list[int]) -> Terms:
    terms = Terms([(Index(0), Term(0))], Index(0))
    for index, term in enumerate(plain, 1):
        terms.extend(Index(index), Term(term))
    return terms


@given(TERMS)
def test_every_entry_has_its_term_and_nothing_else_has_one(plain: list[int]) -> None:
    terms = runs(plain)
    assert [terms.at(Index(index)) for index in range(1, len(plain) + 1)] == plain
    assert terms.at(Index(len(plain) + 1)) is None


@given(TERMS, st.data())
def test_a_cut_log_ends_where_it_was_cut(plain: list[int], data: st.DataObject) -> None:
    terms, after = runs(plain), data.draw(st.integers(0, len(plain)))
    terms.truncate(Index(after))
    assert (terms.last_index, terms.last_term) == (after, [0, *plain][after])


@given(TERMS, st.data())
def test_what_is_forgotten_is_unknown_and_the_rest_is_not(plain: list[int], data: st.DataObject) -> None:
    terms, before = runs(plain), data.draw(st.integers(0, len(plain)))
    terms.forget_before(Index(before))
    seen = [terms.at(Index(index)) for index in range(len(plain) + 1)]
    assert seen == [None] * before + [0, *plain][before:]


@given(TERMS, st.integers(0, 40), st.integers(0, 7))
def test_the_last_entry_of_a_term_at_most(plain: list[int], index: int, term: int) -> None:
    known = [0, *plain]
    place = max(at for at, each in enumerate(known) if at <= index and each <= term)
    assert runs(plain).last_at_most(Index(index), Term(term)) == (place, known[place])


def test_millions_of_entries_of_one_term_are_one_run() -> None:
    terms = Terms([(Index(0), Term(0))], Index(0))
    terms.extend(Index(5_000_000), Term(3))
    assert (terms.at(Index(4_999_999)), len(terms._starts)) == (3, 2)


def test_the_generator_is_splitmix64() -> None:
    entropy = Entropy(1234567)
    assert [entropy.draw() for _ in range(3)] == [6457827717110365317, 3203168211198807973, 9817491932198370423]
