"""The node machine in single stories: a full disk, a stalled disk, patience, waits, deletions promised or not."""

from __future__ import annotations

import msgspec
import pytest

from slimjobs.core.decide.commands import Accepted, Configure, Configured, Deleted, DeleteRun, Requested, Trigger
from slimjobs.core.decide.decision import Limits
from slimjobs.core.decide.refusals import Invalid, NoLeader, NoRoom, OutcomeUnknown, UnknownRun
from slimjobs.core.machine.callers import WAITING_AT_MOST
from slimjobs.core.machine.inputs import (
    Abandoned,
    Called,
    ConfigurationRefused,
    Now,
    Observed,
    Tick,
    Token,
)
from slimjobs.core.machine.journal import HEADROOM_BYTES
from slimjobs.core.machine.outputs import Answer
from slimjobs.core.machine.queries import ListRuns, ShowRun, ShowStatus
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.core.orchestrators.ports import (
    Changed,
    Delete,
    ObservedJob,
    ObservedService,
    Phase,
    Rejected,
    Release,
    Unavailable,
)
from slimjobs.eventlog.events.definitions import Overrides
from slimjobs.eventlog.events.runs import RunId, job_object_name
from slimjobs.projections.snapshot import state_hash
from slimjobs.projections.views import RunDetail, RunPage, RunStatus, Status, WhyKind
from tests.core.machine.world import World, definition

SECOND = 10**9
DEFINITIONS = {"fib": definition(cap=2), "web": definition(cap=1)}
BIG = Overrides(args=("x" * 10_000,))


def run_of(number: int) -> RunId:
    return RunId(number.to_bytes(10, "big"))


def trigger(*runs: int, job: str = "fib", overrides: Overrides | None = None) -> Trigger:
    return Trigger(tuple(Requested(run_of(run), job, overrides or Overrides()) for run in runs), internal=True)


def show(run: int, job: str = "fib", wait_seconds: float = 0.0) -> ShowRun:
    return ShowRun(job, run_of(run), True, wait_seconds)


def delete(run: int, job: str = "fib") -> DeleteRun:
    return DeleteRun(job, run_of(run), True)


@pytest.fixture
def world() -> World:
    world = World(DEFINITIONS)
    world.settle()
    return world


def status_of(world: World, run: int) -> RunStatus:
    detail = world.told(show(run))
    assert isinstance(detail, RunDetail)
    return detail.row.status


def run_until(world: World, run: int, status: RunStatus) -> None:
    """Let things happen until a run has this status."""
    while world.machine.state.left_queue(run_of(run)) is None or status_of(world, run) is not status:
        next(thing for thing in world.possible() if thing != world.wake)()


def test_a_disk_that_takes_nothing_is_told_and_makes_the_node_not_ready(world: World) -> None:
    world.call(trigger(1))
    world.pass_time(4 * SECOND)
    assert world.machine.ready
    world.pass_time(2 * SECOND)
    assert world.machine.not_ready == "the disk takes nothing: it is full, or stands still"
    world.write()
    assert world.machine.ready


def test_a_leader_of_an_incomplete_cluster_answers_questions_and_takes_no_work(world: World) -> None:
    world.told(trigger(1))
    peers = {"node": "a:1", "other": "b:1", "third": "c:1"}
    world.settings = msgspec.structs.replace(world.settings, peers=peers)
    world.crash()
    world.settle_node()
    assert isinstance(world.told(show(1)), RunDetail)
    assert world.machine.not_ready == "the cluster is not complete yet"
    refused = world.told(trigger(2))
    assert isinstance(refused, NoLeader)
    assert refused.why == "the cluster is not complete yet"


# Answers ------------------------------------------------------------------------------------------------------------


def test_a_trigger_is_answered_when_it_is_durable_and_not_before(world: World) -> None:
    token = world.call(trigger(1))
    assert token not in world.answers
    world.write()
    assert world.value_of(token) == Accepted((run_of(1),))


def test_a_clock_that_goes_back_stamps_nothing_before_what_was_stamped(world: World) -> None:
    before = world.machine.state.at
    world.now = Now(world.now.wall_ms - 3_600_000, world.now.monotonic_ns)
    world.told(trigger(1))
    assert world.machine.state.at == before


def test_triggers_that_wait_together_share_one_write(world: World) -> None:
    calls = [Called(Token(100 + number), trigger(number), "test") for number in range(1, 65)]
    world.asked |= {call.token: call.command for call in calls}
    world.turn(*calls)
    assert len(world.disk.pending) == 1
    world.write()
    assert len([token for token in world.answers if token >= 100]) == 64


def test_a_read_shows_what_is_not_durable_yet_only_when_it_is(world: World) -> None:
    world.call(trigger(1))
    read = world.ask(show(1))
    assert read not in world.answers
    world.write()
    assert isinstance(world.value_of(read), RunDetail)
    assert world.answers[read].index == world.machine.state.index


def test_a_read_of_an_idle_node_is_answered_at_once(world: World) -> None:
    assert isinstance(world.value_of(world.ask(ListRuns("fib", True))), RunPage)


def test_a_refusal_is_a_read_too(world: World) -> None:
    world.call(trigger(1))
    refused = world.call(delete(9))
    assert refused not in world.answers
    world.write()
    assert world.value_of(refused) == UnknownRun("fib", run_of(9))


def test_before_a_configuration_is_committed_nobody_can_trigger_and_the_node_is_not_ready() -> None:
    world = World(DEFINITIONS)
    assert not world.machine.ready
    token = world.call(trigger(1))
    world.settle()
    assert isinstance(world.value_of(token), Accepted), "it waited for the configuration that came before it"
    assert world.machine.ready


def test_a_cursor_that_no_page_gave_is_refused(world: World) -> None:
    assert isinstance(world.told(ListRuns("fib", True, cursor="nonsense")), Invalid)


def test_problems_of_a_configuration_are_shown_to_insiders_only(world: World) -> None:
    world.turn(ConfigurationRefused(("no such key",)))
    for internal, problems in ((True, ("no such key",)), (False, ())):
        status = world.told(ShowStatus(internal))
        assert isinstance(status, Status)
        assert status.problems == problems
    world.turn(ConfigurationRefused(()))
    status = world.told(ShowStatus(True))
    assert isinstance(status, Status)
    assert status.problems == ()


# Patience -----------------------------------------------------------------------------------------------------------


def stalled_from_the_start() -> World:
    """A node whose disk has not answered yet, so that it does not lead."""
    return World(DEFINITIONS)


def test_without_a_leader_a_caller_is_refused_after_5_seconds_and_surely_nothing_was_done() -> None:
    world = stalled_from_the_start()
    token = world.call(trigger(1))
    world.pass_time(5 * SECOND - 1)
    assert token not in world.answers
    world.pass_time(1)
    assert isinstance(world.value_of(token), NoLeader)
    world.settle()
    assert isinstance(world.told(show(1)), UnknownRun)


def test_the_machine_asks_to_be_woken_for_that() -> None:
    world = stalled_from_the_start()
    world.call(trigger(1))
    assert world.wake_at == 5 * SECOND


def test_when_too_many_wait_the_next_is_refused_at_once() -> None:
    world = stalled_from_the_start()
    for number in range(1, WAITING_AT_MOST):
        world.call(trigger(number))
    refused = world.call(trigger(WAITING_AT_MOST))
    assert isinstance(world.value_of(refused), NoLeader)
    assert len(world.answers) == 1


def test_on_a_stalled_disk_nobody_waits_longer_and_a_trigger_is_told_that_its_outcome_is_unknown(world: World) -> None:
    triggered, read, refused = world.call(trigger(1)), world.ask(show(1)), world.call(delete(9))
    deleted = world.call(delete(1))
    world.pass_time(5 * SECOND - 1)
    assert not {triggered, read, refused, deleted} & set(world.answers)
    world.pass_time(1)
    assert world.value_of(triggered) == OutcomeUnknown((run_of(1),))
    assert isinstance(world.value_of(read), NoLeader)
    assert isinstance(world.value_of(refused), NoLeader)
    assert world.value_of(deleted) == OutcomeUnknown()
    world.settle()
    assert isinstance(world.told(show(1)), UnknownRun), "both were done in the end"


def test_what_comes_in_time_is_told_even_at_the_last_moment(world: World) -> None:
    token = world.call(trigger(1))
    world.now = msgspec.structs.replace(world.now, monotonic_ns=world.now.monotonic_ns + 5 * SECOND)
    world.write()
    assert isinstance(world.value_of(token), Accepted)


# A full disk --------------------------------------------------------------------------------------------------------


def fill(world: World) -> int:
    """Trigger until there is no room for new work; gives how many were accepted."""
    for number in range(1, 1000):
        if world.told(trigger(number, overrides=BIG)) == NoRoom():
            return number - 1
    raise AssertionError("it never was full")


def test_a_full_disk_refuses_new_work_and_everything_else_goes_on() -> None:
    world = World(DEFINITIONS, room=HEADROOM_BYTES + 200_000)
    world.settle()
    accepted = fill(world)
    assert accepted > 10
    assert world.told(trigger(2000, overrides=BIG)) == NoRoom()
    assert isinstance(world.told(show(2000)), UnknownRun)
    assert status_of(world, accepted) is RunStatus.QUEUED
    assert world.told(delete(accepted)) == Deleted(promised=True)
    world.settle()
    assert not world.unfinished(), "ends and admissions found room"
    world.judge_log()


def test_what_finds_no_room_only_because_the_disk_is_behind_waits_for_it() -> None:
    world = World(DEFINITIONS, room=HEADROOM_BYTES + 50_000)
    world.settle()
    tokens = [world.call(trigger(number, overrides=BIG)) for number in range(1, 4)]
    world.disk.room += 50_000  # as when a fresh segment is there once the first has been written
    crowded = [world.call(trigger(number, overrides=BIG)) for number in range(4, 8)]
    assert not {*tokens, *crowded} & set(world.answers)
    world.settle()
    told = [world.value_of(token) for token in tokens + crowded]
    assert all(isinstance(each, Accepted) for each in told), told


def test_writes_return_by_themselves_when_there_is_room_again() -> None:
    world = World(DEFINITIONS, room=HEADROOM_BYTES + 200_000)
    world.settle()
    fill(world)
    world.turn(world.disk.grow(100_000))
    assert isinstance(world.told(trigger(2000, overrides=BIG)), Accepted)


def test_a_new_node_founds_its_cluster_when_there_is_room_for_it() -> None:
    world = World(DEFINITIONS, room=200)
    world.settle_node()
    assert world.machine.state.cluster == ""
    world.turn(world.disk.grow(10 * HEADROOM_BYTES))
    assert world.machine.state.cluster == "c1"
    world.call(Configure({}))
    world.boot()
    world.settle()
    assert isinstance(world.told(trigger(1)), Accepted)
    world.settle()
    world.judge()


@pytest.mark.parametrize("room", range(0, 3000, 200))
def test_what_finds_no_room_is_written_when_there_is_some_and_never_what_does_not_fit(world: World, room: int) -> None:
    world.told(trigger(1, 2, 3))
    taken = world.disk.room - room
    world.turn(world.disk.grow(-taken))
    for _ in range(60):
        if things := [thing for thing in world.possible() if thing != world.wake]:
            things[0]()
    world.turn(world.disk.grow(taken))
    world.settle()
    world.judge()


def test_a_readiness_and_its_admissions_that_find_no_room_are_made_up_for(world: World) -> None:
    world.told(trigger(1, overrides=Overrides(depends_on=("db",))))
    room = world.disk.room
    world.turn(world.disk.grow(-room))
    world.sees(ObservedService("db", ready=True))
    assert status_of(world, 1) is RunStatus.QUEUED
    world.turn(world.disk.grow(room))
    world.settle()
    assert status_of(world, 1) is RunStatus.SUCCEEDED


# Waiting for a run --------------------------------------------------------------------------------------------------


def test_a_wait_is_answered_at_the_next_change_of_status(world: World) -> None:
    world.told(trigger(1))
    waiting = world.ask(show(1, wait_seconds=30))
    run_until(world, 1, RunStatus.RUNNING)
    detail = world.value_of(waiting)
    assert isinstance(detail, RunDetail)
    assert detail.row.status is RunStatus.RUNNING


def test_a_wait_for_a_queued_run_outlasts_what_happens_to_others(world: World) -> None:
    world.told(trigger(1, 2))
    world.call(trigger(3))
    waiting = world.ask(show(3, wait_seconds=30))
    world.write()
    assert waiting not in world.answers, "that it is durable now is no change of status"
    run_until(world, 3, RunStatus.PENDING)
    detail = world.value_of(waiting)
    assert isinstance(detail, RunDetail)
    assert detail.row.status is RunStatus.PENDING


def test_a_wait_is_over_after_its_seconds(world: World) -> None:
    world.told(trigger(1))
    waiting = world.ask(show(1, wait_seconds=2.5))
    world.pass_time(int(2.5 * SECOND) - 1)
    assert waiting not in world.answers
    world.pass_time(1)
    assert isinstance(world.value_of(waiting), RunDetail)


def test_a_wait_for_an_ended_run_is_answered_at_once(world: World) -> None:
    world.told(trigger(1))
    world.settle()
    assert isinstance(world.value_of(world.ask(show(1, wait_seconds=30))), RunDetail)


def test_a_wait_for_a_run_that_is_deleted_ends_with_that(world: World) -> None:
    world.told(trigger(1, 2, 3))
    waiting = world.ask(show(3, wait_seconds=30))
    world.told(delete(3))
    assert isinstance(world.value_of(waiting), UnknownRun)


def test_who_has_gone_is_not_answered(world: World) -> None:
    world.told(trigger(1))
    waiting = world.ask(show(1, wait_seconds=30))
    world.turn(Abandoned(waiting))
    world.settle()
    assert waiting not in world.answers


# Deleting -----------------------------------------------------------------------------------------------------------


def test_the_deletion_of_a_queued_run_is_promised_when_it_is_durable(world: World) -> None:
    world.told(trigger(1, 2, 3))
    token = world.call(delete(3))
    assert token not in world.answers
    world.write()
    assert world.value_of(token) == Deleted(promised=True)


def test_the_deletion_of_a_bound_run_is_promised_when_the_orchestrator_has_taken_it_on(world: World) -> None:
    world.told(trigger(1))
    run_until(world, 1, RunStatus.RUNNING)
    token = world.call(delete(1))
    while world.disk.pending:
        world.write()
    assert token not in world.answers
    (sent,) = [each for each in world.in_flight if isinstance(each.effect, Delete)]
    world.arrive(sent)
    assert token not in world.answers
    world.reply(sent)
    assert world.value_of(token) == Deleted(promised=True)


def test_the_deletion_of_a_run_whose_object_is_gone_is_promised_when_it_is_durable(world: World) -> None:
    world.told(trigger(1))
    run_until(world, 1, RunStatus.RUNNING)
    world.orchestrator.vanish(job_object_name("fib", run_of(1)))
    world.watch()
    assert status_of(world, 1) is RunStatus.FAILED
    token = world.call(delete(1))
    assert token not in world.answers
    while world.disk.pending:
        world.write()
    assert world.value_of(token) == Deleted(promised=True)


def test_after_5_seconds_it_is_accepted_without_a_promise(world: World) -> None:
    world.told(trigger(1))
    run_until(world, 1, RunStatus.RUNNING)
    token = world.call(delete(1))
    while world.disk.pending:
        world.write()
    world.pass_time(5 * SECOND)
    assert world.value_of(token) == Deleted(promised=False)
    world.settle()
    assert not world.orchestrator.objects


def test_a_late_creation_of_a_deleted_run_leaves_an_object_that_never_starts_and_is_swept(world: World) -> None:
    world.told(trigger(1))
    (sent,) = world.in_flight
    assert world.told(delete(1)) == Deleted(promised=True)
    world.arrive(sent)
    world.reply(sent)
    world.settle()
    assert not world.orchestrator.objects
    assert not world.orchestrator.released


def test_an_orphan_is_swept_although_nothing_else_happens(world: World) -> None:
    name = job_object_name("fib", run_of(9))
    orphan = ObservedJob(name, "uid-9", "c1", run_of(9), Phase.SUSPENDED)
    world.orchestrator._jobs[name] = "fib"
    world.orchestrator._change(orphan)
    world.watch()
    assert not world.in_flight, "first a read has to show that nobody wants it"
    assert world.wake_at == world.now.monotonic_ns
    world.wake()
    assert [sent.effect for sent in world.in_flight] == [Delete(run_of(9), name, "uid-9")]


def test_another_clusters_object_is_left_alone(world: World) -> None:
    name = job_object_name("fib", run_of(9))
    world.orchestrator._jobs[name] = "fib"
    world.orchestrator._change(ObservedJob(name, "uid-9", "another", run_of(9), Phase.SUSPENDED))
    world.told(trigger(9))
    for _ in range(200):
        next(iter(world.possible()))()
    assert world.orchestrator.objects[name].uid == "uid-9"
    detail = world.told(show(9))
    assert isinstance(detail, RunDetail)
    assert [(why.kind, why.detail) for why in detail.why] == [(WhyKind.RETRY, f"'{name}' is taken by another object")]


# Effects ------------------------------------------------------------------------------------------------------------


def test_what_the_orchestrator_refuses_for_good_fails_the_run_and_gives_its_slot_back(world: World) -> None:
    world.told(trigger(1, 2, 3))
    (sent, _) = world.in_flight
    world.reply(sent, Rejected("no such field"))
    world.settle_node()
    detail = world.told(show(1))
    assert isinstance(detail, RunDetail)
    assert (detail.row.status, detail.row.reason) == (RunStatus.FAILED, "CreateRejected")
    assert status_of(world, 3) is RunStatus.PENDING


def test_what_may_pass_keeps_the_slot_and_says_why(world: World) -> None:
    world.told(trigger(1))
    (sent,) = world.in_flight
    world.reply(sent, Unavailable("quota exceeded"))
    detail = world.told(show(1))
    assert isinstance(detail, RunDetail)
    assert [(why.kind, why.detail) for why in detail.why] == [(WhyKind.RETRY, "quota exceeded")]
    world.pass_time(SECOND)
    assert len(world.in_flight) == 1


def test_nothing_is_done_to_the_world_before_the_log_has_it(world: World) -> None:
    world.call(trigger(1))
    assert not world.in_flight
    world.write()
    world.arrive(world.in_flight[0])
    world.reply(world.in_flight[0])
    assert not world.in_flight, "not released before it is bound in the log"
    world.write()
    assert isinstance(world.in_flight[0].effect, Release)


def test_what_was_seen_by_an_earlier_watch_is_passed_over(world: World) -> None:
    world.told(trigger(1))
    name = job_object_name("fib", run_of(1))
    world.turn(Observed(0, Changed(ObservedJob(name, "uid", "c1", run_of(1), Phase.SUSPENDED))))
    assert not world.disk.pending


# Configuration, dependencies, time ----------------------------------------------------------------------------------


def test_an_identical_configuration_after_a_restart_writes_nothing(world: World) -> None:
    before = state_hash(world.machine.state)
    world.crash()
    world.settle()
    assert Configured(changed=False) in [answer.value for answer in world.answers.values()]
    assert state_hash(world.machine.state) == before


def test_a_run_starts_when_what_it_depends_on_is_ready_and_after_a_restart_only_when_seen_anew(world: World) -> None:
    world.sees(ObservedService("db", ready=True))
    world.told(trigger(1, 2, 3, overrides=Overrides(depends_on=("db",))))
    assert len(world.machine.state.active) == 2
    world.crash()
    world.settle()
    assert status_of(world, 3) is RunStatus.QUEUED
    world.sees(ObservedService("db", ready=True))
    world.settle()
    assert status_of(world, 3) is RunStatus.SUCCEEDED


def test_an_ended_run_leaves_the_lists_when_its_time_is_over() -> None:
    world = World({"fib": definition(cap=1, ttl_seconds=3)})
    world.settle()
    world.told(trigger(1))
    world.settle()
    for _ in range(3):
        assert world.wake_at is not None
        assert world.wake_at - world.now.monotonic_ns <= SECOND, "the wall clock is looked at every second"
        world.wake()
    world.settle_node()
    assert isinstance(world.told(show(1)), UnknownRun)
    world.settle()
    assert not world.orchestrator.objects


def test_a_lower_limit_of_finished_runs_holds_from_the_next_start() -> None:
    world = World(DEFINITIONS)
    for number in range(1, 8):
        world.call(trigger(number))
        world.settle()
    world.settings = MachineSettings(limits=Limits(finished_jobs=2))
    world.crash()
    world.settle()
    assert list(world.machine.state.finished) == [run_of(6), run_of(7)]


def test_an_idle_node_does_not_ask_to_be_woken(world: World) -> None:
    assert world.wake_at is None
    outputs = world.machine.handle([Tick()], world.now)
    assert len(outputs) == 1


def test_the_same_inputs_give_the_same_outputs() -> None:
    def told() -> tuple[list[Answer], bytes]:
        world = World(DEFINITIONS)
        for number in range(1, 20):
            world.call(trigger(number))
            world.settle()
        return list(world.answers.values()), state_hash(world.machine.state)

    assert told() == told()
