"""Effects on their way to a shared runner and back: many at once, over one connection that is made again for ever.

A request is either certainly not sent, or answered, or its fate is unknown: all but the answer are `Unavailable`, and
asking again is harmless by the rules of the port.
"""

from __future__ import annotations

import math
from typing import Final

import structlog
import trio

from slimjobs.core.configuration.setting_kinds import RunnerAddress
from slimjobs.core.orchestrators.ports import Effect, Outcome, Rejected, Scale, Unavailable
from slimjobs.core.orchestrators.shared.address import shown
from slimjobs.core.orchestrators.shared.connection import Dialled, Lost, dial
from slimjobs.core.orchestrators.shared.pauses import Pauses
from slimjobs.core.orchestrators.shared.words import Answer, Ask, ForEffects, FrameTooLong, framed

REACH_SECONDS: Final = 2.0
"""How long an effect waits for a connection: a runner that is restarted is back by then."""

ANSWER_SECONDS: Final = 10.0

_log: structlog.typing.FilteringBoundLogger = structlog.get_logger("slimjobs.runner")


class _Call:
    """One request whose answer is waited for."""

    def __init__(self) -> None:
        self.ended = trio.Event()
        self.outcome: Outcome | None = None

    def end(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.ended.set()


class _Line:
    """One connection for effects, and who waits for answers on it."""

    def __init__(self, connection: Dialled) -> None:
        self._connection = connection
        self._speaking = trio.StrictFIFOLock()
        self._calls: dict[int, _Call] = {}

    async def carry_out(self, number: int, asked: bytes) -> Outcome:
        call = self._calls[number] = _Call()
        try:
            await self._say(asked)
            with trio.move_on_after(ANSWER_SECONDS):
                await call.ended.wait()
        except Lost as lost:
            return Unavailable(str(lost))
        finally:
            del self._calls[number]
        return call.outcome or Unavailable(
            f"{self._connection.lost(f'did not answer within {ANSWER_SECONDS:g} s')}; the request may have arrived"
        )

    async def _say(self, asked: bytes) -> None:
        async with self._speaking:
            try:
                await self._connection.send_frame(asked)
            except BaseException:  # half a frame may be on its way, after which nothing can be said any more
                self._connection.close()
                raise

    async def listen(self) -> str:
        """Hand out answers until the connection is lost: why."""
        try:
            while True:
                reply = await self._connection.receive(math.inf)
                if not isinstance(reply, Answer):
                    raise self._connection.lost("does not answer as a runner does")
                if call := self._calls.get(reply.number):
                    call.end(reply.outcome)
        except Lost as lost:
            for call in self._calls.values():
                call.end(Unavailable(f"{lost}; the request may have arrived"))
            return str(lost)
        finally:
            self._connection.close()


class Calls:
    """Asks for effects; `run` keeps the connection up."""

    def __init__(self, address: RunnerAddress) -> None:
        self._address = address
        self._line: _Line | None = None
        self._found = trio.Event()
        self._trouble = f"the runner at {shown(address)} was not reached yet"
        self._last_number = 0

    async def carry_out(self, effect: Effect | Scale) -> Outcome:
        """The outcome of an effect, within a bounded time. Never raises for what the runner or the way to it does."""
        self._last_number = number = self._last_number + 1
        try:
            asked = framed(Ask(number, effect))
        except FrameTooLong as error:
            return Rejected(f"it is too large for the runner: {error}")
        line = await self._reached()
        if line is None:
            return Unavailable(f"{self._trouble} (tried for {REACH_SECONDS:g} s)")
        return await line.carry_out(number, asked)

    async def _reached(self) -> _Line | None:
        with trio.move_on_after(REACH_SECONDS):
            while self._line is None:
                await self._found.wait()
        return self._line

    async def run(self) -> None:
        """Keep a connection up, for ever."""
        pauses = Pauses()
        while True:
            await pauses.wait()
            try:
                line = _Line(await dial(self._address, ForEffects()))
            except Lost as lost:
                self._troubled(str(lost))
                continue
            pauses.well()
            _log.info("the runner is reached", address=shown(self._address))
            await self._use(line)

    async def _use(self, line: _Line) -> None:
        """Have effects asked for over this line, until it is lost."""
        self._line, self._trouble = line, ""
        self._found.set()
        self._found = trio.Event()
        why = await line.listen()
        self._line = None
        self._troubled(why)

    def _troubled(self, why: str) -> None:
        if why != self._trouble:
            _log.warning("the runner is away", reason=why)
        self._trouble = why
