"""One process of a host: a node put together as the service's own is, REST left out, until it is stopped or killed.

What a process does after its death is nobody's business: its files are a copy then, and its machine says nothing.
"""

from __future__ import annotations

from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from slimjobs.core.configuration.source import ConfigurationSource
from slimjobs.core.decide.commands import Command
from slimjobs.core.machine.inputs import Now
from slimjobs.core.machine.queries import Query
from slimjobs.core.node.configuring import propose_forever
from slimjobs.core.node.opening import open_machine
from slimjobs.core.node.program import Node
from slimjobs.core.node.service import Reply
from slimjobs.deploy.assembly import machine_settings
from slimjobs.deploy.peering import transport
from tests.core.machine.stored_disk import OPTIONS
from tests.eventlog.storage.simulated_files import SimulatedFiles

if TYPE_CHECKING:
    from tests.simulation.programs.cluster import Cluster, Host
    from tests.simulation.programs.disk_task import DiskTask
    from tests.simulation.programs.judged_machine import JudgedMachine
    from tests.simulation.programs.roads import Roads

THE_YEAR_2023_MS = 1_700_000_000_000
CONFIGURATION_FILE = Path("jobs.json")
TOKENS_OF_A_LIFE = 1_000_000
"""A process counts its callers from 1; the judges tell callers of different lives apart."""

_here: ContextVar[Life] = ContextVar("life")


def here() -> Life:
    """The process that whoever asks belongs to."""
    return _here.get()


def configuration_here(_: Path) -> bytes:
    """What takes the place of reading the configuration's file: what is in that of this host."""
    return here().host.configuration


def here_or_nobody() -> str:
    """The name of the host of whoever asks, if it belongs to a process."""
    life = _here.get(None)
    return "somebody" if life is None else life.name


class Call:
    """Somebody who asks a node and waits; `reply` stays None if the process dies first, or if nobody waits any more."""

    def __init__(self, said: Command | Query, *, stale: bool = False) -> None:
        self.said, self.stale = said, stale
        self.reply: Reply | None = None
        self.scope = trio.CancelScope()
        self.done = trio.Event()


class Life:
    """`machine` and `disk` come to it as it opens; `node` is set once it runs. `dead`: nothing it does counts."""

    def __init__(self, cluster: Cluster, host: Host, number: int) -> None:
        self.cluster, self.host = cluster, host
        self.name, self.number = host.name, number
        self.files: SimulatedFiles = host.files
        self.first_token = number * TOKENS_OF_A_LIFE
        self.dead = False
        self.stands_still = self._closing = False
        self.machine: JudgedMachine | None = None
        self.disk: DiskTask | None = None
        self.node: Node | None = None
        self.calls: list[Call] = []
        self.scope = trio.CancelScope()
        self.ended = trio.Event()
        self._running = trio.CancelScope()
        self._goes_on = trio.Event()
        self._nursery: trio.Nursery | None = None

    @property
    def roads(self) -> Roads:
        """Its way to the others."""
        return self.cluster.roads

    @property
    def nursery(self) -> trio.Nursery:
        """What ends with the process."""
        assert self._nursery is not None, f"{self.name} has not opened its directory yet"
        return self._nursery

    @property
    def judged(self) -> JudgedMachine:
        """Its machine."""
        assert self.machine is not None, f"{self.name} has not opened its directory yet"
        return self.machine

    @property
    def serves(self) -> bool:
        """Whether it can be asked: it runs, and does not stand still."""
        return self.node is not None and not self.dead and not self._closing and not self.stands_still

    def now(self) -> Now:
        """The time, as a `Clock` tells it. Rounded: a clock that stands still must not stand before a deadline."""
        seconds = trio.current_time()
        return Now(THE_YEAR_2023_MS + int(seconds * 1000) + self.host.skew_ms, round(seconds * 1e9))

    # From the beginning to the end ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Open, run, close; what ends it comes out, in groups."""
        _here.set(self)
        source = ConfigurationSource("", CONFIGURATION_FILE)
        source.look()
        with self.scope:
            settings = self.host.settings
            async with (
                open_machine(self.files, OPTIONS, machine_settings(settings), one_of_several=True) as opened,
                trio.open_nursery() as self._nursery,
            ):
                orchestrator = self.cluster.server.client_of(self)
                node = Node(opened.machine, opened.start_disk, orchestrator, self)
                door = self.roads.open_door(self.name)
                await self._nursery.start(transport(node, settings).run, [door])
                await self._nursery.start(self._run_node, node)
                self._nursery.start_soon(propose_forever, node, source)
                self.node = node
                try:
                    await trio.sleep_forever()
                finally:
                    self._closing = True

    async def _run_node(self, node: Node, task_status: trio.TaskStatus[None]) -> None:
        with self._running:
            await node.run(task_status=task_status)

    def end(self) -> None:
        """It is dead from now on."""
        self.dead = True
        self.stops()

    def stops(self) -> None:
        """End its tasks. Whoever waits inside is let go one after the other: trio itself would do that in any order."""
        self._running.cancel()
        for call in self.calls:
            call.scope.cancel()
        self.scope.cancel()

    # Callers --------------------------------------------------------------------------------------------------------

    async def ask(self, call: Call, seconds: float) -> Reply | None:
        """What the node answers; None if the process died, or if the caller went after so many seconds."""
        self.calls.append(call)
        self.nursery.start_soon(self._serve, call)
        with trio.move_on_after(seconds):
            await call.done.wait()
        call.scope.cancel()
        await call.done.wait()
        return call.reply

    async def _serve(self, call: Call) -> None:
        assert self.node is not None
        try:
            with call.scope:
                if isinstance(call.said, Command):
                    call.reply = await self.node.command(call.said)
                else:
                    call.reply = await self.node.query(call.said, call.stale)
        finally:
            self.calls.remove(call)
            call.done.set()

    # Standing still -------------------------------------------------------------------------------------------------

    async def until_awake(self) -> None:
        """Return at once, or when it goes on."""
        while self.stands_still:
            await self._goes_on.wait()

    async def go_on(self) -> None:
        """After it stood still: take what has come meanwhile."""
        self.stands_still = False
        self._goes_on.set()
        self._goes_on = trio.Event()
        if self.node is not None:
            await self.node.deliver([])
