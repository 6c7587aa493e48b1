"""Whoever judges has to find what may never be: each of the promises, broken in an account that is written by hand."""

from __future__ import annotations

from typing import Any, Final

import pytest

from tests.e2e.recorder import CLUSTER, JOB, RUN, Version, judge, outcomes

OURS: Final = "ours"


def job(revision: int, run: str, uid: str, *, suspend: bool, cluster: str = OURS, **more: Any) -> Version:
    """A version of a Job."""
    metadata = {"uid": uid, "labels": {CLUSTER: cluster, RUN: run, JOB: "fibonacci"}}
    written = {"metadata": metadata, "spec": {"suspend": suspend}, "status": {}, **more}
    return Version(revision, "Job", "MODIFIED", written)


def pod(revision: int, run: str, uid: str, phase: str, change: str = "MODIFIED") -> Version:
    """A version of a pod."""
    metadata = {"uid": uid, "labels": {CLUSTER: OURS, RUN: run, JOB: "fibonacci"}}
    return Version(revision, "Pod", change, {"metadata": metadata, "status": {"phase": phase}})


def judged(*versions: Version, **deleted: int) -> None:
    judge(list(versions), OURS, {"fibonacci": 1}, deleted)


def test_one_job_after_the_other_that_is_never_released_is_well() -> None:
    judged(job(1, "a", "x", suspend=True), job(2, "a", "x", suspend=False), job(3, "a", "y", suspend=True))


def test_two_jobs_of_a_run_that_are_released_are_found() -> None:
    with pytest.raises(AssertionError, match="more than one Job was released"):
        judged(job(1, "a", "x", suspend=False), job(2, "a", "y", suspend=False))


def test_what_runs_on_until_its_deletion_is_done_is_well() -> None:
    judged(job(1, "a", "x", suspend=False), pod(2, "a", "p", "Running"), pod(9, "a", "p", "Running", "DELETED"), a=5)


@pytest.mark.parametrize("late", [job(9, "a", "x", suspend=False), pod(9, "a", "p", "Pending")])
def test_what_begins_after_an_acknowledged_delete_is_found(late: Version) -> None:
    with pytest.raises(AssertionError, match="begun after its deletion"):
        judged(job(1, "a", "x", suspend=True), late, a=5)


def test_one_pod_after_the_other_is_within_the_cap() -> None:
    judged(pod(1, "a", "p", "Running"), pod(2, "a", "p", "Succeeded"), pod(3, "b", "q", "Running"))


def test_one_pod_more_than_the_cap_is_found() -> None:
    with pytest.raises(AssertionError, match="more pods than the cap"):
        judged(pod(1, "a", "p", "Running"), pod(2, "b", "q", "Pending"))


def test_a_job_of_somebody_else_may_change_its_status_and_nothing_else() -> None:
    others = job(1, "a", "x", suspend=True, cluster="others")
    judged(others, job(2, "a", "x", suspend=True, cluster="others", status={"conditions": []}))
    with pytest.raises(AssertionError, match="somebody else was changed"):
        judged(others, job(2, "a", "x", suspend=False, cluster="others"))


def test_a_job_of_somebody_else_that_is_deleted_is_found() -> None:
    others = job(1, "a", "x", suspend=True, cluster="others")
    with pytest.raises(AssertionError, match="somebody else was deleted"):
        judged(others, others._replace(revision=2, change="DELETED"))


def test_outcomes_are_what_conditions_say() -> None:
    ended = {"conditions": [{"type": "Failed", "status": "True"}]}
    assert outcomes([job(1, "a", "x", suspend=False, status=ended)], OURS) == {"a": "Failed"}
