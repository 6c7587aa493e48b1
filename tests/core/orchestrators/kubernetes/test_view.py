"""What is there now, from two watches that know nothing of each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from slimjobs.core.orchestrators.kubernetes.phases import SeenJob, SeenPod
from slimjobs.core.orchestrators.kubernetes.view import View
from slimjobs.core.orchestrators.ports import Changed, ObservedAttempt, ObservedJob, Phase, Vanished
from tests.core.orchestrators.kubernetes.objects import UID, condition, container, ended, job, ms, pod, running

PENDING: Final = pod()
RUNS: Final = pod("Running", container(running(5)))
SUCCEEDED: Final = pod("Succeeded", container(ended(0, 5, 9)))
FAILED: Final = pod("Failed", container(ended(1, 5, 9)))
SECOND: Final = pod("Running", container(running(30)), uid="pod-2", created=29)
COMPLETE: Final = condition("Complete")
OUT: Final = condition("Failed", "BackoffLimitExceeded", "too often")
NOW: Final = ms(100)

FIRST_RUNS: Final = ObservedAttempt(1, ms(5))
FIRST_FAILED: Final = ObservedAttempt(1, ms(5), ms(9), 1, "Error")
FIRST_SUCCEEDED: Final = ObservedAttempt(1, ms(5), ms(9), 0, "Completed")
FIRST_CUT_SHORT: Final = ObservedAttempt(1, ms(5), NOW, None, "PodDeleted")

Told = tuple[Phase, bool, tuple[ObservedAttempt, ...]]


def view_of(jobs: Sequence[SeenJob], pods: Sequence[SeenPod] = ()) -> View:
    view = View()
    relist(view, jobs, pods)
    return view


def relist(view: View, jobs: Sequence[SeenJob], pods: Sequence[SeenPod] = ()) -> dict[str, Told]:
    """What a list tells, by uid."""
    view.jobs_are(jobs)
    view.pods_are(pods, NOW)
    return {told.uid: of(told) for told in view.listed().jobs}


def of(told: ObservedJob) -> Told:
    return told.phase, told.ending, told.attempts


def changed(change: Changed | Vanished | None) -> Told:
    assert isinstance(change, Changed), change
    return of(change.job)


def vanished(change: Changed | Vanished | None) -> Told:
    assert isinstance(change, Vanished), change
    return of(change.job)


# Life -----------------------------------------------------------------------------------------------


def test_a_run_is_told_of_step_by_step_and_only_when_something_is_new() -> None:
    view = view_of([])
    assert changed(view.job_is(job(suspend=True))) == (Phase.SUSPENDED, False, ())
    assert changed(view.job_is(job())) == (Phase.PENDING, False, ())
    assert view.job_is(job(active=1)) is None
    assert view.pod_is(PENDING) is None
    assert changed(view.pod_is(RUNS)) == (Phase.RUNNING, False, (FIRST_RUNS,))
    assert view.job_is(job(active=1, ready=1)) is None
    assert changed(view.pod_is(SUCCEEDED)) == (Phase.SUCCEEDED, False, (FIRST_SUCCEEDED,))
    assert view.job_is(job(condition("SuccessCriteriaMet"), succeeded=1)) is None
    assert view.job_is(job(COMPLETE, succeeded=1)) is None
    assert changed(view.job_is(job(COMPLETE, succeeded=1, ending=True)))[:2] == (Phase.SUCCEEDED, True)
    assert view.pod_is_gone(SUCCEEDED, NOW) is None
    assert vanished(view.job_is_gone(job(COMPLETE, ending=True))) == (Phase.SUCCEEDED, True, (FIRST_SUCCEEDED,))
    assert view.listed().jobs == ()


def test_attempts_follow_each_other_until_the_job_says_that_it_has_failed() -> None:
    view = view_of([job(active=1)], [RUNS])
    assert changed(view.pod_is(FAILED)) == (Phase.PENDING, False, (FIRST_FAILED,))
    assert changed(view.pod_is(SECOND)) == (Phase.RUNNING, False, (FIRST_FAILED, ObservedAttempt(2, ms(30))))
    second_failed = pod("Failed", container(ended(1, 30, 40)), uid="pod-2", created=29)
    both = (FIRST_FAILED, ObservedAttempt(2, ms(30), ms(40), 1, "Error"))
    assert changed(view.pod_is(second_failed)) == (Phase.PENDING, False, both)
    assert view.job_is(job(condition("FailureTarget"), failed=2)) is None
    assert changed(view.job_is(job(OUT, failed=2))) == (Phase.FAILED, False, both)


# Two watches -----------------------------------------------------------------------------------------------


def test_a_pod_that_is_heard_of_before_its_job_waits_for_it() -> None:
    view = view_of([])
    assert view.pod_is(RUNS) is None
    assert changed(view.job_is(job())) == (Phase.RUNNING, False, (FIRST_RUNS,))


def test_the_end_of_a_job_that_is_heard_of_before_the_end_of_its_pod_still_gets_that() -> None:
    view = view_of([job(active=1)], [RUNS])
    assert changed(view.job_is(job(OUT, failed=1))) == (Phase.FAILED, False, (FIRST_RUNS,))
    assert changed(view.pod_is(FAILED)) == (Phase.FAILED, False, (FIRST_FAILED,))


def test_a_verdict_that_was_told_stands() -> None:
    view = view_of([job(active=1)], [RUNS])
    view.job_is(job(OUT, failed=1))
    assert changed(view.pod_is(SUCCEEDED))[0] is Phase.FAILED
    view = view_of([job(active=1)], [RUNS])
    view.pod_is(SUCCEEDED)
    assert view.job_is(job(OUT, failed=1)) is None


def test_a_job_is_gone_when_nothing_runs_of_it_any_more() -> None:
    view = view_of([job(active=1)], [RUNS])
    assert changed(view.job_is_gone(job(active=1))) == (Phase.RUNNING, True, (FIRST_RUNS,))
    assert vanished(view.pod_is(FAILED)) == (Phase.PENDING, True, (FIRST_FAILED,))
    assert view.pod_is_gone(FAILED, NOW) is None


def test_a_pod_that_was_removed_runs_no_more() -> None:
    view = view_of([job(active=1)], [RUNS])
    assert changed(view.pod_is_gone(RUNS, NOW)) == (Phase.PENDING, False, (FIRST_CUT_SHORT,))
    assert vanished(view.job_is_gone(job(terminating=1))) == (Phase.PENDING, True, (FIRST_CUT_SHORT,))


def test_a_job_that_was_deleted_while_it_ran_has_no_verdict_but_what_the_last_of_it_says() -> None:
    view = view_of([job()])
    assert vanished(view.job_is_gone(job(ending=True))) == (Phase.PENDING, True, ())
    view = view_of([job()])
    assert vanished(view.job_is_gone(job(OUT, ending=True))) == (Phase.FAILED, True, ())


def test_another_object_under_the_name_is_another_object() -> None:
    view = view_of([job(active=1)], [RUNS])
    view.job_is_gone(job(active=1))
    assert changed(view.job_is(job(uid="another", suspend=True))) == (Phase.SUSPENDED, False, ())
    assert vanished(view.pod_is_gone(RUNS, NOW))[0] is Phase.PENDING
    assert [told.uid for told in view.listed().jobs] == ["another"]


def test_what_is_over_leaves_no_trace() -> None:
    view = view_of([job()], [RUNS])
    view.job_is_gone(job(active=1))
    view.pod_is(FAILED)
    view.pod_is(FAILED)
    view.pod_is_gone(FAILED, NOW)
    assert (view.live, view.ended) == (0, 0)


def test_of_an_ended_object_only_what_was_told_is_kept() -> None:
    view = view_of([job(COMPLETE, succeeded=1)], [SUCCEEDED])
    assert (view.live, view.ended) == (0, 1)


def test_an_ended_object_of_which_something_still_runs_is_not_gone() -> None:
    view = view_of([job(condition("Failed", "DeadlineExceeded"), terminating=1)], [RUNS])
    assert changed(view.job_is_gone(job(condition("Failed", "DeadlineExceeded"))))[:2] == (Phase.FAILED, True)
    assert vanished(view.pod_is_gone(RUNS, NOW)) == (Phase.FAILED, True, (FIRST_CUT_SHORT,))


# Lists -----------------------------------------------------------------------------------------------


def test_a_list_tells_of_jobs_with_their_pods_whichever_was_listed_first() -> None:
    expected = {UID: (Phase.RUNNING, False, (FIRST_RUNS,))}
    assert relist(View(), [job(active=1)], [RUNS]) == expected
    view = View()
    view.pods_are([RUNS], NOW)
    view.jobs_are([job(active=1)])
    assert {told.uid: of(told) for told in view.listed().jobs} == expected


def test_a_list_tells_of_pods_that_run_though_their_job_is_gone() -> None:
    view = View()
    assert relist(view, [], [RUNS]) == {UID: (Phase.RUNNING, True, (FIRST_RUNS,))}
    assert vanished(view.pod_is_gone(RUNS, NOW)) == (Phase.PENDING, True, (FIRST_CUT_SHORT,))


def test_a_job_that_only_was_too_new_for_its_list_is_put_right() -> None:
    view = View()
    relist(view, [], [RUNS])
    assert changed(view.job_is(job(active=1))) == (Phase.RUNNING, False, (FIRST_RUNS,))
    assert changed(view.pod_is(FAILED)) == (Phase.PENDING, False, (FIRST_FAILED,))


def test_pods_that_are_over_do_not_keep_a_job_that_is_gone() -> None:
    view = View()
    assert relist(view, [], [FAILED]) == {}
    assert (view.live, view.ended) == (0, 0)


def test_a_new_list_keeps_the_numbers_and_forgets_what_is_gone() -> None:
    view = view_of([job(active=1, failed=1)], [FAILED, SECOND])
    second = (Phase.RUNNING, False, (FIRST_FAILED, ObservedAttempt(2, ms(30))))
    assert relist(view, [job(active=1, failed=1)], [SECOND]) == {UID: second}
    assert relist(view, []) == {}
    assert (view.live, view.ended) == (0, 0)


def test_a_pod_that_is_missing_in_a_new_list_was_cut_short() -> None:
    view = view_of([job(active=1)], [RUNS])
    assert relist(view, [job()]) == {UID: (Phase.PENDING, False, (FIRST_CUT_SHORT,))}


def test_a_job_that_went_while_nobody_looked_is_told_of_while_its_pods_run() -> None:
    view = view_of([job(active=1)], [RUNS])
    assert relist(view, [], [RUNS]) == {UID: (Phase.RUNNING, True, (FIRST_RUNS,))}


def test_an_end_is_remembered_through_a_new_list() -> None:
    view = view_of([job(active=1)], [SUCCEEDED])
    again = pod("Succeeded", container(ended(0, 5, 9)), deleted=(9, 30))
    assert relist(view, [job(ending=True)], [again]) == {UID: (Phase.SUCCEEDED, True, (FIRST_SUCCEEDED,))}


def test_pods_that_were_lost_before_anybody_looked_have_their_numbers() -> None:
    view = View()
    assert relist(view, [job(active=1, failed=2)], [SECOND]) == {
        UID: (Phase.RUNNING, False, (ObservedAttempt(3, ms(30)),))
    }
    third = pod("Running", container(running(60)), uid="pod-3", created=59)
    view.pod_is_gone(SECOND, NOW)
    assert changed(view.pod_is(third))[2][-1] == ObservedAttempt(4, ms(60))


def test_what_only_one_of_the_lists_knows_of_shifts_no_number() -> None:
    assert relist(View(), [job(active=1)], [FAILED])[UID][2] == (FIRST_FAILED,)
    uncounted = {"failed": ["pod-1"]}
    assert relist(View(), [job(uncountedTerminatedPods=uncounted)], [FAILED])[UID][2] == (FIRST_FAILED,)
    assert relist(View(), [job(failed=1)], [RUNS])[UID][2] == (FIRST_RUNS,)
    view = View()
    assert relist(view, [job(active=1)])[UID][2] == ()
    assert changed(view.pod_is(RUNS))[2] == (FIRST_RUNS,)
