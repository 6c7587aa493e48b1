"""etcd as a contender: three members, and callers that are a Go process of etcd's own client."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tests.bench.contenders import (
    FAILOVER_CALLERS,
    GIVEN_UP_SECONDS,
    PAYLOAD_BYTES,
    SLICE_SECONDS,
    WARM_UP_SECONDS,
    Puts,
)
from tests.bench.marks import OUTAGE_AT_MOST_SECONDS, outage_seconds
from tests.cluster.binary import built
from tests.cluster.etcd import Members, three_members


class Etcd:
    """Three members that are up, as what is measured."""

    name = "etcd"

    def __init__(self, members: Members) -> None:
        self.members = members

    def puts(self, callers: int) -> Puts:
        """Puts of one key a caller through the leader's endpoint."""
        leader = self.members.leader.endpoint
        command = _callers((leader,), callers, SLICE_SECONDS, f"-warm-up={WARM_UP_SECONDS}")
        printed = subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL).stdout
        return msgspec.json.decode(printed, type=Puts)

    def outage_seconds(self) -> float:
        """Puts at all three endpoints meanwhile; one that fails is followed by another after 5 ms."""
        leader = self.members.leader.part
        given_up = f"-timeout={GIVEN_UP_SECONDS}"
        command = _callers(self.members.endpoints, FAILOVER_CALLERS, OUTAGE_AT_MOST_SECONDS, given_up, "-marks")
        taken = outage_seconds(command, leader.kill)
        leader.start()
        assert self.members.leader.part.is_running  # all three agree again
        return taken


def _callers(endpoints: tuple[str, ...], callers: int, seconds: float, *more: str) -> list[str]:
    load = [f"-clients={callers}", f"-seconds={seconds}", f"-bytes={PAYLOAD_BYTES}"]
    return [str(built()), "puts", f"-endpoints={','.join(endpoints)}", *load, *more]


@contextmanager
def running_etcd(directory: Path) -> Iterator[Etcd]:
    """etcd, up, with its files in this directory."""
    with three_members(directory) as members:
        yield Etcd(members)
