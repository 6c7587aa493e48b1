"""What a trigger and a look-up cost inside the machine, with a short queue and with a very long one."""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Sequence

from slimjobs.core.decide.commands import Configure, Declared, Requested, Trigger
from slimjobs.core.decide.decision import Limits
from slimjobs.core.machine.inputs import Asked, Called, Input, Now, Started, Token
from slimjobs.core.machine.machine import Machine
from slimjobs.core.machine.queries import ShowRun
from slimjobs.core.machine.settings import MachineSettings
from slimjobs.eventlog.events.definitions import Definition, Overrides, Source
from slimjobs.eventlog.events.runs import RunId
from slimjobs.eventlog.raft import Membership, NodeId, Start
from slimjobs.eventlog.storage.requests import Persist, Persisted
from slimjobs.projections.state import State
from tests.bench.table import Row

SHORT, LONG, TURN = 1_000, 1_000_000, 64
ROOM = 1 << 50


class Queue:
    """A machine with a disk that is ready at once, and the ids of what it has queued."""

    def __init__(self) -> None:
        limits = Limits(queued_jobs=1 << 40, queued_bytes=1 << 50)
        settings = MachineSettings(limits=limits, snapshot_interval_entries=1 << 40, snapshot_interval_bytes=1 << 50)
        start = Start(id=NodeId(1), seed=1, membership=Membership())
        self._machine = Machine(start, State(), ROOM, "bench", settings, blank=True)
        self.ids: list[RunId] = []
        self.turn([Started()])
        declared = {"default": Declared(Definition(command=("true",)), Source.BUILT_IN)}
        self.turn([Called(Token(0), Configure(declared), "bench")])

    def turn(self, inputs: Sequence[Input]) -> None:
        """One call of the machine, and those that its disk brings about."""
        waiting = list(inputs)
        while waiting:
            outputs = self._machine.handle(waiting, Now(1_000_000, 1))
            waiting = [Persisted(each.ticket, ROOM) for each in outputs if isinstance(each, Persist)]

    def trigger(self, count: int) -> float:
        """Microseconds a trigger, in turns of 64."""
        taken = []
        for _ in range(max(count // TURN, 1)):
            fresh = [RunId(secrets.token_bytes(10)) for _ in range(TURN)]
            asked = [
                Called(Token(1), Trigger((Requested(run, "job", Overrides(args=("42",))),), True), "bench")
                for run in fresh
            ]
            begun = time.perf_counter()
            self.turn(asked)
            taken.append((time.perf_counter() - begun) / TURN)
            self.ids += fresh
        return 1e6 * statistics.median(taken)

    def look_up(self) -> float:
        """Microseconds a look-up of one run with its position, in turns of 64."""
        taken = []
        for _ in range(50):
            asked = [Asked(Token(1), ShowRun("job", secrets.choice(self.ids), True)) for _ in range(TURN)]
            begun = time.perf_counter()
            self.turn(asked)
            taken.append((time.perf_counter() - begun) / TURN)
        return 1e6 * statistics.median(taken)


def main() -> list[Row]:
    """The rows of the table."""
    queue = Queue()
    queue.trigger(SHORT)
    short_trigger, short_look_up = queue.trigger(TURN * 20), queue.look_up()
    queue.trigger(LONG)
    long_trigger, long_look_up = queue.trigger(TURN * 20), queue.look_up()
    return [
        Row(f"a trigger in the machine, {SHORT:,} queued", f"{short_trigger:.1f} us", ""),
        Row(f"the same, {LONG:,} queued", f"{long_trigger - short_trigger:+.1f} us", "at most +20"),
        Row(f"a look-up with position, {SHORT:,} queued", f"{short_look_up:.1f} us", ""),
        Row(f"the same, {LONG:,} queued", f"{long_look_up - short_look_up:+.1f} us", "at most +20"),
    ]
