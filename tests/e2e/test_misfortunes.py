"""Bad luck, and what becomes of runs that it happens to. What must hold in all of it is judged at every story's end, by
what the API server saw (recorder.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.deploy.nodes import until
from tests.e2e.misfortunes import SECONDS, World, after, world
from tests.e2e.pods_of_slimfaas import await_account
from tests.e2e.proxy import Hold, HoldAnswer, LoseAnswer, Refuse

ALONE: Final = ["node-0"]
THREE: Final = ["node-0", "node-1", "node-2"]
RELEASE: Final = '"suspend":false'


@pytest.fixture
def one(plane: ControlPlane, tmp_path: Path) -> Iterator[World]:
    """One node."""
    with world(plane, tmp_path, ALONE) as made:
        yield made


@pytest.fixture
def three(plane: ControlPlane, tmp_path: Path) -> Iterator[World]:
    """Three nodes with one log."""
    with world(plane, tmp_path, THREE) as made:
        yield made


# The way to the API server --------------------------------------------------------------------------------------------


def test_jobs_start_and_end_through_the_death_of_the_api_server(plane: ControlPlane, one: World) -> None:
    runs = [one.trigger("brief") for _ in range(5)]
    one.until_status("Running", *runs[:2])
    plane.parts["kube-apiserver"].kill()
    runs.append(one.trigger("brief"))  # accepted all the same
    after(2)
    plane.start("kube-apiserver")
    one.until_status("Succeeded", *runs)


def test_a_node_starts_and_takes_runs_while_there_is_no_api_server(plane: ControlPlane, one: World) -> None:
    plane.parts["kube-apiserver"].kill()
    one.kill("node-0")
    one.start("node-0")
    run = one.trigger("quick")
    until(lambda: "refused" in one.why(run).lower() or one.status(run) == "Pending", "it waits", SECONDS)
    plane.start("kube-apiserver")
    one.until_status("Succeeded", run)


def test_a_watch_that_falls_silent_is_not_believed_for_ever(one: World) -> None:
    silence = one.proxy.fall_silent()
    run = one.trigger("quick")
    assert silence.met.wait(SECONDS)
    one.proxy.speak()  # to whoever begins anew: the old connections stay open and say nothing
    one.until_status("Succeeded", run)
    silence.let_go()


@pytest.mark.parametrize("status", [429, 500])
def test_what_is_refused_for_now_is_asked_for_again(one: World, status: int) -> None:
    for method in ("POST", "PATCH"):
        one.proxy.rule(Refuse(status, 2), method, "/jobs")
    one.until_status("Succeeded", *[one.trigger("quick") for _ in range(3)])


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_what_was_done_and_never_answered_is_done_once(one: World, method: str) -> None:
    lost = one.proxy.rule(LoseAnswer(), method, "/jobs")
    run = one.trigger("brief")
    one.until_status("Succeeded", run)
    assert lost.status in (200, 201)


# The death of a node --------------------------------------------------------------------------------------------------


def test_a_node_that_dies_between_commit_and_create_creates_it_in_its_next_life(one: World) -> None:
    held = one.proxy.rule(Hold(), "POST", "/jobs")
    run = one.trigger("brief")
    assert held.met.wait(SECONDS)
    one.kill("node-0")
    one.start("node-0")
    one.until_status("Succeeded", run)
    held.let_go()
    assert held.done.wait(SECONDS)
    assert held.status == 409, "its name is taken"


def test_a_node_that_dies_between_create_and_record_finds_what_it_created(one: World) -> None:
    held = one.proxy.rule(HoldAnswer(), "POST", "/jobs")
    run = one.trigger("brief")
    assert held.done.wait(SECONDS)
    created = one.job(run)
    one.kill("node-0")
    one.start("node-0")
    one.until_status("Succeeded", run)
    job = one.job(run)
    assert created is not None
    assert job is not None
    assert job["metadata"]["uid"] == created["metadata"]["uid"]


def test_a_time_to_live_that_is_shorter_than_the_outage_takes_no_outcome_away(one: World) -> None:
    run = one.trigger("fleeting")
    one.until_status("Running", run)
    one.kill("node-0")

    def has_ended() -> bool:
        job = one.job(run)
        return job is not None and any(each["type"] == "Complete" for each in job["status"].get("conditions", ()))

    until(has_ended, "its Job has ended", SECONDS)
    after(3)
    one.start("node-0")
    until(lambda: one.is_swept(run), "it lives no longer than it may, once its outcome is known", SECONDS)
    assert f'RunSucceeded run="{run}"' in one.log()


# A change of leader ---------------------------------------------------------------------------------------------------


def test_another_leader_creates_what_the_one_that_died_had_not(three: World) -> None:
    held = three.proxy.rule(Hold(), "POST", "/jobs")
    run = three.trigger("brief")
    assert held.met.wait(SECONDS)
    three.kill(three.leader())
    three.until_status("Succeeded", run)
    held.let_go()
    assert held.done.wait(SECONDS)
    assert held.status == 409


def test_another_leader_binds_what_the_one_that_died_had_created(three: World) -> None:
    held = three.proxy.rule(HoldAnswer(), "POST", "/jobs")
    run = three.trigger("brief")
    assert held.done.wait(SECONDS)
    three.kill(three.leader())
    three.until_status("Succeeded", run)


def test_a_release_of_a_leader_that_died_starts_nothing_after_a_delete(three: World) -> None:
    held = three.proxy.rule(Hold(), "PATCH", "/jobs", RELEASE)
    run = three.trigger("long")
    assert held.met.wait(SECONDS)
    # Nobody else releases it either before it is deleted.
    three.proxy.rule(Refuse(500, 1 << 30), "PATCH", "/jobs", RELEASE)
    three.kill(three.leader())
    three.leader()
    three.delete(run)
    held.let_go()
    assert held.done.wait(SECONDS)
    until(lambda: three.is_swept(run), "nothing of it is there", SECONDS)


# What is held back and arrives late -----------------------------------------------------------------------------------


def test_a_create_that_arrives_after_the_delete_starts_nothing_and_is_swept(one: World) -> None:
    held = one.proxy.rule(Hold(), "POST", "/jobs")
    run = one.trigger("long")
    assert held.met.wait(SECONDS)
    one.delete(run)
    held.let_go()
    assert held.done.wait(SECONDS)
    until(lambda: one.is_swept(run), "nothing of it is there", SECONDS)


def test_a_create_that_arrives_after_the_end_of_its_run_starts_nothing_and_is_swept(one: World) -> None:
    held = one.proxy.rule(Hold(), "POST", "/jobs")
    run = one.trigger("quick")
    assert held.met.wait(SECONDS)
    one.until_status("Succeeded", run)  # by another request, once this one was given up
    assert one.admin.request("DELETE", f"{one.job_path(run)}?propagationPolicy=Background").status == 200
    until(lambda: one.is_swept(run), "its name is free", SECONDS)
    held.let_go()
    assert held.done.wait(SECONDS)
    assert held.status == 201
    until(lambda: one.is_swept(run), "nothing of it is there", SECONDS)
    assert one.status(run) == "Succeeded"


def test_a_release_that_arrives_after_the_end_of_its_run_finds_nothing_to_release(one: World) -> None:
    held = one.proxy.rule(Hold(), "PATCH", "/jobs", RELEASE)
    run = one.trigger("quick")
    assert held.met.wait(SECONDS)
    one.until_status("Succeeded", run)
    assert one.admin.request("DELETE", f"{one.job_path(run)}?propagationPolicy=Background").status == 200
    until(lambda: one.is_swept(run), "its Job is gone", SECONDS)
    held.let_go()
    assert held.done.wait(SECONDS)
    assert held.status == 404


# What others do to it -------------------------------------------------------------------------------------------------


def test_a_job_that_somebody_deletes_fails_its_run_and_is_not_started_again(one: World) -> None:
    run, other = one.trigger("long"), one.trigger("long")
    one.until_status("Running", run, other)
    assert one.admin.request("DELETE", f"{one.job_path(run)}?propagationPolicy=Background").status == 200
    one.until_status("Failed", run)
    row = one.row(run)
    assert row is not None
    assert row["Reason"] == "JobVanished"
    third = one.trigger("long")
    one.until_status("Running", third)
    assert one.is_swept(run)


def test_a_pod_that_is_evicted_is_an_attempt(one: World) -> None:
    run = one.trigger("brief")
    one.until_status("Running", run)
    [pod] = one.pods(run)
    name = pod["metadata"]["name"]
    path = f"/api/v1/namespaces/{one.namespace}/pods/{name}/eviction"
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": one.namespace}}
    assert one.admin.post(path, eviction).status == 201
    one.until_status("Succeeded", run)
    row = one.row(run)
    assert row is not None
    assert row["Attempts"] == 2


def test_a_quota_holds_a_run_up_for_as_long_as_it_is_exceeded(one: World) -> None:
    quotas = f"/api/v1/namespaces/{one.namespace}/resourcequotas"
    metadata = {"name": "none", "namespace": one.namespace}
    quota = {"metadata": metadata, "spec": {"hard": {"count/jobs.batch": "2"}}}  # the Jobs of others
    assert one.admin.post(quotas, quota).status == 201
    until(lambda: "used" in one.admin.get(f"{quotas}/none").body.get("status", {}), "it is counted")
    run = one.trigger("quick")
    until(lambda: "exceeded quota" in one.why(run), "it says why it waits", SECONDS)
    assert one.admin.request("DELETE", f"{quotas}/none").status == 200
    one.until_status("Succeeded", run)


def test_a_namespace_that_ends_takes_what_runs_and_what_comes_waits_for_the_next(one: World) -> None:
    path = f"/api/v1/namespaces/{one.namespace}"
    one.others_go = True
    kept = {"metadata": {"name": "kept", "finalizers": ["example.org/held"]}}
    assert one.admin.post(f"{path}/configmaps", kept).status == 201
    run = one.trigger("long")
    one.until_status("Running", run)
    assert one.admin.request("DELETE", path).status == 200
    one.until_status("Failed", run)
    waiting = one.trigger("quick")
    until(lambda: "being terminated" in one.why(waiting), "it says why it waits", SECONDS)
    assert one.admin.request("PATCH", f"{path}/configmaps/kept", {"metadata": {"finalizers": []}}).status == 200
    until(lambda: one.admin.get(path).status == 404, "the namespace is gone", SECONDS)
    assert one.admin.post("/api/v1/namespaces", {"metadata": {"name": one.namespace}}).status == 201
    await_account(one.admin, one.namespace)
    one.until_status("Succeeded", waiting)
