"""Services of a shared runner: who leads declares them, they outlive it, and a runner that is back is told of them."""

from __future__ import annotations

import inspect
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from slimjobs.core.configuration.services import Service
from slimjobs.core.orchestrators.ports import (
    Accepted,
    DefinitionsFound,
    Scale,
    ServicesListed,
    Unavailable,
    Unseen,
)
from slimjobs.core.orchestrators.process import RunnerSettings, open_runner
from slimjobs.core.orchestrators.shared import open_remote, words
from tests.core.orchestrators.process import test_services
from tests.core.orchestrators.process.serving import ServiceWorld, a_server, gone, looking_around, started
from tests.core.orchestrators.process.world import QUICK, alive, until
from tests.core.orchestrators.shared.sharing import an_address, served


@asynccontextmanager
async def shared_serving(
    directory: Path, services: Mapping[str, Service], settings: RunnerSettings = QUICK
) -> AsyncIterator[ServiceWorld]:
    """As `serving`, but the runner is behind a socket."""
    with an_address() as address:
        async with (
            open_runner(directory, settings) as runner,
            served(runner, address),
            open_remote(address) as remote,
            looking_around(remote, services) as world,
        ):
            yield world


def behaviours() -> Iterator[Callable[..., Awaitable[None]]]:
    for name, test in inspect.getmembers(test_services, inspect.iscoroutinefunction):
        if name.startswith("test_") and set(inspect.signature(test).parameters) == {"tmp_path"}:
            yield test


@pytest.mark.parametrize("test", list(behaviours()), ids=lambda test: test.__name__.removeprefix("test_"))
async def test_services_of_a_shared_runner_are_like_those_inside(
    test: Callable[..., Awaitable[None]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(test_services, "serving", shared_serving)
    await test(tmp_path)


async def test_a_service_stays_when_nobody_looks_and_the_next_who_declares_it_finds_it_awake(tmp_path: Path) -> None:
    services = {"web": a_server(tmp_path)}
    with an_address() as address:
        async with open_runner(tmp_path / "runner", QUICK) as runner, served(runner, address):
            async with open_remote(address) as first, looking_around(first, services) as world:
                former = await world.wake()
            async with open_remote(address) as second, looking_around(second, services) as world:
                assert await world.ready() == former
                assert world.sights[1] == ServicesListed((former,))
                assert [alive(pid) for pid in started(tmp_path)] == [True]


async def test_of_two_who_declare_otherwise_the_one_who_goes_on_looking_has_its_way(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    deposed, leads = {"web": a_server(tmp_path / "old")}, {"web": a_server(tmp_path / "new")}
    with an_address() as address:
        async with (
            open_runner(tmp_path / "runner", QUICK) as runner,
            served(runner, address),
            open_remote(address) as one,
            open_remote(address) as other,
            looking_around(one, leads) as world,
        ):
            await world.wake()
            seen = len(world.sights)
            await other.lookout().next(deposed)
            await world.sees(lambda: "ready" in world.told(seen))
            assert [alive(pid) for pid in started(tmp_path / "new")] == [False, True]
            await gone(*started(tmp_path / "old"))


async def test_a_runner_that_comes_back_is_told_again_what_is_declared_and_has_it_asleep(tmp_path: Path) -> None:
    with an_address() as address:
        async with open_remote(address) as remote, looking_around(remote, {"web": a_server(tmp_path)}) as world:
            async with open_runner(tmp_path / "runner", QUICK) as runner, served(runner, address):
                former = await world.wake()
            await world.sees(lambda: isinstance(world.sights[-1], Unseen))
            assert isinstance(await world.surroundings.scale(Scale("web", former.version, 0)), Unavailable)
            await gone(*started(tmp_path))
            async with open_runner(tmp_path / "runner", QUICK) as runner, served(runner, address):
                assert (await world.asleep()).version != former.version
                assert world.sights[-2] == DefinitionsFound(())
                await world.wake()


async def test_what_is_too_long_to_be_declared_is_said_and_a_shorter_declaration_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "MAX_FRAME_BYTES", 1000)
    async with shared_serving(tmp_path, {"web": Service(("x" * 1000,), 8081)}) as world:
        await world.sees(lambda: bool(world.sights))
        assert isinstance(world.sights[0], Unseen)
        assert "1,000 are the limit" in world.sights[0].detail
        world.declaration.change({"web": Service(("x",), 8081)})
        await world.asleep()


async def test_who_goes_while_a_service_starts_leaves_it_to_start(tmp_path: Path) -> None:
    services = {"web": a_server(tmp_path)}
    with an_address() as address:
        async with open_runner(tmp_path / "runner", QUICK) as runner, served(runner, address):
            async with open_remote(address) as first, looking_around(first, services) as world:
                assert await world.scale("web", 1) == Accepted()
            async with open_remote(address) as second, looking_around(second, services) as world:
                await world.ready()
                await until(lambda: len(started(tmp_path)) == 1)
                os.kill(started(tmp_path)[0], signal.SIGKILL)
                await until(lambda: len(started(tmp_path)) == 2)
                await trio.testing.wait_all_tasks_blocked()
                await world.ready()
