"""`slimjobs demo`, the whole of it: a place, the processes in it, what is shown, and the end.

It may be killed at any moment and started again: what was accepted is taken up where it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import trio

from slimjobs.core.configuration.settings import LogFormat, LogLevel
from slimjobs.deploy.demo.children import open_children
from slimjobs.deploy.demo.place import place_with_free_ports
from slimjobs.deploy.demo.show import Show
from slimjobs.deploy.directory import DirectoryUnusable, held
from slimjobs.deploy.ending import stop_on_signal, telling_why
from slimjobs.deploy.exits import Ended, Exit
from slimjobs.deploy.messages import configure_messages
from slimjobs.deploy.streams import tell
from slimjobs.eventlog.storage.errors import DirectoryTaken

EXITS: Final[Mapping[type[BaseException], Exit]] = {
    DirectoryTaken: Exit.TAKEN,
    DirectoryUnusable: Exit.USAGE,
}


def demonstrate(directory: Path, port: int, exit_when_done: bool) -> None:
    """Run the demonstration, in the foreground. Raises `Ended` with 1 if a promise was broken."""
    configure_messages(LogLevel.WARNING, LogFormat.CONSOLE)
    with telling_why(EXITS):
        trio.run(_demonstrate, directory, port, exit_when_done)


async def _demonstrate(directory: Path, port: int, exit_when_done: bool) -> None:
    stop = trio.Event()
    broken: list[str] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop_on_signal, stop)
        async with held(directory) as lock_fd:
            place = await place_with_free_ports(directory, port)
            async with open_children(place, lock_fd) as children:
                broken += await _shown(Show(place, children), stop)
                if not exit_when_done and not stop.is_set():
                    tell("\nThe nodes go on; ctrl-C ends them.")
                    await stop.wait()
        nursery.cancel_scope.cancel()
    if broken and exit_when_done:
        raise Ended(Exit.NO, *broken)


async def _shown(show: Show, stop: trio.Event) -> list[str]:
    """Show everything, until the end or until it is stopped; gives the promises that were broken."""
    broken: list[str] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_cancel_at, stop, nursery.cancel_scope)
        broken += await show.run()
        nursery.cancel_scope.cancel()
    return broken


async def _cancel_at(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()
