"""The state table of an object: pure, no process anywhere."""

from __future__ import annotations

import msgspec
import pytest

from slimjobs.core.orchestrators.ports import Phase
from slimjobs.core.orchestrators.process.states import (
    KEPT_ATTEMPTS,
    NODE_LOST,
    PHASES,
    STAGES,
    Exit,
    Program,
    RunObject,
    Stage,
    attempt_begun,
    attempt_ended,
    backoff,
    deadline_exceeded,
    deleted,
    expiring,
    observed,
    released,
)
from slimjobs.eventlog.events.runs import RunId

FAILED = Exit(1, "Error")
DONE = Exit(0, "Completed")


def suspended(backoff_limit: int = 1, deadline_seconds: int | None = None) -> RunObject:
    program = Program(("true",), backoff_limit=backoff_limit, active_deadline_seconds=deadline_seconds)
    return RunObject("name", "uid", "cluster", RunId(bytes(10)), "", program)


def running(backoff_limit: int = 1, deadline_seconds: int | None = None) -> RunObject:
    return attempt_begun(released(suspended(backoff_limit, deadline_seconds), 1000), 1000)


def test_every_stage_has_successors_and_a_phase() -> None:
    assert set(STAGES) == set(PHASES) == set(Stage)


def test_only_the_final_stages_lead_nowhere() -> None:
    assert {stage for stage, after in STAGES.items() if not after} == {Stage.SUCCEEDED, Stage.FAILED}


def test_a_second_release_changes_nothing() -> None:
    once = released(suspended(), 1000)
    assert released(once, 2000) == once


def test_an_ending_object_is_not_released_and_begins_no_attempt() -> None:
    ending = deleted(suspended())
    assert released(ending, 1000) == ending
    pending = deleted(released(suspended(), 1000))
    assert attempt_begun(pending, 1000) == pending


def test_success_ends_the_object() -> None:
    ended = attempt_ended(running(), DONE, 2000, 10)
    assert (ended.stage, ended.ended_at_ms) == (Stage.SUCCEEDED, 2000)


def test_a_failure_is_retried_after_the_backoff_and_looks_pending_meanwhile() -> None:
    waiting = attempt_ended(running(backoff_limit=1), FAILED, 2000, 10)
    assert (waiting.stage, waiting.next_attempt_at_ms) == (Stage.BACKING_OFF, 12000)
    assert observed(waiting).phase is Phase.PENDING
    assert observed(waiting).reason == "BackOff"


def test_the_failure_above_the_limit_ends_the_object() -> None:
    again = attempt_begun(attempt_ended(running(backoff_limit=1), FAILED, 2000, 10), 12000)
    ended = attempt_ended(again, NODE_LOST, 13000, 10)
    assert (ended.stage, ended.reason) == (Stage.FAILED, "BackoffLimitExceeded")
    assert ended.detail == "2 attempts failed, the last: NodeLost"
    assert [attempt.number for attempt in ended.attempts] == [1, 2]


@pytest.mark.parametrize(("failures", "seconds"), [(1, 10), (2, 20), (3, 40), (6, 320), (7, 600), (100, 600)])
def test_the_backoff_doubles_from_ten_seconds_to_ten_minutes(failures: int, seconds: int) -> None:
    assert backoff(failures, 10) == seconds


def test_the_deadline_counts_from_the_release_and_beats_a_late_success() -> None:
    late = running(deadline_seconds=5)
    assert late.deadline_ms == 6000
    ended = deadline_exceeded(late, 6000, 0)
    assert (ended.stage, ended.reason, ended.attempts[0].reason) == (
        Stage.FAILED,
        "DeadlineExceeded",
        "DeadlineExceeded",
    )


def test_an_object_deleted_while_it_runs_gets_no_verdict_but_success() -> None:
    killed = attempt_ended(deleted(running()), Exit(143, "Error"), 2000, 10)
    assert (killed.stage, killed.attempts[0].exit_code) == (Stage.RUNNING, 143)
    assert attempt_ended(deleted(running()), DONE, 2000, 10).stage is Stage.SUCCEEDED


def test_the_time_to_live_is_inert_until_the_end() -> None:
    alive = expiring(running(), 60)
    assert alive.collected_at_ms is None
    assert attempt_ended(alive, DONE, 2000, 10).collected_at_ms == 62000


def test_only_the_latest_attempts_are_remembered_and_numbers_never_repeat() -> None:
    run = running(backoff_limit=100)
    for _ in range(20):
        run = attempt_begun(attempt_ended(run, FAILED, 2000, 10), 3000)
    assert len(run.attempts) == KEPT_ATTEMPTS
    assert run.last_attempt == 21


def test_an_object_survives_its_encoding() -> None:
    run = attempt_ended(running(), FAILED, 2000, 10)
    assert msgspec.json.decode(msgspec.json.encode(run), type=RunObject) == run
