"""Names, identities, late and double requests: the runner answers as the Kubernetes API does."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import trio

from slimjobs.core.orchestrators.ports import (
    Accepted,
    AlreadyExists,
    Changed,
    Create,
    Created,
    Expire,
    Listed,
    Missing,
    Phase,
    Rejected,
    Unavailable,
    Unobserved,
    Vanished,
)
from slimjobs.core.orchestrators.process import DamagedObject, watching
from slimjobs.eventlog.events.definitions import EnvironmentVariable
from tests.core.orchestrators.process.world import World, a_job, a_script, a_world, until


async def test_a_created_object_is_suspended_and_starts_nothing_until_its_uid_is_released(tmp_path: Path) -> None:
    async with a_world(tmp_path / "runner") as world:
        mark = tmp_path / "mark"
        created = await world.create(a_job("touch", str(mark)))
        assert created.phase is Phase.SUSPENDED
        assert await world.release(created, uid="another") == Missing()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert not mark.exists()
        assert await world.release(created) == Accepted()
        assert (await world.ended(created)).phase is Phase.SUCCEEDED
        assert mark.exists()


async def test_a_name_is_taken_once(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        job = a_job("true")
        created = await world.create(job)
        assert await world.runner.carry_out(Create(job)) == AlreadyExists(created)


async def test_of_creates_that_race_one_wins_and_the_others_are_shown_it(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        job, outcomes = a_job("true"), []

        async def create() -> None:
            outcomes.append(await world.runner.carry_out(Create(job)))

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(create)
        assert sum(isinstance(outcome, Created) for outcome in outcomes) == 1
        assert len({outcome.job.uid for outcome in outcomes if isinstance(outcome, Created | AlreadyExists)}) == 1


async def test_late_and_double_requests_change_nothing(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        job = await world.run(a_job("true"))
        assert await world.release(job) == Accepted()
        assert await world.expire(job, 60) == Accepted()
        assert await world.expire(job, 60) == Accepted()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert len(world.jobs[job.name].attempts) == 1
        assert await world.delete(job, uid="another") == Missing()
        assert await world.delete(job) == Accepted()
        await world.gone(job)
        assert await world.release(job) == Missing()
        assert await world.expire(job, 0) == Missing()
        assert await world.delete(job) == Missing()


async def test_a_name_that_was_freed_gets_another_identity(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        job = a_job("true")
        first = await world.create(job)
        await world.delete(first)
        await world.gone(first)
        second = await world.create(job)
        assert second.uid != first.uid
        assert await world.release(second, uid=first.uid) == Missing()


async def test_an_object_is_collected_when_its_time_to_live_has_passed_and_not_before_it_was_told_one(
    tmp_path: Path,
) -> None:
    async with a_world(tmp_path) as world:
        job = await world.run(a_job("echo", "kept"))
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert await world.output(job) == b"kept\n"
        await world.expire(job, 0)
        assert (await world.gone(job)).phase is Phase.SUCCEEDED
        await until(lambda: not list((tmp_path / "outputs").iterdir()))
        assert not list((tmp_path / "objects").iterdir())


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        (EnvironmentVariable("A", value_from=b"{}"), "valueFrom"),
        (EnvironmentVariable("A=B", "c"), "cannot be a variable"),
        (EnvironmentVariable("A", "\0"), "cannot be a variable"),
    ],
)
async def test_a_variable_that_no_process_can_have_is_rejected(
    tmp_path: Path, variable: EnvironmentVariable, said: str
) -> None:
    job = a_job("true")
    job = msgspec.structs.replace(job, definition=msgspec.structs.replace(job.definition, environments=(variable,)))
    async with a_world(tmp_path) as world:
        outcome = await world.runner.carry_out(Create(job))
        assert isinstance(outcome, Rejected)
        assert said in outcome.detail


async def test_a_job_without_a_command_is_rejected(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        outcome = await world.runner.carry_out(Create(a_job()))
        assert isinstance(outcome, Rejected)
        assert "no Command" in outcome.detail


async def test_a_disk_that_refuses_is_unavailable_and_nothing_was_done(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        job = a_job("true")
        # A directory where the new file must go: refused for root too.
        (tmp_path / "objects" / f"{job.name}.new").mkdir()
        outcome = await world.runner.carry_out(Create(job))
        assert isinstance(outcome, Unavailable)
        assert job.name not in world.jobs
        (tmp_path / "objects" / f"{job.name}.new").rmdir()
        assert (await world.run(job)).phase is Phase.SUCCEEDED


async def test_what_does_not_run_is_deleted_even_if_nothing_can_be_written(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        job = await world.run(a_job("true"))
        (tmp_path / "objects" / f"{job.name}.new").mkdir()
        assert await world.delete(job) == Accepted()
        await world.gone(job)


async def test_an_end_that_the_disk_refused_is_written_when_it_takes_it_again(tmp_path: Path) -> None:
    async with a_world(tmp_path / "runner") as world:
        job = await world.start(a_script(f"while ! [ -e {tmp_path}/go ]; do sleep 0.01; done"))
        await world.reached(job, Phase.RUNNING)
        blocked = tmp_path / "runner" / "objects" / f"{job.name}.new"
        blocked.mkdir()
        (tmp_path / "go").touch()
        assert await world.runner.carry_out(Expire(job.run, job.name, job.uid, 60)) == Unavailable(
            "the runner's disk: Is a directory"
        )
        await trio.sleep(0.2)
        assert world.jobs[job.name].phase is Phase.RUNNING
        blocked.rmdir()
        assert (await world.ended(job)).phase is Phase.SUCCEEDED


async def test_objects_survive_a_restart_as_they_were_acknowledged(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        waiting = await world.create(a_job("true"))
        done = await world.run(a_job("echo", "kept"))
        removed = await world.create(a_job("true"))
        await world.delete(removed)
        await world.gone(removed)
    (tmp_path / "objects" / "half.new").write_bytes(b"{")
    async with a_world(tmp_path) as world:
        await until(lambda: bool(world.seen))
        assert world.jobs == {waiting.name: waiting, done.name: done}
        assert await world.output(done) == b"kept\n"
        await world.release(waiting)
        assert (await world.ended(waiting)).phase is Phase.SUCCEEDED


async def test_a_damaged_object_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "objects").mkdir()
    (tmp_path / "objects" / "torn.json").write_bytes(b"{")
    with pytest.raises(DamagedObject, match=r"torn\.json"):
        async with a_world(tmp_path):
            pass


async def test_a_watcher_hears_of_a_list_sees_it_and_then_every_change_in_order(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        await until(lambda: len(world.seen) == 2)
        job = await world.run(a_script("exit 0"))
        await world.delete(job)
        await world.gone(job)
        assert world.seen[:2] == [Unobserved(""), Listed(())]
        assert [type(seen) for seen in world.seen[2:]] == [Changed] * (len(world.seen) - 3) + [Vanished]
        phases = [seen.job.phase for seen in world.seen if isinstance(seen, Changed)]
        assert phases == [Phase.SUSPENDED, Phase.PENDING, Phase.RUNNING, Phase.SUCCEEDED]


async def test_a_watcher_that_is_too_slow_gets_a_new_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "BUFFERED", 3)
    async with a_world(tmp_path) as world:
        slow = world.runner.observe()
        assert [await anext(slow), await anext(slow)] == [Unobserved(""), Listed(())]
        names = {(await world.create(a_job("true"))).name for _ in range(5)}
        assert await anext(slow) == Unobserved("")
        listed = await anext(slow)
        assert isinstance(listed, Listed)
        assert {job.name for job in listed.jobs} == names
        created = await world.create(a_job("true"))
        assert await anext(slow) == Changed(created)


async def test_a_closing_runner_takes_nothing_on(tmp_path: Path) -> None:
    world: World
    async with a_world(tmp_path) as world:
        pass
    assert isinstance(await world.runner.carry_out(Create(a_job("true"))), Unavailable)
