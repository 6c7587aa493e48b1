"""Three nodes on the real storage, and whatever disks can do to it: nothing acknowledged is lost, nobody votes twice.

First each fault in a story of its own, then all of them by chance: some thirty seconds; with `SLIMJOBS_SOAK=1` it is
2,000 seeds. A seed that fails prints the command that repeats it.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from itertools import count

import msgspec
import pytest

from slimjobs.core.decide.commands import Accepted
from slimjobs.core.decide.refusals import NoRoom
from slimjobs.core.machine.letters import Piece
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.eventlog.raft import Role
from slimjobs.eventlog.raft.messages import PreVoteRequest
from slimjobs.eventlog.storage.identity import IDENTITY
from slimjobs.eventlog.storage.segments import segment_names
from slimjobs.eventlog.storage.slots import HARD_STATE, SLOT_OFFSETS
from slimjobs.eventlog.storage.snapshots import snapshot_indices, snapshot_name
from slimjobs.projections.views import RunDetail
from tests.core.machine.chaos import DEFINITIONS, NAMES
from tests.core.machine.cluster_world import Host
from tests.core.machine.disk_chaos import DiskChaos
from tests.core.machine.stored_world import StoredWorld
from tests.core.machine.telling import run_or_tell, traces
from tests.core.machine.test_cluster_stories import (
    BIG,
    OFTEN,
    agree,
    all_ready,
    another_leads,
    followers,
    level,
    run_of,
    seconds_until,
    show,
    the_leader,
    trigger,
)
from tests.core.machine.timeline import SECOND
from tests.eventlog.storage.simulated_files import SimulatedFiles

SEEDS = 2_000 if os.environ.get("SLIMJOBS_SOAK") else 30


SELDOM = MachineSettings()


@pytest.fixture(autouse=True)
def worlds_are_let_go_of() -> Iterator[None]:
    """A world is one great cycle with megabytes of files in few objects, too few to have them collected soon."""
    yield
    gc.collect()


def three_nodes(settings: MachineSettings = SELDOM, seed: int = 0) -> StoredWorld:
    """A cluster in peace; every node has these settings, under its own name."""
    world = StoredWorld(NAMES, dict(DEFINITIONS), seed)
    for host in world.hosts.values():
        own = host.settings
        host.settings = msgspec.structs.replace(settings, name=own.name, peers=own.peers, version=own.version)
    world.boot_all()
    world.run_until(lambda: all_ready(world) and level(world))
    return world


def accept(world: StoredWorld, at: Host, *runs: int, big: bool = False) -> None:
    """Have these accepted, one after the other."""
    for run in runs:
        assert world.told(at.name, trigger(run, overrides=BIG if big else None)) == Accepted((run_of(run),))


def come_to_rest(world: StoredWorld, *acknowledged: int) -> None:
    """All nodes are level again, in memory and on their disks, and every node knows of what was acknowledged."""
    agree(world)
    for name in NAMES:
        for run in acknowledged:
            assert isinstance(world.told(name, show(run)), RunDetail)
    world.run_until(lambda: level(world) and not any(host.disk.pending for host in world.hosts.values()))
    world.judge_disks()


def fill(world: StoredWorld, host: Host, left: int = 0) -> SimulatedFiles:
    """Let a disk have no more room than this."""
    files = world.disk_of(host.name).files
    files.capacity = files.used + left
    return files


# A disk that fails or stalls ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", range(4))
def test_a_leader_whose_sync_fails_is_gone_at_once_and_comes_back_with_what_is_durable(after: int) -> None:
    world = three_nodes()
    leader, asked = the_leader(world), followers(world)[0]
    accept(world, asked, 1)
    world.disk_of(leader.name).fail_sync(after)
    token = world.call(asked.name, trigger(2))
    world.run_until(lambda: leader.name in world.failures and token in world.promises.answers)
    come_to_rest(world, 1, 2)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_a_node_read_after_a_failed_sync_outlives_the_next_power_loss(seed: int) -> None:
    world = three_nodes(seed=seed)
    leader, (one, other) = the_leader(world), followers(world)
    world.disk_of(one.name).fail_sync()
    world.crash(other.name)
    token = world.call(leader.name, trigger(1))
    world.run_until(lambda: token in world.promises.answers)  # so the one is back, and says that it has the entry
    assert world.value_of(token) == Accepted((run_of(1),))
    world.crash(leader.name)
    world.crash(one.name)
    world.boot(other.name)
    world.boot(one.name)
    world.run_until(lambda: one.process is not None and one.machine.leads)
    assert not world.set_aside
    world.boot(leader.name)
    come_to_rest(world, 1)


def test_a_leader_whose_disk_stalls_resigns_and_another_one_goes_on() -> None:
    world = three_nodes()
    leader, asked = the_leader(world), followers(world)[0]
    leader.disk_delay_ns = (5 * SECOND, 5 * SECOND)
    token = world.call(asked.name, trigger(1))
    assert seconds_until(world, another_leads(world, leader.name)) < 4
    assert leader.process is not None
    assert leader.raft.role is not Role.LEADER
    world.run_until(lambda: token in world.promises.answers)
    accept(world, asked, 2)
    leader.disk_delay_ns = (100_000, 1_000_000)
    come_to_rest(world, 1, 2)


def test_a_follower_whose_disk_stalls_holds_up_nobody() -> None:
    world = three_nodes()
    leader, slow = the_leader(world), followers(world)[0]
    slow.disk_delay_ns = (5 * SECOND, 5 * SECOND)
    token = world.call(leader.name, trigger(1))
    assert seconds_until(world, lambda: token in world.promises.answers) < 0.1
    slow.disk_delay_ns = (100_000, 1_000_000)
    come_to_rest(world, 1)
    assert the_leader(world) is leader


# Power loss and kill ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operations", range(4))
def test_the_power_of_all_goes_in_the_middle_of_a_batch_and_what_was_acknowledged_is_there(operations: int) -> None:
    world = three_nodes()
    accept(world, the_leader(world), 1, 2, 3)
    for name in NAMES:
        world.call(name, trigger(4, 5))
    world.run_for(0.0005)
    for name in NAMES:
        world.crash(name, parts=operations)
    world.boot_all()
    come_to_rest(world, 1, 2, 3)


@pytest.mark.parametrize("operations", range(0, 12, 3))
def test_all_are_killed_and_power_goes_while_they_start(operations: int) -> None:
    world = three_nodes()
    accept(world, the_leader(world), 1, 2, 3)
    for name in NAMES:
        world.kill(name, operations)
        world.disk_of(name).files.steps_to_power_loss = operations + 1
    world.boot_all()
    come_to_rest(world, 1, 2, 3)


# A full disk --------------------------------------------------------------------------------------------------------


def test_a_leader_without_room_refuses_new_work_and_ends_what_there_is() -> None:
    world = three_nodes()
    leader = the_leader(world)
    files = fill(world, leader)
    answers: list[object] = []
    for run in count(1):
        answers.append(world.told(leader.name, trigger(run, overrides=BIG)))
        if answers[-1] == NoRoom():
            break
    accepted = range(1, len(answers))
    assert accepted
    world.run_until(lambda: not world.chronicle.state.queued and not world.chronicle.state.active, 120)
    assert the_leader(world) is leader
    files.capacity = None
    world.run_for(3)
    accept(world, leader, len(answers) + 1)
    come_to_rest(world, *accepted)


def test_a_batch_that_finds_no_room_on_a_follower_waits_for_it_while_the_others_go_on() -> None:
    world = three_nodes()
    leader, full = the_leader(world), followers(world)[0]
    files = fill(world, full)
    runs = range(1, 150)
    accept(world, leader, *runs, big=True)  # more than two segments, one in use and one ahead
    assert full.raft.log.persisted < full.raft.last_index
    assert full.process is not None
    files.capacity = None
    come_to_rest(world, *runs[:5])


def test_a_snapshot_that_finds_no_room_is_given_up_and_the_next_one_is_taken() -> None:
    world = three_nodes(OFTEN)
    leader, full = the_leader(world), followers(world)[0]
    files = fill(world, full, left=1000)
    before = snapshot_indices(files)
    accept(world, leader, *range(1, 12), big=True)
    world.run_for(1)
    assert snapshot_indices(files) == before
    assert snapshot_indices(world.disk_of(leader.name).files) != before
    files.capacity = None
    accept(world, leader, *range(12, 24))
    world.run_until(lambda: snapshot_indices(files) != before)
    come_to_rest(world, *range(1, 24))


def test_pieces_of_a_snapshot_that_find_no_room_come_again() -> None:
    world = three_nodes(OFTEN)
    leader, away = the_leader(world), followers(world)[0]
    world.crash(away.name)
    accept(world, leader, *range(1, 60), big=True)
    files = fill(world, away, left=2_000_000)
    world.boot(away.name)
    world.run_until(lambda: any(isinstance(letter, Piece) for letter in world.letters))
    files.capacity = files.used
    world.run_for(5)
    assert away.raft.commit < leader.raft.commit
    files.capacity = None
    come_to_rest(world, 1, 59)


def test_a_vote_is_given_on_a_disk_that_is_full_to_the_last_byte() -> None:
    world = three_nodes()
    leader, (full, other) = the_leader(world), followers(world)
    fill(world, full)
    term = full.raft.term
    world.network.loses = lambda letter: isinstance(letter, PreVoteRequest) and letter.sender == full.disk.node
    world.crash(leader.name)
    world.run_until(lambda: other.raft.role is Role.LEADER)
    state = world.disk_of(full.name).storage.hard_state
    assert (state.term > term, state.vote) == (True, other.disk.node)


# Rot ----------------------------------------------------------------------------------------------------------------


def both_slots(files: SimulatedFiles) -> None:
    for offset in SLOT_OFFSETS:
        files.flip(HARD_STATE, offset + 9)


def the_first_segment(files: SimulatedFiles) -> None:
    files.flip(segment_names(files)[0], 100)


def the_snapshots(files: SimulatedFiles) -> None:
    for index in snapshot_indices(files):
        files.flip(snapshot_name(index), 60)


def the_identity(files: SimulatedFiles) -> None:
    files.flip(IDENTITY, 20)


@pytest.mark.parametrize("rots", [both_slots, the_first_segment, the_snapshots, the_identity])
def test_a_damaged_node_sets_its_directory_aside_and_is_replaced(rots: Callable[[SimulatedFiles], None]) -> None:
    world = three_nodes(OFTEN if rots is the_snapshots else SELDOM)
    damaged = followers(world)[0]
    accept(world, damaged, *range(1, 30))
    if rots is the_snapshots:
        begin_with_a_snapshot(world, damaged)
    before, files = damaged.disk.node, world.disk_of(damaged.name).files
    world.stop(damaged.name)
    rots(files)
    world.boot(damaged.name)
    assert [name for name, _ in world.set_aside] == [damaged.name]
    assert damaged.disk.node != before
    come_to_rest(world, *range(1, 30))
    assert damaged.disk.node in world.chronicle.membership.voters
    assert before not in world.chronicle.membership.voters
    assert files.folders() == ["damaged-1"]


def begin_with_a_snapshot(world: StoredWorld, host: Host) -> None:
    """A new disk, whose log begins behind the snapshot of another node."""
    world.crash(host.name)
    world.wipe(host.name)
    world.boot(host.name)
    agree(world)
    assert snapshot_indices(world.disk_of(host.name).files)


def one_slot(files: SimulatedFiles) -> None:
    files.flip(HARD_STATE, SLOT_OFFSETS[0] + 9)


def the_newest_snapshot(files: SimulatedFiles) -> None:
    files.flip(snapshot_name(snapshot_indices(files)[0]), 60)


@pytest.mark.parametrize("rots", [one_slot, the_newest_snapshot, the_snapshots])
def test_rot_in_what_is_there_twice_costs_nothing(rots: Callable[[SimulatedFiles], None]) -> None:
    world = three_nodes(OFTEN)
    damaged = followers(world)[0]
    accept(world, damaged, *range(1, 30))
    before = damaged.disk.node
    world.stop(damaged.name)
    rots(world.disk_of(damaged.name).files)
    world.boot(damaged.name)
    assert not world.set_aside
    come_to_rest(world, *range(1, 30))
    assert damaged.disk.node == before


# By chance ----------------------------------------------------------------------------------------------------------


def tell_the_story(seed: int) -> DiskChaos:
    """Run a seed."""
    chaos = DiskChaos(StoredWorld(NAMES, dict(DEFINITIONS), seed))
    run_or_tell(chaos, f"{os.path.relpath(__file__)}::test_promises_are_kept_whatever_disks_do[{seed}]")
    return chaos


@pytest.mark.parametrize("seed", range(SEEDS))
def test_promises_are_kept_whatever_disks_do(seed: int) -> None:
    tell_the_story(seed)


def test_a_seed_tells_the_same_story_whatever_the_hashes() -> None:
    assert len(traces(__name__, 1)) == 1
