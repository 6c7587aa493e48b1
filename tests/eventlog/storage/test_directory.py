"""A data directory on a real disk: made, taken by one process, kept across restarts, refused when it cannot be used."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from slimjobs.eventlog.raft.types import Index
from slimjobs.eventlog.storage.errors import DirectoryTaken, NewerFormat
from slimjobs.eventlog.storage.files import DirectoryOnDisk
from slimjobs.eventlog.storage.requests import SnapshotPublished
from slimjobs.eventlog.storage.store import Storage, StorageOptions
from tests.eventlog.storage.entries import (
    INCARNATION,
    OTHER_INCARNATION,
    append,
    entries,
    entry,
    frames_of,
    header,
    log_of,
    opened,
    snapshot,
    state,
)

OPTIONS = StorageOptions(segment_bytes=64 * 1024)


@pytest.fixture
def files(tmp_path: Path) -> DirectoryOnDisk:
    return DirectoryOnDisk(tmp_path / "not" / "there" / "yet")


def test_everything_comes_back_after_a_stop(files: DirectoryOnDisk) -> None:
    storage = opened(files, OPTIONS)
    assert storage.report.created
    storage.write_hard_state(state(3, 8))
    for first in range(1, 2000, 100):
        append(storage, entries(first, first + 99, size=100))
    snapshot(storage, 700)
    assert storage.publish(Index(700)) == SnapshotPublished(Index(700), Index(1))
    storage.close()
    storage = Storage.open(files, OTHER_INCARNATION, OPTIONS)
    assert not storage.report.created
    assert storage.incarnation == INCARNATION
    assert storage.hard_state == state(3, 8)
    assert storage.snapshot == header(700)
    assert list(storage.snapshot_frames()) == frames_of(700)
    assert log_of(storage) == entries(701, 2000, size=100)
    assert storage.load(Index(1500), Index(1502), 10_000) == entries(1500, 1502, size=100)
    append(storage, entries(2001, 2002))
    storage.close()


def test_an_entry_larger_than_a_segment_gets_one_of_its_size(files: DirectoryOnDisk) -> None:
    storage = opened(files, OPTIONS)
    storage.write_hard_state(state(1))
    large = entry(3, size=1_000_000)
    append(storage, [*entries(1, 2), large, *entries(4, 5)])
    storage.close()
    storage = opened(files, OPTIONS)
    assert log_of(storage) == [*entries(1, 2), large, *entries(4, 5)]
    storage.close()


def test_a_directory_is_held_by_one_process_and_says_by_which(files: DirectoryOnDisk) -> None:
    storage = opened(files)
    with pytest.raises(DirectoryTaken, match=f"is held by process {os.getpid()}"):
        opened(files)
    storage.close()
    opened(files).close()


def test_opening_waits_as_long_as_it_is_told_for_a_directory_to_become_free(files: DirectoryOnDisk) -> None:
    storage = opened(files)
    child = hold(storage.lock_descriptor, seconds=0.3)
    storage.close()
    before = time.monotonic()
    opened(files, StorageOptions(lock_wait_seconds=10)).close()
    assert time.monotonic() - before < 9
    assert child.wait(10) == 0


def test_a_child_that_inherits_the_lock_holds_the_directory_until_it_is_gone(files: DirectoryOnDisk) -> None:
    storage = opened(files)
    child = hold(storage.lock_descriptor, seconds=60)
    storage.close()
    with pytest.raises(DirectoryTaken):
        opened(files)
    child.kill()
    child.wait(10)
    opened(files).close()


def hold(descriptor: int, seconds: float) -> subprocess.Popen[bytes]:
    program = f"import time; time.sleep({seconds})"
    return subprocess.Popen([sys.executable, "-S", "-c", program], pass_fds=[descriptor])


def test_a_newer_format_is_refused_clearly(tmp_path: Path) -> None:
    files = DirectoryOnDisk(tmp_path)
    opened(files).close()
    line = b"slimjobs-log 2 something else"
    checksum = hashlib.blake2b(line, digest_size=8).hexdigest().encode()
    (tmp_path / "identity").write_bytes(line + b" " + checksum + b"\n")
    with pytest.raises(NewerFormat, match="has format 2, this version reads up to 1: use a later version"):
        opened(files)


def test_what_was_not_finished_is_removed_at_the_start(tmp_path: Path) -> None:
    files = DirectoryOnDisk(tmp_path)
    storage = opened(files)
    snapshot(storage, 3)
    storage.snapshot_writer(header(4))
    storage.close()
    opened(files).close()
    assert [name for name in files.names() if "tmp" in name] == []


def test_where_no_file_may_grow_there_is_no_room_and_nothing_breaks(tmp_path: Path) -> None:
    program = f"""
import resource
from pathlib import Path
from slimjobs.eventlog.storage.errors import NoRoom
from slimjobs.eventlog.storage.files import DirectoryOnDisk
from slimjobs.eventlog.storage.requests import SnapshotRefused
from tests.eventlog.storage.entries import *
storage = Storage.open(DirectoryOnDisk(Path({str(tmp_path)!r})), INCARNATION, StorageOptions(segment_bytes=100_000))
storage.write_hard_state(state(1))
append(storage, entries(1, 100))
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
try:
    storage.preallocate()
except NoRoom as error:
    print(error)
writer = storage.snapshot_writer(header(3))
writer.write(bytes(60_000))
refused = writer.finish()
assert isinstance(refused, SnapshotRefused)
print(refused.reason)
storage.write_hard_state(state(2))
append(storage, entries(101, 102))
storage.close()
"""
    child = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, env=child_path()
    )
    assert "no room for a segment of 100000 bytes" in child.stdout
    assert "the snapshot could not be written: File too large" in child.stdout
    storage = opened(DirectoryOnDisk(tmp_path))
    assert storage.hard_state == state(2)
    assert log_of(storage) == entries(1, 102)
    storage.close()


def child_path() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def test_a_killed_writer_loses_nothing_that_it_said_was_durable(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from slimjobs.eventlog.storage.files import DirectoryOnDisk
from tests.eventlog.storage.entries import *
storage = Storage.open(DirectoryOnDisk(Path({str(tmp_path)!r})), INCARNATION, StorageOptions(segment_bytes=20_000))
storage.write_hard_state(state(1))
for index in range(1, 1_000_000):
    append(storage, [entry(index)])
    print(index, flush=True)
"""
    arguments = [sys.executable, "-c", program]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=child_path()) as child:
        assert child.stdout is not None
        for _ in range(500):
            child.stdout.readline()
        child.kill()
        acknowledged = 500 + sum(1 for line in child.stdout if line.endswith("\n"))
    storage = opened(DirectoryOnDisk(tmp_path))
    assert storage.last_index >= acknowledged
    assert log_of(storage) == entries(1, storage.last_index)
    storage.close()
