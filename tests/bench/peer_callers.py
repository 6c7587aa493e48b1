"""Callers of three nodes through their peer ports: a guest that passes triggers on as a follower would.

    python tests/bench/peer_callers.py --ports=PORT,PORT,PORT --callers=N --seconds=S [--warm-up=S] [--timeout=S]
        [--marks] [--pids=PID,...]

A process of its own, and the counterpart of etcd's `puts`: what its callers saw is printed as one line of JSON, marks
on stdin are answered with the Unix nanoseconds of the first acknowledgement of a trigger that was begun after them.
Each caller has one trigger at a time; one that a node turned away or did not answer in time is followed by another, at
the next node. Of this process and those that are named it says how much of the processors a trigger took.
"""

from __future__ import annotations

import argparse
import logging
import os
import secrets
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

sys.path.insert(0, str(Path(__file__).parents[2]))

import msgspec
import trio

from slimjobs.core.decide.commands import Accepted, Requested, Trigger
from slimjobs.core.machine.letters import Answered, Forwarded, Letter, NotLeading
from slimjobs.deploy.peering import Letters
from slimjobs.eventlog.events.definitions import Overrides
from slimjobs.eventlog.events.record import Record, encode_record
from slimjobs.eventlog.events.runs import RunEnqueued, RunId
from slimjobs.eventlog.raft.types import NodeId
from slimjobs.eventlog.transport.greeting import PROTOCOL, Greeting, PeerLost, PeerMet
from slimjobs.eventlog.transport.sockets import PeerAddress
from slimjobs.eventlog.transport.transport import Transport
from tests.bench.contenders import PAYLOAD_BYTES, Puts
from tests.bench.processors import processor_seconds
from tests.bench.three_nodes import HOST, JOB

PAUSE_SECONDS: Final = 0.005
"""How often is looked for callers to go on: after a failure, as long as etcd's callers pause."""


def _record(argument: str) -> bytes:
    """The payload that the record of one trigger with this argument has."""
    event = RunEnqueued(RunId(bytes(10)), JOB, 2, Overrides(args=(argument,)))
    return encode_record(Record(1 << 40, "external", (event,)))


PADDING: Final = "x" * (PAYLOAD_BYTES - len(_record("x" * 32)) + 32)
"""The argument with which it is as long as etcd's values."""

assert len(_record(PADDING)) == PAYLOAD_BYTES


class Guest:
    """The connection to all nodes, and the callers that share it."""

    def __init__(self, ports: Sequence[int], callers: int, timeout_seconds: float) -> None:
        self.node = NodeId(secrets.randbits(60))
        greeting = Greeting(PROTOCOL, "", "callers", self.node, False, True, 1, "1")
        peers = [PeerAddress(f"node-{number}", HOST, port) for number, port in enumerate(ports)]
        self.transport: Transport[Letter] = Transport(
            "callers", peers, lambda: greeting, lambda _: "", Letters(trusted=False), self._take
        )
        self._callers = callers
        self._timeout_ns = int(timeout_seconds * 1e9)
        self._overrides = Overrides(args=(PADDING,))
        self._met: dict[str, NodeId] = {}
        self._all_met = trio.Event()
        self._peers = len(peers)
        self._begun_ns = [0] * callers
        self._token = list(range(callers))
        self._node = [0] * callers
        self.latencies_ns: list[int] = []
        self.failed = 0
        self.counts = self.is_over = False
        self.mark_ns = 0

    async def begin(self) -> None:
        """Let every caller begin as soon as all nodes are met; whoever does not lead sends it on to the next."""
        await self._all_met.wait()
        self.transport.send([self._next(caller) for caller in range(self._callers)])

    def _next(self, caller: int, turns: int = 0) -> Letter:
        """The next trigger of a caller, so many nodes further."""
        nodes = list(self._met.values())
        self._token[caller] += self._callers
        self._node[caller] = (self._node[caller] + turns) % len(nodes)
        self._begun_ns[caller] = time.time_ns()
        requested = Requested(RunId(secrets.token_bytes(10)), JOB, self._overrides)
        to = nodes[self._node[caller]]
        return Forwarded(self.node, to, self._token[caller], Trigger((requested,), False), "external")

    async def _take(self, told: Sequence[Letter | PeerMet | PeerLost]) -> None:
        letters: list[Letter] = []
        now_ns = time.time_ns()
        for each in told:
            if isinstance(each, Answered):
                letters += self._answered(each, now_ns)
            elif isinstance(each, NotLeading):
                self._fail(each.token, now_ns)
            elif isinstance(each, PeerMet):
                self._met[each.greeting.name] = each.greeting.node
                if len(self._met) == self._peers:
                    self._all_met.set()
        self.transport.send(letters)

    def _answered(self, answer: Answered, now_ns: int) -> Sequence[Letter]:
        caller = answer.token % self._callers
        if answer.token != self._token[caller]:
            return ()  # it was given up
        if not isinstance(answer.value, Accepted):
            self._fail(answer.token, now_ns)
            return ()
        begun_ns = self._begun_ns[caller]
        if self.counts:
            self.latencies_ns.append(now_ns - begun_ns)
        if self.mark_ns and begun_ns > self.mark_ns:
            self.mark_ns = 0
            print(now_ns, flush=True)
        return () if self.is_over else (self._next(caller),)

    def _fail(self, token: int, now_ns: int) -> None:
        caller = token % self._callers
        if token == self._token[caller]:
            self.failed += self.counts
            self._begun_ns[caller] = now_ns - self._timeout_ns  # as if it had waited for so long

    async def give_up_for_ever(self) -> None:
        """Let those go on who were not answered in time, or were turned away."""
        while True:
            await trio.sleep(PAUSE_SECONDS)
            late_ns = time.time_ns() - self._timeout_ns
            late = [caller for caller, begun_ns in enumerate(self._begun_ns) if begun_ns <= late_ns]
            self.transport.send([self._next(caller, turns=1) for caller in late])


async def call(guest: Guest, seconds: float, warm_up_seconds: float, marks: bool, pids: Sequence[int]) -> Puts:
    """What the callers of this guest saw in so many seconds; with marks, no longer than there is a stdin."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(guest.transport.run, ())
        await guest.begin()
        nursery.start_soon(guest.give_up_for_ever)
        await trio.sleep(warm_up_seconds)
        worked = [processor_seconds(pid) for pid in pids]
        begun, guest.counts = time.perf_counter(), True
        with trio.move_on_after(seconds):
            if marks:
                await take_marks(guest)
            else:
                await trio.sleep_forever()
        taken = time.perf_counter() - begun
        work = [processor_seconds(pid) - before for pid, before in zip(pids, worked, strict=True)]
        nursery.cancel_scope.cancel()
    return seen(guest, taken, work)


async def take_marks(guest: Guest) -> None:
    """Every line is one, until stdin ends."""
    async with trio.lowlevel.FdStream(os.dup(sys.stdin.fileno())) as lines:
        async for _ in lines:
            guest.mark_ns = time.time_ns()


def seen(guest: Guest, seconds: float, work: Sequence[float]) -> Puts:
    """All latencies as percentiles."""
    percentiles = statistics.quantiles(guest.latencies_ns, n=100)
    count = len(guest.latencies_ns)
    work_us = tuple(1e6 * each / count for each in work)
    return Puts(count / seconds, percentiles[49] / 1000, percentiles[98] / 1000, guest.failed, work_us)


def main() -> None:
    """Read the command line, call, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--ports", required=True)
    parser.add_argument("--callers", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--warm-up", type=float, default=0.0)
    parser.add_argument("--timeout", type=float, default=10.0)
    parser.add_argument("--marks", action="store_true")
    parser.add_argument("--pids", default="")
    given = parser.parse_args()
    logging.disable(logging.WARNING)  # a node that was killed is no news
    guest = Guest([int(port) for port in given.ports.split(",")], given.callers, given.timeout)
    pids = [int(pid) for pid in filter(None, given.pids.split(","))]
    puts = trio.run(call, guest, given.seconds, given.warm_up, given.marks, [os.getpid(), *pids])
    print(msgspec.json.encode(puts).decode(), flush=True)


if __name__ == "__main__":
    main()
