"""Schedules on a whole node and on a whole cluster: over years, and through the second in which leadership changes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random

import pytest

from slimjobs.core.configuration.cron import parse_cron
from slimjobs.core.decide.commands import AddSchedule, ScheduleMade, TransferLeadership
from slimjobs.core.machine.inputs import Now
from slimjobs.eventlog.events.record import Record, decode_record
from slimjobs.eventlog.events.runs import RunEnqueued
from slimjobs.eventlog.events.schedules import Plan, ScheduleFired, ScheduleId, ScheduleSkipped, SkipReason
from slimjobs.eventlog.raft import Entry, EntryKind
from tests.core.configuration.wall_clock import looked_at, ms
from tests.core.machine.almanac import Almanac
from tests.core.machine.cluster_world import ClusterWorld
from tests.core.machine.invariants import Checked
from tests.core.machine.timeline import MILLISECOND, SECOND
from tests.core.machine.world import World, definition

NAMES = ("node-0", "node-1", "node-2")
ID = ScheduleId(b"schedule-1")
QUARTER = timedelta(minutes=15)
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
END = datetime(2028, 1, 1, tzinfo=UTC)
YEARS = (
    ("Europe/Paris", "30 2 * * *"),  # at an hour that clocks jump over in spring, and show twice in autumn
    ("America/New_York", "15,45 1-2 * * 0"),
    ("Australia/Lord_Howe", "45 1 * * *"),  # half an hour is put back
    ("Africa/Casablanca", "0 */6 * * *"),  # an hour back for a month of every year
    ("Asia/Kathmandu", "30 9 1,15 * 1"),  # a quarter of an hour off, and either day
    ("UTC", "0 0 29 2 *"),
)


@pytest.mark.parametrize(("zone", "expression"), YEARS, ids=[zone for zone, _ in YEARS])
def test_over_two_years_a_node_fires_at_every_instant_of_a_wall_clock_and_at_no_other(
    zone: str, expression: str
) -> None:
    world, plan = World({"fib": definition(cap=1, ttl_seconds=60)}), Plan(expression, zone)
    world.settle()
    world.now = Now(ms(BEGIN) - 1, world.now.monotonic_ns + 1)
    made = world.told(AddSchedule(ID, "fib", plan, internal=True))
    assert isinstance(made, ScheduleMade)
    expected = list(looked_at(parse_cron(expression), zone, BEGIN, END, every=QUARTER))
    for at in (*expected, ms(END)):
        world.pass_time((at - 1 - world.now.wall_ms) * MILLISECOND)
        world.settle()
        world.pass_time(MILLISECOND)
        world.settle()
    records = records_of(world.disk.history.values())
    assert [
        event.instant for record in records for event in record.events if isinstance(event, ScheduleFired)
    ] == expected
    almanac = Almanac(Checked())
    for record in records:
        almanac.read(record)
    world.judge_log()


def records_of(entries: Iterable[Entry]) -> list[Record]:
    return [decode_record(entry.payload) for entry in entries if entry.kind is EntryKind.RECORD]


def test_when_leadership_changes_in_the_second_of_a_fire_the_instant_fires_once_or_says_why_not() -> None:
    stories = [Failover(seed) for seed in range(200)]
    for story in stories:
        story.play()
        story.judge()
    assert {story.harm for story in stories} == {"crash", "pause", "partition", "transfer"}
    assert {story.fired for story in stories} == {True, False}


class Failover:
    """A schedule that is due every minute, and at one of its instants something that costs the leader its office."""

    def __init__(self, seed: int) -> None:
        self.random = Random(f"{seed} failover")
        self.world = ClusterWorld(NAMES, {"fib": definition(cap=2)}, seed)
        self.deadline_seconds = self.random.choice([1, 5, 200])
        self.harm = self.random.choice(["crash", "pause", "partition", "transfer"])
        self.instant = 0
        self.fired = False

    def play(self) -> None:
        """Make the schedule shortly before a minute is full, harm the leader then, and wait for what comes of it."""
        world = self.world
        world.run_for(30)
        world.boot_all()
        world.run_until(lambda: world.leader is not None)
        plan = Plan("* * * * *", "UTC", starting_deadline_seconds=self.deadline_seconds)
        made = world.told("node-1", AddSchedule(ID, "fib", plan, internal=True))
        assert isinstance(made, ScheduleMade)
        leader = world.leader
        assert leader is not None
        self.instant = world.chronicle.almanac.schedules[ID].due
        left_ms = self.instant - leader.clock.now(world.timeline.now_ns).wall_ms
        # From just before the instant to well after its record: before, during and after each write of it.
        offset_ms = self.random.choice([-2, -1, 0, 1, 2, 3, 5, 10, 50, 400])
        world.run_for((left_ms + offset_ms + self.random.random()) / 1000)
        self._harm(leader.name)
        world.run_until(lambda: world.chronicle.almanac.schedules[ID].due > self.instant)
        world.run_for(1)

    def _harm(self, leader: str) -> None:
        world, until = self.world, self.random.randint(1, 10) * SECOND
        match self.harm:
            case "crash":
                world.crash(leader, self.random.randrange(4), self.random.randrange(4))
                world.timeline.after(until, partial(world.boot, leader))
            case "pause":
                world.put_to_sleep(leader)
                world.timeline.after(until, partial(world.wake, leader))
            case "partition":
                world.network.split({leader}, {*NAMES} - {leader})
                world.timeline.after(until, world.network.heal)
            case "transfer":
                world.call(leader, TransferLeadership())

    def judge(self) -> None:
        """The world has judged every record as it came; here is what the instant came to."""
        events = [event for record in records_of(self.world.chronicle.entries) for event in record.events]
        fires = [event for event in events if isinstance(event, ScheduleFired)]
        skips = [event for event in events if isinstance(event, ScheduleSkipped)]
        assert [event.instant for event in fires] + [event.first for event in skips] == [self.instant]
        assert [event.run for event in events if isinstance(event, RunEnqueued)] == [event.run for event in fires]
        assert {event.reason for event in skips} <= {SkipReason.DEADLINE, SkipReason.NO_LEADER}
        self.fired = bool(fires)
        assert self.fired or self.deadline_seconds < 200, "nobody was away for that long"
