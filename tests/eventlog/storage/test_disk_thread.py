"""The disk thread: many requests are one sync, answers come in order, a failing disk is the end, a full one is not."""

from __future__ import annotations

import errno
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from random import Random

import pytest

from slimjobs.eventlog.raft.types import Index
from slimjobs.eventlog.storage import work as work_module
from slimjobs.eventlog.storage.batch import footprint_of
from slimjobs.eventlog.storage.disk import DiskThread
from slimjobs.eventlog.storage.errors import DiskFailed
from slimjobs.eventlog.storage.requests import (
    DiscardSnapshot,
    DiskAnswer,
    InstallSnapshot,
    Load,
    Loaded,
    LoadPiece,
    LoadState,
    Persist,
    Persisted,
    PieceLoaded,
    PieceSaved,
    PublishSnapshot,
    Room,
    SavePiece,
    SnapshotInstalled,
    SnapshotPublished,
    SnapshotRefused,
    StateLoaded,
    Ticket,
)
from slimjobs.eventlog.storage.slots import MARKER
from slimjobs.eventlog.storage.store import Storage, StorageOptions
from tests.eventlog.storage.entries import (
    INCARNATION,
    entries,
    entry,
    frames_of,
    header,
    install,
    log_of,
    opened,
    snapshot,
    snapshot_file,
    state,
)
from tests.eventlog.storage.simulated_files import SimulatedFiles

OPTIONS = StorageOptions(segment_bytes=4096)
PATIENCE = 10


class Gate:
    """Holds up syncs until opened, and counts them."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self.reached = threading.Event()
        self.passed = 0

    def open(self) -> None:
        self._open.set()

    def close(self) -> None:
        self._open.clear()
        self.reached.clear()

    def __call__(self) -> None:
        self.reached.set()
        assert self._open.wait(PATIENCE)
        self.passed += 1


class Node:
    """A disk thread on a simulated disk, and what it said."""

    def __init__(self) -> None:
        self.files = SimulatedFiles()
        self.storage = Storage.open(self.files, INCARNATION, OPTIONS)
        self.storage.write_hard_state(state(1))
        self.told: queue.SimpleQueue[DiskAnswer] = queue.SimpleQueue()
        self.wakes = 0
        self.failures: queue.SimpleQueue[DiskFailed] = queue.SimpleQueue()
        self.disk = DiskThread(self.storage, self.deliver, self.failures.put)

    def deliver(self, answers: Sequence[DiskAnswer]) -> None:
        self.wakes += 1
        for answer in answers:
            self.told.put(answer)

    def answer(self) -> DiskAnswer:
        """The next answer that is no mere news of room."""
        while isinstance(answer := self.told.get(timeout=PATIENCE), Room):
            pass
        return answer

    def started(self) -> Node:
        self.disk.start()
        assert self.told.get(timeout=PATIENCE) == Room(OPTIONS.segment_bytes)
        return self


@pytest.fixture
def node() -> Iterator[Node]:
    node = Node()
    yield node
    node.files.capacity = None
    assert node.disk.stop(PATIENCE)


@pytest.fixture
def retries_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_module, "RETRY_SECONDS", 0.01)


def persist(ticket: int, first: int, last: int) -> Persist:
    return Persist(Ticket(ticket), entries(first, last))


def test_what_waits_is_one_sync_and_one_answer(node: Node) -> None:
    node.started()
    gate = Gate()
    node.files.on_sync = gate
    node.disk.submit(persist(1, 1, 2))
    assert gate.reached.wait(PATIENCE)
    for ticket in range(2, 10):
        node.disk.submit(persist(ticket, ticket + 1, ticket + 1))
    gate.open()
    first, second = node.answer(), node.answer()
    assert isinstance(first, Persisted)
    assert isinstance(second, Persisted)
    assert (first.ticket, second.ticket) == (1, 9)
    assert gate.passed == 2 + 2  # the next segment and its name


def test_nothing_is_told_before_it_is_durable_and_the_stall_shows(node: Node) -> None:
    node.started()
    gate = Gate()
    node.files.on_sync = gate
    before = time.monotonic()
    node.disk.submit(persist(1, 1, 1))
    assert gate.reached.wait(PATIENCE)
    assert node.told.empty()
    busy_since = node.disk.busy_since
    assert busy_since is not None
    assert before <= busy_since <= time.monotonic()
    gate.open()
    assert isinstance(node.answer(), Persisted)


def test_a_load_sees_what_was_asked_to_be_written_before_it(node: Node) -> None:
    gate = Gate()
    node.files.on_sync = gate
    gate.open()
    node.disk.submit(persist(1, 1, 5))
    node.disk.submit(Load(Index(2), Index(4), 10_000))
    node.disk.submit(Persist(Ticket(2), (), None, Index(3)))
    node.disk.submit(Load(Index(2), Index(9), 10_000))
    node.disk.start()
    told = [node.answer() for _ in range(3)]
    assert told[:2] == [Loaded(entries(2, 4)), Loaded(entries(2, 3))]
    assert isinstance(told[2], Persisted)
    assert told[2].ticket == 2


def test_a_load_gives_at_least_one_entry_and_no_more_than_fits(node: Node) -> None:
    node.disk.submit(persist(1, 1, 5))
    for max_bytes in (0, 40, 80, 119):
        node.disk.submit(Load(Index(1), Index(5), max_bytes))
    node.disk.submit(Load(Index(6), Index(9), 100))
    node.disk.start()
    told = [node.answer() for _ in range(5)]
    assert [len(answer.entries) for answer in told if isinstance(answer, Loaded)] == [1, 1, 2, 2, 0]


def test_a_snapshot_is_published_after_what_was_asked_before_it(node: Node) -> None:
    node.started()
    snapshot(node.storage, 2)
    snapshot(node.storage, 3)
    node.disk.submit(persist(1, 1, 4))
    node.disk.submit(DiscardSnapshot(Index(3)))
    node.disk.submit(PublishSnapshot(Index(2)))
    node.disk.submit(PublishSnapshot(Index(3)))
    told = [node.answer() for _ in range(3)]
    assert isinstance(told[0], Persisted)
    assert told[1] == SnapshotPublished(Index(2), Index(1))
    assert told[2] == SnapshotRefused(Index(3), "no snapshot was written for this index")


def test_a_snapshot_of_another_node_is_fetched_installed_and_the_log_begun_anew_behind_it(node: Node) -> None:
    node.started()
    content = snapshot_file(100)
    node.disk.submit(persist(1, 1, 4))
    node.disk.submit(SavePiece(Index(100), 0, content[:70]))
    node.disk.submit(SavePiece(Index(100), 70, content[70:]))
    node.disk.submit(InstallSnapshot(Index(100)))
    node.disk.submit(Persist(Ticket(2), entries(101, 102), state(2), restart_after=Index(100)))
    told = [node.answer() for _ in range(5)]
    assert [answer.ticket for answer in told if isinstance(answer, Persisted)] == [1, 2]
    assert [answer for answer in told if not isinstance(answer, Persisted)] == [
        PieceSaved(Index(100), 70),
        PieceSaved(Index(100), len(content)),
        SnapshotInstalled(header(100)),
    ]
    node.disk.submit(LoadState())
    loaded = node.answer()
    assert isinstance(loaded, StateLoaded)
    assert (loaded.header, list(loaded.frames)) == (header(100), frames_of(100))
    node.disk.submit(LoadPiece(Index(100), 5, 10))
    assert node.answer() == PieceLoaded(Index(100), 5, len(content), content[5:15])
    node.disk.submit(Load(Index(101), Index(102), 1000))
    assert node.answer() == Loaded(entries(101, 102))


@pytest.mark.usefixtures("retries_at_once")
def test_a_restart_gives_room_to_what_had_none_and_is_not_held_up_by_what_it_drops(node: Node) -> None:
    install(node.storage, 5000)
    node.storage.append(None, entries(1, 300))
    node.files.capacity = node.files.used
    for ticket in range(2, 5):  # more than one write takes together
        node.disk.submit(Persist(Ticket(ticket), [entry(299 + ticket, size=2_000_000)]))
    node.disk.submit(Persist(Ticket(5), entries(5001, 5002), state(2), restart_after=Index(5000)))
    node.disk.start()
    answer = node.answer()
    assert isinstance(answer, Persisted)
    assert answer.ticket == 5
    assert log_of(node.storage, 1) == []
    assert log_of(node.storage, 5001) == entries(5001, 5002)


def test_a_failing_sync_is_told_once_and_everything_after_is_refused() -> None:
    node = Node().started()
    node.files.sync_error = OSError(errno.EIO, "Input/output error")
    node.disk.submit(persist(1, 1, 1))
    failure = node.failures.get(timeout=PATIENCE)
    assert isinstance(failure.__cause__, OSError)
    assert node.disk.stop(PATIENCE)
    assert node.told.empty()
    with pytest.raises(DiskFailed, match="Input/output error"):
        node.disk.submit(persist(2, 2, 2))
    assert node.failures.empty()


def test_after_a_stop_all_is_durable_the_marker_says_so_and_the_directory_is_free() -> None:
    node = Node()
    node.disk.submit(persist(1, 1, 7))
    node.disk.start()
    assert node.disk.stop(PATIENCE)
    assert isinstance(node.answer(), Persisted)
    with pytest.raises(DiskFailed, match="was stopped"):
        node.disk.submit(persist(2, 8, 8))
    again = opened(node.files)
    assert log_of(again) == entries(1, 7)
    assert not again.marker_behind


def test_a_stop_does_not_wait_longer_than_it_may_for_a_stalled_disk() -> None:
    node = Node().started()
    gate = Gate()
    node.files.on_sync = gate
    node.disk.submit(persist(1, 1, 1))
    assert gate.reached.wait(PATIENCE)
    assert not node.disk.stop(timeout_seconds=0.01)
    gate.open()
    assert node.disk.stop(PATIENCE)


def test_at_rest_the_marker_is_written(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_module, "MARK_SECONDS", 0.0)
    node.started()
    before = node.files.contents(MARKER)
    node.disk.submit(persist(1, 1, 1))
    assert isinstance(node.answer(), Persisted)
    assert until(lambda: node.files.contents(MARKER) != before)


def until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return True


@pytest.mark.usefixtures("retries_at_once")
def test_room_shrinks_on_a_full_disk_and_comes_back_by_itself(node: Node) -> None:
    node.started()
    node.files.capacity = 0
    rooms, last = [], 0
    for ticket in range(1, 6):
        node.disk.submit(persist(ticket, last + 1, last + 10))
        last += 10
        answer = node.answer()
        assert isinstance(answer, Persisted)
        rooms.append(answer.room)
    assert rooms == sorted(rooms, reverse=True)
    assert 0 < rooms[-1] < OPTIONS.segment_bytes / 2
    node.files.capacity = None
    assert node.told.get(timeout=PATIENCE) == Room(OPTIONS.segment_bytes)


@pytest.mark.usefixtures("retries_at_once")
def test_what_finds_no_room_waits_while_reads_hard_states_and_snapshots_go_on(node: Node) -> None:
    node.storage.append(None, entries(1, 50))
    node.files.capacity = 0
    node.disk.submit(persist(2, 51, 51 + node.storage.room // 40))
    node.disk.submit(Persist(Ticket(3), (), state(9, 4)))
    node.disk.start()
    node.disk.submit(Load(Index(1), Index(2), 1000))
    assert node.answer() == Loaded(entries(1, 2))
    assert until(lambda: node.storage.hard_state == state(9, 4))
    node.disk.submit(PublishSnapshot(Index(5)))
    assert isinstance(node.answer(), SnapshotRefused)
    node.files.capacity = None
    answer = node.answer()
    assert isinstance(answer, Persisted)
    assert answer.ticket == 3


@pytest.mark.parametrize("seed", range(30))
def test_room_is_surely_there_in_whatever_portions_it_is_taken(seed: int) -> None:
    chance = Random(seed)
    files = SimulatedFiles()
    storage = Storage.open(files, INCARNATION, OPTIONS)
    storage.append(None, entries(1, chance.randint(1, 60)))
    storage.preallocate()
    files.capacity, room = 0, storage.room
    while True:
        first = storage.last_index + 1
        portion = entries(first, first + chance.randint(0, 5), size=chance.choice((0, 50, 600)))
        room -= footprint_of(portion)
        if room < 0:
            break
        storage.append(None, portion)  # never NoRoom
