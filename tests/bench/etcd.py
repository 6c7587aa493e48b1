"""etcd as a contender: three members, and callers that are a Go process of etcd's own client."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from tests.bench.contenders import FAILOVER_CALLERS, PAYLOAD_BYTES, SLICE_SECONDS, WARM_UP_SECONDS, Puts
from tests.cluster.binary import built
from tests.cluster.etcd import Members, three_members

OUTAGE_AT_MOST_SECONDS: Final = 60.0
STEADY_SECONDS: Final = 1.5  # of load before a kill
# A put that was lost with the leader would be answered after 7 s. It is given up after this, so that some put is always
# begun soon after there is a new leader: with a second, all callers wait for one dead put each, and outages come in
# whole seconds.
GIVEN_UP_SECONDS: Final = 0.1


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
        leader = self.members.leader
        given_up = f"-timeout={GIVEN_UP_SECONDS}"
        command = _callers(self.members.endpoints, FAILOVER_CALLERS, OUTAGE_AT_MOST_SECONDS, given_up, "-marks")
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as callers:
            self._wait_for_load(callers)
            killed_at_ns = time.time_ns()
            leader.part.kill()
            acknowledged_at_ns = _after_a_mark(callers)
            assert callers.stdin is not None
            callers.stdin.close()
            callers.wait()
        leader.part.start()
        assert self.members.leader.part.is_running  # all three agree again
        return (acknowledged_at_ns - killed_at_ns) / 1e9

    def _wait_for_load(self, callers: subprocess.Popen[bytes]) -> None:
        _after_a_mark(callers)
        time.sleep(STEADY_SECONDS)


def _callers(endpoints: tuple[str, ...], callers: int, seconds: float, *more: str) -> list[str]:
    load = [f"-clients={callers}", f"-seconds={seconds}", f"-bytes={PAYLOAD_BYTES}"]
    return [str(built()), "puts", f"-endpoints={','.join(endpoints)}", *load, *more]


def _after_a_mark(callers: subprocess.Popen[bytes]) -> int:
    """Unix nanoseconds of the first acknowledgement of a put that is begun after now."""
    assert callers.stdin is not None
    assert callers.stdout is not None
    callers.stdin.write(b"mark\n")
    callers.stdin.flush()
    return int(callers.stdout.readline())


@contextmanager
def running_etcd(directory: Path) -> Iterator[Etcd]:
    """etcd, up, with its files in this directory."""
    with three_members(directory) as members:
        yield Etcd(members)
