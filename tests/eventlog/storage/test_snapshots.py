"""Snapshots: equal bytes for equal states, verified as they are read, kept by twos, refused on a full disk."""

from __future__ import annotations

import errno
import os
from itertools import islice

import pytest

from slimjobs.eventlog.raft.types import Index
from slimjobs.eventlog.storage.errors import Damage
from slimjobs.eventlog.storage.requests import SnapshotPublished, SnapshotRefused
from slimjobs.eventlog.storage.retention import Retention
from slimjobs.eventlog.storage.snapshots import FRAME_BYTES, SnapshotReader
from slimjobs.eventlog.storage.store import StorageOptions
from tests.eventlog.storage.entries import append, entries, frames_of, header, opened, snapshot, state
from tests.eventlog.storage.simulated_files import SimulatedFiles

NAME = "snapshot-00000000000000000005.snap"
DAY = 86_400


def published() -> SimulatedFiles:
    files = SimulatedFiles()
    storage = opened(files)
    storage.write_hard_state(state(1))
    append(storage, entries(1, 6))
    snapshot(storage, 5)
    storage.publish(Index(5))
    return files


def segments(files: SimulatedFiles) -> list[str]:
    return [name for name in files.names() if name.startswith("segment")]


def test_equal_states_are_equal_bytes_on_every_node() -> None:
    one, other = SimulatedFiles(), SimulatedFiles()
    digests = [snapshot(opened(files), 5) for files in (one, other)]
    assert digests[0] == digests[1]
    assert one.contents(NAME + ".tmp") == other.contents(NAME + ".tmp")
    assert snapshot(opened(SimulatedFiles()), 5, frames=[b"something else"]) != digests[0]


def test_a_state_of_no_frames_and_one_of_full_frames_come_back() -> None:
    for frames in ([], [bytes(FRAME_BYTES), b"", b"x" * FRAME_BYTES]):
        files = SimulatedFiles()
        storage = opened(files)
        append(storage, entries(1, 5))
        snapshot(storage, 5, frames)
        storage.publish(Index(5))
        reader = SnapshotReader(files, Index(5))
        assert reader.header == header(5)
        assert list(reader.frames()) == frames


def test_a_frame_above_the_limit_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="a frame of 65537 bytes, at most 65536"):
        snapshot(opened(SimulatedFiles()), 5, [bytes(FRAME_BYTES + 1)])


def test_a_flipped_byte_ends_the_reading_with_its_place() -> None:
    files = SimulatedFiles()
    storage = opened(files)
    append(storage, entries(1, 5))
    written = [bytes([number]) * FRAME_BYTES for number in range(10)]
    snapshot(storage, 5, written)
    storage.publish(Index(5))
    files.flip(NAME, len(files.contents(NAME)) - 60)
    frames = SnapshotReader(files, Index(5)).frames()
    assert list(islice(frames, 9)) == written[:9]
    with pytest.raises(Damage, match="bytes that do not match their checksum, expected a block from frame 10 on"):
        next(frames)


def test_bytes_behind_the_footer_are_damage() -> None:
    files = published()
    files.replace(NAME, files.contents(NAME) + b"\0")
    with pytest.raises(Damage):
        SnapshotReader(files, Index(5)).verify()


def test_a_full_disk_refuses_the_snapshot_and_leaves_nothing_behind() -> None:
    files = published()
    files.kill()
    storage = opened(files)
    files.capacity = 0
    writer = storage.snapshot_writer(header(6))
    for frame in frames_of(6):
        writer.write(frame)
    assert writer.finish() == SnapshotRefused(Index(6), "the snapshot could not be written: No space left on device")
    assert isinstance(storage.publish(Index(6)), SnapshotRefused)
    assert [name for name in files.names() if "snapshot" in name] == [NAME]


@pytest.mark.parametrize("method", ["open_writable", "rename"])
def test_a_process_without_descriptors_or_a_disk_without_names_refuses_it(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = published()
    files.kill()
    storage = opened(files)

    def none_left(*_: object) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patched:
        patched.setattr(files, method, none_left)
        writer = storage.snapshot_writer(header(6))
        writer.write(frames_of(6)[0])
        assert writer.finish() == SnapshotRefused(Index(6), "the snapshot could not be written: Too many open files")
    assert isinstance(storage.publish(Index(6)), SnapshotRefused)


def test_one_that_is_not_finished_is_not_published() -> None:
    storage = opened(SimulatedFiles())
    storage.snapshot_writer(header(5)).write(b"half")
    assert isinstance(storage.publish(Index(5)), SnapshotRefused)


def test_one_that_is_ahead_of_the_log_is_refused() -> None:
    files = SimulatedFiles()
    storage = opened(files)
    snapshot(storage, 5)
    assert storage.publish(Index(5)) == SnapshotRefused(Index(5), "the log is not yet written up to there")
    assert not [name for name in files.names() if "snapshot" in name]


def test_one_that_is_discarded_is_gone() -> None:
    files = SimulatedFiles()
    storage = opened(files)
    snapshot(storage, 5)
    storage.discard(Index(5))
    assert isinstance(storage.publish(Index(5)), SnapshotRefused)


def test_the_newest_two_snapshots_and_the_log_from_the_older_on_are_kept() -> None:
    files = SimulatedFiles()
    storage = opened(files, StorageOptions(segment_bytes=900, retention=Retention(bytes=0)))
    storage.write_hard_state(state(1))
    answers = []
    for last in range(10, 51, 10):
        append(storage, entries(last - 9, last))
        snapshot(storage, last)
        answers.append(storage.publish(Index(last)))
    firsts = [answer.first_index for answer in answers if isinstance(answer, SnapshotPublished)]
    assert firsts == [1, 11, 21, 31, 41]
    assert [name for name in files.names() if "snap" in name] == [f"snapshot-{index:020}.snap" for index in (40, 50)]
    assert list(storage.entries(Index(41))) == entries(41, 50)
    assert len(segments(files)) == 1


@pytest.mark.parametrize(
    ("retention", "age_days", "kept"),
    [(Retention(days=30, bytes=10_000), 29, 5), (Retention(30, 10_000), 31, 2), (Retention(30, 1000), 29, 3)],
)
def test_history_goes_by_age_and_by_size(retention: Retention, age_days: float, kept: int) -> None:
    files = SimulatedFiles()
    files.age = age_days * DAY
    storage = opened(files, StorageOptions(segment_bytes=900, retention=retention))
    storage.write_hard_state(state(1))
    for last in range(15, 76, 15):
        append(storage, entries(last - 14, last))
    for index in (50, 70):
        snapshot(storage, index)
        storage.publish(Index(index))
    assert len(segments(files)) == kept
