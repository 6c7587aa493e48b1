"""A world of several node machines whose disks are the real storage, on simulated files that may do what disks do.

A process whose disk fails ends at once, and is started again from what the disk still has, as whoever supervises it
would do. Beside all that the chronicle and the promises judge, no node votes for two in one term, and no vote leaves
before it is on the disk.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from functools import partial

from slimjobs.core.machine.letters import Letter
from slimjobs.eventlog.events.definitions import Definition
from slimjobs.eventlog.raft import NodeId, Term
from slimjobs.eventlog.raft.messages import VoteAnswer, VoteRequest
from slimjobs.eventlog.storage.snapshots import snapshot_indices
from tests.core.machine.cluster_world import ClusterWorld, Host
from tests.core.machine.stored_disk import StoredDisk
from tests.core.machine.timeline import MILLISECOND
from tests.eventlog.storage.simulated_files import PowerLost


class StoredWorld(ClusterWorld):
    """`failures` are the hosts whose disk failed under a process, `set_aside` those that were found damaged, each with
    what was found."""

    def __init__(self, names: Sequence[str], definitions: dict[str, Definition], seed: int = 0) -> None:
        self.failures: list[str] = []
        self.set_aside: list[tuple[str, str]] = []
        self._votes: dict[tuple[NodeId, Term], NodeId] = {}
        self._will_rest: set[tuple[str, int]] = set()
        super().__init__(names, definitions, seed)

    def new_disk(self) -> StoredDisk:
        """An empty disk."""
        return StoredDisk(self.mint_node, self.timeline, self.random)

    def disk_of(self, name: str) -> StoredDisk:
        """The disk of a host."""
        disk = self.hosts[name].disk
        assert isinstance(disk, StoredDisk)
        return disk

    # Processes ------------------------------------------------------------------------------------------------------

    def boot(self, name: str) -> None:
        """Start a process from what the disk has; where it cannot start, it is tried again."""
        disk = self.disk_of(name)
        try:
            super().boot(name)
        except PowerLost:
            self.say(name, "loses its power while it starts")
            disk.files.crash(self.random)
            self._boot_later(name)
        except OSError as error:
            self._ended_by(name, error)
        else:
            self._look_at_start(self.hosts[name], disk)

    def _look_at_start(self, host: Host, disk: StoredDisk) -> None:
        report = disk.storage.report
        if report.damage is not None:
            self.say(host.name, "is set aside:", report.damage)
            self.set_aside.append((host.name, report.damage))
        for index in snapshot_indices(disk.files):
            if index == host.raft.commit:
                self.chronicle.snapshot_kept(disk.node, disk.read_snapshot(index))
        self._write_soon(host)

    def _boot_later(self, name: str) -> None:
        self.timeline.after(self.random.randint(10, 3000) * MILLISECOND, partial(self._boot_again, name))

    def _boot_again(self, name: str) -> None:
        if self.hosts[name].process is None:
            self.boot(name)

    def kill(self, name: str, steps: int = 0) -> None:
        """The process is killed, so many operations into what the disk is to do next; what was written stays."""
        self.say(name, "is killed after", steps, "operations")
        self._end(self.hosts[name])
        self.disk_of(name).die(steps)

    def stop(self, name: str) -> None:
        """The process ends as it should."""
        self.say(name, "is stopped")
        self._end(self.hosts[name])
        self.disk_of(name).stop()

    def _ended_by(self, name: str, error: OSError) -> None:
        if error.errno not in {errno.EIO, errno.ENOSPC}:
            raise error
        self.say(name, "ends:", error)
        if self.hosts[name].process is not None:
            self._end(self.hosts[name])
        if error.errno == errno.EIO:
            self.failures.append(name)
            self.disk_of(name).has_failed()
        else:
            self.disk_of(name).files.kill()
        self._boot_later(name)

    # Disk -----------------------------------------------------------------------------------------------------------

    def _write(self, host: Host, life: int) -> None:
        try:
            super()._write(host, life)
        except OSError as error:
            self._ended_by(host.name, error)
        else:
            self._rest_later(host, life)

    def _rest_later(self, host: Host, life: int) -> None:
        """The disk thread wakes by itself when it has something to do that nobody asked for."""
        patience_ns = self.disk_of(host.name).patience_ns
        if patience_ns is not None and host.life == life and (host.name, life) not in self._will_rest:
            self._will_rest.add((host.name, life))
            self.timeline.after(patience_ns, partial(self._rest, host, life))

    def _rest(self, host: Host, life: int) -> None:
        self._will_rest.discard((host.name, life))
        if host.life == life and host.process is not None:
            self._write_soon(host)

    # Votes ----------------------------------------------------------------------------------------------------------

    def _overhear(self, sender: str, letter: Letter, content: bytes) -> None:
        super()._overhear(sender, letter, content)
        match letter:
            case VoteAnswer(node, candidate, term, granted=True):
                self._judge_vote(sender, node, term, candidate)
            case VoteRequest(node, _, term):
                self._judge_vote(sender, node, term, node)

    def _judge_vote(self, sender: str, node: NodeId, term: Term, candidate: NodeId) -> None:
        voted = self._votes.setdefault((node, term), candidate)
        assert voted == candidate, f"{node} votes for {voted} and for {candidate} in term {term}"
        kept = self.disk_of(sender).storage.hard_state
        durable = kept.term > term or (kept.term, kept.vote) == (term, candidate)
        assert durable, f"{node} votes for {candidate} in term {term}, and its disk has {kept}"

    # The end --------------------------------------------------------------------------------------------------------

    def judge_disks(self) -> None:
        """Every disk has the log, as far as it is not behind a snapshot, and whoever opened it would find that."""
        for name in self.hosts:
            storage = self.disk_of(name).opened_beside()
            held = list(storage.entries(storage.first_index))
            there_are = self.chronicle.entries[storage.first_index - 1 :]
            assert held == there_are, f"the disk of {name} has {held[-3:]} at its end instead of {there_are[-3:]}"
