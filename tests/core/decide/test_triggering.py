"""Which triggers are taken on: visibility, keys, limits, Default, and who starts at once (contract §2)."""

from __future__ import annotations

import msgspec
import pytest

from slimjobs.core.decide.commands import Accepted, IdempotencyKey
from slimjobs.core.decide.decision import Decision, Limits
from slimjobs.core.decide.depending import record_readiness
from slimjobs.core.decide.refusals import Forbidden, Invalid, KeyReused, NoLeader, QueueFull, Refusal, TooManyKeys
from slimjobs.core.decide.triggering import private_to_outsiders
from slimjobs.core.orchestrators.ports import Phase
from slimjobs.eventlog.events.definitions import Definition, Overrides, Visibility
from slimjobs.eventlog.events.runs import KeyUsed, RunAdmitted, RunEnqueued
from slimjobs.projections.fold import KEY_LIFETIME_MS
from tests.core.decide.chronicle import DEFAULT, DEFAULT_LIMITS, FIB, Chronicle, run_of

DAY = KEY_LIFETIME_MS / 1000
PRIVATE = Definition(command=("secret",))


def chronicle_of(limits: Limits = DEFAULT_LIMITS, **definitions: Definition) -> Chronicle:
    chronicle = Chronicle(limits)
    chronicle.configure({name.replace("_", "-"): each for name, each in (definitions or {"fib": FIB}).items()})
    return chronicle


def key(name: str, body: str = "body") -> IdempotencyKey:
    return IdempotencyKey(name.encode().ljust(16), body.encode().ljust(16))


def kinds(decided: Decision | Refusal) -> list[str]:
    assert isinstance(decided, Decision)
    return [type(event).__name__ for event in decided.events]


# Admission ----------------------------------------------------------------------------------------------------------


def test_before_any_configuration_is_committed_nothing_is_decided() -> None:
    assert isinstance(Chronicle().trigger("fib"), NoLeader)


def test_a_free_slot_is_given_in_the_record_that_enqueues() -> None:
    chronicle = chronicle_of()
    assert kinds(chronicle.trigger("fib")) == ["RunEnqueued", "RunAdmitted"]


def test_a_batch_is_one_record_and_fills_the_free_slots_in_its_order() -> None:
    chronicle = chronicle_of()
    decided = chronicle.trigger("fib", "fib", "fib")
    assert kinds(decided) == ["RunEnqueued", "RunAdmitted", "RunEnqueued", "RunAdmitted", "RunEnqueued"]
    assert isinstance(decided, Decision)
    assert decided.result == Accepted((run_of(1), run_of(2), run_of(3)))


def test_one_whose_dependency_is_not_ready_waits_and_holds_back_nobody() -> None:
    chronicle = chronicle_of()
    assert kinds(chronicle.trigger("fib", overrides=Overrides(depends_on=("db",)))) == ["RunEnqueued"]
    assert kinds(chronicle.trigger("fib")) == ["RunEnqueued", "RunAdmitted"]
    chronicle.depend("db", ready=True)
    assert run_of(1) in chronicle.state.active


def test_a_dependency_that_this_leader_has_not_observed_holds_back_even_if_the_log_says_ready() -> None:
    chronicle = chronicle_of()
    chronicle.depend("db", ready=True)
    chronicle.new_leader()
    assert kinds(chronicle.trigger("fib", overrides=Overrides(depends_on=("db",)))) == ["RunEnqueued"]
    chronicle.depend("db", ready=True)
    assert run_of(1) in chronicle.state.active


def test_who_comes_before_a_free_slot_is_given_overtakes_nobody_who_may_have_it() -> None:
    chronicle = chronicle_of()
    chronicle.enqueue("fib", Overrides(depends_on=("db",)))
    chronicle.append(record_readiness(chronicle.state, "db", ready=True, reason=""))
    chronicle.observed.add("db")  # the disk had room for this, and not for the admission that follows from it
    assert kinds(chronicle.trigger("fib")) == ["RunEnqueued"]


def test_names_without_a_definition_share_one_queue_and_one_cap() -> None:
    chronicle = chronicle_of()
    chronicle.configure({"fib": FIB, "default": msgspec.structs.replace(DEFAULT, number_parallel_job=1)})
    assert kinds(chronicle.trigger("one-name")) == ["RunEnqueued", "RunAdmitted"]
    assert kinds(chronicle.trigger("other-name")) == ["RunEnqueued"]
    chronicle.see(run_of(1), Phase.SUCCEEDED)
    assert run_of(2) in chronicle.state.active
    assert chronicle.state.job_of(run_of(2)) == "other-name"


def test_the_same_ids_passed_on_twice_are_enqueued_once() -> None:
    chronicle = chronicle_of()
    first = chronicle.trigger("fib", "fib")
    chronicle.runs.clear()
    again = chronicle.trigger("fib", "fib")
    assert isinstance(first, Decision)
    assert isinstance(again, Decision)
    assert (again.result, again.events) == (first.result, ())


# Visibility ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("job", "internal", "taken"),
    [
        ("public", True, True),
        ("public", False, True),
        ("secret", True, True),
        ("secret", False, False),
        ("undefined", False, True),  # Default is public here
    ],
)
def test_outsiders_trigger_public_jobs_only(job: str, internal: bool, taken: bool) -> None:
    chronicle = chronicle_of(public=FIB, secret=PRIVATE)
    assert isinstance(chronicle.trigger(job, internal=internal), Decision if taken else Forbidden)


def test_one_private_line_refuses_all_of_an_outsiders_batch_and_is_named() -> None:
    chronicle = chronicle_of(public=FIB, secret=PRIVATE)
    refused = chronicle.trigger("public", "secret", "public", internal=False)
    assert isinstance(refused, Forbidden)
    assert [problem.pointer for problem in refused.problems] == ["/1"]
    assert not chronicle.state.queued


def test_an_undefined_name_is_as_private_as_default() -> None:
    chronicle = chronicle_of()
    chronicle.configure({"default": msgspec.structs.replace(DEFAULT, visibility=Visibility.PRIVATE)})
    assert isinstance(chronicle.trigger("undefined", internal=False), Forbidden)


def test_what_was_accepted_as_private_stays_so_when_its_definition_is_gone() -> None:
    public = msgspec.structs.replace(DEFAULT, visibility=Visibility.PUBLIC)
    chronicle = chronicle_of(default=public, secret=PRIVATE)
    chronicle.trigger("secret")
    chronicle.configure({"default": public})
    assert private_to_outsiders(chronicle.state, "secret", internal=False) is not None
    assert isinstance(chronicle.trigger("secret", internal=False), Forbidden)
    assert private_to_outsiders(chronicle.state, "other", internal=False) is None


def test_overrides_that_are_not_allowed_refuse_the_whole_batch() -> None:
    refused = chronicle_of(fib=FIB).trigger("fib", "fib", overrides=Overrides(image="evil"))
    assert isinstance(refused, Invalid)
    assert [problem.pointer for problem in refused.problems] == ["/0/Image", "/1/Image"]


# Idempotency keys ---------------------------------------------------------------------------------------------------


def test_a_key_with_the_same_body_gives_the_first_answer_and_enqueues_nothing() -> None:
    chronicle = chronicle_of()
    chronicle.trigger("fib", "fib", key=key("a"))
    again = chronicle.trigger("fib", "fib", key=key("a"))
    assert isinstance(again, Decision)
    assert again.result == Accepted((run_of(1), run_of(2)), replayed=True)
    assert again.events == ()


def test_a_key_with_another_body_is_refused() -> None:
    chronicle = chronicle_of()
    chronicle.trigger("fib", key=key("a"))
    assert isinstance(chronicle.trigger("fib", key=key("a", "other")), KeyReused)


def test_the_key_is_in_the_record_that_enqueues_and_a_refusal_leaves_none() -> None:
    chronicle = chronicle_of()
    chronicle.trigger("fib", overrides=Overrides(image="evil"), key=key("a"))
    assert kinds(chronicle.trigger("fib", key=key("a", "other"))) == ["RunEnqueued", "RunAdmitted", "KeyUsed"]


def test_a_key_still_answers_after_its_run_was_deleted() -> None:
    chronicle = chronicle_of()
    chronicle.trigger("fib", key=key("a"))
    chronicle.delete("fib", run_of(1))
    again = chronicle.trigger("fib", key=key("a"))
    assert isinstance(again, Decision)
    assert again.result == Accepted((run_of(1),), replayed=True)


@pytest.mark.parametrize(("seconds", "replayed"), [(DAY - 0.001, True), (DAY, False)])
def test_a_key_is_remembered_for_a_day(seconds: float, replayed: bool) -> None:
    chronicle = chronicle_of()
    chronicle.trigger("fib", key=key("a"))
    chronicle.now += int(seconds * 1000)
    again = chronicle.trigger("fib", key=key("a"))
    assert isinstance(again, Decision)
    assert isinstance(again.result, Accepted)
    assert again.result.replayed is replayed


def test_what_is_written_meanwhile_forgets_no_key_too_early() -> None:
    chronicle = chronicle_of()
    chronicle.trigger("fib", key=key("a"))
    chronicle.now += KEY_LIFETIME_MS - 1
    chronicle.trigger("fib")
    again = chronicle.trigger("fib", key=key("a"))
    assert isinstance(again, Decision)
    assert again.result == Accepted((run_of(1),), replayed=True)


def test_keys_above_the_limit_are_refused_and_requests_without_a_key_are_not() -> None:
    chronicle = chronicle_of(Limits(idempotency_keys=2))
    for name in ("a", "b"):
        assert isinstance(chronicle.trigger("fib", key=key(name)), Decision)
    assert chronicle.trigger("fib", key=key("c")) == TooManyKeys(2)
    assert isinstance(chronicle.trigger("fib", key=key("a")), Decision)
    assert isinstance(chronicle.trigger("fib"), Decision)


def test_keys_a_day_old_make_room_even_if_nothing_was_written_since() -> None:
    chronicle = chronicle_of(Limits(idempotency_keys=1))
    chronicle.trigger("fib", key=key("a"))
    chronicle.now += KEY_LIFETIME_MS
    assert isinstance(chronicle.trigger("fib", key=key("b")), Decision)
    assert len(chronicle.state.keys) == 1


def test_a_clock_that_goes_back_brings_no_key_back() -> None:
    chronicle = chronicle_of()
    chronicle.trigger("fib", key=key("a"))
    chronicle.now += KEY_LIFETIME_MS
    chronicle.trigger("fib")
    chronicle.now -= KEY_LIFETIME_MS
    assert kinds(chronicle.trigger("fib", key=key("a", "other")))[-1] == KeyUsed.__name__


# Limits -------------------------------------------------------------------------------------------------------------


def test_no_more_runs_are_queued_than_the_limit_says_and_a_batch_fits_whole_or_not_at_all() -> None:
    chronicle = chronicle_of(Limits(queued_jobs=3))
    chronicle.trigger("fib", "fib")
    chronicle.trigger("fib", "fib")
    refused = chronicle.trigger("fib", "fib")
    assert isinstance(refused, QueueFull)
    assert "3 (SlimFaas__MaxQueuedJobs)" in refused.detail
    assert isinstance(chronicle.trigger("fib"), Decision)
    assert len(chronicle.state.queued) == 3


def test_the_bytes_of_queued_overrides_are_limited_as_they_are_stored() -> None:
    overrides = Overrides(args=("x" * 100,))
    size = len(msgspec.msgpack.encode(overrides))
    chronicle = chronicle_of(Limits(queued_bytes=2 * size))
    chronicle.trigger("fib", "fib")
    for _ in range(2):
        assert isinstance(chronicle.trigger("fib", overrides=overrides), Decision)
    assert isinstance(chronicle.trigger("fib", overrides=overrides), QueueFull)
    assert isinstance(chronicle.trigger("fib"), Decision), "one without overrides takes none"
    chronicle.delete("fib", run_of(3))
    assert isinstance(chronicle.trigger("fib", overrides=overrides), Decision), "what left the queue gives back"


def test_a_definition_may_limit_its_own_queue() -> None:
    chronicle = chronicle_of(fib=msgspec.structs.replace(FIB, max_queued_jobs=1), other=FIB)
    chronicle.trigger("fib")
    chronicle.trigger("fib")
    chronicle.trigger("fib")
    assert isinstance(chronicle.trigger("fib"), QueueFull)
    assert isinstance(chronicle.trigger("other"), Decision)


def test_events_name_the_version_that_accepted() -> None:
    chronicle = chronicle_of()
    chronicle.configure({"fib": msgspec.structs.replace(FIB, number_parallel_job=5)})
    decided = chronicle.trigger("fib")
    assert isinstance(decided, Decision)
    enqueued = decided.events[0]
    assert isinstance(enqueued, RunEnqueued)
    assert enqueued.definition == chronicle.state.current["fib"]
    assert decided.events[1] == RunAdmitted(enqueued.run)
