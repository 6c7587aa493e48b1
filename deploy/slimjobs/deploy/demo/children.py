"""The processes of a demonstration: started, killed, started again, stopped, and never left behind."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import click
import trio

from slimjobs.deploy.demo.place import NODES, RUNNER, Place
from slimjobs.deploy.exits import Ended, Exit

STOP_SECONDS: Final = 10.0
"""Twice what a node takes at most."""


class Child:
    """One process after the other in the same place: if somebody ends one, another is started."""

    def __init__(self, name: str, place: Place, lock_fd: int) -> None:
        self.name = name
        self._place = place
        self._lock_fd = lock_fd
        self._process: trio.Process | None = None
        self._begun = trio.Event()
        self._may_begin = trio.Event()
        self._may_begin.set()
        self._stopping = False
        self._over = trio.Event()

    @property
    def pid(self) -> int:
        """The process id of now, or the last one."""
        assert self._process is not None
        return self._process.pid

    async def live(self) -> None:
        """Run until it is stopped. Raises `Ended` if it fails, with its exit code and its last words."""
        while not self._stopping:
            async with self._running() as process:
                code = await process.wait()
            if code > 0:
                raise Ended(Exit(code) if code in list(Exit) else Exit.NO, f"{self.name}: {self._last_words()}")
            await self._until_it_may_begin(process.pid)
        self._over.set()

    async def _until_it_may_begin(self, former_pid: int) -> None:
        if self._may_begin.is_set() and not self._stopping:
            click.echo(f"{self.name} (pid {former_pid}) was ended by somebody; it is started again")
        await self._may_begin.wait()

    # The lock is held by whatever is left of the demonstration. In a process group of its own, for ctrl-C is meant for
    # the demonstration, which then stops everything in order.
    @asynccontextmanager
    async def _running(self) -> AsyncIterator[trio.Process]:
        command = self._place.command(self.name)
        with self._place.log(self.name).open("ab") as log:
            process = await trio.lowlevel.open_process(
                [sys.executable, "-P", "-m", "slimjobs.deploy.demo.leash", str(self._place.directory), *command],
                env=self._place.environment(self.name),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                pass_fds=(self._lock_fd,),
                process_group=0,
            )
        self._process = process
        self._catch_up(process)
        try:
            yield process
        finally:
            process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()

    def _catch_up(self, process: trio.Process) -> None:
        """Do to a process that has just begun what was done to the one before it, which was dead already."""
        if self._stopping:
            process.terminate()
        elif not self._may_begin.is_set():
            process.kill()
        else:
            self._begun.set()

    def _last_words(self) -> str:
        lines = self._place.log(self.name).read_text(errors="replace").splitlines()
        return lines[-1].removeprefix("slimjobs: ") if lines else "it said nothing"

    async def begun(self) -> None:
        """Return once it has a process."""
        await self._begun.wait()

    def kill(self) -> None:
        """End it as `kill -9` does, until it is revived."""
        assert self._process is not None
        self._begun, self._may_begin = trio.Event(), trio.Event()
        self._process.kill()

    async def revive(self) -> None:
        """Have it started again."""
        self._may_begin.set()
        await self._begun.wait()

    async def stop(self) -> None:
        """End it as SIGTERM does."""
        assert self._process is not None
        self._stopping = True
        self._may_begin.set()
        self._process.terminate()
        await self._over.wait()


@asynccontextmanager
async def open_children(place: Place, lock_fd: int) -> AsyncIterator[dict[str, Child]]:
    """All processes, by name, started but perhaps not ready yet. However the block ends, so do they."""
    children = {name: Child(name, place, lock_fd) for name in (RUNNER, *NODES)}
    async with trio.open_nursery() as nursery:
        for child in children.values():
            nursery.start_soon(child.live)
        for child in children.values():
            await child.begun()
        yield children
        with trio.move_on_after(STOP_SECONDS):
            await _stop(children)
        nursery.cancel_scope.cancel()


async def _stop(children: dict[str, Child]) -> None:
    async with trio.open_nursery() as nursery:
        for name in NODES:
            nursery.start_soon(children[name].stop)
    await children[RUNNER].stop()
