"""Schedules on one node with the real disk: how late one fires, how long ten thousand take, what a look costs.

Nobody waits for minutes here: the node reads a clock that stands right before one, and is put there again.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

import trio

from slimjobs.core.decide.commands import AddSchedule, ScheduleMade
from slimjobs.core.machine.inputs import Now
from slimjobs.core.machine.queries import ListFires
from slimjobs.core.node.program import Node
from slimjobs.eventlog.events.definitions import Source
from slimjobs.eventlog.events.schedules import Plan, ScheduleId
from slimjobs.projections.schedules import Schedule, Schedules
from slimjobs.projections.views import FireList
from tests.bench.callers import running_node
from tests.bench.table import Row

MINUTE_MS: Final = 60_000
MANY: Final = 10_000
MOST: Final = 100_000
FIRES: Final = 200
EVERY_MINUTE: Final = Plan("* * * * *", "UTC", starting_deadline_seconds=3600)


class Wall:
    """A clock on the wall that stands so long before the next minute whenever it is told to."""

    def __init__(self) -> None:
        self._ahead_ms = 0

    def now(self) -> Now:
        return Now(time.time_ns() // 1_000_000 + self._ahead_ms, int(trio.current_time() * 1e9))

    def stand_before_a_minute(self, milliseconds: int) -> int:
        """The minute that comes."""
        now = self.now().wall_ms
        minute = ((now + milliseconds) // MINUTE_MS + 1) * MINUTE_MS
        self._ahead_ms += minute - milliseconds - now
        return minute


def main() -> list[Row]:
    """The rows of the table."""
    late, burst = trio.run(measure)
    return [
        Row("one schedule, from its second to its committed record", late, "p99 at most 100 ms"),
        Row(f"{MANY:,} due in the same minute, all fired after", burst, "at most 2 s"),
        Row(f"the next wake-up among {MOST:,}", _look(), "at most 1 ms"),
    ]


async def measure() -> tuple[str, str]:
    """How late one is, and how long many take."""
    with tempfile.TemporaryDirectory(dir=".") as place:
        wall = Wall()
        async with running_node(Path(place) / "data", clock=wall) as node:
            return await _lateness(node, wall), await _burst(node, wall)


async def _lateness(node: Node, wall: Wall) -> str:
    schedule = await _add(node, 0)
    late: list[int] = []
    for _ in range(FIRES):
        minute = wall.stand_before_a_minute(120)
        await trio.sleep(0.1)
        late.append(await _late(node, schedule, minute))
    late.sort()
    return f"p50 {statistics.median(late):.0f} ms, p99 {late[int(0.99 * len(late))]} ms of {FIRES}"


async def _late(node: Node, schedule: ScheduleId, minute: int) -> int:
    while True:
        reply = await node.query(ListFires("bench", schedule, True, minute, minute, 1))
        assert isinstance(reply.value, FireList), reply
        if reply.value.fires:
            return reply.value.fires[0].late_milliseconds
        await trio.sleep(0.005)


async def _burst(node: Node, wall: Wall) -> str:
    async with trio.open_nursery() as nursery:
        for number in range(1, MANY):
            nursery.start_soon(_add, node, number)
    minute = wall.stand_before_a_minute(300)
    await trio.sleep(0.3)
    begun = time.perf_counter()
    await _late(
        node, ScheduleId((MANY - 1).to_bytes(10, "big")), minute
    )  # of one instant they fire in the order of ids
    return f"{time.perf_counter() - begun:.2f} s"


async def _add(node: Node, number: int) -> ScheduleId:
    schedule = ScheduleId(number.to_bytes(10, "big"))
    reply = await node.command(AddSchedule(schedule, "bench", EVERY_MINUTE, internal=True))
    assert isinstance(reply.value, ScheduleMade), reply
    return schedule


def _look() -> str:
    schedules = Schedules()
    for number in range(MOST):
        schedule = ScheduleId(number.to_bytes(10, "big"))
        schedules.enter(Schedule(schedule, "bench", Source.API, EVERY_MINUTE, 0, number * 7919 % MOST))
    begun = time.perf_counter()
    found = schedules.next_due()
    taken = time.perf_counter() - begun
    assert found is not None
    return f"{1e6 * taken:.1f} us"
