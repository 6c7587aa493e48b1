"""The books of the supervisor: one effect a run, new tries further and further apart, 32 at once, and late outcomes."""

from __future__ import annotations

import pytest

from slimjobs.core.orchestrators.ports import (
    Accepted,
    AlreadyExists,
    Changed,
    Create,
    Created,
    Delete,
    Effect,
    Expire,
    Job,
    Listed,
    Missing,
    ObservedJob,
    Outcome,
    Phase,
    Rejected,
    Release,
    Unavailable,
    Vanished,
)
from slimjobs.core.supervisor.plan import Step
from slimjobs.core.supervisor.supervisor import EFFECTS_AT_ONCE, Supervisor, Wishes
from slimjobs.eventlog.events.definitions import Definition
from slimjobs.eventlog.events.record import Event, Record
from slimjobs.eventlog.events.runs import RunAdmitted, RunBound, RunDeleted, RunGone, RunId, RunsExpired, RunSucceeded
from slimjobs.projections.desired import Desired

SECOND = 1_000_000_000
RUN = RunId(b"0123456789")


def wishes() -> Wishes:
    def job(run: RunId) -> Job:
        return Job("name", "c1", run, "fib", "", Definition())

    return Wishes(job, lambda _: 60, lambda _: "name")


class Books:
    """A supervisor, and a leader that does whatever it plans."""

    def __init__(self) -> None:
        self.supervisor = Supervisor(Desired())
        self.supervisor.observe("c1", Listed(()))
        self.now = 0

    def commit(self, *events: Event) -> None:
        self.supervisor.commit(Record(0, "test", events))

    def look(self) -> list[tuple[int, Effect]]:
        started = []
        for run in self.supervisor.due(self.now):
            step = self.supervisor.step(run, self.now)
            if step is Step.CHECK_ORPHAN:
                step = Step.DELETE
            if step is not Step.NOTHING and (effect := self.supervisor.start(run, step, wishes())) is not None:
                started.append(effect)
        return started

    def only(self) -> tuple[int, Effect]:
        (started,) = self.look()
        return started

    def end(self, effect_id: int, outcome: Outcome) -> RunId | None:
        return self.supervisor.ended(effect_id, outcome, self.now, self.now // 1_000_000)


def observed(run: RunId = RUN, *, uid: str = "uid", cluster: str = "c1", phase: Phase = Phase.SUSPENDED) -> ObservedJob:
    return ObservedJob("name", uid, cluster, run, phase)


@pytest.fixture
def books() -> Books:
    books = Books()
    books.commit(RunAdmitted(RUN))
    return books


def test_a_run_is_created_released_expired_and_forgotten(books: Books) -> None:
    effect_id, effect = books.only()
    assert effect == Create(Job("name", "c1", RUN, "fib", "", Definition()))
    books.end(effect_id, Created(observed()))
    assert books.look() == [], "it is released only once it is bound"
    books.commit(RunBound(RUN, "uid"))
    effect_id, effect = books.only()
    assert effect == Release(RUN, "name", "uid")
    books.end(effect_id, Accepted())
    books.commit(RunSucceeded(RUN))
    effect_id, effect = books.only()
    assert effect == Expire(RUN, "name", "uid", 60)
    books.end(effect_id, Accepted())
    books.supervisor.observe("c1", Vanished(observed(phase=Phase.SUCCEEDED)))
    books.commit(RunsExpired((RUN,)))
    assert books.look() == []
    assert not books.supervisor._progress
    assert not books.supervisor.mirror._seen


def test_only_one_effect_of_a_run_is_under_way(books: Books) -> None:
    books.only()
    books.supervisor.observe("c1", Changed(observed()))
    books.commit(RunBound(RUN, "uid"))
    books.commit(RunDeleted(RUN))
    assert books.look() == []


def test_when_it_ends_the_plan_is_made_anew(books: Books) -> None:
    effect_id, _ = books.only()
    books.commit(RunBound(RUN, "uid"))
    books.commit(RunDeleted(RUN))
    books.end(effect_id, Created(observed()))
    assert books.only()[1] == Delete(RUN, "name", "uid")


@pytest.mark.parametrize("outcome", [Accepted(), Created(observed()), Missing(), Unavailable("?"), Rejected("?")])
def test_the_outcome_of_an_unknown_effect_and_a_second_outcome_change_nothing(books: Books, outcome: Outcome) -> None:
    effect_id, _ = books.only()
    books.end(effect_id, Created(observed()))
    books.look()
    assert books.end(effect_id, outcome) is None
    assert books.end(999, outcome) is None
    assert books.look() == []


def test_what_may_pass_is_tried_again_from_1_to_30_seconds_apart(books: Books) -> None:
    waits = []
    for _ in range(8):
        effect_id, _ = books.only()
        books.end(effect_id, Unavailable("quota"))
        assert books.look() == []
        due = books.supervisor.next_retry_ns()
        assert due is not None
        waits.append((due - books.now) // SECOND)
        books.now = due - 1
        assert books.look() == []
        books.now = due
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]


def test_trouble_is_told_since_it_began_and_over_with_the_next_success(books: Books) -> None:
    for detail in ("first", "second"):
        books.now += 40 * SECOND
        books.end(books.only()[0], Unavailable(detail))
    assert books.supervisor.trouble(RUN) == ("second", 40_000)
    books.now += 40 * SECOND
    books.end(books.only()[0], Created(observed()))
    assert books.supervisor.trouble(RUN) == ("", -1)


def test_a_change_of_what_is_wanted_does_not_wait_for_the_next_try() -> None:
    books = Books()
    books.commit(RunAdmitted(RUN), RunBound(RUN, "uid"))
    books.end(books.only()[0], Unavailable("busy"))
    books.commit(RunDeleted(RUN))
    assert books.only()[1] == Delete(RUN, "name", "uid")


def test_a_creation_refused_for_good_is_not_tried_again(books: Books) -> None:
    books.end(books.only()[0], Rejected("no such field"))
    assert books.supervisor.rejected(RUN) == "no such field"
    books.now += 100 * SECOND
    assert books.look() == []


def test_a_release_refused_for_good_is_tried_again_since_nothing_else_can_be_done() -> None:
    books = Books()
    books.commit(RunAdmitted(RUN), RunBound(RUN, "uid"))
    books.end(books.only()[0], Rejected("?"))
    books.now += SECOND
    assert books.only()[1] == Release(RUN, "name", "uid")


@pytest.mark.parametrize("other", [observed(RunId(b"9" * 10)), observed(cluster="c2")])
def test_a_name_that_another_object_has_taken_is_waited_for(books: Books, other: ObservedJob) -> None:
    books.end(books.only()[0], AlreadyExists(other))
    assert books.supervisor.trouble(RUN)[0] == "'name' is taken by another object"
    assert books.supervisor.mirror.seen(RUN).job is None, "it is not ours"
    books.now += SECOND
    assert isinstance(books.only()[1], Create)


def test_our_own_object_under_the_name_is_ours(books: Books) -> None:
    books.end(books.only()[0], AlreadyExists(observed()))
    assert books.supervisor.mirror.seen(RUN).job == observed()
    assert books.look() == []


def test_an_own_object_that_is_ending_is_waited_for_and_then_made_anew(books: Books) -> None:
    ending = ObservedJob("name", "uid", "c1", RUN, Phase.SUSPENDED, ending=True)
    books.end(books.only()[0], AlreadyExists(ending))
    assert books.look() == []
    books.supervisor.observe("c1", Vanished(ending))
    assert isinstance(books.only()[1], Create)


def test_missing_says_that_the_object_is_gone() -> None:
    books = Books()
    books.commit(RunAdmitted(RUN), RunBound(RUN, "uid"))
    books.end(books.only()[0], Missing())
    assert books.supervisor.mirror.seen(RUN).gone
    assert books.look() == [], "it is never created again"


@pytest.mark.parametrize("outcome", [Accepted(), Missing()])
def test_a_deletion_is_accepted_when_it_was_taken_on_or_there_is_nothing_left(outcome: Outcome) -> None:
    books = Books()
    books.commit(RunAdmitted(RUN), RunBound(RUN, "uid"))
    books.look()
    books.commit(RunDeleted(RUN))
    assert not books.supervisor.deletion_accepted(RUN)
    books.end(1, Accepted())
    effect_id, effect = books.only()
    assert isinstance(effect, Delete)
    books.end(effect_id, outcome)
    assert books.supervisor.deletion_accepted(RUN)
    books.commit(RunGone(RUN))


def test_at_most_32_effects_are_under_way_and_whoever_waits_has_its_turn() -> None:
    books = Books()
    runs = [RunId(number.to_bytes(10, "big")) for number in range(100)]
    books.commit(*map(RunAdmitted, runs))
    started = books.look()
    assert len(started) == EFFECTS_AT_ONCE == 32
    created = [effect.job.run for _, effect in started if isinstance(effect, Create)]
    under_way = list(started)
    while under_way:
        effect_id, effect = under_way.pop(0)
        assert isinstance(effect, Create)
        books.end(effect_id, Created(observed(effect.job.run)))
        more = books.look()
        under_way += more
        created += [each.job.run for _, each in more if isinstance(each, Create)]
        assert len(under_way) <= EFFECTS_AT_ONCE
    assert created == runs


def test_those_that_wait_for_their_turn_cost_nothing_until_there_is_room() -> None:
    books = Books()
    books.commit(*(RunAdmitted(RunId(number.to_bytes(10, "big"))) for number in range(100)))
    books.look()
    assert list(books.supervisor.due(books.now)) == []


def test_a_new_leader_takes_no_earlier_acceptance_for_granted() -> None:
    books = Books()
    books.commit(RunAdmitted(RUN), RunBound(RUN, "uid"))
    effect_id, _ = books.only()
    books.end(effect_id, Accepted())
    assert books.supervisor.step(RUN, books.now) is Step.NOTHING
    books.supervisor.begin_to_lead()
    books.supervisor.observe("c1", Listed((observed(RUN),)))
    assert books.supervisor.step(RUN, books.now) is Step.RELEASE


def test_one_that_has_moved_on_gives_its_turn_away() -> None:
    books = Books()
    runs = [RunId(number.to_bytes(10, "big")) for number in range(34)]
    books.commit(*map(RunAdmitted, runs))
    books.look()
    books.commit(RunDeleted(runs[32]))
    books.look()
    books.end(1, Created(observed(runs[0])))
    _, effect = books.only()
    assert isinstance(effect, Create)
    assert effect.job.run == runs[33]


def test_a_node_that_does_not_lead_keeps_no_books_of_what_is_over(books: Books) -> None:
    books.supervisor.observe("c1", Changed(observed()))
    books.commit(RunBound(RUN, "uid"), RunDeleted(RUN))
    books.supervisor.follow()
    assert books.supervisor.mirror.seen(RUN).job == observed()
    books.supervisor.observe("c1", Vanished(observed()))
    books.commit(RunGone(RUN))
    books.supervisor.follow()
    assert not books.supervisor.mirror._seen
    assert not books.supervisor._to_look_at


def test_a_new_leader_does_nothing_before_it_has_seen_what_there_is(books: Books) -> None:
    books.supervisor.follow()
    books.supervisor.begin_to_lead()
    assert books.look() == []
    books.supervisor.observe("c1", Listed((observed(RunId(b"9" * 10)),)))
    assert sorted(type(effect).__name__ for _, effect in books.look()) == ["Create", "Delete"]


def test_what_was_tried_in_vain_is_not_due_before_there_is_a_list(books: Books) -> None:
    books.end(books.only()[0], Unavailable("?"))
    books.supervisor.begin_to_lead()
    assert books.supervisor.next_retry_ns() is None
