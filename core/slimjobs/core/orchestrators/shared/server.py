"""Serves a runner to nodes: each connection is greeted, finds room or is refused, and is served by its purpose.

Nothing that comes over a connection can hurt more than that connection.
"""

from __future__ import annotations

from typing import Final

import structlog
import trio

from slimjobs.core.orchestrators.declared import Runner
from slimjobs.core.orchestrators.shared.address import Listening
from slimjobs.core.orchestrators.shared.connection import CONNECT_SECONDS, Connection, Lost
from slimjobs.core.orchestrators.shared.doors import carry_out_effects, give_observations, give_output, give_sights
from slimjobs.core.orchestrators.shared.words import (
    PROTOCOL,
    ForEffects,
    ForObservations,
    ForOutput,
    ForServices,
    FrameTooLong,
    Hello,
    Purpose,
    Refused,
    Request,
    Welcome,
    decode_request,
)

CONNECTIONS: Final = 320
"""How many there may be at once; beyond, they are closed unread."""

OUTPUTS: Final = 256
"""How many of them may read output: people who watch jobs never keep a node from running them."""

_GREETING_BYTES: Final = 4096

_logger: structlog.typing.FilteringBoundLogger = structlog.get_logger("slimjobs.runner")


async def serve_runner(runner: Runner, listening: Listening) -> None:
    """Serve it to whoever connects, until cancelled."""
    await trio.serve_listeners(_Server(runner).serve, [listening])


class _Server:
    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._connections = 0
        self._outputs = 0

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection, from its greeting to its end."""
        self._connections += 1
        try:
            if self._connections > CONNECTIONS:
                raise Lost(f"there are {CONNECTIONS} connections already")
            await self._greet(Connection(stream, decode_request, "a node", _GREETING_BYTES))
        except* (Lost, FrameTooLong) as ended:
            _logger.info("a connection ended", reason=str(_first(ended)))
        except* Exception:  # the rim: what is wrong with one connection must not end the jobs of all
            _logger.exception("serving a connection failed; the runner goes on")
        finally:
            self._connections -= 1
            stream.socket.close()

    async def _greet(self, connection: Connection[Request]) -> None:
        hello = await connection.receive(CONNECT_SECONDS)
        if not isinstance(hello, Hello):
            raise connection.lost("did not introduce itself")
        if hello.protocol != PROTOCOL:
            await connection.send(Refused(f"it speaks protocol {PROTOCOL}, and was spoken to in {hello.protocol}"))
            raise connection.lost(f"speaks protocol {hello.protocol}")
        connection.trust()
        await self._serve_purpose(connection, hello.purpose)

    async def _serve_purpose(self, connection: Connection[Request], purpose: Purpose) -> None:
        match purpose:
            case ForEffects():
                await connection.send(Welcome())
                await carry_out_effects(connection, self._runner)
            case ForObservations():
                await connection.send(Welcome())
                await give_observations(connection, self._runner)
            case ForServices():
                await connection.send(Welcome())
                await give_sights(connection, self._runner)
            case ForOutput():
                await self._serve_output(connection, purpose)

    async def _serve_output(self, connection: Connection[Request], wanted: ForOutput) -> None:
        if self._outputs >= OUTPUTS:
            await connection.send(Refused(f"{OUTPUTS} outputs are being read already"))
            return
        self._outputs += 1
        try:
            await connection.send(Welcome())
            await give_output(connection, self._runner, wanted)
        finally:
            self._outputs -= 1


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    each = group.exceptions[0]
    return _first(each) if isinstance(each, BaseExceptionGroup) else each
