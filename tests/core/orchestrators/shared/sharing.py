"""A real runner behind a real socket, and nodes that use it, in the few words of the tests beside this."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import trio

from slimjobs.core.configuration.setting_kinds import RunnerAddress, UnixAddress
from slimjobs.core.orchestrators.declared import Lookout, Runner
from slimjobs.core.orchestrators.ports import Missing, Outcome, Scale
from slimjobs.core.orchestrators.process import RunnerSettings, open_runner
from slimjobs.core.orchestrators.shared import listening, open_remote, serve_runner
from tests.core.orchestrators.process.world import QUICK, World, watched


class WithoutServices:
    """For what is to be served and keeps none."""

    async def scale(self, effect: Scale) -> Outcome:
        return Missing()

    def lookout(self) -> Lookout:
        raise NotImplementedError


@contextmanager
def an_address() -> Iterator[UnixAddress]:
    """An address that nobody has; the path of a Unix socket is short, pytest's folders are not."""
    with tempfile.TemporaryDirectory() as folder:
        yield UnixAddress(Path(folder) / "runner.sock")


@asynccontextmanager
async def served(runner: Runner, address: RunnerAddress) -> AsyncIterator[None]:
    """The runner is there for everybody at this address while the block runs."""
    with listening(address) as listener:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_runner, runner, listener)
            yield
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def a_node(address: RunnerAddress) -> AsyncIterator[World]:
    """One that uses the runner there, and what it saw."""
    async with open_remote(address) as remote, watched(remote) as world:
        yield world


@asynccontextmanager
async def a_shared_world(directory: Path, settings: RunnerSettings = QUICK) -> AsyncIterator[World]:
    """As `a_world`, but the runner is behind a socket."""
    with an_address() as address:
        async with open_runner(directory, settings) as runner, served(runner, address), a_node(address) as world:
            yield world
