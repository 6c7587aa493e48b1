"""A post is the place of one replica of a service: one process after another stands there for as long as it is wanted.

Stands between `upkeep.py`, which opens a post and says when it may have to be left, and an `Attempt` for each process.
A process that ends is replaced at once the first time, then with the back-off of the attempts of a run; after as long
as the longest of those without an end, earlier ones are forgotten (as a kubelet starts containers again).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
import trio

from slimjobs.core.configuration.services import Service
from slimjobs.core.orchestrators.process.answering import Pauses, answers
from slimjobs.core.orchestrators.process.attempts import Attempt
from slimjobs.core.orchestrators.process.outputs import OutputFile
from slimjobs.core.orchestrators.process.programs import minimal
from slimjobs.core.orchestrators.process.pursuits import Workplace
from slimjobs.core.orchestrators.process.services import (
    KeptService,
    begun,
    ended,
    held_up,
    same_program,
    trouble_of,
)
from slimjobs.core.orchestrators.process.states import KEEPER_LOST, LONGEST_BACKOFF, Exit, backoff
from slimjobs.core.orchestrators.process.strays import SERVICE_OUTPUT, end_strays, of_service

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger("slimjobs.runner")

_LAST_WORDS: Final = 200

Step = Callable[[KeptService], KeptService]


class Post:
    """One place of one service. It asks `kept` what is wanted, and tells `change` what has happened here."""

    def __init__(
        self,
        at: Workplace,
        place: int,
        output: Path,
        kept: Callable[[], KeptService | None],
        change: Callable[[Step], None],
    ) -> None:
        self._at = at
        self._place = place
        self._output = output
        self._kept = kept
        self._change = change
        self._serves: Service | None = None
        self._relieved = trio.Event()

    def look_up(self) -> None:
        """Something has changed: whoever stands here leaves, unless it is still what is wanted."""
        wanted = self._wanted()
        if self._serves is None or wanted is None or not same_program(wanted, self._serves):
            self._relieved.set()

    async def run(self) -> None:
        """Have what is wanted stand here until nothing is, and then nothing is left of it."""
        while (wanted := self._wanted()) is not None:
            self._serves, self._relieved = wanted, trio.Event()
            await self._serve(wanted)

    def _wanted(self) -> Service | None:
        kept = self._kept()
        if kept is None or self._place >= kept.replicas or self._at.closing.is_set():
            return None
        return kept.declared

    async def _serve(self, service: Service) -> None:
        """One process after another, until it is relieved."""
        failures = 0
        while await self._may_begin(service.ready_port):
            began = trio.current_time()
            await self._stand(service)
            if self._lasted(trio.current_time() - began):
                failures = 0
            await self._pause(backoff(failures, self._at.settings.backoff_seconds) if failures else 0)
            failures += 1

    def _lasted(self, seconds: float) -> bool:
        return seconds >= LONGEST_BACKOFF * self._at.settings.backoff_seconds

    # What answers there before any process of ours runs is not ours, and would be taken for it.
    async def _may_begin(self, port: int) -> bool:
        """Wait until the port is free, or taken by another replica; False if this is relieved before."""
        pauses = Pauses()
        while not self._relieved.is_set():
            kept = self._kept()
            if (kept is not None and kept.running) or not await answers(port):
                break
            self._tell(lambda kept: held_up(kept, f"port {port} is taken by another process"))
            await self._pause(pauses.next_seconds())
        return not self._relieved.is_set()

    async def _stand(self, service: Service) -> None:
        """One process, from its start to its end, when nothing of it is left."""
        self._tell(lambda kept: begun(kept, self._place))
        variables = {**minimal(os.environ), SERVICE_OUTPUT: os.fspath(self._output)}
        attempt = Attempt(self._place, self._output, self._at.outputs.max_bytes, service.command, variables)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._end_when_relieved, attempt)
            exit = await attempt.run(self._at.guard)
            nursery.cancel_scope.cancel()
        if not self._relieved.is_set():
            await self._lose(exit)
        if exit is KEEPER_LOST:
            await trio.to_thread.run_sync(end_strays, of_service(self._output))

    async def _end_when_relieved(self, attempt: Attempt) -> None:
        await self._relieved.wait()
        await self._at.end(attempt)

    async def _lose(self, exit: Exit) -> None:
        """A process ended that was to stay."""
        last_words = await trio.to_thread.run_sync(_last_words, self._output)
        trouble = trouble_of(exit, last_words)
        self._tell(lambda kept: ended(kept, self._place, trouble))
        _log.warning("a process of a service is gone", output=str(self._output), reason=trouble, last_words=last_words)

    def _tell(self, step: Step) -> None:
        """Tell what has happened, unless nobody here counts any more."""
        if not self._relieved.is_set():
            self._change(step)

    async def _pause(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await self._relieved.wait()


def _last_words(output: Path) -> str:
    """The last line of an output; empty if there is none."""
    try:
        file = OutputFile(output)
    except OSError:
        return ""
    line, _ = file.piece(file.tail(1))
    return line.decode(errors="replace").strip()[-_LAST_WORDS:]
