"""Many runs at once leave nothing behind: no descriptor, no process, no task, no file."""

from __future__ import annotations

import gc
from pathlib import Path

import trio

from slimjobs.core.orchestrators.ports import Phase
from slimjobs.core.orchestrators.process import ProcessRunner
from tests.core.orchestrators.process.world import World, a_job, a_world, descriptors, until

RUNS = 200


def children_of_the_guard(world: World) -> int:
    assert isinstance(world.runner, ProcessRunner)
    guard = world.runner.guard_pid
    stats = (path.read_text().rpartition(")")[2].split() for path in Path("/proc").glob("[0-9]*/stat"))
    return sum(int(stat[1]) == guard for stat in stats)


async def test_two_hundred_short_runs_at_once_leave_nothing_behind(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        await world.run(a_job("true"))
        gc.collect()
        before, tasks = descriptors(), trio.lowlevel.current_statistics().tasks_living

        async def run_one() -> None:
            ended = await world.run(a_job("echo", "hello"))
            assert ended.phase is Phase.SUCCEEDED
            assert await world.output(ended) == b"hello\n"
            await world.expire(ended, 0)
            await world.gone(ended)

        async with trio.open_nursery() as nursery:
            for _ in range(RUNS):
                nursery.start_soon(run_one)
        gc.collect()
        assert descriptors() == before
        assert trio.lowlevel.current_statistics().tasks_living == tasks
        await until(lambda: children_of_the_guard(world) == 0)
        assert len(list((tmp_path / "objects").iterdir())) == 1
        assert len(list((tmp_path / "outputs").iterdir())) == 1
