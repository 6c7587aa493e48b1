"""Power is lost, the process killed, or a sync fails, at any step of any work: nothing reported as durable is lost,
votes never regress, what comes back is a state the log was really in, and none of it is ever taken for damage.

Four seconds; with `SLIMJOBS_SOAK=1` it is 12,000 seeds and three minutes.
"""

from __future__ import annotations

import errno
import os
from random import Random

import pytest

from slimjobs.eventlog.raft.types import Entry, HardState, Index
from slimjobs.eventlog.storage.errors import NoRoom
from slimjobs.eventlog.storage.requests import PieceSaved, SnapshotInstalled, SnapshotPublished
from slimjobs.eventlog.storage.retention import Retention
from slimjobs.eventlog.storage.store import Storage, StorageOptions
from tests.eventlog.storage.entries import INCARNATION, entry, frames_of, header, snapshot, snapshot_file, state
from tests.eventlog.storage.simulated_files import PowerLost, SimulatedFiles

SEEDS = range(12_000 if os.environ.get("SLIMJOBS_SOAK") else 300)
LIVES = 12
OPTIONS = StorageOptions(segment_bytes=1500, retention=Retention(days=30, bytes=4000))


class Life:
    """One node's disk through many crashes, with all that may be true of it."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.files = SimulatedFiles()
        self.logs: list[list[Entry]] = [[]]
        """What the log may be: as it was when last synced, and after each write since."""
        self.states: list[HardState] = [state(0)]
        """The acknowledged hard state, and the one that was being written, if any."""
        self.snapshots: list[int] = []
        """The acknowledged snapshot, and the one that was being published, if any."""
        self.written: dict[int, set[int]] = {}
        """The terms of all entries that each index ever had."""
        self.terms: dict[int, int] = {}
        """The term of the entry that each snapshot stands for."""

    def live(self) -> None:
        """Open, check, work until the end comes."""
        self.files.steps_to_power_loss = self.chance.choice((None, self.chance.randint(1, 120)))
        self.files.syncs_to_failure = self.chance.choice((None, None, self.chance.randint(1, 40)))
        try:
            storage = Storage.open(self.files, INCARNATION, OPTIONS)
            self.check(storage)
            for _ in range(self.chance.randint(1, 25)):
                self.work(storage)
            if self.chance.random() < 0.3:
                storage.close()
        except PowerLost:
            pass
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            self.files.forget_unsynced(self.chance)
        self.files.syncs_to_failure = None
        self.files.capacity = None
        self.files.kill() if self.chance.random() < 0.3 else self.files.crash(self.chance)

    def check(self, storage: Storage) -> None:
        assert storage.hard_state in self.states
        self.states = [storage.hard_state]
        index = storage.snapshot.index if storage.snapshot else 0
        assert index in (self.snapshots or [0])
        assert list(storage.snapshot_frames()) == (frames_of(index) if index else [])
        self.snapshots = [index]
        self.logs = [self.behind_snapshot(log, index) for log in self.logs]
        kept = list(storage.entries(storage.first_index))
        self.logs = [log for log in self.logs if log[index:] == kept][:1]
        assert self.logs, f"a log that never was: {[(e.index, e.term) for e in kept]}"
        assert storage.last_index == len(self.logs[0])

    def work(self, storage: Storage) -> None:
        works = (self.append, self.append, self.append, self.sync, self.cut, self.vote, self.publish, self.install)
        self.chance.choice(works)(storage)

    def append(self, storage: Storage) -> None:
        first = len(self.logs[-1]) + 1
        size = self.chance.choice((0, 10, 100, 400, 2000))
        term = storage.hard_state.term
        new = [entry(index, term, size) for index in range(first, first + self.chance.randint(1, 4))]
        self.logs.append(self.logs[-1] + new)
        self.note(new)
        storage.append(None, new)

    def cut(self, storage: Storage) -> None:
        keep = self.chance.randint(self.snapshots[-1] if self.snapshots else 0, len(self.logs[-1]))
        new = [entry(keep + 1, storage.hard_state.term, 30)] if self.chance.random() < 0.7 else []
        self.logs.append(self.logs[-1][:keep] + new)
        self.note(new)
        storage.append(Index(keep), new)

    def note(self, new: list[Entry]) -> None:
        for each in new:
            self.written.setdefault(each.index, set()).add(each.term)

    def sync(self, storage: Storage) -> None:
        storage.sync()
        self.logs = self.logs[-1:]
        if self.chance.random() < 0.3:
            storage.mark()

    def vote(self, storage: Storage) -> None:
        storage.write_hard_state(self.next_state(storage))
        self.states = [storage.hard_state]

    def publish(self, storage: Storage) -> None:
        before = self.snapshots[-1] if self.snapshots else 0
        synced = len(self.logs[0])
        if synced <= before or len(self.logs) > 1:
            return
        index = self.chance.randint(before + 1, synced)
        term = self.logs[0][index - 1].term
        snapshot(storage, index, term=term)
        if self.chance.random() < 0.2:
            storage.discard(Index(index))
            return
        self.snapshots = [before, index]
        self.terms[index] = term
        assert isinstance(storage.publish(Index(index)), SnapshotPublished)
        self.snapshots = [index]

    def install(self, storage: Storage) -> None:
        """Another node's snapshot, ahead of this log, or of another branch, or one that agrees with it."""
        before = self.snapshots[-1] if self.snapshots else 0
        index = self.chance.randint(before + 1, max(before, len(self.logs[-1])) + 5)
        term = self.term_of_a_snapshot(index, storage.hard_state.term)
        self.fetch(storage, index, term)
        self.snapshots = [before, index]
        self.terms[index] = term
        assert storage.install(Index(index)) == SnapshotInstalled(header(index, term))
        self.snapshots = [index]
        restarted = self.behind_snapshot(self.logs[-1], index)
        if restarted is not self.logs[-1]:
            self.restart(storage, restarted)

    # In a term there is one entry of an index (log matching): one that this log had and cut is in no snapshot.
    # The disk relies on it: until a log has begun anew its old entries are there, and count if a snapshot agrees.
    def term_of_a_snapshot(self, index: int, current: int) -> int:
        log = self.logs[-1]
        lowest = max([entry.term for entry in log], default=1)
        agrees = {log[index - 1].term} if index <= len(log) else set[int]()
        known = self.written.get(index, set())
        terms = [term for term in range(lowest, current + 2) if term in agrees or term not in known]
        return self.chance.choice(terms)

    def fetch(self, storage: Storage, index: int, term: int) -> None:
        """Pieces as they come: repeated, or after a gap, or anew from the beginning."""
        content, held = snapshot_file(index, term), 0
        while held < len(content):
            offset = self.chance.choice((held, held, held, 0, 100, held + 50))
            answer = storage.save_piece(Index(index), offset, content[offset : offset + 100])
            assert isinstance(answer, PieceSaved)
            held = answer.held

    def restart(self, storage: Storage, restarted: list[Entry]) -> None:
        """The log begins anew, at once with entries or not; on a full disk later."""
        storage.write_hard_state(self.next_state(storage))
        self.states = [storage.hard_state]
        first = len(restarted) + 1
        new = [entry(at, storage.hard_state.term, 50) for at in range(first, first + self.chance.randint(0, 3))]
        self.logs.append(restarted + new)
        self.note(new)
        if self.chance.random() < 0.3:
            self.files.capacity = self.files.used + self.chance.choice((0, 500, 1400))
        try:
            storage.append(None, new, Index(len(restarted)))
        except NoRoom:
            self.files.capacity = None
            storage.append(None, new, Index(len(restarted)))
        self.files.capacity = None
        self.logs = self.logs[-1:]
        assert list(storage.entries(Index(1))) == []
        assert storage.last_index == len(self.logs[0])

    def next_state(self, storage: Storage) -> HardState:
        """A term that is no earlier, about to be written."""
        following = state(storage.hard_state.term + self.chance.randint(0, 1), self.chance.randint(1, 3))
        self.states.append(following)
        return following

    def behind_snapshot(self, log: list[Entry], index: int) -> list[Entry]:
        """What a log is once this snapshot is published: the same if it agrees with it, else what it stands for."""
        if index == 0 or (len(log) >= index and log[index - 1].term == self.terms[index]):
            return log
        return [entry(at, self.terms[index]) for at in range(1, index + 1)]


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_durable_is_lost_whenever_the_power_goes(seed: int) -> None:
    life = Life(seed)
    for _ in range(LIVES):
        life.live()


def test_a_killed_process_leaves_writes_that_are_made_durable_before_they_count() -> None:
    files = SimulatedFiles()
    storage = Storage.open(files, INCARNATION, OPTIONS)
    storage.write_hard_state(state(1))
    storage.append(None, [entry(1)])
    files.kill()  # no sync ever covered the entry, but the operating system still has it
    assert Storage.open(files, INCARNATION, OPTIONS).last_index == 1
    files.crash(Random(1))
    assert Storage.open(files, INCARNATION, OPTIONS).last_index == 1


def test_what_is_read_although_its_sync_had_failed_is_made_durable_before_it_counts() -> None:
    files = SimulatedFiles()
    storage = Storage.open(files, INCARNATION, OPTIONS)
    storage.write_hard_state(state(1))
    storage.append(None, [entry(1)])
    forget_after_a_failed_sync(files)
    assert Storage.open(files, INCARNATION, OPTIONS).last_index == 1
    files.crash(Random(1))
    assert Storage.open(files, INCARNATION, OPTIONS).last_index == 1


@pytest.mark.parametrize("seed", range(50))
def test_a_vote_whose_second_sync_had_failed_outlives_a_power_loss_in_the_next_one(seed: int) -> None:
    files = SimulatedFiles()
    storage = Storage.open(files, INCARNATION, OPTIONS)
    storage.write_hard_state(state(1, 3))
    files.syncs_to_failure = 2
    with pytest.raises(OSError, match="Input/output"):
        storage.write_hard_state(state(2, 1))
    forget_after_a_failed_sync(files, Random(seed))
    storage = Storage.open(files, INCARNATION, OPTIONS)
    assert storage.hard_state == state(2, 1)
    files.steps_to_power_loss = 1
    with pytest.raises(PowerLost):
        storage.write_hard_state(state(3))
    files.crash(Random(seed))
    assert Storage.open(files, INCARNATION, OPTIONS).hard_state in (state(2, 1), state(3))


def test_a_full_disk_keeps_no_node_from_starting_after_a_kill() -> None:
    files = SimulatedFiles()
    storage = Storage.open(files, INCARNATION, OPTIONS)
    storage.write_hard_state(state(1))
    storage.append(None, [entry(1)])
    files.kill()
    files.capacity = files.used
    assert Storage.open(files, INCARNATION, OPTIONS).last_index == 1


def forget_after_a_failed_sync(files: SimulatedFiles, chance: Random | None = None) -> None:
    """The process has ended of it."""
    files.syncs_to_failure = None
    files.forget_unsynced(chance or Random(3))
    files.kill()
