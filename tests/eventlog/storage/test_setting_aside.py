"""A directory that never held anything is blank; a damaged one is moved into a folder of itself and made anew; one
whose cluster is lost is given new entries while nobody runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from slimjobs.eventlog.raft.types import Index
from slimjobs.eventlog.storage.errors import Damage, DirectoryTaken, NewerFormat
from slimjobs.eventlog.storage.files import DirectoryOnDisk, Files
from slimjobs.eventlog.storage.identity import IDENTITY
from slimjobs.eventlog.storage.slots import HARD_STATE
from slimjobs.eventlog.storage.store import Storage
from tests.eventlog.storage.entries import (
    INCARNATION,
    OTHER_INCARNATION,
    SMALL,
    append,
    entries,
    entry,
    install,
    log_of,
    opened,
    snapshot,
    state,
)
from tests.eventlog.storage.simulated_files import PowerLost, SimulatedFiles

SEGMENT = "segment-000000000001.log"


def again(files: SimulatedFiles) -> Storage:
    """The same directory, after its process was killed."""
    files.kill()
    return opened(files)


def reopened(files: Files) -> Storage:
    return Storage.open_or_set_aside(files, OTHER_INCARNATION, SMALL)


# Blank --------------------------------------------------------------------------------------------------------------


def test_a_new_directory_is_blank_and_stays_so_over_a_restart() -> None:
    files = SimulatedFiles()
    assert opened(files).blank
    assert again(files).blank


def test_a_founder_that_crashed_before_its_first_entry_is_still_blank() -> None:
    files = SimulatedFiles()
    storage = opened(files)
    storage.write_hard_state(state(1))
    storage.preallocate()
    assert again(files).blank


def cut_to_nothing(storage: Storage) -> None:
    append(storage, entries(1, 2))
    append(storage, [], truncate_after=0)


HELD: dict[str, Callable[[Storage], None]] = {
    "an entry": lambda storage: append(storage, entries(1, 1)),
    "entries that were cut": cut_to_nothing,
    "a vote": lambda storage: storage.write_hard_state(state(1, 7)),
    "a later term": lambda storage: storage.write_hard_state(state(2)),
    "an installed snapshot": lambda storage: install(storage, 100),
}


@pytest.mark.parametrize("held", HELD)
def test_a_directory_that_held_anything_is_not_blank(held: str) -> None:
    files = SimulatedFiles()
    storage = opened(files)
    storage.write_hard_state(state(1))
    HELD[held](storage)
    assert not storage.blank
    assert not again(files).blank


def test_a_damaged_snapshot_that_was_done_without_is_not_nothing() -> None:
    files = SimulatedFiles()
    storage = opened(files)
    storage.write_hard_state(state(1))
    append(storage, entries(1, 3))
    snapshot(storage, 2)
    storage.publish(Index(2))
    storage.close()
    files.flip("snapshot-00000000000000000002.snap", 40)
    assert not again(files).blank


# Setting aside ------------------------------------------------------------------------------------------------------


def damaged(files: Files) -> dict[str, bytes]:
    """A directory with everything that there can be, then a byte of its log flipped; gives what it holds."""
    storage = opened(files)
    storage.write_hard_state(state(3, 7))
    for first in range(1, 31, 10):
        append(storage, entries(first, first + 9))
    snapshot(storage, 10)
    storage.publish(Index(10))
    storage.save_piece(Index(50), 0, b"half a snapshot")
    storage.preallocate()
    storage.close()
    last = [name for name in files.names() if name.startswith("segment")][-2]
    file = files.open_writable(last)
    byte = files.read(file, 1, 60)
    files.write(file, bytes([byte[0] ^ 1]), 60)
    files.sync(file)
    files.close(file)
    return {name: content(files, name) for name in files.names() if name != "lock"}


def durable(held: dict[str, bytes]) -> list[bytes]:
    """What a loss of power may not take: all but what was not finished, and how far a file is preallocated."""
    return [content.rstrip(b"\0") for name, content in held.items() if not name.endswith(".tmp")]


def content(files: Files, name: str) -> bytes:
    file = files.open(name)
    try:
        return files.read(file, files.size(file), 0)
    finally:
        files.close(file)


def test_a_damaged_directory_becomes_a_new_incarnation_and_keeps_all_it_held(tmp_path: Path) -> None:
    files = DirectoryOnDisk(tmp_path)
    held = damaged(files)
    (tmp_path / "runner").mkdir()
    (tmp_path / "runner" / "object").write_text("of somebody else")
    with pytest.raises(Damage):
        opened(files)
    storage = reopened(files)
    assert (storage.incarnation, storage.hard_state) == (OTHER_INCARNATION, state(0))
    assert (storage.snapshot, storage.last_index) == (None, 0)
    assert not storage.blank
    assert storage.report.created
    assert storage.report.set_aside == "damaged-1"
    assert storage.report.damage is not None
    assert "is damaged at byte 0: found bytes that do not match their checksum" in storage.report.damage
    assert {path.name: path.read_bytes() for path in (tmp_path / "damaged-1").iterdir()} == held
    assert (tmp_path / "runner" / "object").read_text() == "of somebody else"
    with pytest.raises(DirectoryTaken):
        opened(files)
    storage.close()
    storage = opened(files)
    assert not storage.blank
    assert storage.report.set_aside is None
    storage.close()


def test_every_damaged_directory_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    files = DirectoryOnDisk(tmp_path)
    for number in range(1, 4):
        damaged(files)
        storage = reopened(files)
        assert storage.report.set_aside == f"damaged-{number}"
        storage.close()


def test_a_directory_that_is_not_damaged_is_opened_as_it_is() -> None:
    files = SimulatedFiles()
    storage = opened(files)
    storage.write_hard_state(state(1))
    append(storage, entries(1, 3))
    files.kill()
    files.flip(HARD_STATE, 0)  # one slot: repaired
    storage = reopened(files)
    assert (storage.incarnation, log_of(storage)) == (INCARNATION, entries(1, 3))
    assert storage.report.set_aside is None


def test_a_newer_format_and_a_directory_that_is_taken_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    files = SimulatedFiles()
    opened(files)
    before = files.names()
    with pytest.raises(DirectoryTaken):
        reopened(files)
    files.kill()
    with monkeypatch.context() as patched:
        patched.setattr("slimjobs.eventlog.storage.identity.FORMAT", 0)
        with pytest.raises(NewerFormat):
            reopened(files)
    assert (files.names(), files.folders()) == (before, [])


HARMS: dict[str, Callable[[SimulatedFiles], None]] = {
    "no identity": lambda files: files.remove(IDENTITY),
    "an unreadable identity": lambda files: files.flip(IDENTITY, 20),
    "no hard state": lambda files: files.remove(HARD_STATE),
    "no log": lambda files: files.remove(SEGMENT),
}


@pytest.mark.parametrize("harm", HARMS)
def test_whatever_is_missing_the_rest_is_set_aside(harm: str) -> None:
    files = SimulatedFiles()
    storage = opened(files)
    storage.write_hard_state(state(1))
    append(storage, entries(1, 3))
    storage.close()
    HARMS[harm](files)
    files.sync_names()
    storage = reopened(files)
    assert storage.report.set_aside == "damaged-1"
    assert storage.incarnation == OTHER_INCARNATION
    assert not storage.blank


@pytest.mark.parametrize("ending", ["killed", *range(5)])
def test_an_interrupted_setting_aside_goes_on_at_the_next_start_and_loses_nothing(ending: str | int) -> None:
    step, finished = 0, False
    while not finished:
        step += 1
        files = SimulatedFiles()
        held = damaged(files)
        files.steps_to_power_loss = step
        try:
            reopened(files)
            finished = True
        except PowerLost:
            pass
        files.kill() if ending == "killed" else files.crash(Random(f"{ending} {step}"))
        storage = reopened(files)
        assert (storage.incarnation, storage.last_index, storage.blank) == (OTHER_INCARNATION, 0, False)
        kept = [files.contents(path).rstrip(b"\0") for folder in files.folders() for path in files.paths(folder)]
        assert all(content in kept for content in durable(held))


# A cluster that is lost ---------------------------------------------------------------------------------------------


def recover(files: Files) -> None:
    """What makes the last survivor of a cluster the first node of another, offline: a term above all that it knows,
    then the entries that say so."""
    storage = Storage.open(files, OTHER_INCARNATION, SMALL)
    term = storage.hard_state.term + 1
    storage.write_hard_state(state(term, 7))
    storage.append(None, [entry(storage.last_index + 1, term), entry(storage.last_index + 2, term)])
    storage.sync()
    storage.close()


def survivor(files: Files) -> None:
    storage = opened(files)
    storage.write_hard_state(state(4, 9))
    append(storage, entries(1, 12, term=3))
    snapshot(storage, 8, term=3)
    storage.publish(Index(8))
    storage.close()


def test_the_survivor_of_a_lost_cluster_goes_on_in_a_new_term_with_all_that_it_held(tmp_path: Path) -> None:
    files = DirectoryOnDisk(tmp_path)
    survivor(files)
    recover(files)
    storage = opened(files)
    assert (storage.incarnation, storage.hard_state) == (INCARNATION, state(5, 7))
    assert log_of(storage) == entries(9, 12, term=3) + entries(13, 14, term=5)
    storage.close()


@pytest.mark.parametrize("ending", ["killed", *range(5)])
def test_an_interrupted_recovery_can_be_repeated(ending: str | int) -> None:
    step, finished = 0, False
    while not finished:
        step += 1
        files = SimulatedFiles()
        survivor(files)
        files.steps_to_power_loss = step
        try:
            recover(files)
            finished = True
        except PowerLost:
            pass
        files.kill() if ending == "killed" else files.crash(Random(f"{ending} {step}"))
        recover(files)
        storage = opened(files)
        assert log_of(storage)[:4] == entries(9, 12, term=3)
        assert log_of(storage)[-1].term == storage.hard_state.term
        assert storage.last_index in (14, 16)
