"""How a Job and its pods look through the port."""

from __future__ import annotations

import msgspec
import pytest

from slimjobs.core.orchestrators.kubernetes.attempts import PodCounts
from slimjobs.core.orchestrators.kubernetes.objects import JobObject
from slimjobs.core.orchestrators.kubernetes.phases import SeenJob, SeenPod, observed, removed, seen_job
from slimjobs.core.orchestrators.ports import ObservedAttempt, ObservedJob, Phase
from tests.core.orchestrators.kubernetes.objects import (
    CLUSTER,
    NAME,
    RUN,
    UID,
    at,
    condition,
    container,
    ended,
    job,
    job_json,
    ms,
    pod,
    running,
    waiting,
)

NO_PULL = waiting("ImagePullBackOff", "no such image: nobody/has:this")
RETRIES = condition("FailureTarget", "BackoffLimitExceeded", "too often")
FAILED = condition("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
LATE = condition("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
UNSCHEDULED = condition("PodScheduled", "Unschedulable", "0/3 nodes are available", status="False")


@pytest.mark.parametrize(
    ("seen", "pods", "phase", "reason", "detail"),
    [
        (job(suspend=True), (), Phase.SUSPENDED, "", ""),
        (job(condition("Suspended", "JobSuspended"), suspend=True), (), Phase.SUSPENDED, "", ""),
        # Suspended by hand while it ran: it was released once, and is not waiting for that.
        (job(suspend=True, failed=1), (), Phase.PENDING, "", ""),
        (job(suspend=True), (pod("Running", container(running())),), Phase.RUNNING, "", ""),
        (job(), (), Phase.PENDING, "", ""),
        (job(active=1), (pod(),), Phase.PENDING, "", ""),
        (job(active=1), (pod(conditions=[UNSCHEDULED]),), Phase.PENDING, "Unschedulable", "0/3 nodes are available"),
        (job(active=1), (pod("Pending", container(waiting("ContainerCreating"))),), Phase.PENDING, "", ""),
        (
            job(active=1),
            (pod("Pending", container(waiting("CreateContainerConfigError", "secret not found"))),),
            Phase.PENDING,
            "CreateContainerConfigError",
            "secret not found",
        ),
        (job(active=1, ready=1), (pod("Running", container(running())),), Phase.RUNNING, "", ""),
        (
            job(active=1, ready=0),
            (pod("Pending", container(NO_PULL)),),
            Phase.WAITING_FOR_IMAGE,
            "ImagePullBackOff",
            "no such image: nobody/has:this",
        ),
        (
            job(active=1),
            (pod("Pending", initContainerStatuses=[container(waiting("ErrImagePull"), name="first")]),),
            Phase.WAITING_FOR_IMAGE,
            "ErrImagePull",
            "ErrImagePull",
        ),
        (
            job(active=1),
            (pod("Pending", container(waiting("InvalidImageName", "bad"))),),
            Phase.WAITING_FOR_IMAGE,
            "InvalidImageName",
            "bad",
        ),
        # The job's own container has ended beside one that runs on.
        (
            job(active=1),
            (pod("Running", container(ended()), container(running(), name="beside")),),
            Phase.RUNNING,
            "",
            "",
        ),
        (
            job(active=1),
            (pod("Running", container(waiting("CrashLoopBackOff", "back-off 10s"), ended(1), 2)),),
            Phase.PENDING,
            "CrashLoopBackOff",
            "back-off 10s",
        ),
        # Between two attempts.
        (job(failed=1), (pod("Failed", container(ended(1))),), Phase.PENDING, "", ""),
        (
            job(failed=1, active=1),
            (pod("Failed", container(ended(1))), pod("Running", container(running(30)), uid="pod-2", created=29)),
            Phase.RUNNING,
            "",
            "",
        ),
        # The pod's success is certain; the Job says so a second later.
        (job(active=1), (pod("Succeeded", container(ended())),), Phase.SUCCEEDED, "", ""),
        (job(condition("Complete"), succeeded=1), (), Phase.SUCCEEDED, "", ""),
        (job(condition("SuccessCriteriaMet")), (), Phase.PENDING, "", ""),
        # A failure is certain when the Job says `Failed`, and not before.
        (job(RETRIES, failed=2), (pod("Failed", container(ended(1))),), Phase.PENDING, "", ""),
        (
            job(RETRIES, FAILED, failed=2),
            (pod("Failed", container(ended(1))),),
            Phase.FAILED,
            "BackoffLimitExceeded",
            "Job has reached the specified backoff limit",
        ),
        (job(condition("Failed", "DeadlineExceeded", status="False")), (), Phase.PENDING, "", ""),
        # What ends with code 0 because it was told to end is no success; at once is soon enough for that.
        (job(), (pod("Succeeded", container(ended(0, until=40)), deleted=(40, 30)),), Phase.PENDING, "", ""),
        (job(), (pod("Succeeded", container(ended(0, until=41)), deleted=(40, 30)),), Phase.PENDING, "", ""),
        (
            job(LATE),
            (pod("Succeeded", container(ended(0, until=41)), deleted=(40, 30)),),
            Phase.FAILED,
            "DeadlineExceeded",
            "Job was active longer than specified deadline",
        ),
        # But what had ended well before it was deleted is one.
        (
            job(ending=True),
            (pod("Succeeded", container(ended(0, until=39)), deleted=(40, 0)),),
            Phase.SUCCEEDED,
            "",
            "",
        ),
    ],
)
def test_a_phase_is_what_job_and_pods_say_together(
    seen: SeenJob, pods: tuple[SeenPod, ...], phase: Phase, reason: str, detail: str
) -> None:
    found = observed(seen, pods, 0)
    assert (found.phase, found.reason, found.detail) == (phase, reason, detail)


def test_an_object_says_whose_it_is_and_whether_it_is_about_to_go() -> None:
    assert observed(job(suspend=True, ending=True), (), 0) == ObservedJob(
        name=NAME, uid=UID, cluster=CLUSTER, run=RUN, phase=Phase.SUSPENDED, ending=True
    )


def test_a_job_that_is_gone_is_known_by_its_pods() -> None:
    found = observed(None, (pod("Running", container(running())),), 0)
    assert found == ObservedJob(
        NAME, UID, CLUSTER, RUN, Phase.RUNNING, ending=True, attempts=(ObservedAttempt(1, ms(2)),)
    )


@pytest.mark.parametrize("labels", [{}, {"slimfaas-cluster": "c1"}, {"slimfaas-job-element-id": "no id"}])
def test_what_says_of_no_run_that_it_is_its_own_is_nobodys(labels: dict[str, str]) -> None:
    written = dict(job_json())
    written["metadata"] = {"name": NAME, "uid": UID, "creationTimestamp": at(0), "labels": labels}
    assert seen_job(msgspec.convert(written, JobObject)) is None


# Attempts -----------------------------------------------------------------------------------------------

CRASHES = "OnFailure"


@pytest.mark.parametrize(
    ("pods", "attempts"),
    [
        ((pod(),), ()),
        ((pod("Pending", container(NO_PULL)),), ()),
        ((pod("Running", container(running(5))),), (ObservedAttempt(1, ms(5)),)),
        (
            (pod("Succeeded", container(ended(0, 5, 9))),),
            (ObservedAttempt(1, ms(5), ms(9), 0, "Completed"),),
        ),
        (
            (pod("Failed", container(ended(137, 5, 9, "OOMKilled"))),),
            (ObservedAttempt(1, ms(5), ms(9), 137, "OOMKilled"),),
        ),
        # Why the pod was ended says more than how its container took it.
        (
            (pod("Failed", container(ended(137, 5, 9)), reason="Evicted"),),
            (ObservedAttempt(1, ms(5), ms(9), 137, "Evicted"),),
        ),
        (
            (
                pod(
                    "Failed",
                    container(ended(143, 5, 9)),
                    conditions=[condition("DisruptionTarget", "PreemptionByScheduler")],
                ),
            ),
            (ObservedAttempt(1, ms(5), ms(9), 143, "PreemptionByScheduler"),),
        ),
        # Its node is lost: nobody can tell how it ended.
        (
            (pod("Failed", container(running(5)), conditions=[condition("DisruptionTarget", "DeletionByPodGC")]),),
            (ObservedAttempt(1, ms(5), ms(50), None, "DeletionByPodGC"),),
        ),
        # Turned away before anything ran: it counts as an attempt for the Job, too.
        (
            (pod("Failed", reason="OutOfcpu", startTime=at(3)),),
            (ObservedAttempt(1, ms(3), ms(3), None, "OutOfcpu"),),
        ),
        # A container beside the job's own failed.
        (
            (pod("Failed", container(ended(0, 5, 9)), container(ended(7, 4, 8), name="beside")),),
            (ObservedAttempt(1, ms(5), ms(8), 7, "Error"),),
        ),
        ((pod("Running", container(ended(0, 5, 9)), container(running(), name="a")),), (ObservedAttempt(1, ms(5)),)),
        # One pod after another; in whatever order they are heard of.
        (
            (
                pod("Running", container(running(30)), uid="pod-2", created=29),
                pod("Failed", container(ended(1, 5, 9)), uid="pod-1", created=4),
            ),
            (ObservedAttempt(1, ms(5), ms(9), 1, "Error"), ObservedAttempt(2, ms(30))),
        ),
        # Every restart of a container is an attempt, of which the latest two are known.
        (
            (pod("Running", container(waiting("CrashLoopBackOff"), ended(1, 5, 9), 0), restart_policy=CRASHES),),
            (ObservedAttempt(1, ms(5), ms(9), 1, "Error"),),
        ),
        (
            (pod("Running", container(running(20), ended(1, 5, 9), 3), restart_policy=CRASHES),),
            (ObservedAttempt(3, ms(5), ms(9), 1, "Error"), ObservedAttempt(4, ms(20))),
        ),
        (
            (pod("Running", container(ended(2, 20, 21), ended(1, 5, 9), 3), restart_policy=CRASHES),),
            (ObservedAttempt(3, ms(5), ms(9), 1, "Error"), ObservedAttempt(4, ms(20), ms(21), 2, "Error")),
        ),
        (
            (
                pod("Failed", container(ended(2, 20, 21), ended(1, 5, 9), 3), restart_policy=CRASHES, reason="Evicted"),
                pod("Running", container(running(40)), uid="pod-2", created=39),
            ),
            (
                ObservedAttempt(3, ms(5), ms(9), 1, "Error"),
                ObservedAttempt(4, ms(20), ms(21), 2, "Evicted"),
                ObservedAttempt(5, ms(40)),
            ),
        ),
        # A pod that never began has its number all the same.
        (
            (removed(pod(), ms(10)), pod("Running", container(running(40)), uid="pod-2", created=39)),
            (ObservedAttempt(2, ms(40)),),
        ),
        (
            (removed(pod("Running", container(running(5))), ms(10)),),
            (ObservedAttempt(1, ms(5), ms(10), None, "PodDeleted"),),
        ),
    ],
)
def test_attempts_are_what_the_pods_tell(pods: tuple[SeenPod, ...], attempts: tuple[ObservedAttempt, ...]) -> None:
    assert observed(job(), pods, 0).attempts == attempts


def test_attempts_are_numbered_behind_the_pods_that_are_lost() -> None:
    assert observed(job(), (pod("Running", container(running())),), 3).attempts == (ObservedAttempt(4, ms(2)),)


def test_only_the_latest_attempts_are_told() -> None:
    pods = [pod("Failed", container(ended(1)), uid=f"pod-{number}", created=number) for number in range(1, 16)]
    assert [attempt.number for attempt in observed(job(), pods, 0).attempts] == list(range(6, 16))


@pytest.mark.parametrize(
    ("seen", "counts"),
    [
        (job(), PodCounts(0, 0)),
        (job(active=1), PodCounts(1, 0)),
        (job(failed=2, active=1), PodCounts(3, 2)),
        (job(failed=2, terminating=1), PodCounts(3, 2)),
        (job(failed=1, uncountedTerminatedPods={"failed": ["pod-2"]}), PodCounts(2, 2)),
        (job(succeeded=1, failed=1), PodCounts(2, 2)),
        (job(uncountedTerminatedPods={"succeeded": ["pod-1"]}), PodCounts(1, 1)),
        # A Job that is about to fail counts the pods that it ends as failed before they have ended.
        (job(RETRIES, terminating=1, uncountedTerminatedPods={"failed": ["pod-1"]}), PodCounts(1, 1)),
        (job(RETRIES, failed=1, terminating=1), PodCounts(1, 1)),
    ],
)
def test_a_job_counts_its_pods(seen: SeenJob, counts: PodCounts) -> None:
    assert seen.pods == counts


@pytest.mark.parametrize(
    ("counts", "seen", "over", "lost"),
    [
        (PodCounts(0, 0), 0, 0, 0),
        (PodCounts(1, 0), 1, 0, 0),
        (PodCounts(2, 1), 2, 1, 0),
        # The first of two is gone.
        (PodCounts(2, 1), 1, 0, 1),
        (PodCounts(3, 3), 1, 1, 2),
        (PodCounts(2, 2), 0, 0, 2),
        # The Job was looked at later: it knows of a pod that was not seen yet, or of an end.
        (PodCounts(1, 0), 0, 0, 0),
        (PodCounts(2, 1), 1, 1, 0),
        (PodCounts(1, 1), 1, 0, 0),
        # The Job was looked at earlier: it knows less.
        (PodCounts(0, 0), 1, 0, 0),
        (PodCounts(1, 0), 1, 1, 0),
        (PodCounts(1, 1), 2, 1, 0),
    ],
)
def test_only_pods_that_are_surely_gone_are_lost(counts: PodCounts, seen: int, over: int, lost: int) -> None:
    assert counts.lost(seen, over) == lost
