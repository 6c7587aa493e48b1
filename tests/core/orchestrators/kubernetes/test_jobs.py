"""What the API server is asked for an effect, for an observer and for a reader, and what follows from its answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from slimjobs.core.orchestrators.kubernetes.jobs import KubernetesJobs
from slimjobs.core.orchestrators.ports import (
    Accepted,
    Changed,
    Create,
    Created,
    Delete,
    Effect,
    Expire,
    GiveUp,
    Job,
    Listed,
    Missing,
    Observation,
    ObservedJob,
    OutputMissing,
    OutputUnavailable,
    Phase,
    Rejected,
    Release,
    Unavailable,
    Unobserved,
    Vanished,
)
from slimjobs.eventlog.events.definitions import Definition
from tests.core.orchestrators.kubernetes.objects import (
    CLUSTER,
    NAME,
    RUN,
    UID,
    container,
    ended,
    job_json,
    pod_json,
    running,
)
from tests.core.orchestrators.kubernetes.small_api import JOBS, PODS, SECONDS, Said, SmallApi, jobs_of, listing, refused

MERGE = "application/merge-patch+json"
ASKED = Job(NAME, CLUSTER, RUN, "fibonacci", "", Definition(image="a"))
RELEASE, EXPIRE = Release(RUN, NAME, UID), Expire(RUN, NAME, UID, 60)
DELETE, GIVE_UP = Delete(RUN, NAME, UID), GiveUp(RUN, NAME, UID)
OPTIONS = {
    "apiVersion": "v1",
    "kind": "DeleteOptions",
    "propagationPolicy": "Foreground",
    "preconditions": {"uid": UID},
}


@pytest.fixture
def api() -> SmallApi:
    return SmallApi()


@pytest.fixture
async def jobs(api: SmallApi, tmp_path: Path, no_proxy: None) -> AsyncIterator[KubernetesJobs]:
    async with jobs_of(api, tmp_path) as opened:
        with trio.fail_after(SECONDS):
            yield opened


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def patch(**spec: object) -> tuple[str, str, Any]:
    return "PATCH", MERGE, {"metadata": {"uid": UID}, "spec": spec}


# Effects --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effect", "request_"),
    [
        (RELEASE, patch(suspend=False)),
        (EXPIRE, patch(ttlSecondsAfterFinished=60)),
        (Expire(RUN, NAME, UID, 1 << 40), patch(ttlSecondsAfterFinished=(1 << 31) - 1)),
        (GIVE_UP, patch(activeDeadlineSeconds=1)),
        (DELETE, ("DELETE", "application/json", OPTIONS)),
    ],
)
async def test_an_effect_is_one_request_for_the_object_of_its_uid(
    api: SmallApi, jobs: KubernetesJobs, effect: Effect, request_: tuple[str, str, Any]
) -> None:
    method, content_type, body = request_
    api.answers[method, f"{JOBS}/{NAME}"] = Said(200, job_json())
    assert await jobs.carry_out(effect) == Accepted()
    (asked,) = api.asked
    assert (asked.method, asked.path, asked.content_type, asked.body) == (method, f"{JOBS}/{NAME}", content_type, body)


async def test_a_creation_is_one_request(api: SmallApi, jobs: KubernetesJobs) -> None:
    api.answers["POST", JOBS] = Said(201, job_json(suspend=True))
    created = await jobs.carry_out(Create(ASKED))
    assert created == Created(ObservedJob(NAME, UID, CLUSTER, RUN, Phase.SUSPENDED))
    (asked,) = api.asked
    assert (asked.method, asked.path, asked.body["metadata"]["name"]) == ("POST", JOBS, NAME)


async def test_a_pod_template_that_is_none_is_not_even_sent(api: SmallApi, jobs: KubernetesJobs) -> None:
    asked = msgspec.structs.replace(ASKED, definition=Definition(pod_template=b"[]"))
    assert isinstance(await jobs.carry_out(Create(asked)), Rejected)
    assert api.asked == []


@pytest.mark.parametrize(
    ("effect", "outcome"),
    [
        (RELEASE, Unavailable(f"{NAME} is gone, but its pods run on")),
        (GIVE_UP, Unavailable(f"{NAME} is gone, but its pods run on")),
        (DELETE, Accepted()),
        # Its run has ended: nobody waits for its pods.
        (EXPIRE, Missing()),
    ],
)
async def test_an_object_is_missing_only_when_nothing_runs_of_it(
    api: SmallApi, jobs: KubernetesJobs, effect: Effect, outcome: object
) -> None:
    method = "DELETE" if effect is DELETE else "PATCH"
    api.answers[method, f"{JOBS}/{NAME}"] = refused(404, "NotFound", "not found", NAME)
    api.answers["GET", PODS] = listing(pod_json("Running", container(running())))
    assert await jobs.carry_out(effect) == outcome
    api.answers["GET", PODS] = listing(pod_json("Failed", container(ended(1))))
    assert await jobs.carry_out(effect) == Missing()
    asked = [asked.query for asked in api.asked if asked.path == PODS]
    assert all(query == {"labelSelector": f"batch.kubernetes.io/controller-uid={UID}"} for query in asked)


async def test_whether_an_object_is_missing_is_not_known_without_its_pods(api: SmallApi, jobs: KubernetesJobs) -> None:
    api.answers["PATCH", f"{JOBS}/{NAME}"] = refused(404, "NotFound", "not found", NAME)
    api.answers["GET", PODS] = refused(403, "Forbidden", "pods is forbidden")
    assert await jobs.carry_out(RELEASE) == Unavailable("pods is forbidden")


# Observations ---------------------------------------------------------------------------------------------------------


def phases(observation: Observation) -> list[tuple[str, Phase]]:
    match observation:
        case Listed(jobs):
            return [(job.uid, job.phase) for job in jobs]
        case Changed(job) | Vanished(job):
            return [(job.uid, job.phase)]
    raise AssertionError(observation)


async def test_nothing_is_listed_before_it_was_taken_that_nothing_is_seen(api: SmallApi, jobs: KubernetesJobs) -> None:
    seen = jobs.observe()
    assert await anext(seen) == Unobserved("")
    assert api.asked == []
    api.answers["GET", JOBS] = listing(job_json(active=1))
    api.answers["GET", PODS] = listing(pod_json("Running", container(running())))
    assert phases(await anext(seen)) == [(UID, Phase.RUNNING)]
    first = [asked.query for asked in api.asked if "watch" not in asked.query]
    assert [query["labelSelector"] for query in first] == ["slimfaas-cluster"] * 2


async def test_changes_of_both_are_told_as_changes_of_the_object(api: SmallApi, jobs: KubernetesJobs) -> None:
    seen = jobs.observe()
    assert await anext(seen) == Unobserved("")
    assert await anext(seen) == Listed(())
    await api.tell(JOBS, "ADDED", job_json(suspend=True))
    assert phases(await anext(seen)) == [(UID, Phase.SUSPENDED)]
    await api.tell(JOBS, "MODIFIED", job_json())
    assert phases(await anext(seen)) == [(UID, Phase.PENDING)]
    await api.tell(PODS, "ADDED", pod_json("Succeeded", container(ended())))
    assert phases(await anext(seen)) == [(UID, Phase.SUCCEEDED)]
    await api.tell(JOBS, "DELETED", job_json())
    assert isinstance(await anext(seen), Vanished)


@pytest.mark.parametrize("lost", [JOBS, PODS])
async def test_when_one_watch_is_lost_both_are_begun_anew(api: SmallApi, jobs: KubernetesJobs, lost: str) -> None:
    seen = jobs.observe()
    assert await anext(seen) == Unobserved("")
    assert await anext(seen) == Listed(())
    api.answers["GET", JOBS] = listing(job_json())
    await api.forget(lost, "too old resource version")
    assert await anext(seen) == Unobserved("too old resource version")
    assert (api.lists(JOBS), api.lists(PODS)) == (1, 1)
    assert phases(await anext(seen)) == [(UID, Phase.PENDING)]
    assert (api.lists(JOBS), api.lists(PODS)) == (2, 2)


async def test_a_list_that_is_refused_is_asked_for_again_and_says_why(api: SmallApi, jobs: KubernetesJobs) -> None:
    api.answers["GET", PODS] = refused(403, "Forbidden", "pods is forbidden: no access")
    seen = jobs.observe()
    assert await anext(seen) == Unobserved("")
    for _ in range(2):
        assert await anext(seen) == Unobserved("pods is forbidden: no access")
    api.answers["GET", PODS] = listing()
    assert await anext(seen) == Listed(())


async def test_whoever_stops_looking_misses_nothing_when_they_look_again(api: SmallApi, jobs: KubernetesJobs) -> None:
    seen = jobs.observe()
    assert await anext(seen) == Unobserved("")
    assert await anext(seen) == Listed(())
    with trio.move_on_after(0.01) as scope:
        await anext(seen)
    assert scope.cancelled_caught
    await api.tell(JOBS, "ADDED", job_json())
    assert phases(await anext(seen)) == [(UID, Phase.PENDING)]


# Output ---------------------------------------------------------------------------------------------------------------


async def output(jobs: KubernetesJobs) -> bytes:
    return b"".join([piece async for piece in jobs.output(NAME, UID, None, None, follow=False)])


async def test_an_output_is_its_pods_log(api: SmallApi, jobs: KubernetesJobs) -> None:
    api.answers["GET", f"{JOBS}/{NAME}"] = Said(200, job_json(failed=1))
    api.answers["GET", PODS] = listing(pod_json("Failed", container(ended(1))))
    api.answers["GET", f"{PODS}/pod-1/log"] = Said(200, b"as it is\xff\n")
    assert await output(jobs) == b"as it is\xff\n"
    assert api.asked[-1].query == {"container": "main"}


@pytest.mark.parametrize(
    ("said", "kind", "why"),
    [
        (refused(404, "NotFound", 'pods "pod-1" not found'), OutputMissing, 'pods "pod-1" not found'),
        (refused(400, "BadRequest", "is waiting to start"), OutputMissing, "is waiting to start"),
        (refused(403, "Forbidden", "pods/log is forbidden"), OutputUnavailable, "pods/log is forbidden"),
        (Said(502, b"bad gateway"), OutputUnavailable, "the API server answered with status 502"),
    ],
)
async def test_a_log_that_is_not_to_be_had_says_why(
    api: SmallApi, jobs: KubernetesJobs, said: Said, kind: type[OutputMissing], why: str
) -> None:
    api.answers["GET", f"{JOBS}/{NAME}"] = Said(200, job_json(failed=1))
    api.answers["GET", PODS] = listing(pod_json("Failed", container(ended(1))))
    api.answers["GET", f"{PODS}/pod-1/log"] = said
    with pytest.raises(OutputMissing, match=why) as raised:
        await output(jobs)
    assert type(raised.value) is kind


async def test_the_output_of_another_object_of_the_name_is_not_given(api: SmallApi, jobs: KubernetesJobs) -> None:
    api.answers["GET", f"{JOBS}/{NAME}"] = Said(200, job_json(uid="another"))
    with pytest.raises(OutputMissing, match=f"{NAME} is gone, and its output with it"):
        await output(jobs)
    del api.answers["GET", f"{JOBS}/{NAME}"]
    with pytest.raises(OutputMissing, match=f"{NAME} is gone, and its output with it"):
        await output(jobs)
