"""The node machine and what runs depend on: recorded where somebody needs it, woken, and told of in words."""

from __future__ import annotations

import msgspec
import pytest

from slimjobs.core.decide.commands import Configure, Declared
from slimjobs.core.machine.inputs import Observed, ScalingEnded, Sighted
from slimjobs.core.machine.queries import ShowRun, ShowStatus
from slimjobs.core.orchestrators.ports import (
    Accepted,
    Changed,
    DefinitionsFound,
    FoundDefinition,
    ObservedAttempt,
    ObservedJob,
    ObservedService,
    Phase,
    Scale,
    Scaling,
    ServiceChanged,
    Unavailable,
    Unseen,
)
from slimjobs.eventlog.events.definitions import Overrides, Source
from slimjobs.eventlog.events.runs import job_object_name
from slimjobs.projections.views import RunDetail, RunStatus, Status, Why, WhyKind
from tests.core.machine.test_machine import SECOND, run_of, status_of, trigger
from tests.core.machine.world import World, definition

DB = ObservedService("db", ready=True, replicas=1, version="v1")
ASLEEP = ObservedService("cache", False, "it sleeps", 0, "v1", Scaling(1, 0, 300))
ON_DB, ON_CACHE = Overrides(depends_on=("db",)), Overrides(depends_on=("cache",))


@pytest.fixture
def world() -> World:
    world = World({"fib": definition(cap=2), "web": msgspec.structs.replace(definition(cap=1), depends_on=("db",))})
    world.settle()
    return world


def why(world: World, run: int) -> tuple[Why, ...]:
    world.settle_node()
    shown = world.told(ShowRun("fib", run_of(run), True))
    assert isinstance(shown, RunDetail)
    return shown.why


def recorded(world: World) -> list[str]:
    """The names of services that the log knows, ready or not."""
    return sorted(world.machine.state.dependencies)


def test_only_what_somebody_names_is_recorded(world: World) -> None:
    others = [ObservedService(f"service-{number}", ready=True) for number in range(100)]
    world.sees(DB, ASLEEP, *others)
    world.settle_node()
    assert recorded(world) == ["db"], "a definition names it"
    world.told(trigger(1, overrides=ON_CACHE))
    assert recorded(world) == ["cache", "db"]


def test_a_run_that_is_the_first_to_need_something_starts_at_once_if_it_is_ready(world: World) -> None:
    world.sees(msgspec.structs.replace(ASLEEP, ready=True, replicas=1))
    world.told(trigger(1, overrides=ON_CACHE))
    world.settle_node()
    assert status_of(world, 1) is not RunStatus.QUEUED


def test_readiness_that_nobody_followed_is_not_believed(world: World) -> None:
    ready = msgspec.structs.replace(ASLEEP, ready=True, replicas=1)
    world.sees(ready)
    world.told(trigger(1, overrides=ON_CACHE))
    world.settle()
    assert status_of(world, 1) is RunStatus.SUCCEEDED
    world.turn(Sighted(world.watch_number, ServiceChanged(msgspec.structs.replace(ASLEEP, version="v2"))))
    assert world.machine.state.dependencies["cache"].ready, "nobody needs it, so nobody wrote it down"
    world.told(trigger(2, overrides=ON_CACHE))
    assert status_of(world, 2) is RunStatus.QUEUED


def test_what_does_not_exist_is_told_and_waited_for(world: World) -> None:
    world.sees()
    world.told(trigger(1, overrides=ON_DB))
    [reason] = why(world, 1)
    assert (reason.kind, reason.detail) == (WhyKind.DEPENDENCY, "'db' is not ready: it does not exist")
    world.turn(Sighted(world.watch_number, ServiceChanged(DB)))
    world.settle()
    assert status_of(world, 1) is RunStatus.SUCCEEDED


def test_before_all_was_seen_nothing_that_depends_on_anything_starts(world: World) -> None:
    world.told(trigger(1, overrides=ON_DB))
    world.settle()
    assert status_of(world, 1) is RunStatus.QUEUED
    world.turn(Sighted(world.watch_number + 1, ServiceChanged(DB)))
    assert status_of(world, 1) is RunStatus.QUEUED, "another watch than this reign's says nothing"


def test_what_sleeps_is_woken_for_a_run_and_the_run_starts_when_it_is_ready(world: World) -> None:
    world.sees(ASLEEP)
    world.told(trigger(1, overrides=ON_CACHE))
    world.settle()
    [scaling] = world.scalings
    assert scaling.scale == Scale("cache", "v1", 1)
    world.turn(ScalingEnded(scaling.number, Accepted()))
    awake = msgspec.structs.replace(ASLEEP, replicas=1, version="v2", reason="0 of 1 replicas are ready")
    world.turn(Sighted(world.watch_number, ServiceChanged(awake)))
    assert [each.detail for each in why(world, 1)] == ["'cache' is not ready: 0 of 1 replicas are ready"]
    ready = msgspec.structs.replace(awake, ready=True, reason="", version="v3")
    world.turn(Sighted(world.watch_number, ServiceChanged(ready)))
    world.settle()
    assert status_of(world, 1) is RunStatus.SUCCEEDED
    assert len(world.scalings) == 1


def test_why_it_could_not_be_woken_is_told(world: World) -> None:
    world.sees(ASLEEP)
    world.told(trigger(1, overrides=ON_CACHE))
    world.settle()
    [scaling] = world.scalings
    world.turn(ScalingEnded(scaling.number, Unavailable("forbidden")))
    [reason] = why(world, 1)
    assert reason.detail == "'cache' is not ready: it sleeps, and could not be woken: forbidden"
    for _ in range(3):
        world.wake()
    assert len(world.scalings) == 2


def test_what_nobody_needs_any_more_is_put_to_sleep_in_its_time(world: World) -> None:
    world.sees(msgspec.structs.replace(ASLEEP, ready=True, replicas=1))
    world.told(trigger(1, overrides=ON_CACHE))
    world.settle()
    began = world.now.monotonic_ns
    while not world.scalings:
        assert world.wake_at is not None, "it would never sleep"
        world.wake()
    assert world.scalings[0].scale == Scale("cache", "v1", 0)
    assert 299 * SECOND < world.now.monotonic_ns - began < 302 * SECOND


def test_the_same_sight_again_writes_nothing(world: World) -> None:
    world.sees(DB)
    world.settle_node()
    before = world.machine.state.index
    for _ in range(3):
        world.sees(DB)
        world.settle_node()
    assert world.machine.state.index == before


# What is declared in the cluster --------------------------------------------------------------------------------------


def finds(world: World, *found: FoundDefinition) -> None:
    world.turn(Sighted(world.watch_number, DefinitionsFound(found)))
    world.settle_node()


def test_what_is_found_comes_into_force_and_what_is_wrong_with_it_is_told(world: World) -> None:
    finds(world, FoundDefinition("cron", definition(cap=1)), FoundDefinition("bad", None, problems=("it is bad",)))
    assert set(world.machine.state.current) == {"default", "fib", "web", "cron"}
    shown = world.told(ShowStatus(internal=True))
    assert isinstance(shown, Status)
    assert shown.problems == ("CronJob 'bad': it is bad",)
    finds(world)
    assert "cron" not in world.machine.state.current
    assert world.machine.state.refused == {}


def test_what_the_configuration_gives_up_falls_to_the_cron_job_at_once(world: World) -> None:
    finds(world, FoundDefinition("fib", definition(cap=7)))
    assert world.machine.state.queues["fib"].slots == 2
    without = {name: Declared(each, Source.CONFIGURATION) for name, each in world.definitions.items() if name != "fib"}
    world.told(Configure(without))
    world.wake()
    world.settle_node()
    assert world.machine.state.queues["fib"].slots == 7


def test_a_restart_keeps_what_was_found_until_there_is_a_new_list(world: World) -> None:
    finds(world, FoundDefinition("cron", definition(cap=1)))
    world.crash()
    world.settle()
    assert "cron" in world.machine.state.current
    finds(world)
    assert "cron" not in world.machine.state.current


def test_what_cannot_be_seen_is_told_until_it_can(world: World) -> None:
    world.turn(Sighted(world.watch_number, Unseen("definitions", "forbidden")))
    world.turn(Sighted(world.watch_number, Unseen("services", "no route")))
    shown = world.told(ShowStatus(internal=True))
    assert isinstance(shown, Status)
    since = "2023-11-14T22:13:20+00:00"
    assert shown.problems == (
        f"CronJobs cannot be seen since {since}: forbidden",
        f"Services cannot be seen since {since}: no route",
    )
    world.sees()
    finds(world)
    shown = world.told(ShowStatus(internal=True))
    assert isinstance(shown, Status)
    assert shown.problems == ()


# Images that are not to be had ----------------------------------------------------------------------------------------


def without_image(world: World, run: int) -> ObservedJob:
    """The run's object waits for its image."""
    world.told(trigger(run))
    while status_of(world, run) is not RunStatus.PENDING or not world.machine.state.active[run_of(run)].uid:
        world.possible()[0]()
    while world.orchestrator.objects[NAME].phase is not Phase.PENDING:
        next(thing for thing in world.possible() if thing != world.wake)()
    waiting = msgspec.structs.replace(
        world.orchestrator.objects[NAME], phase=Phase.WAITING_FOR_IMAGE, detail="no such image"
    )
    world.orchestrator.objects[NAME] = waiting
    world.turn(Observed(world.watch_number, Changed(waiting)))
    world.settle_node()
    return waiting


NAME = job_object_name("fib", run_of(1))
IMAGE_DEADLINE_SECONDS = 300


def pass_seconds(world: World, seconds: int) -> None:
    """Let time pass, and the node and the requests it makes go on; objects stand still."""
    for _ in range(seconds):
        world.pass_time(SECOND)
        world.settle_node()
        for sent in list(world.in_flight):
            world.arrive(sent)
            world.reply(sent)


def test_a_run_whose_image_cannot_be_pulled_holds_its_slot_and_fails_after_its_deadline(world: World) -> None:
    without_image(world, 1)
    pass_seconds(world, IMAGE_DEADLINE_SECONDS - 2)
    assert status_of(world, 1) is RunStatus.IMAGE_PULL_BACK_OFF
    assert not world.machine.state.active[run_of(1)].given_up
    pass_seconds(world, 3)
    assert world.machine.state.active[run_of(1)].given_up, "it holds its slot until its object has ended"
    world.settle()
    shown = world.told(ShowRun("fib", run_of(1), True))
    assert isinstance(shown, RunDetail)
    assert (shown.row.status, shown.row.reason) == (RunStatus.FAILED, "ImagePullBackOff")


def test_an_image_that_comes_in_time_saves_the_run(world: World) -> None:
    waiting = without_image(world, 1)
    pass_seconds(world, IMAGE_DEADLINE_SECONDS - 2)
    running = msgspec.structs.replace(waiting, phase=Phase.RUNNING, attempts=(ObservedAttempt(1, 1),), detail="")
    world.orchestrator.objects[NAME] = running
    world.turn(Observed(world.watch_number, Changed(running)))
    pass_seconds(world, IMAGE_DEADLINE_SECONDS)
    assert status_of(world, 1) is RunStatus.RUNNING
    world.settle()
    assert status_of(world, 1) is RunStatus.SUCCEEDED


def test_a_restart_does_not_give_it_more_time(world: World) -> None:
    without_image(world, 1)
    pass_seconds(world, IMAGE_DEADLINE_SECONDS // 2)
    world.crash()
    world.settle_node()
    pass_seconds(world, IMAGE_DEADLINE_SECONDS // 2 + 2)
    assert world.machine.state.active[run_of(1)].given_up


def test_one_that_succeeds_although_it_was_given_up_has_succeeded(world: World) -> None:
    waiting = without_image(world, 1)
    pass_seconds(world, IMAGE_DEADLINE_SECONDS + 1)
    done = msgspec.structs.replace(waiting, phase=Phase.SUCCEEDED, attempts=(ObservedAttempt(1, 1, 2, 0),))
    world.orchestrator.objects[NAME] = done
    world.turn(Observed(world.watch_number, Changed(done)))
    world.settle()
    assert status_of(world, 1) is RunStatus.SUCCEEDED
