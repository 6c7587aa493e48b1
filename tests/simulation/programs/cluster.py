"""Three hosts, what lives on them, and everybody who judges that.

A host keeps its name, its disk and its wall clock; the process on it is started again whenever it ends, as whoever
supervises it would do.
"""

from __future__ import annotations

import copy
import errno
import json
from random import Random
from typing import Final

import trio

from slimjobs.core.configuration.place import Place
from slimjobs.core.configuration.settings import Settings, read_settings
from slimjobs.core.decide.commands import Command
from slimjobs.core.machine.inputs import Token
from slimjobs.core.machine.queries import Query
from slimjobs.core.node.service import Reply
from slimjobs.eventlog.raft import NodeId, Role, Term
from slimjobs.eventlog.storage.errors import DiskFailed
from tests.core.machine.chronicle import Chronicle, consensus_of
from tests.core.machine.promises import Promises
from tests.eventlog.storage.simulated_files import PowerLost, SimulatedFiles
from tests.simulation.programs.life import Call, Life
from tests.simulation.programs.roads import Roads
from tests.simulation.programs.server import Objects, Server
from tests.simulation.programs.tale import Tale

NAMES: Final = ("node-0", "node-1", "node-2")
CAPS: Final = {"fib": 2, "web": 1}
FAST: Final = (0.0001, 0.001)

KEPT_SECONDS: Final = 10**6


def configuration(version: int) -> bytes:
    """The content of the configuration's file: the same jobs in every version, which run something else."""
    return json.dumps(
        {
            "Configurations": {
                name: {
                    "Command": ["run"],
                    "Args": [str(version)],
                    "Visibility": "Public",
                    "NumberParallelJob": cap,
                    "TtlSecondsAfterFinished": KEPT_SECONDS,
                }
                for name, cap in CAPS.items()
            }
        }
    ).encode()


class Host:
    """`disk_seconds` is what a disk takes for what waits together, `skew_ms` how wrong the wall clock is.

    `configuration` is what is in the file of that name.
    """

    def __init__(self, name: str, settings: Settings) -> None:
        self.name, self.settings = name, settings
        self.files = SimulatedFiles()
        self.configuration = configuration(0)
        self.disk_seconds = FAST
        self.skew_ms = 0
        self.life: Life | None = None


class Cluster:
    """`gone` are callers who do not wait any more, `votes` whom a node voted for. `over`: nothing is started again."""

    def __init__(self, seed: int, nursery: trio.Nursery) -> None:
        self.random = Random(seed)
        self.tale = Tale()
        self.nursery = nursery
        self.roads = Roads(self.random, self.tale, nursery)
        self.server = Server(Objects(dict(CAPS)), self.random, self.tale, nursery)
        self.chronicle = Chronicle()
        self.server.objects.checked = self.chronicle.checked
        self.promises = Promises(self.chronicle, self.server.objects)
        self.gone: set[Token] = set()
        self.votes: dict[tuple[NodeId, Term], NodeId] = {}
        self.over = False
        self.slowest_start_seconds = 3.0
        self._lives = 0
        interval = self.random.choice([7, 30, 50_000])
        election = self.random.choice([1000, 1000, 400])
        self.hosts = {name: Host(name, settings_of(name, interval, election)) for name in NAMES}

    # Processes ------------------------------------------------------------------------------------------------------

    def boot(self, host: Host) -> None:
        """Start a process; it is started again when it ends."""
        assert host.life is None, f"{host.name} lives"
        self._lives += 1
        host.life = Life(self, host, self._lives)
        self.roads.dark.discard(host.name)
        self.roads.changed()
        self.nursery.start_soon(self._live, host, host.life)

    async def _live(self, host: Host, life: Life) -> None:
        try:
            await life.run()
        except* PowerLost:
            self.power_went(life)
        except* DiskFailed as failures:
            self.tale.say(host.name, "ends:", *map(str, failures.exceptions))
            if life.disk is None:  # it failed while it was opened
                self.disk_failed(life, failures.exceptions[0].__cause__)
        self._buried(host, life)
        if not self.over:
            await trio.sleep(self.random.uniform(0.01, self.slowest_start_seconds))
            self.boot(host)

    def _buried(self, host: Host, life: Life) -> None:
        life.dead = True
        self.promises.node_died(host.name)
        self.server.objects.feeds.pop(host.name, None)
        host.life = None
        if host.files is life.files:  # what was killed has left another copy
            host.files.kill()
        self.wake(host)
        life.ended.set()

    def kill(self, life: Life, steps: int = 0, *, power: bool = False) -> None:
        """The process dies, so many operations into what its disk is to do next.

        Without power, what was not synced is lost, in parts; the others are not told that it has gone.
        """
        self.tale.say(life.name, "loses its power" if power else "is killed", "after", steps, "operations")
        if power:
            self.roads.dark.add(life.name)
        life.end()
        if life.disk is not None:
            life.disk.work_on(steps)
        self._leave_files(life, power=power)

    def power_went(self, life: Life) -> None:
        """The power goes in the middle of what the disk does."""
        if not life.dead:
            self.tale.say(life.name, "loses its power while its disk works")
            self.roads.dark.add(life.name)
            life.end()
            self._leave_files(life, power=True)

    def disk_failed(self, life: Life, error: BaseException | None) -> None:
        """A sync has failed, or there was no room where there has to be; what was not synced may be on the disk."""
        assert isinstance(error, OSError), f"no disk does this: {error!r}"
        assert error.errno in {errno.EIO, errno.ENOSPC}, f"no disk here does this: {error!r}"
        self.tale.say(life.name, "has a disk that fails:", error)
        life.files.syncs_to_failure = None
        if error.errno == errno.EIO:
            life.files.forget_unsynced(self.random)

    def _leave_files(self, life: Life, *, power: bool) -> None:
        """The disk of the host is what the dead cannot change any more."""
        life.files.steps_to_power_loss = None
        left = copy.deepcopy(life.files)
        if power:
            left.crash(self.random)
        else:
            left.kill()
        life.host.files = left

    async def stop(self, life: Life) -> None:
        """SIGTERM: a leader hands over first, then everything is closed."""
        self.tale.say(life.name, "is stopped")
        if life.node is not None:
            await life.node.hand_over(life.host.settings.election_milliseconds / 1000)
        if not life.dead:
            life.stops()
            await life.ended.wait()

    def put_to_sleep(self, life: Life) -> None:
        """The process stands still, while time passes."""
        self.tale.say(life.name, "stands still")
        life.stands_still = True
        self.roads.held.add(life.name)

    def wake(self, host: Host) -> None:
        """Whatever stood still on it goes on."""
        self.roads.held.discard(host.name)
        self.roads.changed()

    # Looking --------------------------------------------------------------------------------------------------------

    @property
    def serving(self) -> list[Life]:
        """The processes that can be asked something."""
        return [host.life for host in self.hosts.values() if host.life is not None and host.life.serves]

    @property
    def leader(self) -> Life | None:
        """The one that leads the highest term, if one does."""
        leading = [life for life in self.serving if consensus_of(life.judged).role is Role.LEADER]
        return max(leading, key=lambda life: consensus_of(life.judged).term, default=None)

    # Asking ---------------------------------------------------------------------------------------------------------

    async def ask(
        self, life: Life, said: Command | Query, seconds: float = 60.0, *, stale: bool = False
    ) -> Reply | None:
        """What a node answers; None if it died, or if that took too long for whoever asked."""
        reply = await life.ask(Call(said, stale=stale), seconds)
        self.tale.say(life.name, "is asked", type(said).__name__, "and", "says nothing" if reply is None else "answers")
        return reply


def settings_of(name: str, snapshot_interval_entries: int, election_milliseconds: int) -> Settings:
    """The settings of a node of three, read from what its environment would be."""
    environment = {
        "SlimData__Name": name,
        "SlimData__Peers": ",".join(f"{each}={each}:3262" for each in NAMES),
        "SlimData__SnapshotIntervalEntries": str(snapshot_interval_entries),
        "SlimData__ElectionMilliseconds": str(election_milliseconds),
        "SlimFaas__Runner": "127.0.0.1:1",
    }
    reading = read_settings(environment, {}, Place(name))
    assert reading.settings is not None, reading.problems
    return reading.settings
