"""Three members of etcd on loopback, each with a data directory of its own and all its defaults, fsync among them."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.cluster.parts import START_SECONDS, Part, free_ports

HEARTBEAT_MS: Final = 100
ELECTION_MS: Final = 1000


class Member(NamedTuple):
    """One of the three: its process, where it answers."""

    part: Part
    endpoint: str

    def status(self) -> Mapping[str, Any] | None:
        """What it says of itself: header.member_id, leader, raftIndex, raftAppliedIndex; None if it does not."""
        request = urllib.request.Request(f"{self.endpoint}/v3/maintenance/status", data=b"{}", method="POST")
        try:
            with urllib.request.urlopen(request, timeout=2) as answer:
                status: Mapping[str, Any] = json.loads(answer.read())
                return status
        except OSError:
            return None


class Members:
    """The three, all of them up unless one was killed."""

    def __init__(self, members: tuple[Member, ...]) -> None:
        self.all = members

    @property
    def endpoints(self) -> tuple[str, ...]:
        return tuple(member.endpoint for member in self.all)

    @property
    def leader(self) -> Member:
        """The one that all three follow and have caught up with; RuntimeError if that takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while (found := self._agreed_leader()) is None:
            if time.monotonic() > deadline:
                raise RuntimeError(f"etcd: three members do not agree within {START_SECONDS:.0f} s")
            time.sleep(0.05)
        return found

    def _agreed_leader(self) -> Member | None:
        statuses = [status for member in self.all if (status := member.status())]
        leaders = {status.get("leader", "0") for status in statuses}
        applied = [int(status.get("raftAppliedIndex", 0)) for status in statuses]
        if len(statuses) < len(self.all) or len(leaders) != 1 or "0" in leaders or max(applied) - min(applied) > 1000:
            return None
        ids = [status["header"]["member_id"] for status in statuses]
        return self.all[ids.index(leaders.pop())]


@contextmanager
def three_members(directory: Path) -> Iterator[Members]:
    """Three members that have a leader, with their files in this directory; none of them is left running."""
    directory.mkdir(parents=True, exist_ok=True)
    urls = [f"http://127.0.0.1:{port}" for port in free_ports(6)]
    peers = {f"member-{number}": url for number, url in enumerate(urls[:3])}
    members = tuple(_member(directory, name, endpoint, peers) for name, endpoint in zip(peers, urls[3:], strict=True))
    try:
        for member in members:
            member.part.start()
        three = Members(members)
        assert three.leader.part.is_running
        yield three
    finally:
        for member in members:
            member.part.end()


def _member(directory: Path, name: str, endpoint: str, peers: Mapping[str, str]) -> Member:
    peer = peers[name]
    everyone = ",".join(f"{each}={url}" for each, url in peers.items())
    urls = ["--listen-client-urls", endpoint, "--advertise-client-urls", endpoint]
    peer_urls = ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", everyone]
    pace = [f"--heartbeat-interval={HEARTBEAT_MS}", f"--election-timeout={ELECTION_MS}", "--log-level=error"]
    files = ["--name", name, "--data-dir", str(directory / name)]
    return Member(Part(["etcd", *files, *urls, *peer_urls, *pace], directory / f"{name}.log"), endpoint)
