"""A snapshot of another node: fetched in pieces, verified, published; then the log begins anew behind it."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from random import Random

import pytest

from slimjobs.eventlog.raft.types import Index
from slimjobs.eventlog.storage.errors import Damage, NoRoom
from slimjobs.eventlog.storage.files import DirectoryOnDisk, Files
from slimjobs.eventlog.storage.requests import (
    PieceLoaded,
    PieceSaved,
    SnapshotInstalled,
    SnapshotPublished,
    SnapshotRefused,
)
from slimjobs.eventlog.storage.store import Storage, StorageOptions
from tests.eventlog.storage.entries import (
    INCARNATION,
    append,
    entries,
    frames_of,
    header,
    install,
    log_of,
    opened,
    snapshot,
    snapshot_file,
    state,
)
from tests.eventlog.storage.simulated_files import PowerLost, SimulatedFiles

NAME = "snapshot-00000000000000000100.snap"
HUNDRED = Index(100)


def written(files: Files, last: int = 30, term: int = 1) -> Storage:
    """A log of three segments, and the hard state that its entries need."""
    storage = opened(files)
    storage.write_hard_state(state(term))
    for first in range(1, last + 1, 10):
        append(storage, entries(first, min(first + 9, last), term))
    return storage


def names(files: Files, kind: str) -> list[str]:
    return [name for name in files.names() if name.startswith(kind)]


# Pieces -------------------------------------------------------------------------------------------------------------


def test_a_snapshot_goes_from_one_disk_to_another_in_pieces(tmp_path: Path) -> None:
    donor = written(DirectoryOnDisk(tmp_path / "donor"))
    snapshot(donor, 20)
    donor.publish(Index(20))
    files = DirectoryOnDisk(tmp_path / "receiver")
    receiver = opened(files)
    held = 0
    while (piece := donor.load_piece(Index(20), held, 50)).content:
        answer = receiver.save_piece(piece.index, piece.offset, piece.content)
        assert isinstance(answer, PieceSaved)
        held = answer.held
    assert held == piece.size
    assert receiver.install(Index(20)) == SnapshotInstalled(header(20))
    receiver.close()
    receiver = opened(files)
    assert (receiver.snapshot, receiver.last_index) == (header(20), 20)
    assert list(receiver.snapshot_frames()) == frames_of(20)
    receiver.close()
    donor.close()


def test_a_piece_of_a_snapshot_that_is_not_there_is_empty() -> None:
    assert opened(SimulatedFiles()).load_piece(HUNDRED, 7, 10) == PieceLoaded(HUNDRED, 7, 0, b"")


def test_a_piece_that_does_not_follow_changes_nothing_and_is_told_what_is_held() -> None:
    storage = opened(SimulatedFiles())
    content = snapshot_file(100)
    assert storage.save_piece(HUNDRED, 10, b"too early") == PieceSaved(HUNDRED, 0)
    assert storage.save_piece(HUNDRED, 0, content[:60]) == PieceSaved(HUNDRED, 60)
    assert storage.save_piece(HUNDRED, 60, content[60:90]) == PieceSaved(HUNDRED, 90)
    assert storage.save_piece(HUNDRED, 60, content[60:90]) == PieceSaved(HUNDRED, 90)
    assert storage.save_piece(HUNDRED, 120, content[120:]) == PieceSaved(HUNDRED, 90)
    assert storage.save_piece(HUNDRED, 90, content[90:]) == PieceSaved(HUNDRED, len(content))
    assert storage.install(HUNDRED) == SnapshotInstalled(header(100))


def test_the_first_piece_begins_anew_and_of_another_index_replaces_the_one_before() -> None:
    files = SimulatedFiles()
    storage = opened(files)
    storage.save_piece(HUNDRED, 0, b"something else, and longer than what follows" * 20)
    storage.save_piece(HUNDRED, 0, snapshot_file(100))
    assert storage.save_piece(Index(200), 50, b"not the first") == PieceSaved(Index(200), 0)
    assert len(names(files, "snapshot")) == 1
    storage.save_piece(Index(200), 0, snapshot_file(200))
    assert len(names(files, "snapshot")) == 1
    assert storage.install(HUNDRED) == SnapshotRefused(HUNDRED, "no snapshot was fetched for this index")
    assert storage.install(Index(200)) == SnapshotInstalled(header(200))


def test_what_was_fetched_is_gone_after_a_restart() -> None:
    files = SimulatedFiles()
    opened(files).save_piece(HUNDRED, 0, snapshot_file(100))
    files.kill()
    storage = opened(files)
    assert names(files, "snapshot") == []
    assert isinstance(storage.install(HUNDRED), SnapshotRefused)


def test_a_full_disk_refuses_a_piece_and_leaves_nothing_of_the_snapshot() -> None:
    files = SimulatedFiles()
    storage = opened(files)
    storage.save_piece(HUNDRED, 0, bytes(100))
    files.capacity = files.used + 50
    refused = SnapshotRefused(HUNDRED, "a piece of the snapshot could not be written: No space left on device")
    assert storage.save_piece(HUNDRED, 100, bytes(51)) == refused
    assert names(files, "snapshot") == []
    assert storage.save_piece(HUNDRED, 100, bytes(10)) == PieceSaved(HUNDRED, 0)


# Installing ---------------------------------------------------------------------------------------------------------


def test_any_flipped_bit_and_any_cut_of_what_was_fetched_is_refused_and_removed() -> None:
    files, content = SimulatedFiles(), snapshot_file(100)
    storage = opened(files)
    flipped = [content[:at] + bytes([content[at] ^ 1 << at % 8]) + content[at + 1 :] for at in range(len(content))]
    for damaged in flipped + [content[:length] for length in range(len(content))] + [content + b"\0"]:
        storage.save_piece(HUNDRED, 0, damaged)
        answer = storage.install(HUNDRED)
        assert isinstance(answer, SnapshotRefused)
        assert answer.reason.startswith("what was fetched is not a whole snapshot: simulated/snapshot-")
        assert names(files, "snapshot") == []


def test_a_whole_snapshot_of_another_index_is_refused() -> None:
    storage = opened(SimulatedFiles())
    storage.save_piece(HUNDRED, 0, snapshot_file(101))
    answer = storage.install(HUNDRED)
    assert isinstance(answer, SnapshotRefused)
    assert "found a snapshot of index 101, expected one of index 100" in answer.reason


@pytest.mark.parametrize("content", [b"", b"SJsnap1\n", b"SJsnap1\n" + b"\xff" * 4 + bytes(40), bytes(300)])
def test_garbage_is_refused(content: bytes) -> None:
    storage = opened(SimulatedFiles())
    storage.save_piece(HUNDRED, 0, content)
    assert isinstance(storage.install(HUNDRED), SnapshotRefused)


def test_a_disk_without_room_for_its_durability_refuses_an_install() -> None:
    files = SimulatedFiles()
    storage = opened(files)
    storage.save_piece(HUNDRED, 0, snapshot_file(100))
    files.sync_error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    refused = SnapshotRefused(HUNDRED, "the snapshot could not be made durable: No space left on device")
    assert storage.install(HUNDRED) == refused
    assert names(files, "snapshot") == []


def test_an_install_again_is_harmless_and_removes_no_log() -> None:
    files = SimulatedFiles()
    storage = written(files)
    install(storage, 100)
    before = files.names()
    assert storage.install(HUNDRED) == SnapshotInstalled(header(100))
    assert files.names() == before
    assert list(storage.entries(Index(1))) == entries(1, 30)


def test_the_frames_of_a_loaded_state_outlive_the_file(tmp_path: Path) -> None:
    storage = opened(DirectoryOnDisk(tmp_path))
    assert storage.load_state().header is None
    assert list(storage.load_state().frames) == []
    storage.write_hard_state(state(1))
    append(storage, entries(1, 5))
    snapshot(storage, 3)
    storage.publish(Index(3))
    descriptors = len(os.listdir("/proc/self/fd"))
    loaded, dropped = storage.load_state(), storage.load_state()
    (tmp_path / "snapshot-00000000000000000003.snap").unlink()
    assert (loaded.header, list(loaded.frames)) == (header(3), frames_of(3))
    del dropped
    assert len(os.listdir("/proc/self/fd")) == descriptors
    storage.close()


# The log begins anew ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("new", [0, 3])
@pytest.mark.parametrize("index", [20, 30, 31, 100])
def test_a_restart_drops_the_whole_log_and_the_next_entry_is_the_one_behind_it(index: int, new: int) -> None:
    files = SimulatedFiles()
    storage = written(files)
    install(storage, index, term=2)
    storage.write_hard_state(state(3))
    behind = entries(index + 1, index + new, term=3)
    storage.append(None, behind, Index(index))
    assert len(names(files, "segment")) == 1
    assert list(storage.entries(Index(1))) == []
    assert log_of(storage, index + 1) == behind
    append(storage, entries(index + new + 1, index + new + 1, term=3))
    files.kill()
    storage = opened(files)
    assert storage.snapshot == header(index, 2)
    assert log_of(storage) == [*behind, *entries(index + new + 1, index + new + 1, term=3)]
    assert list(storage.entries(Index(1))) == []


def test_without_the_restart_a_log_that_ends_before_the_snapshot_begins_anew_with_the_next_entry() -> None:
    files = SimulatedFiles()
    storage = written(files)
    install(storage, 100)
    storage.mark()
    files.kill()
    for _ in range(2):  # a start alone changes nothing, so it may be interrupted
        storage = opened(files)
        assert (storage.first_index, storage.last_index, log_of(storage)) == (101, 100, [])
        files.kill()
    append(opened(files), entries(101, 103))
    files.kill()
    assert log_of(opened(files)) == entries(101, 103)
    assert len(names(files, "segment")) == 1


def test_without_the_restart_a_log_of_another_branch_is_dropped_though_it_reaches_beyond_the_snapshot() -> None:
    files = SimulatedFiles()
    install(written(files), 20, term=2)
    files.kill()
    storage = opened(files)
    assert (storage.first_index, storage.last_index, log_of(storage)) == (21, 20, [])
    storage.write_hard_state(state(2))
    append(storage, entries(21, 22, term=2))
    files.kill()
    assert log_of(opened(files)) == entries(21, 22, term=2)


@pytest.mark.parametrize("index", range(8, 14))
def test_the_branch_of_a_log_is_told_wherever_its_segments_end(index: int) -> None:
    files = SimulatedFiles()
    storage = written(files)
    append(storage, entries(11, 12, term=1), truncate_after=10)
    install(storage, index, term=2)
    files.kill()
    assert log_of(opened(files)) == []


def test_a_log_that_agrees_with_the_snapshot_goes_on_behind_it() -> None:
    files = SimulatedFiles()
    install(written(files), 20)
    files.kill()
    storage = opened(files)
    assert log_of(storage) == entries(21, 30)
    append(storage, entries(31, 31))
    files.kill()
    assert log_of(opened(files)) == entries(21, 31)


def test_a_crash_before_the_old_segments_are_removed_leaves_that_to_the_next_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = SimulatedFiles()
    storage = written(files)
    install(storage, 20, term=2)

    def power_lost(_: str) -> None:
        raise PowerLost

    with monkeypatch.context() as patched:
        patched.setattr(files, "remove", power_lost)
        with pytest.raises(PowerLost):
            storage.append(None, entries(21, 22), Index(20))
    files.kill()
    assert len(names(files, "segment")) > 1
    assert log_of(opened(files)) == entries(21, 22)
    assert len(names(files, "segment")) == 1


@pytest.mark.parametrize("ending", ["killed", *range(10)])
@pytest.mark.parametrize("index", [20, 100])
def test_whatever_operation_is_the_last_one_a_restart_happened_or_the_old_log_is_judged_anew(
    index: int, ending: str | int
) -> None:
    step, finished = 0, False
    while not finished:
        step += 1
        files = SimulatedFiles()
        storage = written(files)
        storage.mark()
        files.steps_to_power_loss = step
        try:
            install(storage, index, term=2)
            storage.write_hard_state(state(3))
            storage.append(None, entries(index + 1, index + 2, term=3), Index(index))
            finished = True
        except PowerLost:
            pass
        files.kill() if ending == "killed" else files.crash(Random(f"{ending} {step}"))
        storage = opened(files)
        if storage.snapshot is None:
            assert (finished, log_of(storage)) == (False, entries(1, 30))
        elif log_of(storage) != entries(index + 1, index + 2, term=3):
            assert (finished, storage.last_index, log_of(storage)) == (False, index, [])


def test_a_damaged_snapshot_behind_which_the_log_began_anew_is_damage() -> None:
    files = SimulatedFiles()
    storage = written(files)
    snapshot(storage, 20)
    storage.publish(Index(20))
    install(storage, 100)
    storage.append(None, entries(101, 102), HUNDRED)
    storage.close()
    files.flip(NAME, 40)
    with pytest.raises(Damage, match=f"{NAME} is damaged"):
        opened(files)


def test_after_a_restart_snapshots_of_its_own_are_published_as_ever() -> None:
    files = SimulatedFiles()
    storage = written(files)
    snapshot(storage, 20)
    storage.publish(Index(20))
    install(storage, 100)
    storage.append(None, entries(101, 110), HUNDRED)
    snapshot(storage, 105)
    assert storage.publish(Index(105)) == SnapshotPublished(Index(105), Index(101))
    assert len(names(files, "snapshot")) == 2


# Room ---------------------------------------------------------------------------------------------------------------

ROOMY = StorageOptions(segment_bytes=8192)


def test_on_a_full_disk_the_room_for_the_new_log_is_made_of_the_old_one() -> None:
    files = SimulatedFiles()
    storage = Storage.open(files, INCARNATION, ROOMY)
    storage.write_hard_state(state(1))
    for first in range(1, 400, 20):
        append(storage, entries(first, first + 19, size=100))
    install(storage, 1000)
    files.capacity = files.used
    storage.append(None, [], Index(1000))
    assert len(names(files, "segment")) == 1
    files.kill()
    assert Storage.open(files, INCARNATION, ROOMY).last_index == 1000


def test_where_even_that_is_too_little_nothing_has_happened_and_it_may_be_tried_again() -> None:
    files = SimulatedFiles()
    storage = written(files, last=8)
    install(storage, 5, term=2)
    files.capacity = files.used
    with pytest.raises(NoRoom, match="no room for a segment"):
        storage.append(None, entries(6, 6, size=5000), Index(5))
    assert list(storage.entries(Index(1))) == entries(1, 8)
    copy = files.copy()
    assert log_of(opened(copy)) == []
    files.capacity = None
    storage.append(None, entries(6, 6, size=5000), Index(5))
    assert log_of(storage, 6) == entries(6, 6, size=5000)
