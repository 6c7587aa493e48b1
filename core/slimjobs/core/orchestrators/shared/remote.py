"""A shared runner as a node has it: a `declared.Runner`, spoken to over connections.

It is to the node what a Kubernetes API is: while it is away, effects are `Unavailable`, nothing is observed, and no
output can be had; each says what was tried. When it is back, a new list begins.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from slimjobs.core.configuration.setting_kinds import RunnerAddress
from slimjobs.core.orchestrators.ports import Effect, Observation, Outcome, Scale
from slimjobs.core.orchestrators.shared.calls import Calls
from slimjobs.core.orchestrators.shared.streams import RemoteLookout, RemoteObservations, RemoteOutput
from slimjobs.core.orchestrators.shared.words import ForOutput


class RemoteRunner:
    """The port `Orchestrator` for a shared runner, and the host of its services. Made by `open_remote`."""

    def __init__(self, address: RunnerAddress, calls: Calls) -> None:
        self._address = address
        self._calls = calls

    async def carry_out(self, effect: Effect) -> Outcome:
        """Have an effect carried out: its outcome within some 12 s, `Unavailable` if it is not known. See the port."""
        return await self._calls.carry_out(effect)

    def observe(self) -> AsyncIterator[Observation]:
        """The runner's observations, for ever; `Unobserved` with the reason while it is away. See the port."""
        return RemoteObservations(self._address)

    def output(
        self, name: str, uid: str, attempt: int | None, tail_lines: int | None, follow: bool
    ) -> AsyncIterator[bytes]:
        """The output as the runner keeps it; it raises when it is read, `OutputUnavailable` where it is away."""
        return RemoteOutput(self._address, ForOutput(name, uid, attempt, tail_lines, follow))

    async def scale(self, effect: Scale) -> Outcome:
        """Have a service scaled, as an effect is carried out. See the port `Surroundings`."""
        return await self._calls.carry_out(effect)

    def lookout(self) -> RemoteLookout:
        """One who declares services there; `Unseen` with the reason while the runner is away."""
        return RemoteLookout(self._address)


@asynccontextmanager
async def open_remote(address: RunnerAddress) -> AsyncIterator[RemoteRunner]:
    """The runner at this address, be it there or not, while the block runs."""
    async with trio.open_nursery() as nursery:
        calls = Calls(address)
        nursery.start_soon(calls.run)
        yield RemoteRunner(address, calls)
        nursery.cancel_scope.cancel()
