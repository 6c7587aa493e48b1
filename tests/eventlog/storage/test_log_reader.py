"""`log cat|verify|stat`: read beside a running node, without its lock, not believing in what is half written."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from slimjobs.eventlog.raft.types import Entry, Index
from slimjobs.eventlog.storage.errors import Damage, NotALog
from slimjobs.eventlog.storage.files import DirectoryOnDisk
from slimjobs.eventlog.storage.identity import read_identity
from slimjobs.eventlog.storage.log_reader import LogReader, read_log
from slimjobs.eventlog.storage.segments import SegmentScan, segment_names
from slimjobs.eventlog.storage.store import Storage, StorageOptions
from tests.eventlog.storage.entries import INCARNATION, append, entries, opened, snapshot, state
from tests.eventlog.storage.simulated_files import SimulatedFiles

OPTIONS = StorageOptions(segment_bytes=4096)


def node(files: SimulatedFiles | DirectoryOnDisk) -> Storage:
    storage = opened(files, OPTIONS)
    storage.write_hard_state(state(1, 4))
    for first in range(1, 200, 10):
        append(storage, entries(first, first + 9))
    snapshot(storage, 150)
    storage.publish(Index(150))
    return storage


def test_a_log_is_read_while_its_node_holds_it(tmp_path: Path) -> None:
    storage = node(DirectoryOnDisk(tmp_path))
    reader = read_log(tmp_path)
    assert list(reader.entries()) == entries(1, 200)
    assert list(reader.entries(Index(190))) == entries(190, 200)
    assert reader.verify().usable
    stat = reader.stat()
    assert (stat.incarnation, stat.hard_state, stat.snapshots) == (INCARNATION, state(1, 4), (150,))
    assert (stat.first_index, stat.last_index, stat.batches) == (1, 200, 20)
    append(storage, entries(201, 210))
    assert reader.verify().last_index == 210
    storage.close()


def test_a_new_log_is_empty_and_usable(tmp_path: Path) -> None:
    opened(DirectoryOnDisk(tmp_path)).close()
    reader = read_log(tmp_path)
    assert (reader.stat().first_index, reader.stat().last_index) == (1, 0)
    assert reader.verify().usable
    assert list(reader.entries()) == []


def test_a_directory_without_a_log_is_said_to_be_none(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "missing"):
        with pytest.raises(NotALog, match="holds no event log"):
            read_log(directory)
    assert list(tmp_path.iterdir()) == []


def test_a_tail_that_is_being_written_is_not_there_yet() -> None:
    files = SimulatedFiles()
    storage = node(files)
    last = storage.last_index
    storage.append(None, entries(last + 1, last + 3))
    name = [name for name in files.names() if name.startswith("segment")][-1]
    files.flip(name, len(files.contents(name).rstrip(b"\0")) - 1)
    verdict = LogReader(files).verify()
    assert verdict.usable
    assert verdict.torn is not None
    assert list(LogReader(files).entries()) == entries(1, last)


def test_damage_in_history_is_found_and_what_comes_before_it_is_read() -> None:
    files = SimulatedFiles()
    node(files).close()
    files.flip("segment-000000000001.log", 3000)
    reader = LogReader(files)
    verdict = reader.verify()
    assert not verdict.usable
    assert "segment-000000000001.log is damaged at byte" in str(verdict.damage[0])
    read: list[Entry] = []
    with pytest.raises(Damage):
        read.extend(reader.entries())
    assert read == entries(1, len(read))
    assert 30 < len(read) < 70


@pytest.mark.parametrize("name", ["hard-state", "marker", "snapshot-00000000000000000150.snap"])
def test_damage_beside_the_log_is_found(name: str) -> None:
    files = SimulatedFiles()
    node(files).close()
    files.replace(name, b"\1" * len(files.contents(name)))
    (damage,) = LogReader(files).verify().damage
    assert damage.file.endswith(name)


@pytest.mark.parametrize("name", ["hard-state", "marker"])
def test_a_missing_file_beside_the_log_is_found(name: str) -> None:
    files = SimulatedFiles()
    node(files).close()
    files.remove(name)
    (damage,) = LogReader(files).verify().damage
    assert f"{name} is damaged at byte 0: found no file" in str(damage)


def test_a_log_that_does_not_reach_back_to_its_snapshot_cannot_be_used() -> None:
    files = SimulatedFiles()
    node(files).close()
    files.remove("snapshot-00000000000000000150.snap")
    files.remove("segment-000000000001.log")
    (damage,) = LogReader(files).verify().damage
    assert "expected index 1, the first that no snapshot holds" in str(damage)


def test_a_segment_that_is_shortened_between_two_reads_ends_where_it_ends_now(monkeypatch: pytest.MonkeyPatch) -> None:
    files = SimulatedFiles()
    node(files).close()
    name, key, size = segment_names(files)[0], read_identity(files).key, files.size
    found = [batch.header for batch in SegmentScan(files, name, key)]
    files.replace(name, files.contents(name).rstrip(b"\0"))
    monkeypatch.setattr(files, "size", lambda file: size(file) + 4096)  # as it was before the node closed it
    scan = SegmentScan(files, name, key)
    assert [batch.header for batch in scan] == found
    assert scan.problem is None


def test_a_node_that_writes_between_any_two_reads_never_looks_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    files = SimulatedFiles()
    storage, read = node(files), files.read
    reader, before = LogReader(files), storage.last_index

    def read_while_it_writes(file: int, size: int, offset: int) -> bytes:
        content = read(file, size, offset)
        for index in (storage.last_index + 1, storage.last_index + 2):
            storage.append(None, entries(index, index))
            storage.sync()
        storage.mark()
        return content

    monkeypatch.setattr(files, "read", read_while_it_writes)
    verdict = reader.verify()
    assert verdict.damage == ()
    assert before <= verdict.last_index <= storage.last_index


def test_a_node_that_writes_all_the_time_never_looks_damaged(tmp_path: Path) -> None:
    storage = node(DirectoryOnDisk(tmp_path))
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            first = storage.last_index + 1
            storage.append(None, entries(first, first + 4))
            storage.sync()
            storage.mark()
            if storage.last_index % 200 == 0:
                snapshot(storage, storage.last_index)
                storage.publish(storage.last_index)
            if storage.last_index % 350 == 0:
                storage.append(Index(storage.last_index - 1), [])
                storage.append(None, entries(storage.last_index + 1, storage.last_index + 1))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        reader = read_log(tmp_path)
        seen = [reader.verify() for _ in range(30)]
    finally:
        stop.set()
        writer.join()
    assert [verdict.damage for verdict in seen] == [()] * 30
    storage.close()
