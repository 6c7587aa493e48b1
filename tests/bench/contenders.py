"""What is measured side by side: three nodes on loopback that commit small records, whoever wrote them.

A round is one slice of each contender, one right after the other, while the others idle: disks and machines change
their speed within seconds, so only what was measured in the same round is compared. Of the rounds the median counts.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, TypeVar

import msgspec

ROUNDS: Final = 5
CALLERS: Final = (1, 64, 1024)
SLICE_SECONDS: Final = 4.0
WARM_UP_SECONDS: Final = 1.0
PAYLOAD_BYTES: Final = 128
KILLS: Final = 20
FAILOVER_CALLERS: Final = 64
# What was lost with the leader is given up after this, so that something is always begun soon after there is a new one:
# an etcd put would be answered after 7 s; with a second, all callers wait for one dead put each, and outages come in
# whole seconds.
GIVEN_UP_SECONDS: Final = 0.1

Measured = TypeVar("Measured")
W = TypeVar("W", bound="Writer")


class Puts(msgspec.Struct, frozen=True):
    """What callers saw, each with one record at a time, after warming up."""

    rate: float  # acknowledged a second
    p50_us: float
    p99_us: float
    failed: int
    work_us: tuple[float, ...] = ()  # of processors a record, process by process, if that was looked at


class Writer(Protocol):
    """What small records can be written to."""

    @property
    def name(self) -> str:
        """What the table calls it."""

    def puts(self, callers: int) -> Puts:
        """A slice of records of PAYLOAD_BYTES, made durable by so many concurrent callers."""


class Contender(Writer, Protocol):
    """Three nodes that commit them through their leader, and their callers, none of them in this process."""

    def outage_seconds(self) -> float:
        """SIGKILL the leader under FAILOVER_CALLERS that know all three nodes; the time from before the kill to the
        first acknowledgement of a record that was begun after the leader was surely dead. All three run again, and have
        caught up, when this returns."""


def in_rounds(
    contenders: Sequence[W], measure: Callable[[W], Measured], rounds: int, what: str
) -> Mapping[str, list[Measured]]:
    """What was measured of each, by its name, round by round; who comes first changes every time."""
    measured: dict[str, list[Measured]] = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        turn = number % len(contenders)
        for contender in [*contenders[turn:], *contenders[:turn]]:
            begun = time.monotonic()
            measured[contender.name].append(measure(contender))
            taken = time.monotonic() - begun
            print(f"  {what}, {number + 1}/{rounds}, {contender.name}: {taken:.0f} s", file=sys.stderr, flush=True)
    return measured


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios of the rounds."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
