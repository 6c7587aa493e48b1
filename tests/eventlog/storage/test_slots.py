"""Term, vote and marker are rewritten in place, and survive what a crash or a bit does to one slot."""

from __future__ import annotations

from random import Random

import pytest

from slimjobs.eventlog.storage.errors import Damage
from slimjobs.eventlog.storage.slots import HARD_STATE, MARKER, SLOT_OFFSETS
from tests.eventlog.storage.entries import append, entries, entry, opened, state
from tests.eventlog.storage.simulated_files import PowerLost, SimulatedFiles


def voted(votes: int) -> SimulatedFiles:
    files = SimulatedFiles()
    storage = opened(files)
    for vote in range(1, votes + 1):
        storage.write_hard_state(state(vote, vote))
    files.kill()
    return files


@pytest.mark.parametrize("slot", SLOT_OFFSETS)
@pytest.mark.parametrize("votes", [1, 2, 3])
def test_an_acknowledged_vote_survives_the_loss_of_either_slot(votes: int, slot: int) -> None:
    files = voted(votes)
    files.flip(HARD_STATE, slot)
    assert opened(files).hard_state == state(votes, votes)


@pytest.mark.parametrize("slot", SLOT_OFFSETS)
def test_a_lost_slot_is_repaired_when_the_directory_is_opened(slot: int) -> None:
    files = voted(2)
    files.flip(HARD_STATE, slot)
    opened(files)
    files.kill()
    files.flip(HARD_STATE, sum(SLOT_OFFSETS) - slot)
    assert opened(files).hard_state == state(2, 2)


@pytest.mark.parametrize("name", [HARD_STATE, MARKER])
def test_both_slots_unreadable_is_damage(name: str) -> None:
    files = voted(1)
    for slot in SLOT_OFFSETS:
        files.flip(name, slot)
    with pytest.raises(Damage, match=f"{name} is damaged"):
        opened(files)


@pytest.mark.parametrize("name", [HARD_STATE, MARKER])
def test_a_missing_file_is_damage(name: str) -> None:
    files = voted(1)
    files.remove(name)
    with pytest.raises(Damage, match=f"{name} is damaged at byte 0: found no file"):
        opened(files)


def test_the_slots_of_one_file_do_not_pass_in_another() -> None:
    files = voted(1)
    files.replace(MARKER, files.contents(HARD_STATE))
    with pytest.raises(Damage, match=MARKER):
        opened(files)


def test_a_hard_state_older_than_the_log_is_damage() -> None:
    files = voted(1)
    old = files.contents(HARD_STATE)
    storage = opened(files)
    storage.write_hard_state(state(5))
    append(storage, [entry(1, term=5)])
    files.kill()
    files.replace(HARD_STATE, old)
    with pytest.raises(Damage, match="found term 1, expected at least term 5"):
        opened(files)


@pytest.mark.parametrize("seed", range(20))
def test_a_slot_that_a_killed_process_left_unsynced_is_never_the_only_good_one(seed: int) -> None:
    files = SimulatedFiles()
    storage = opened(files)
    storage.write_hard_state(state(1))
    append(storage, entries(1, 2))
    files.steps_to_power_loss = 1  # the marker is written, not synced
    with pytest.raises(PowerLost):
        storage.mark()
    files.kill()
    storage = opened(files)
    append(storage, entries(3, 4))
    files.steps_to_power_loss = 1
    with pytest.raises(PowerLost):
        storage.mark()
    files.crash(Random(seed))
    assert opened(files).last_index == 4
