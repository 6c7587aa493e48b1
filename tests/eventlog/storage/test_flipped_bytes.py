"""Every byte of every file is flipped, and every file cut at every length: what was not damaged comes back, or a clear
refusal; never a wrong state."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from slimjobs.eventlog.raft.types import Entry, Index
from slimjobs.eventlog.storage.errors import Damage, StorageError
from slimjobs.eventlog.storage.identity import IDENTITY
from slimjobs.eventlog.storage.slots import MARKER
from slimjobs.eventlog.storage.store import Storage
from tests.eventlog.storage.entries import append, entries, frames_of, log_of, opened, snapshot, state
from tests.eventlog.storage.simulated_files import SimulatedFiles

LAST = 24
PROVEN = 22
"""What a kill leaves proven: what was durable when the last batch was written, as that batch itself says."""
MARKED = 18
"""What is proven even if the end of the log is gone, by the marker."""


Harm = Callable[[SimulatedFiles], Iterator[tuple[str, SimulatedFiles]]]


def small_log(clean: bool) -> SimulatedFiles:
    """Four segments, a cut among them, and a spare one, two snapshots, two votes; stopped cleanly or killed."""
    files = SimulatedFiles()
    storage = opened(files)
    storage.write_hard_state(state(1, 7))
    append(storage, entries(1, 6))
    storage.mark()
    append(storage, entries(7, 12, size=90))
    snapshot(storage, 8)
    storage.publish(Index(8))
    append(storage, entries(13, 18, size=90))
    storage.write_hard_state(state(2, 9))
    append(storage, entries(15, 18, term=2, size=90), truncate_after=14)
    snapshot(storage, 14)
    storage.publish(Index(14))
    append(storage, entries(19, 20, term=2))
    append(storage, entries(21, PROVEN, term=2))
    append(storage, entries(PROVEN + 1, LAST, term=2))
    storage.preallocate()
    if clean:
        storage.close()
    files.kill()
    return files


def truth() -> list[Entry]:
    return entries(1, 6) + entries(7, 14, size=90) + entries(15, 18, 2, size=90) + entries(19, LAST, 2)


def what_comes_back(files: SimulatedFiles) -> Storage | StorageError:
    """The opened directory, or the refusal; whatever comes back is a part of the truth."""
    try:
        storage = opened(files)
    except StorageError as refusal:
        return refusal
    low = storage.first_index
    assert list(storage.snapshot_frames()) == (frames_of(low - 1) if storage.snapshot else [])
    assert log_of(storage) == truth()[low - 1 : storage.last_index]
    assert storage.hard_state == state(2, 9)
    return storage


def flipped(files: SimulatedFiles) -> Iterator[tuple[str, SimulatedFiles]]:
    for name in files.names():
        for offset in range(len(files.contents(name))):
            mask = 1 << offset % 8
            files.flip(name, offset, mask)
            yield f"bit {mask:#04x} of {name} at {offset}", files.copy()
            files.flip(name, offset, mask)


def cut(files: SimulatedFiles) -> Iterator[tuple[str, SimulatedFiles]]:
    for name in files.names():
        content = files.contents(name)
        for length in range(len(content)):
            files.replace(name, content[:length])
            yield f"{name} cut to {length}", files.copy()
        files.replace(name, content)


def test_the_small_log_has_everything_that_can_be_damaged() -> None:
    for clean in (True, False):
        files = small_log(clean)
        kinds = [name.split("-")[0] for name in files.names()]
        assert kinds.count("segment") == 5
        assert kinds.count("snapshot") == 2
        assert {IDENTITY, MARKER, "hard"} <= set(kinds)
        storage = what_comes_back(files)
        assert isinstance(storage, Storage)
        assert storage.last_index == LAST
        assert storage.report.torn is None


@pytest.mark.parametrize("harm", [flipped, cut])
def test_after_a_clean_stop_any_harm_is_refused_or_changes_nothing(harm: Harm) -> None:
    for place, files in harm(small_log(clean=True)):
        outcome = what_comes_back(files)
        assert isinstance(outcome, StorageError) or outcome.last_index == LAST, place


@pytest.mark.parametrize(("harm", "proven"), [(flipped, PROVEN), (cut, MARKED)])
def test_after_a_kill_any_harm_is_refused_or_costs_what_was_not_proven(harm: Harm, proven: int) -> None:
    for place, files in harm(small_log(clean=False)):
        outcome = what_comes_back(files)
        assert isinstance(outcome, StorageError) or outcome.last_index >= proven, place


def test_damage_names_the_file_the_offset_and_what_to_do() -> None:
    files = small_log(clean=True)
    segment = [name for name in files.names() if name.startswith("segment")][-2]
    files.flip(segment, 60)
    with pytest.raises(Damage) as refused:
        opened(files)
    assert refused.value.file.endswith(segment)
    assert refused.value.offset == 0
    assert "checksum" in refused.value.found
    assert "surely written" in refused.value.expected
    assert "slimjobs log verify" in str(refused.value)
