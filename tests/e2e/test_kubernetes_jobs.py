"""Jobs of a real control plane through the port: every effect, every phase, and the bad luck between them."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import trio

from slimjobs.core.orchestrators.ports import (
    Accepted,
    AlreadyExists,
    Create,
    Delete,
    Expire,
    GiveUp,
    Listed,
    Missing,
    OutputMissing,
    OutputUnavailable,
    Phase,
    Rejected,
    Release,
    Unavailable,
    Unobserved,
)
from slimjobs.eventlog.events.definitions import Definition, EnvironmentVariable, RestartPolicy
from slimjobs.eventlog.events.runs import run_id_text
from tests.cluster.control_plane import ControlPlane
from tests.deploy.nodes import until
from tests.e2e.kubernetes_jobs import World, shell, told, world_of

NO_UID: Final = "00000000-0000-0000-0000-000000000000"
BACKGROUND: Final = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
FOREGROUND: Final = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Foreground"}


@pytest.fixture
async def world(plane: ControlPlane, tmp_path: Path) -> AsyncIterator[World]:
    async with world_of(plane, tmp_path) as running:
        yield running


# A life ---------------------------------------------------------------------------------------------------------------


async def test_a_job_is_created_suspended_released_and_collected_when_its_end_is_known(world: World) -> None:
    job = await world.create(shell("echo done"))
    assert job.phase is Phase.SUSPENDED
    await world.phase(job, Phase.SUSPENDED)
    assert "ttlSecondsAfterFinished" not in (await world.object(job))["spec"]
    assert await world.pods(job) == []
    for _ in range(2):
        assert await world.jobs.carry_out(Release(job.run, job.name, job.uid)) == Accepted()
    ended = await world.phase(job, Phase.SUCCEEDED)
    (attempt,) = ended.attempts
    assert (attempt.number, attempt.exit_code, attempt.reason) == (1, 0, "Completed")
    assert await world.output(job) == b"done\n"
    for _ in range(2):
        assert await world.jobs.carry_out(Expire(job.run, job.name, job.uid, 1)) == Accepted()
    gone = await world.vanishes(job)
    assert (gone.phase, gone.attempts) == (Phase.SUCCEEDED, ended.attempts)
    with pytest.raises(OutputMissing, match=f"{job.name} is gone, and its output with it"):
        await world.output(job)


async def test_a_run_takes_three_writes_and_nobody_polls(world: World) -> None:
    before = world.requests
    job = await world.start(shell("true"))
    await world.phase(job, Phase.SUCCEEDED)
    await world.jobs.carry_out(Expire(job.run, job.name, job.uid, 0))
    await world.vanishes(job)
    assert world.requests - before == {("create", "jobs"): 1, ("patch", "jobs"): 2}


async def test_success_is_told_before_the_job_says_so(world: World) -> None:
    job = await world.start(shell("true"))
    await world.phase(job, Phase.SUCCEEDED)
    conditions = (await world.object(job))["status"].get("conditions", ())
    assert "Complete" not in {condition["type"] for condition in conditions}


async def test_a_name_is_taken_once_by_whomever(world: World) -> None:
    asked = world.job(shell("true"))
    first = await world.jobs.carry_out(Create(asked))
    again = await world.jobs.carry_out(Create(asked))
    assert isinstance(again, AlreadyExists)
    assert told_uid(again) == told_uid(first)

    foreign = world.job(shell("true"))
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "a", "image": "a"}]}}
    spec = {"suspend": True, "template": template}
    await world.admin("POST", world.path, {"metadata": {"name": foreign.name}, "spec": spec})
    assert await world.jobs.carry_out(Create(foreign)) == Unavailable(f"{foreign.name} is taken by another object")


async def test_a_name_is_taken_until_what_has_it_is_gone(world: World) -> None:
    asked = world.job(shell("true"))
    job = told_job(await world.jobs.carry_out(Create(asked)))
    await hold(world, f"{world.path}/{job.name}")
    assert await world.jobs.carry_out(Delete(job.run, job.name, job.uid)) == Accepted()
    taken = await world.jobs.carry_out(Create(asked))
    assert isinstance(taken, AlreadyExists)
    assert (taken.job.uid, taken.job.ending) == (job.uid, True)
    await let_go(world, f"{world.path}/{job.name}")
    await world.vanishes(job)
    assert told_uid(await world.jobs.carry_out(Create(asked))) != job.uid


async def test_a_container_gets_what_its_definition_says_and_who_it_is(world: World) -> None:
    await world.admin("POST", "secrets", {"metadata": {"name": "s"}, "stringData": {"k": "hidden"}})
    reference = msgspec.json.encode({"secretKeyRef": {"name": "s", "key": "k"}})
    variables = (EnvironmentVariable("A", "1"), EnvironmentVariable("SECRET", value_from=reference))
    template = {"spec": {"terminationGracePeriodSeconds": 1, "containers": [{"name": "own", "image": "other"}]}}
    definition = shell(
        'echo "$0 $A $SECRET $SLIMFAAS_JOB_ID $SLIMFAAS_JOB_PATH"',
        args=("arg",),
        environments=variables,
        pod_template=msgspec.json.encode(template),
    )
    job = await world.start(definition)
    await world.phase(job, Phase.SUCCEEDED)
    assert await world.output(job) == f"arg 1 hidden {run_id_text(job.run)} a/path\n".encode()
    (pod,) = await world.pods(job)
    (container,) = pod["spec"]["containers"]
    assert (container["name"], container["image"]) == ("own", "none")
    assert container["securityContext"] == {"allowPrivilegeEscalation": False}


async def test_what_can_never_be_is_refused_for_good_in_the_api_servers_words(world: World) -> None:
    no_image = await world.jobs.carry_out(Create(world.job(Definition())))
    assert isinstance(no_image, Rejected)
    assert "spec.template.spec.containers[0].image: Required value" in no_image.detail
    no_template = await world.jobs.carry_out(Create(world.job(Definition(pod_template=b'{"spec": 1}'))))
    assert no_template == Rejected("PodTemplate.spec: Expected `object`, got `int`")
    unreadable = Definition(image="a", pod_template=b'{"spec": {"hostNetwork": "no"}}')
    assert isinstance(await world.jobs.carry_out(Create(world.job(unreadable))), Rejected)


# Uids -----------------------------------------------------------------------------------------------------------------


async def test_only_the_object_of_the_uid_is_ever_touched(world: World) -> None:
    job = await world.create(shell("true"))
    for name, uid in ((job.name, NO_UID), ("nothing-of-this-name", job.uid)):
        for effect in (
            Release(job.run, name, uid),
            Expire(job.run, name, uid, 1),
            GiveUp(job.run, name, uid),
            Delete(job.run, name, uid),
        ):
            assert await world.jobs.carry_out(effect) == Missing(), effect
    spec = (await world.object(job))["spec"]
    assert spec["suspend"] is True
    assert spec.keys().isdisjoint({"ttlSecondsAfterFinished", "activeDeadlineSeconds"})


async def test_a_release_that_comes_after_the_deletion_starts_nothing(world: World) -> None:
    job = await world.create(shell("true"))
    await hold(world, f"{world.path}/{job.name}")
    assert await world.jobs.carry_out(Delete(job.run, job.name, job.uid)) == Accepted()
    assert await world.jobs.carry_out(Release(job.run, job.name, job.uid)) == Accepted()
    await let_go(world, f"{world.path}/{job.name}")
    gone = await world.vanishes(job)
    assert (gone.phase in (Phase.SUSPENDED, Phase.PENDING), gone.attempts) == (True, ())
    assert await world.jobs.carry_out(Release(job.run, job.name, job.uid)) == Missing()
    assert await world.pods(job) == []


# Ends -----------------------------------------------------------------------------------------------------------------


async def test_attempts_have_numbers_and_the_job_fails_when_they_are_used_up(world: World) -> None:
    job = await world.start(shell("echo $HOSTNAME; exit 3", backoff_limit=1))
    failed = await world.phase(job, Phase.FAILED)
    assert failed.reason == "BackoffLimitExceeded"
    ends = [(attempt.number, attempt.exit_code, attempt.reason) for attempt in failed.attempts]
    assert ends == [(1, 3, "Error"), (2, 3, "Error")]
    first, second = sorted(await world.pods(job), key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    assert await world.output(job, 1) == f"{first['metadata']['name']}\n".encode()
    assert await world.output(job, 2) == await world.output(job) == f"{second['metadata']['name']}\n".encode()
    with pytest.raises(OutputMissing, match=r"the output of attempt 3 .*: there is 1, 2"):
        await world.output(job, 3)


async def test_a_number_is_kept_when_an_earlier_pod_is_lost_and_by_whoever_looks_later(world: World) -> None:
    job = await world.start(shell("exit 3", backoff_limit=1))
    await world.sees(lambda seen: any(attempt.exit_code == 3 for each in told(seen) for attempt in each.attempts))
    (pod,) = await world.pods(job)
    assert (await world.admin("DELETE", f"pods/{pod['metadata']['name']}")).status == 200
    failed = await world.phase(job, Phase.FAILED)
    assert [attempt.number for attempt in failed.attempts] == [1, 2]
    (later,) = (each for each in (await look(world)).jobs if each.uid == job.uid)
    assert later.attempts == failed.attempts[1:]
    assert await world.output(job, 2) == b""
    with pytest.raises(OutputMissing, match=r"the output of attempt 1 .*: there is 2"):
        await world.output(job, 1)


async def test_an_evicted_pod_is_an_attempt_that_ended_for_that_reason(world: World) -> None:
    job = await world.start(shell("sleep 60", backoff_limit=1))
    await world.phase(job, Phase.RUNNING)
    (pod,) = await world.pods(job)
    name = pod["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    assert (await world.admin("POST", f"pods/{name}/eviction", eviction)).status == 201
    again = await world.sees(lambda seen: any(len(each.attempts) == 2 for each in told(seen)))
    first, second = told(again)[0].attempts
    assert (first.number, first.exit_code, first.reason) == (1, 137, "EvictionByEvictionAPI")
    assert (second.number, second.ended_at_ms) == (2, None)


async def test_a_deadline_ends_a_run(world: World) -> None:
    job = await world.start(shell("trap 'exit 0' TERM; sleep 60 & wait", active_deadline_seconds=1))
    failed = await world.phase(job, Phase.FAILED)
    assert failed.reason == "DeadlineExceeded"
    assert all(Phase.SUCCEEDED is not each.phase for seen in world.seen for each in told(seen) if each.uid == job.uid)


async def test_an_image_that_nobody_has_is_given_up(world: World) -> None:
    job = await world.start(Definition(image="nobody/has:this"))
    waiting = await world.phase(job, Phase.WAITING_FOR_IMAGE)
    assert (waiting.reason, waiting.detail) == ("ImagePullBackOff", "no such image: nobody/has:this")
    with pytest.raises(OutputMissing, match=f"no attempt of {job.name} has started yet"):
        await world.output(job)
    assert await world.jobs.carry_out(GiveUp(job.run, job.name, job.uid)) == Accepted()
    failed = await world.phase(job, Phase.FAILED)
    assert (failed.reason, failed.attempts) == ("DeadlineExceeded", ())
    assert await world.pods(job) == []


async def test_a_container_that_crashes_is_begun_again_in_its_pod_as_another_attempt(world: World) -> None:
    script = "echo $SLIMFAAS_JOB_ID; test -e $0 && exec sleep 60; touch $0; exit 3"
    mark = str(world.directory / "was-here")
    job = await world.start(shell(script, args=(mark,), backoff_limit=2, restart_policy=RestartPolicy.ON_FAILURE))
    again = await world.sees(lambda seen: any(len(each.attempts) == 2 for each in told(seen)))
    first, second = told(again)[0].attempts
    assert (first.number, first.exit_code, first.reason) == (1, 3, "Error")
    assert (second.number, second.ended_at_ms, len(await world.pods(job))) == (2, None, 1)
    assert await world.output(job, 1) == await world.output(job, 2) == f"{run_id_text(job.run)}\n".encode()


async def test_a_container_that_crashes_too_often_fails_the_job(world: World) -> None:
    job = await world.start(shell("exit 3", backoff_limit=2, restart_policy=RestartPolicy.ON_FAILURE))
    failed = await world.phase(job, Phase.FAILED)
    assert failed.reason == "BackoffLimitExceeded"
    # The Job controller ends the last of them as soon as it sees it.
    assert [attempt.number for attempt in failed.attempts][-1] == 3
    assert all(attempt.ended_at_ms is not None for attempt in failed.attempts)


# Deletions ------------------------------------------------------------------------------------------------------------


async def test_a_deleted_job_is_gone_when_nothing_runs_of_it_any_more(world: World) -> None:
    job = await world.start(shell("trap '' TERM; sleep 2 & wait; sleep 2"))
    await world.phase(job, Phase.RUNNING)
    for _ in range(2):
        assert await world.jobs.carry_out(Delete(job.run, job.name, job.uid)) == Accepted()
    await world.sees(lambda seen: any(each.ending and each.phase is Phase.RUNNING for each in told(seen)))
    gone = await world.vanishes(job)
    assert await world.pods(job) == []
    assert gone.phase not in (Phase.SUCCEEDED, Phase.FAILED)
    assert gone.attempts[0].ended_at_ms is not None


async def test_a_job_that_somebody_deleted_is_gone_with_its_pods_and_not_before(world: World) -> None:
    job = await world.start(shell("trap '' TERM; sleep 2 & wait; sleep 2"))
    await world.phase(job, Phase.RUNNING)
    await world.admin("DELETE", f"{world.path}/{job.name}", BACKGROUND)
    running = await world.sees(lambda seen: any(each.uid == job.uid and each.ending for each in told(seen)))
    assert [each.phase for each in told(running)] == [Phase.RUNNING]
    assert (await world.admin("GET", f"{world.path}/{job.name}")).status == 404
    again = await world.jobs.carry_out(Release(job.run, job.name, job.uid))
    assert again == Unavailable(f"{job.name} is gone, but its pods run on")
    assert await world.jobs.carry_out(Delete(job.run, job.name, job.uid)) == Accepted()
    (later,) = (each for each in (await look(world)).jobs if each.uid == job.uid)
    assert (later.phase, later.ending) == (Phase.RUNNING, True)
    await world.vanishes(job)
    assert all(pod["status"]["phase"] != "Running" for pod in await world.pods(job))


async def test_a_job_that_somebody_deleted_before_it_was_released_is_gone_at_once(world: World) -> None:
    job = await world.create(shell("true"))
    await world.admin("DELETE", f"{world.path}/{job.name}", FOREGROUND)
    assert (await world.vanishes(job)).phase is Phase.SUSPENDED


# What may pass --------------------------------------------------------------------------------------------------------


async def test_a_quota_is_told_in_the_api_servers_words(world: World) -> None:
    quota = {"metadata": {"name": "few"}, "spec": {"hard": {"count/jobs.batch": "0"}}}
    await world.admin("POST", "resourcequotas", quota)
    status = f"/api/v1/namespaces/{world.namespace}/resourcequotas/few"
    admin = world.plane.api("admin")
    await trio.to_thread.run_sync(until, lambda: "hard" in admin.get(status).body["status"], "the quota is in force")
    outcome = await world.jobs.carry_out(Create(world.job(shell("true"))))
    assert isinstance(outcome, Unavailable)
    assert "exceeded quota: few, requested: count/jobs.batch=1" in outcome.detail


async def test_nothing_is_created_in_a_namespace_that_is_about_to_go(world: World) -> None:
    held = {"metadata": {"name": "held", "finalizers": ["example.com/held"]}}
    await world.admin("POST", "configmaps", held)
    await world.admin("DELETE", f"/api/v1/namespaces/{world.namespace}")
    outcome = await world.jobs.carry_out(Create(world.job(shell("true"))))
    assert isinstance(outcome, Unavailable)
    assert "being terminated" in outcome.detail
    await let_go(world, f"/api/v1/namespaces/{world.namespace}/configmaps/held")


async def test_jobs_are_seen_through_the_death_of_the_api_server(plane: ControlPlane, world: World) -> None:
    may_end = world.directory / "may-end"
    ends = await world.start(shell(f"until test -e {may_end}; do sleep 0.05; done"))
    runs = await world.start(shell("sleep 60"))
    await world.phase(ends, Phase.RUNNING)
    await world.phase(runs, Phase.RUNNING)
    since = len(world.seen)
    plane.parts["kube-apiserver"].kill()
    await world.unobserved(since)
    outcome = await world.jobs.carry_out(Delete(ends.run, ends.name, ends.uid))
    assert isinstance(outcome, Unavailable)
    with pytest.raises(OutputUnavailable):
        await world.output(runs)
    since = len(world.seen)
    await trio.to_thread.run_sync(plane.start, "kube-apiserver")
    may_end.touch()
    await world.listed(since)
    assert (await world.phase(ends, Phase.SUCCEEDED, since)).attempts[0].exit_code == 0
    assert (await world.phase(runs, Phase.RUNNING, since)).attempts[0].number == 1
    await trio.to_thread.run_sync(wake_up, plane)
    befores = (before for before, seen in itertools.pairwise(world.seen) if isinstance(seen, Listed))
    assert all(isinstance(before, Unobserved) for before in befores)


# Output ---------------------------------------------------------------------------------------------------------------


async def test_output_is_followed_until_the_attempt_ends(world: World) -> None:
    job = await world.start(shell("echo begun; sleep 1; echo ended"))
    await world.phase(job, Phase.RUNNING)
    pieces = [piece async for piece in world.jobs.output(job.name, job.uid, None, None, follow=True)]
    assert b"".join(pieces) == b"begun\nended\n"
    assert await world.output(job, tail_lines=1) == b"ended\n"


async def test_whoever_stops_following_an_output_leaves_nothing_behind(world: World) -> None:
    job = await world.start(shell("echo begun; sleep 60"))
    await world.phase(job, Phase.RUNNING)
    pieces = world.jobs.output(job.name, job.uid, None, None, follow=True)
    assert await anext(pieces) == b"begun\n"
    with trio.move_on_after(0.1) as scope:
        await anext(pieces)
    assert scope.cancelled_caught
    del pieces


# ----------------------------------------------------------------------------------------------------------------------


def told_job(outcome: Any) -> Any:
    return outcome.job


def told_uid(outcome: Any) -> str:
    return str(outcome.job.uid)


async def look(world: World) -> Listed:
    """What somebody sees who begins to look now."""
    observations = world.jobs.observe()
    assert await anext(observations) == Unobserved("")
    listed = await anext(observations)
    assert isinstance(listed, Listed)
    return listed


def wake_up(plane: ControlPlane) -> None:
    """Begin the controllers anew: those that had no API server for long ask for it ever less often."""
    for name in ("kube-controller-manager", "kube-scheduler", "node-0"):
        plane.parts[name].kill()
        plane.start(name)


async def hold(world: World, path: str) -> None:
    """Nothing removes this object now."""
    await _finalizers(world, path, ["example.com/held"])


async def let_go(world: World, path: str) -> None:
    await _finalizers(world, path, [])


async def _finalizers(world: World, path: str, finalizers: list[str]) -> None:
    written = (await world.admin("GET", path)).body
    written["metadata"]["finalizers"] = finalizers
    del written["metadata"]["resourceVersion"]  # whoever else writes, too
    answer = await world.admin("PUT", path, written)
    assert answer.status == 200, answer
