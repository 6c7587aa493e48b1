"""Several nodes in single stories: how they come together, lose each other, and what their callers notice of it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import msgspec

from slimjobs.core.decide.commands import (
    Accepted,
    Command,
    Deleted,
    DeleteRun,
    Removed,
    RemoveMember,
    Requested,
    TransferLeadership,
    Transferred,
    Trigger,
)
from slimjobs.core.decide.refusals import NoLeader, NoRoom, OutcomeUnknown
from slimjobs.core.machine.inputs import HandOver
from slimjobs.core.machine.letters import Answered, Letter, Piece, PieceWanted
from slimjobs.core.machine.outputs import StopReason
from slimjobs.core.machine.queries import ListRuns, ShowRun
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.core.orchestrators.ports import Create, Job
from slimjobs.eventlog.events.definitions import Overrides
from slimjobs.eventlog.events.runs import RunId, job_object_name
from slimjobs.eventlog.raft import NodeId
from slimjobs.eventlog.raft.messages import Append, TimeoutNow
from slimjobs.projections.views import RunDetail, RunPage
from tests.core.machine.cluster_world import ClusterWorld, Host
from tests.core.machine.network import Weather
from tests.core.machine.timeline import MILLISECOND, SECOND
from tests.core.machine.world import definition

NAMES = ("node-0", "node-1", "node-2")
DEFINITIONS = {"fib": definition(cap=2)}
OFTEN = MachineSettings(snapshot_interval_entries=20)
OLDER = MachineSettings(event_level=1)
NEWER = MachineSettings(event_level=2)
BIG = Overrides(args=("x" * 20_000,))


def run_of(number: int) -> RunId:
    return RunId(number.to_bytes(10, "big"))


def trigger(*runs: int, overrides: Overrides | None = None) -> Trigger:
    return Trigger(tuple(Requested(run_of(run), "fib", overrides or Overrides()) for run in runs), internal=True)


def delete(run: int) -> DeleteRun:
    return DeleteRun("fib", run_of(run), True)


def show(run: int, wait_seconds: float = 0.0) -> ShowRun:
    return ShowRun("fib", run_of(run), True, wait_seconds)


def new_world(settings: MachineSettings | None = None) -> ClusterWorld:
    """Three hosts without a process; every node has these settings, under its own name."""
    world = ClusterWorld(NAMES, DEFINITIONS)
    for host in world.hosts.values():
        own = host.settings
        host.settings = msgspec.structs.replace(settings or own, name=own.name, peers=own.peers, version=own.version)
    return world


def three_nodes(settings: MachineSettings | None = None) -> ClusterWorld:
    """A cluster in peace."""
    world = new_world(settings)
    world.boot_all()
    world.run_until(lambda: all_ready(world) and level(world))
    return world


def all_ready(world: ClusterWorld) -> bool:
    return all(host.process is not None and host.process.ready for host in world.hosts.values())


def level(world: ClusterWorld) -> bool:
    """Whether every node that lives has all there is, and there is no more to come."""
    at = world.chronicle.last_index
    return all((host.raft.commit, host.raft.last_index) == (at, at) for host in world.live)


def agree(world: ClusterWorld) -> None:
    """Let the nodes come to rest, and compare them."""
    world.run_until(lambda: all_ready(world) and level(world))
    for host in world.hosts.values():
        world.chronicle.agrees_with(host.machine)


def the_leader(world: ClusterWorld) -> Host:
    assert world.leader is not None
    return world.leader


def followers(world: ClusterWorld) -> list[Host]:
    return [host for host in world.hosts.values() if host is not the_leader(world)]


def seconds_until(world: ClusterWorld, happens: Callable[[], bool]) -> float:
    begun = world.timeline.now_ns
    world.run_until(happens)
    return (world.timeline.now_ns - begun) / 1e9


def another_leads(world: ClusterWorld, than: str) -> Callable[[], bool]:
    return lambda: world.leader is not None and world.leader.name != than and world.leader.machine.leads


# Coming together ----------------------------------------------------------------------------------------------------


def test_a_cluster_is_founded_only_when_all_peers_are_met() -> None:
    world = new_world()
    world.boot("node-0")
    world.boot("node-1")
    told = world.call("node-1", trigger(1))
    world.run_for(20)
    assert not world.chronicle.entries
    assert isinstance(world.value_of(told), NoLeader)
    world.boot("node-2")
    world.run_until(lambda: all_ready(world) and level(world))
    assert world.chronicle.state.cluster.startswith("node-0"), "the lowest of them founds"
    assert set(world.chronicle.membership.voters) == {1, 2, 3}


def test_voters_become_more_one_by_one_and_each_was_a_learner_before() -> None:
    world = three_nodes()
    steps = [(set(each.voters), set(each.learners)) for each in world.chronicle.memberships[1:]]
    assert steps[0] == ({1}, set()), "the founder is the first"
    for (voters, learners), (more, _) in pairwise(steps):
        assert more - voters <= learners
        assert len(more - voters) <= 1


def test_a_lone_node_becomes_three() -> None:
    world = new_world()
    alone, peers = world.hosts["node-0"], world.hosts["node-0"].settings.peers
    alone.settings = msgspec.structs.replace(alone.settings, peers={})
    world.boot("node-0")
    assert world.told("node-0", trigger(1)) == Accepted((run_of(1),))
    world.crash("node-0")
    alone.settings = msgspec.structs.replace(alone.settings, peers=peers)
    world.boot_all()
    agree(world)
    assert isinstance(world.told("node-2", show(1)), RunDetail)


def test_a_node_that_lost_its_disk_comes_back_as_another_and_the_old_one_is_removed() -> None:
    world = three_nodes()
    world.told("node-1", trigger(1))
    name = followers(world)[0].name
    world.crash(name)
    world.wipe(name)
    world.boot(name)
    world.run_until(lambda: world.hosts[name].machine.ready)
    agree(world)
    assert len(world.chronicle.membership.voters) == 3
    assert NodeId(4) in world.chronicle.membership.voters


def test_a_member_that_was_removed_comes_back_only_with_an_empty_disk() -> None:
    world = three_nodes()
    name = followers(world)[0].name
    assert world.told(the_leader(world).name, RemoveMember(name)) == Removed(name)
    world.run_for(5)
    assert len(world.chronicle.membership.voters) == 2
    world.crash(name)
    world.boot(name)
    world.run_for(5)
    assert len(world.chronicle.membership.voters) == 2
    world.crash(name)
    world.wipe(name)
    world.boot(name)
    agree(world)
    assert len(world.chronicle.membership.voters) == 3


def test_a_learner_that_holds_nothing_yet_is_no_voter_and_outlives_its_leader() -> None:
    world = new_world()
    world.network.loses = lambda letter: isinstance(letter, Append) and letter.to == NodeId(3)
    world.boot_all()
    world.run_until(lambda: NodeId(2) in world.hosts["node-0"].raft.membership.voters)
    world.run_for(2)
    assert NodeId(3) in world.hosts["node-0"].raft.membership.learners
    world.crash("node-0", done=1000)
    world.network.loses = lambda letter: False
    world.boot("node-0")
    agree(world)


# Passing on ---------------------------------------------------------------------------------------------------------


def test_any_node_takes_a_trigger_and_any_node_knows_of_it_then() -> None:
    world = three_nodes()
    for number, name in enumerate(NAMES, 1):
        assert world.told(name, trigger(number)) == Accepted((run_of(number),))
        for other in NAMES:
            page = world.told(other, ListRuns("fib", True))
            assert isinstance(page, RunPage)
            assert len(page.rows) == number


def test_a_follower_answers_who_waits_for_a_run() -> None:
    world = three_nodes()
    name = followers(world)[0].name
    world.told(name, trigger(1))
    waiting = world.ask(name, show(1, wait_seconds=20))
    assert seconds_until(world, lambda: waiting in world.promises.answers) < 1


def test_who_waits_at_a_follower_for_what_does_not_happen_waits_as_long_as_asked() -> None:
    world = three_nodes()
    name = followers(world)[0].name
    world.effect_delay_ns = (60 * SECOND, 60 * SECOND)
    world.told(name, trigger(1, 2, 3, 4))
    waiting = world.ask(name, show(4, wait_seconds=8))
    assert 8 <= seconds_until(world, lambda: waiting in world.promises.answers) < 9


def test_when_the_leader_dies_another_one_takes_triggers_soon() -> None:
    world = three_nodes()
    name = followers(world)[0].name
    world.crash(the_leader(world).name)
    token = world.call(name, trigger(1))
    assert seconds_until(world, lambda: token in world.promises.answers) < 2.5
    assert world.value_of(token) == Accepted((run_of(1),))


def passed_on_to_a_leader_that_dies(*, done: bool) -> ClusterWorld:
    """A follower's trigger reaches the leader, whose answer never comes; the third node has it or not."""
    world = three_nodes()
    leader, (one, other) = the_leader(world), followers(world)
    world.network.sever(leader.name, one.name)
    if not done:
        world.network.sever(leader.name, other.name)
    token = world.call(one.name, trigger(1))
    if done:
        world.run_until(lambda: run_of(1) in world.chronicle.enqueued)
    else:
        world.run_until(lambda: run_of(1) in leader.machine.state.active)
    world.crash(leader.name, done=1000)
    world.network.heal()
    world.run_until(lambda: token in world.promises.answers)
    assert world.value_of(token) == Accepted((run_of(1),))
    world.boot_all()
    agree(world)
    return world


def test_what_was_passed_on_to_a_leader_that_died_with_the_answer_is_enqueued_once() -> None:
    world = passed_on_to_a_leader_that_dies(done=True)
    assert list(world.chronicle.enqueued) == [run_of(1)]


def test_what_it_had_not_committed_is_done_by_the_next_one() -> None:
    world = passed_on_to_a_leader_that_dies(done=False)
    assert list(world.chronicle.enqueued) == [run_of(1)]


def test_a_deposed_leader_forgets_what_it_had_applied_and_nobody_committed() -> None:
    world = three_nodes()
    deposed, others = the_leader(world), followers(world)
    world.network.split({deposed.name}, {host.name for host in others})
    lost = world.call(deposed.name, trigger(1))
    world.run_until(lambda: run_of(1) in deposed.machine.state.active)
    world.run_until(another_leads(world, deposed.name))
    assert world.told(others[0].name, trigger(2)) == Accepted((run_of(2),))
    assert run_of(1) in deposed.machine.state.active
    world.network.heal()
    world.run_until(lambda: run_of(2) in {*deposed.machine.state.active, *deposed.machine.state.finished})
    world.run_until(lambda: lost in world.promises.answers)
    agree(world)


def test_a_leader_without_a_majority_answers_no_read() -> None:
    world = three_nodes()
    alone, others = the_leader(world), followers(world)
    world.network.split({alone.name}, {host.name for host in others})
    read = world.ask(alone.name, ListRuns("fib", True))
    stale = world.ask(alone.name, ListRuns("fib", True), stale=True)
    world.run_until(lambda: read in world.promises.answers)
    assert isinstance(world.value_of(read), NoLeader)
    assert isinstance(world.value_of(stale), RunPage)


def test_a_follower_answers_when_it_holds_what_the_answer_has_to_show() -> None:
    world = three_nodes()
    leader, behind = the_leader(world), followers(world)[0]
    world.network.loses = lambda letter: isinstance(letter, Append) and letter.to == behind.raft.id
    world.told(leader.name, trigger(1))
    read = world.ask(behind.name, ListRuns("fib", True))
    world.run_for(1)
    assert read not in world.promises.answers
    world.network.loses = lambda letter: False
    world.run_until(lambda: read in world.promises.answers)
    page = world.value_of(read)
    assert isinstance(page, RunPage)
    assert len(page.rows) == 1


def test_a_deletion_whose_answer_is_lost_was_done_all_the_same() -> None:
    world = three_nodes()
    name = followers(world)[0].name
    world.told(name, trigger(1, 2, 3))
    answers: list[Letter] = []

    def loses_the_first(letter: Letter) -> bool:
        answers.extend([letter] if isinstance(letter, Answered) else [])
        return answers == [letter]

    world.network.loses = loses_the_first
    assert world.told(name, delete(3)) == Deleted(promised=True)
    assert len(answers) == 2


def test_a_trigger_that_was_refused_is_not_done_later_by_the_same_request_once_more() -> None:
    world = three_nodes()
    leader, (asked, _) = the_leader(world), followers(world)
    room = leader.disk.room
    world.tell(leader.name, leader.disk.grow(-room))
    world.run_for(0.1)
    world.network.weather = Weather((400 * MILLISECOND, 400 * MILLISECOND))
    world.timeline.after(1300 * MILLISECOND, lambda: world.tell(leader.name, leader.disk.grow(room)))
    assert world.told(asked.name, trigger(1)) == NoRoom()
    world.run_for(5)
    assert run_of(1) not in world.chronicle.enqueued


def test_what_is_not_known_to_be_done_is_told_with_an_index_that_is_committed() -> None:
    world = three_nodes()
    leader, others = the_leader(world), followers(world)
    world.told(leader.name, trigger(1))
    world.run_until(lambda: bool(leader.machine.state.active[run_of(1)].uid))
    world.network.split({leader.name}, {host.name for host in others})
    told = world.call(leader.name, delete(1))
    world.run_until(lambda: told in world.promises.answers)
    assert isinstance(world.value_of(told), OutcomeUnknown)


def test_callers_of_a_node_that_started_again_are_not_taken_for_those_before() -> None:
    world = three_nodes()
    world.effect_delay_ns = (60 * SECOND, 61 * SECOND)
    name = followers(world)[0].name
    world.told(the_leader(world).name, trigger(1))
    world.ask(name, show(1, wait_seconds=20))
    world.run_for(0.1)
    world.crash(name)
    world.boot(name)
    world.run_until(lambda: world.hosts[name].machine.ready)
    assert [world.told(name, trigger(number)) for number in (2, 3)] == [Accepted((run_of(2),)), Accepted((run_of(3),))]


# Handing over -------------------------------------------------------------------------------------------------------


def test_a_leader_that_is_about_to_stop_hands_over_at_once() -> None:
    world = three_nodes()
    leader = the_leader(world).name
    world.tell(leader, HandOver())
    assert seconds_until(world, another_leads(world, leader)) < 0.3


def test_when_all_are_about_to_stop_leadership_does_not_go_round_in_circles() -> None:
    world = three_nodes()
    term = the_leader(world).raft.term
    for name in NAMES:
        world.tell(name, HandOver())
    world.run_for(2)
    assert the_leader(world).raft.term <= term + len(NAMES)


def test_leadership_goes_where_an_operator_wants_it() -> None:
    world = three_nodes()
    to = followers(world)[0].name
    asked: Command = TransferLeadership(to)
    assert world.told(followers(world)[1].name, asked) == Transferred(to)
    world.run_until(lambda: world.leader is world.hosts[to])


def test_a_handing_over_that_comes_to_nothing_holds_back_no_run() -> None:
    world = three_nodes()
    leader, (gone, _) = the_leader(world), followers(world)
    world.told(leader.name, trigger(1, 2, 3, 4))
    world.crash(gone.name)
    world.call(leader.name, TransferLeadership(gone.name))
    world.run_until(lambda: leader.raft.transferee != 0)
    world.run_until(lambda: not world.chronicle.state.queued and not world.chronicle.state.active)
    assert world.leader is leader


def test_a_leader_whose_clock_is_wrong_hands_over_and_none_of_its_times_gets_into_the_log() -> None:
    world = three_nodes()
    leader = the_leader(world)
    leader.clock.skew_ms = 60_000
    world.run_until(another_leads(world, leader.name))
    world.told(leader.name, trigger(1))
    right = world.hosts[NAMES[0] if leader.name != NAMES[0] else NAMES[1]].clock.now(world.timeline.now_ns)
    assert abs(world.chronicle.state.at - right.wall_ms) < 5000


def test_an_object_that_was_asked_for_long_ago_is_swept_whenever_it_comes() -> None:
    world = three_nodes()
    world.told("node-0", trigger(1))
    world.run_until(lambda: run_of(1) in world.chronicle.state.finished and not world.orchestrator.objects)
    cluster, name = world.chronicle.state.cluster, job_object_name("fib", run_of(1))
    world.orchestrator.perform(Create(Job(name, cluster, run_of(1), "fib", "", DEFINITIONS["fib"])))
    world.orchestrator_changed()
    world.run_for(1)
    assert world.told("node-0", delete(1)) == Deleted(promised=True)
    world.run_until(lambda: not world.orchestrator.objects)


def test_a_leader_without_a_majority_sweeps_nothing() -> None:
    world = three_nodes()
    alone, others = the_leader(world), followers(world)
    world.network.split({alone.name}, {host.name for host in others})
    name = job_object_name("fib", run_of(1))
    world.orchestrator.perform(
        Create(Job(name, world.chronicle.state.cluster, run_of(1), "fib", "", DEFINITIONS["fib"]))
    )
    world.orchestrator_changed()
    world.run_for(0.8)
    assert alone.machine.leads, "it does not know yet that it leads nobody"
    assert not world.orchestrator.objects[name].ending
    world.run_until(lambda: not world.orchestrator.objects)


# Snapshots ----------------------------------------------------------------------------------------------------------


def test_who_was_away_too_long_gets_a_snapshot_and_a_cut_link_costs_only_the_rest_of_it() -> None:
    world = three_nodes(OFTEN)
    away, here = followers(world)
    world.crash(away.name)
    for number in range(1, 60):
        world.told(here.name, trigger(number, overrides=BIG))
    world.boot(away.name)
    world.run_until(lambda: sum(isinstance(letter, Piece) for letter in world.letters) >= 2)
    world.network.split({away.name}, set(NAMES) - {away.name})
    world.run_for(5)
    before = len(world.letters)
    world.network.heal()
    world.run_until(lambda: all_ready(world) and level(world))
    wanted = [letter for letter in world.letters[before:] if isinstance(letter, PieceWanted)]
    assert wanted[0].offset > 0
    agree(world)


def test_a_snapshot_that_is_tried_again_is_of_its_moment_although_the_leader_goes_on() -> None:
    world = three_nodes(OFTEN)
    leader = the_leader(world)
    leader.disk.refuses_snapshots = True
    for number in range(1, 200):
        world.call(leader.name, trigger(number))
        world.run_for(0.001 + number * 0.000_01)
        leader.disk.refuses_snapshots = not leader.disk.refused
        leader.disk.refused.clear()
    agree(world)


def test_a_node_in_another_state_than_the_majority_stops() -> None:
    world = three_nodes(OFTEN)
    wrong, right = followers(world)
    world.chronicle.corrupt.add(wrong.disk.node)
    world.may_stop = True
    wrong.machine.state.next_admission += 7
    for number in range(1, 20):
        world.told(right.name, trigger(number))
    world.run_until(lambda: wrong.stopped is not None)
    assert wrong.stopped is not None
    assert wrong.stopped.reason is StopReason.DIFFERS
    assert wrong.process is None
    assert right.process is not None


# Versions -----------------------------------------------------------------------------------------------------------


def test_the_event_level_rises_only_when_every_voter_understands_it() -> None:
    world = three_nodes(OLDER)
    for name in NAMES:
        assert world.chronicle.state.level == 1
        world.crash(name)
        host = world.hosts[name]
        host.settings = msgspec.structs.replace(host.settings, event_level=2)
        world.boot(name)
        world.run_until(lambda: all_ready(world))
        world.run_for(3)
    assert world.chronicle.state.level == 2


def test_the_event_level_waits_for_who_comes_with_an_empty_disk() -> None:
    world = three_nodes(OLDER)
    old, *others = sorted(world.hosts.values(), key=lambda host: host is world.leader)
    for host in others:
        world.crash(host.name)
        host.settings = msgspec.structs.replace(host.settings, event_level=2)
        world.boot(host.name)
        world.run_until(lambda: all_ready(world))
        world.run_for(3)
    world.crash(old.name)
    world.wipe(old.name)
    world.boot(old.name)
    world.run_until(lambda: all_ready(world))
    world.run_for(3)
    assert world.chronicle.state.level == 1
    assert old.stopped is None
    world.crash(old.name)
    old.settings = msgspec.structs.replace(old.settings, event_level=2)
    world.boot(old.name)
    world.run_until(lambda: world.chronicle.state.level == 2)


def test_a_node_that_is_too_old_for_the_level_stops() -> None:
    world = three_nodes(NEWER)
    world.run_until(lambda: world.chronicle.state.level == 2)
    old = followers(world)[0]
    world.may_stop = True
    world.run_until(lambda: level(world))
    world.crash(old.name)
    old.settings = msgspec.structs.replace(old.settings, event_level=1)
    world.boot(old.name)
    world.run_until(lambda: old.stopped is not None)
    assert old.stopped is not None
    assert old.stopped.reason is StopReason.TOO_OLD


def test_a_leader_that_hands_over_sleeps_until_there_is_something_to_do() -> None:
    world = three_nodes()
    leader = world.leader
    assert leader is not None
    world.told(leader.name, trigger(1, overrides=Overrides(depends_on=("db",))))
    question = world.ask(leader.name, show(1, wait_seconds=1.0))
    world.run_for(0.9)
    world.network.loses = lambda letter: isinstance(letter, TimeoutNow)
    world.call(leader.name, TransferLeadership())
    world.transcript.clear()
    world.run_for(0.3)
    assert world.leader is leader
    assert question in world.promises.answers
    assert sum(f"{leader.name} takes Tick" in line for line in world.transcript) < 100
