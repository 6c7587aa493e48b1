"""Services of the runner: they sleep until they are woken, are ready when they answer, and come back when they die."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest
import trio

from slimjobs.core.configuration.services import Service
from slimjobs.core.orchestrators.ports import (
    Accepted,
    DefinitionsFound,
    Missing,
    ObservedService,
    Scale,
    Scaling,
    ServicesListed,
)
from slimjobs.core.orchestrators.process import RunnerSettings, upkeep
from tests.core.orchestrators.process.serving import a_port, a_server, gone, serving, started, takes_connections
from tests.core.orchestrators.process.world import alive, parent, pid_in, until

GONE_9 = "its process ended with exit code 137, and is started again"


# Waking and sleeping --------------------------------------------------------------------------------------------------


async def test_what_is_declared_is_listed_and_sleeps_and_no_definitions_are_found(tmp_path: Path) -> None:
    web = Service(("web",), 8081, replicas_at_start=2, sleep_after_seconds=60)
    async with serving(tmp_path, {"web": web}) as world:
        asleep = await world.asleep()
        assert world.sights == [DefinitionsFound(()), ServicesListed((asleep,))]
        assert asleep == ObservedService("web", False, "it is asleep", 0, asleep.version, Scaling(2, 0, 60))


async def test_a_service_that_is_woken_is_ready_when_its_port_answers_and_gone_when_it_sleeps(tmp_path: Path) -> None:
    web = a_server(tmp_path)
    async with serving(tmp_path / "runner", {"web": web}) as world:
        await world.wake()
        (pid,) = started(tmp_path)
        assert takes_connections(web.ready_port)
        assert await world.scale("web", 0) == Accepted()
        assert not (await world.asleep()).ready
        await gone(pid)
        assert world.told() == [f"nothing answers on port {web.ready_port} yet", "ready", "it is asleep"]
        await world.wake()
        assert len(started(tmp_path)) == 2


async def test_a_process_that_runs_is_not_ready_before_it_listens(tmp_path: Path) -> None:
    program = "import os, sys, time\nwhile not os.path.exists(sys.argv[2] + '/go'): time.sleep(0.01)\n"
    program += "import socket\nwith socket.create_server(('127.0.0.1', int(sys.argv[1]))) as server: time.sleep(600)"
    web = a_server(tmp_path, program=program)
    async with serving(tmp_path / "runner", {"web": web}) as world:
        await world.scale("web", 1)
        await world.says(f"nothing answers on port {web.ready_port} yet")
        await trio.testing.wait_all_tasks_blocked(0.1)
        assert not world.services["web"].ready
        (tmp_path / "go").touch()
        await world.ready()


async def test_only_who_saw_the_latest_version_scales(tmp_path: Path) -> None:
    async with serving(tmp_path / "runner", {"web": a_server(tmp_path)}) as world:
        asleep = await world.asleep()
        assert await world.scale("web", 1, version=asleep.version) == Accepted()
        assert await world.scale("web", 0, version=asleep.version) == Missing()
        awake = await world.ready()
        assert (awake.replicas, awake.version == asleep.version) == (1, False)
        assert await world.surroundings.scale(Scale("other", awake.version, 1)) == Missing()


async def test_a_version_of_a_former_runner_is_of_no_use(tmp_path: Path) -> None:
    services = {"web": a_server(tmp_path)}
    async with serving(tmp_path / "runner", services) as world:
        former = await world.asleep()
    async with serving(tmp_path / "runner", services) as world:
        assert await world.scale("web", 1, version=former.version) == Missing()


async def test_a_service_woken_while_it_goes_to_sleep_starts_when_its_last_process_is_gone(tmp_path: Path) -> None:
    program = """
import os, signal, socket, sys
place = sys.argv[2]
def write(word):
    with open(os.path.join(place, "told"), "a") as told:
        told.write(word + "\\n")
def end(*_):
    while not os.path.exists(os.path.join(place, "go")): signal.sigtimedwait([], 0.01)
    write("ended")
    os._exit(0)
signal.signal(signal.SIGTERM, end)
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    write("began")
    while True: server.accept()
"""
    async with serving(tmp_path / "runner", {"web": a_server(tmp_path, program=program)}) as world:
        await world.wake()
        await world.scale("web", 0)
        await world.asleep()
        await world.scale("web", 1)
        await world.sees(lambda: world.services["web"].replicas == 1)
        assert not world.services["web"].ready
        (tmp_path / "go").touch()
        await world.ready()
        assert (tmp_path / "told").read_text().split() == ["began", "ended", "began"]


async def test_all_replicas_run_and_the_service_is_ready_as_long_as_one_answers(tmp_path: Path) -> None:
    async with serving(tmp_path / "runner", {"web": a_server(tmp_path)}) as world:
        await world.wake(replicas=2)
        await until(lambda: len(started(tmp_path)) == 2)
        seen = len(world.sights)
        os.kill(started(tmp_path)[0], signal.SIGKILL)
        await until(lambda: len(started(tmp_path)) == 3)
        assert set(world.told(seen)) <= {"ready"}
        await world.scale("web", 1)
        await world.sees(lambda: world.services["web"].replicas == 1)
        await until(lambda: sum(map(alive, started(tmp_path))) == 1)
        assert world.services["web"].ready


# What goes wrong ------------------------------------------------------------------------------------------------------


async def test_a_process_that_dies_makes_its_service_unready_and_another_takes_its_place(tmp_path: Path) -> None:
    async with serving(tmp_path / "runner", {"web": a_server(tmp_path)}) as world:
        await world.wake()
        seen = len(world.sights)
        os.kill(started(tmp_path)[0], signal.SIGKILL)
        await world.says(GONE_9)
        await world.ready()
        assert world.told(seen) == [GONE_9, "ready"]
        assert [alive(pid) for pid in started(tmp_path)] == [False, True]


async def test_an_answer_to_a_process_that_has_died_meanwhile_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking, seen = trio.Event(), trio.Event()

    async def answers_late(port: int) -> bool:
        first = not looking.is_set()
        looking.set()
        await seen.wait()
        return first

    monkeypatch.setattr(upkeep, "answers", answers_late)
    async with serving(tmp_path / "runner", {"web": a_server(tmp_path)}) as world:
        await world.scale("web", 1)
        await looking.wait()
        await until(lambda: len(started(tmp_path)) == 1)
        os.kill(started(tmp_path)[0], signal.SIGKILL)
        await world.says(GONE_9)
        seen.set()
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert "ready" not in world.told()


async def test_a_process_that_dies_again_and_again_is_started_with_a_back_off_and_one_reason(tmp_path: Path) -> None:
    program = "import os, sys, time\nopen(sys.argv[2] + '/at', 'a').write(f'{time.monotonic()}\\n')\nsys.exit(3)"
    settings = RunnerSettings(backoff_seconds=0.2)
    async with serving(tmp_path / "runner", {"web": a_server(tmp_path, program=program)}, settings) as world:
        await world.scale("web", 1)
        at = tmp_path / "at"
        await until(lambda: at.exists() and len(at.read_text().splitlines()) == 4)
        moments = [float(line) for line in at.read_text().splitlines()]
        assert moments[2] - moments[1] >= 0.2
        assert moments[3] - moments[2] >= 0.4
        assert world.told()[1:] == ["its process ended with exit code 3, and is started again"]


async def test_a_service_that_sleeps_in_its_back_off_starts_at_once_when_it_is_woken(tmp_path: Path) -> None:
    program = "import sys\nopen(sys.argv[2] + '/at', 'a').write('once\\n')"
    settings = RunnerSettings(backoff_seconds=600)
    async with serving(tmp_path / "runner", {"web": a_server(tmp_path, program=program)}, settings) as world:
        at = tmp_path / "at"
        await world.scale("web", 1)
        await until(lambda: at.exists() and len(at.read_text().splitlines()) == 2)
        await world.says("its process ended with exit code 0, and is started again")
        await world.scale("web", 0)
        await world.asleep()
        await world.scale("web", 1)
        await until(lambda: len(at.read_text().splitlines()) == 4)


@pytest.mark.parametrize(
    ("program", "why"), [("no-such-program", "No such file or directory"), ("/etc/passwd", "Permission denied")]
)
async def test_a_program_that_cannot_be_started_is_the_reason(tmp_path: Path, program: str, why: str) -> None:
    async with serving(tmp_path, {"web": Service((program,), a_port())}) as world:
        await world.scale("web", 1)
        await world.says(f"its program cannot be started: {why}")


async def test_a_port_that_is_taken_is_not_taken_for_an_answer_and_is_used_when_it_is_free(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", a_port())) as stranger:
        port = stranger.getsockname()[1]
        async with serving(tmp_path / "runner", {"web": a_server(tmp_path, port)}) as world:
            await world.scale("web", 1)
            await world.says(f"port {port} is taken by another process")
            assert started(tmp_path) == []
            stranger.close()
            await world.ready()
            assert "ready" not in world.told()[:-1]


async def test_without_its_keeper_a_process_is_gone_with_all_that_it_started(tmp_path: Path) -> None:
    stray = f"(setsid sh -c 'echo $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/stray; exec sleep 60' &);"
    script = f"{stray} echo $$ > {tmp_path}/pid; exec sleep 60"
    async with serving(tmp_path / "runner", {"web": Service(("sh", "-c", script), a_port())}) as world:
        await world.scale("web", 1)
        pid, escaped = await pid_in(tmp_path / "pid"), await pid_in(tmp_path / "stray")
        keeper = parent(pid)
        os.kill(parent(keeper), signal.SIGKILL)  # the guard would end what is left, too
        os.kill(keeper, signal.SIGKILL)
        await world.says("its process was killed with what kept it, and is started again")
        await gone(pid, escaped)


# What is declared -----------------------------------------------------------------------------------------------------


async def test_what_is_declared_no_more_is_stopped_and_asleep_when_it_is_declared_again(tmp_path: Path) -> None:
    web, other = a_server(tmp_path), Service(("other",), 8082)
    async with serving(tmp_path / "runner", {"web": web, "other": other}) as world:
        await world.wake()
        (pid,) = started(tmp_path)
        world.declaration.change({"other": other})
        await world.sees(lambda: world.services.keys() == {"other"})
        await gone(pid)
        world.declaration.change({"web": web, "other": other})
        assert (await world.asleep()).version != ""
        assert len(started(tmp_path)) == 1


async def test_a_changed_command_has_the_service_started_again(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    port = a_port()
    async with serving(tmp_path / "runner", {"web": a_server(tmp_path / "old", port)}) as world:
        former = await world.wake()
        (old,) = started(tmp_path / "old")
        world.declaration.change({"web": a_server(tmp_path / "new", port)})
        await world.says(f"nothing answers on port {port} yet")
        await world.ready()
        assert not alive(old)
        assert len(started(tmp_path / "new")) == 1
        assert world.services["web"].version != former.version


async def test_what_concerns_only_its_sleep_leaves_a_process_alone(tmp_path: Path) -> None:
    web = a_server(tmp_path)
    async with serving(tmp_path / "runner", {"web": web}) as world:
        former = await world.wake()
        world.declaration.change({"web": Service(web.command, web.ready_port, sleep_after_seconds=7)})
        await world.sees(lambda: world.services["web"].scaling == Scaling(1, 0, 7))
        assert world.services["web"].ready
        assert world.services["web"].version != former.version
        assert [alive(pid) for pid in started(tmp_path)] == [True]


async def test_the_same_declaration_again_changes_nothing(tmp_path: Path) -> None:
    web = a_server(tmp_path)
    async with serving(tmp_path / "runner", {"web": web}) as world:
        former = await world.wake()
        lookout = world.runner.lookout()
        assert await lookout.next({"web": web}) == DefinitionsFound(())
        assert await lookout.next({"web": web}) == ServicesListed((former,))
        assert world.services["web"] == former


# What a process is given, and its end ---------------------------------------------------------------------------------


async def test_a_process_of_a_service_gets_a_minimal_environment_and_its_output_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_NODE", "x")
    script = f"env > {tmp_path}/env; yes | head -c 1000000; echo $$ > {tmp_path}/pid; exec sleep 60"
    settings = RunnerSettings(max_output_bytes=10_000)
    async with serving(tmp_path / "runner", {"web": Service(("/bin/sh", "-c", script), a_port())}, settings) as world:
        await world.scale("web", 1)
        await pid_in(tmp_path / "pid")
        names = {line.partition("=")[0] for line in (tmp_path / "env").read_text().splitlines()}
        assert names - {"PWD", "OLDPWD", "SHLVL", "_"} == {"PATH", "HOME", "SLIMFAAS_SERVICE_OUTPUT"}
        kept = tmp_path / "runner" / "services" / "web.0.output"
        assert kept.stat().st_size < 11_000


async def test_services_get_their_grace_when_the_runner_ends(tmp_path: Path) -> None:
    script = f'trap "echo bye > {tmp_path}/bye; exit 0" TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.01; done'
    async with serving(tmp_path / "runner", {"web": Service(("sh", "-c", script), a_port())}) as world:
        await world.scale("web", 1)
        pid = await pid_in(tmp_path / "pid")
    assert (tmp_path / "bye").exists()
    assert not alive(pid)


async def test_services_that_do_not_listen_to_it_do_not_keep_the_runner_from_ending(tmp_path: Path) -> None:
    script = f'trap "" TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.01; done'
    async with serving(tmp_path / "runner", {"web": Service(("sh", "-c", script), a_port())}) as world:
        await world.scale("web", 1)
        pid = await pid_in(tmp_path / "pid")
        began = trio.current_time()
    assert trio.current_time() - began < 5
    assert not alive(pid)
