"""What a process is given, how its end is told, and when another attempt follows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

from slimjobs.core.orchestrators.ports import Accepted, Phase
from slimjobs.core.orchestrators.process import RunnerSettings
from slimjobs.eventlog.events.runs import run_id_text
from tests.core.orchestrators.process.world import a_job, a_script, a_world, alive, pid_in, until


async def test_a_process_gets_a_minimal_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_NODE", "x")
    job = a_job("env", variables={"MINE": "a=b", "HOME": "/nowhere"}, path="some/path")
    async with a_world(tmp_path) as world:
        ended = await world.run(job)
        assert set((await world.output(ended)).decode().splitlines()) == {
            f"PATH={os.environ['PATH']}",
            "HOME=/nowhere",
            "MINE=a=b",
            f"SLIMFAAS_JOB_ID={run_id_text(job.run)}",
            "SLIMFAAS_JOB_PATH=some/path",
        }


async def test_a_process_has_an_empty_input_and_the_nodes_directory(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        ended = await world.run(a_script('cat; pwd; echo "$# $1"'))
        assert await world.output(ended) == f"{Path.cwd()}\n0 \n".encode()


async def test_a_process_is_the_leader_of_its_own_session_with_default_signals(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        script = "import os, signal; print(os.getsid(0) == os.getpid(), signal.getsignal(signal.SIGTERM).name)"
        ended = await world.run(a_job("python3", "-c", script))
        assert await world.output(ended) == b"True SIG_DFL\n"


async def test_only_its_three_standard_descriptors_are_open_in_a_process(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        ended = await world.run(a_job("ls", "/proc/self/fd"))
        assert (await world.output(ended)).split() == [b"0", b"1", b"2", b"3"]  # 3 is what `ls` reads


@pytest.mark.parametrize(
    ("script", "code"), [("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)], ids=["exit", "KILL", "TERM"]
)
async def test_an_exit_is_told_as_a_shell_tells_it(tmp_path: Path, script: str, code: int) -> None:
    async with a_world(tmp_path) as world:
        ended = await world.run(a_script(script))
        assert (ended.phase, ended.reason) == (Phase.FAILED, "BackoffLimitExceeded")
        assert (ended.attempts[0].exit_code, ended.attempts[0].reason) == (code, "Error")


@pytest.mark.parametrize(("command", "code"), [("no-such-program", 127), ("/etc/passwd", 126), ("/etc", 126)])
async def test_what_cannot_be_started_is_a_failed_attempt_and_its_output_says_why(
    tmp_path: Path, command: str, code: int
) -> None:
    async with a_world(tmp_path) as world:
        ended = await world.run(a_job(command))
        assert (ended.attempts[0].reason, ended.attempts[0].exit_code) == ("StartError", code)
        assert (await world.output(ended)).startswith(f"slimjobs: cannot start {command}: ".encode())


async def test_a_command_too_long_for_the_kernel_is_a_start_error(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        ended = await world.run(a_job("echo", "x" * 200_000))
        assert ended.attempts[0].reason == "StartError"
        assert b"Argument list too long" in await world.output(ended)


async def test_failures_are_retried_up_to_the_limit_with_a_backoff_that_doubles(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        ended = await world.run(a_script("echo $$; exit 3", backoff_limit=2))
        assert (ended.phase, ended.reason) == (Phase.FAILED, "BackoffLimitExceeded")
        assert ended.detail == "3 attempts failed, the last: Error with exit code 3"
        assert [attempt.number for attempt in ended.attempts] == [1, 2, 3]
        first, second, third = ended.attempts
        assert first.ended_at_ms is not None
        assert second.ended_at_ms is not None
        assert second.started_at_ms - first.ended_at_ms >= 50
        assert third.started_at_ms - second.ended_at_ms >= 100
        outputs = {await world.output(ended, attempt=number) for number in (1, 2, 3)}
        assert len(outputs) == 3


async def test_a_retry_that_succeeds_ends_the_run_well(tmp_path: Path) -> None:
    async with a_world(tmp_path / "runner") as world:
        ended = await world.run(a_script(f"mkdir {tmp_path}/once && exit 1; exit 0", backoff_limit=1))
        assert ended.phase is Phase.SUCCEEDED
        assert [attempt.reason for attempt in ended.attempts] == ["Error", "Completed"]


async def test_the_deadline_ends_a_process_that_hangs(tmp_path: Path) -> None:
    async with a_world(tmp_path / "runner") as world:
        job = await world.start(a_script(f"echo $$ > {tmp_path}/pid; exec sleep 60", deadline_seconds=1))
        pid = await pid_in(tmp_path / "pid")
        ended = await world.ended(job)
        assert (ended.phase, ended.reason) == (Phase.FAILED, "DeadlineExceeded")
        assert (ended.attempts[0].reason, ended.attempts[0].exit_code) == ("DeadlineExceeded", 143)
        assert not alive(pid)


async def test_the_deadline_ends_a_backoff(tmp_path: Path) -> None:
    async with a_world(tmp_path, RunnerSettings(backoff_seconds=60)) as world:
        ended = await world.run(a_job("false", backoff_limit=5, deadline_seconds=1))
        assert (ended.reason, len(ended.attempts)) == ("DeadlineExceeded", 1)


async def test_a_deleted_process_gets_its_grace(tmp_path: Path) -> None:
    async with a_world(tmp_path / "runner") as world:
        script = (
            f'trap "echo bye > {tmp_path}/bye; exit 0" TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.01; done'
        )
        job = await world.start(a_script(script))
        pid = await pid_in(tmp_path / "pid")
        assert await world.delete(job) == Accepted()
        last = await world.gone(job)
        assert (last.ending, last.phase, last.attempts[0].exit_code) == (True, Phase.SUCCEEDED, 0)
        assert (tmp_path / "bye").read_text() == "bye\n"
        assert not alive(pid)


async def test_a_deleted_process_that_does_not_listen_is_killed_and_is_ending_until_it_is_gone(tmp_path: Path) -> None:
    async with a_world(tmp_path / "runner", RunnerSettings(grace_seconds=0.3)) as world:
        job = await world.start(a_script(f'trap "" TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.01; done'))
        pid = await pid_in(tmp_path / "pid")
        began = trio.current_time()
        await world.delete(job)
        assert await world.delete(job) == Accepted()
        await until(lambda: world.jobs[job.name].ending)
        assert alive(pid)
        last = await world.gone(job)
        assert trio.current_time() - began >= 0.3
        assert (last.phase, last.attempts[0].exit_code) == (Phase.RUNNING, 137)
        assert not alive(pid)


async def test_a_deleted_backoff_starts_nothing_more(tmp_path: Path) -> None:
    async with a_world(tmp_path, RunnerSettings(backoff_seconds=60)) as world:
        job = await world.start(a_job("false", backoff_limit=5))
        await until(lambda: world.jobs[job.name].reason == "BackOff")
        await world.delete(job)
        assert len((await world.gone(job)).attempts) == 1


async def test_the_end_of_the_process_takes_its_whole_group_with_it(tmp_path: Path) -> None:
    async with a_world(tmp_path / "runner") as world:
        job = await world.start(a_script(f"sleep 60 & echo $! > {tmp_path}/pid"))
        assert (await world.ended(job)).phase is Phase.SUCCEEDED
        assert not alive(await pid_in(tmp_path / "pid"))


# Its own session, an orphan, without the environment that could tell whose it is.
ESCAPE = "(setsid env -i sh -c 'echo $$ > {path}/new; mv {path}/new {path}/pid; exec sleep 60' < /dev/null &);"


async def test_what_escaped_from_the_group_does_not_survive_the_process(tmp_path: Path) -> None:
    escape = ESCAPE.format(path=tmp_path)
    async with a_world(tmp_path / "runner") as world:
        job = await world.start(a_script(f"{escape} while ! [ -e {tmp_path}/pid ]; do sleep 0.01; done"))
        assert (await world.ended(job)).phase is Phase.SUCCEEDED
        assert not alive(await pid_in(tmp_path / "pid"))


async def test_what_escaped_from_the_group_does_not_survive_a_delete(tmp_path: Path) -> None:
    async with a_world(tmp_path / "runner") as world:
        job = await world.start(a_script(ESCAPE.format(path=tmp_path) + " exec sleep 60"))
        pid = await pid_in(tmp_path / "pid")
        assert alive(pid)
        await world.delete(job)
        await world.gone(job)
        assert not alive(pid)
