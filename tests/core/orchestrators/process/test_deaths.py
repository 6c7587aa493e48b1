"""Whoever is killed, and however: children never outlive their node, and the next one knows what was lost."""

from __future__ import annotations

import fcntl
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from slimjobs.core.configuration.services import Service
from slimjobs.core.orchestrators.ports import ObservedJob, Phase
from slimjobs.eventlog.events.runs import RunId, run_id_text
from tests.core.orchestrators.process.serving import a_port, serving
from tests.core.orchestrators.process.world import World, a_script, a_world, alive, parent, pid_in, until

HOST = Path(__file__).with_name("host.py")
ESCAPE = "(setsid env -i sh -c 'echo $$ > {path}/new; mv {path}/new {path}/escaped; exec sleep 60' < /dev/null &);"
STAY = "echo $$ > {path}/pid; exec sleep 60"


@contextmanager
def a_host(directory: Path, script: str, port: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A node that runs this script, as a job or, with a port, as a service."""
    directory.mkdir(exist_ok=True)
    what = str(port) if port else run_id_text(RunId(secrets.token_bytes(10)))
    command = [sys.executable, str(HOST), str(directory), what, script]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment) as host:
        try:
            yield host
        finally:
            host.kill()


async def locked_within(directory: Path, seconds: float) -> float:
    """Seconds until the directory's lock is free, at most so many."""
    began = time.monotonic()
    fd = os.open(directory, os.O_RDONLY)
    try:
        await until(lambda: _is_free(fd), within_seconds=seconds)
    finally:
        os.close(fd)
    return time.monotonic() - began


def _is_free(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def the_job(world: World) -> ObservedJob:
    await until(lambda: bool(world.jobs))
    return next(iter(world.jobs.values()))


async def test_children_of_a_node_that_is_killed_die_at_once_and_the_next_node_counts_them_as_lost(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "runner"
    script = ESCAPE.format(path=tmp_path) + f"if [ -e {tmp_path}/pid ]; then exit 0; fi; " + STAY.format(path=tmp_path)
    with a_host(directory, script) as host:
        pids = [await pid_in(tmp_path / "pid"), await pid_in(tmp_path / "escaped")]
        host.kill()
        assert await locked_within(directory, 1) < 1
        assert not any(alive(pid) for pid in pids)
    async with a_world(directory) as world:
        ended = await world.ended(await the_job(world))
        assert ended.phase is Phase.SUCCEEDED
        assert [(attempt.reason, attempt.exit_code) for attempt in ended.attempts] == [
            ("NodeLost", None),
            ("Completed", 0),
        ]


async def test_a_lost_attempt_counts_against_the_backoff_limit(tmp_path: Path) -> None:
    directory = tmp_path / "runner"
    script = f"if [ -e {tmp_path}/pid ]; then exit 5; fi; " + STAY.format(path=tmp_path)
    with a_host(directory, script) as host:
        await pid_in(tmp_path / "pid")
        host.kill()
        await locked_within(directory, 1)
    async with a_world(directory) as world:
        ended = await world.ended(await the_job(world))
        assert (ended.phase, ended.reason) == (Phase.FAILED, "BackoffLimitExceeded")
        assert [attempt.reason for attempt in ended.attempts] == ["NodeLost", "Error"]


async def test_a_node_that_is_terminated_stops_its_children_and_ends_cleanly(tmp_path: Path) -> None:
    directory = tmp_path / "runner"
    script = f'trap "echo bye > {tmp_path}/bye; exit 1" TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.01; done'
    with a_host(directory, script) as host:
        pid = await pid_in(tmp_path / "pid")
        host.terminate()
        assert await trio.to_thread.run_sync(host.wait, 5) == 0
        assert not alive(pid)
        assert (tmp_path / "bye").exists()
        assert await locked_within(directory, 0.5) < 0.5
    async with a_world(directory) as world:
        job = await the_job(world)
        await until(lambda: world.jobs[job.name].attempts[0].reason == "NodeLost")


async def test_a_node_that_is_terminated_does_not_wait_for_children_that_do_not_listen(tmp_path: Path) -> None:
    with a_host(tmp_path / "runner", f'trap "" TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.01; done') as host:
        pid = await pid_in(tmp_path / "pid")
        host.terminate()
        assert await trio.to_thread.run_sync(host.wait, 5) == 0
        assert not alive(pid)


async def test_a_job_that_ends_well_in_the_grace_of_its_node_is_not_run_again(tmp_path: Path) -> None:
    script = f'trap "exit 0" TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.01; done'
    async with a_world(tmp_path / "runner") as world:
        job = await world.start(a_script(script, backoff_limit=1))
        await pid_in(tmp_path / "pid")
    async with a_world(tmp_path / "runner") as world:
        assert (await the_job(world)).phase is Phase.SUCCEEDED
        assert len(world.jobs[job.name].attempts) == 1


async def test_without_its_guard_an_attempt_goes_on_and_the_next_gets_a_new_guard(tmp_path: Path) -> None:
    async with a_world(tmp_path / "runner") as world:
        job = await world.start(
            a_script(f"echo $$ > {tmp_path}/pid; while ! [ -e {tmp_path}/go ]; do sleep 0.01; done")
        )
        keeper = parent(await pid_in(tmp_path / "pid"))
        os.kill(parent(keeper), signal.SIGKILL)
        assert (await world.run(a_script("echo still here"))).phase is Phase.SUCCEEDED
        (tmp_path / "go").touch()
        assert (await world.ended(job)).phase is Phase.SUCCEEDED


async def test_without_its_guard_a_node_that_is_killed_still_takes_its_children_with_it(tmp_path: Path) -> None:
    directory = tmp_path / "runner"
    with a_host(directory, ESCAPE.format(path=tmp_path) + STAY.format(path=tmp_path)) as host:
        pids = [await pid_in(tmp_path / "pid"), await pid_in(tmp_path / "escaped")]
        guard = parent(parent(pids[0]))
        os.kill(guard, signal.SIGKILL)
        host.kill()
        assert await locked_within(directory, 1) < 1
        assert not any(alive(pid) for pid in pids)


async def test_an_attempt_whose_keeper_is_killed_is_lost_with_all_that_ran_of_it(tmp_path: Path) -> None:
    async with a_world(tmp_path / "runner") as world:
        job = await world.start(a_script(ESCAPE.format(path=tmp_path) + STAY.format(path=tmp_path)))
        pids = [await pid_in(tmp_path / "pid"), await pid_in(tmp_path / "escaped")]
        os.kill(parent(pids[0]), signal.SIGKILL)
        ended = await world.ended(job)
        assert (ended.reason, ended.attempts[0].reason) == ("BackoffLimitExceeded", "KeeperLost")
        assert not alive(pids[0])
        await until(lambda: not alive(pids[1]), within_seconds=1)


async def test_what_even_the_keepers_death_left_is_killed_before_the_next_attempt(tmp_path: Path) -> None:
    directory = tmp_path / "runner"
    stray = f"(setsid sh -c 'echo $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/stray; exec sleep 60' &);"
    with a_host(directory, stray + STAY.format(path=tmp_path)) as host:
        pid, escaped = await pid_in(tmp_path / "pid"), await pid_in(tmp_path / "stray")
        keeper = parent(pid)
        for victim in (parent(keeper), host.pid, keeper):  # all at once, as a careless `pkill -9 python` does
            os.kill(victim, signal.SIGKILL)
        await locked_within(directory, 1)
        await until(lambda: not alive(pid), within_seconds=1)
    async with a_world(directory) as world:
        job = await the_job(world)
        await until(lambda: world.jobs[job.name].attempts[0].reason == "NodeLost")
        assert not alive(escaped)


async def test_a_service_of_a_node_that_is_killed_dies_at_once_and_the_next_node_has_it_asleep(tmp_path: Path) -> None:
    directory, port = tmp_path / "runner", a_port()
    with a_host(directory, ESCAPE.format(path=tmp_path) + STAY.format(path=tmp_path), port) as host:
        pids = [await pid_in(tmp_path / "pid"), await pid_in(tmp_path / "escaped")]
        host.kill()
        assert await locked_within(directory, 1) < 1
        assert not any(alive(pid) for pid in pids)
    async with serving(directory, {"web": Service(("true",), port)}) as world:
        await world.asleep()


async def test_what_even_the_keepers_death_left_of_a_service_is_killed_by_the_next_node(tmp_path: Path) -> None:
    directory = tmp_path / "runner"
    stray = f"(setsid sh -c 'echo $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/stray; exec sleep 60' &);"
    with a_host(directory, stray + STAY.format(path=tmp_path), a_port()) as host:
        pid, escaped = await pid_in(tmp_path / "pid"), await pid_in(tmp_path / "stray")
        keeper = parent(pid)
        os.kill(host.pid, signal.SIGSTOP)  # it would see its keeper's death, and the keeper its own
        for victim in (parent(keeper), keeper, host.pid):
            os.kill(victim, signal.SIGKILL)
        await locked_within(directory, 1)
        assert alive(escaped)
    async with serving(directory, {}):
        assert not alive(escaped)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda signum: signum.name)
async def test_signals_meant_for_the_node_do_not_end_the_guard(tmp_path: Path, signum: signal.Signals) -> None:
    async with a_world(tmp_path / "runner") as world:
        job = await world.start(
            a_script(f"echo $$ > {tmp_path}/pid; while ! [ -e {tmp_path}/go ]; do sleep 0.01; done")
        )
        keeper = parent(await pid_in(tmp_path / "pid"))
        guard = parent(keeper)
        for pid in (keeper, guard):
            os.kill(pid, signum)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert alive(guard)
        (tmp_path / "go").touch()
        assert (await world.ended(job)).phase is Phase.SUCCEEDED
