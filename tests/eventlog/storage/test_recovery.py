"""What a start makes of a log that does not end as it should: a torn tail is cut and reported, the rest refused."""

from __future__ import annotations

import pytest

from slimjobs.eventlog.raft.types import Entry, EntryKind, Index, Term
from slimjobs.eventlog.storage import batch
from slimjobs.eventlog.storage.errors import Damage
from slimjobs.eventlog.storage.retention import Retention
from slimjobs.eventlog.storage.store import Storage, StorageOptions
from tests.eventlog.storage.entries import (
    SMALL,
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
from tests.eventlog.storage.simulated_files import SimulatedFiles

ROOMY = StorageOptions(segment_bytes=64 * 1024)
FIRST = "segment-000000000001.log"
SECOND = "segment-000000000002.log"
THIRD = "segment-000000000003.log"


def written(files: SimulatedFiles, *appends: tuple[int, int], options: StorageOptions = ROOMY) -> Storage:
    """A new log of these batches, each synced before the next."""
    storage = opened(files, options)
    storage.write_hard_state(state(1))
    for first, last in appends:
        append(storage, entries(first, last))
    return storage


def end_of_batch(files: SimulatedFiles, name: str, number: int) -> int:
    """Where the batch with this position in the file ends."""
    content, offset = files.contents(name), 0
    for _ in range(number):
        offset += batch.HEADER_BYTES + batch.header_at(content, offset).length
    return offset


def test_a_torn_last_batch_is_cut_and_reported() -> None:
    files = SimulatedFiles()
    written(files, (1, 3), (4, 5))
    files.kill()
    start, end = end_of_batch(files, FIRST, 1), end_of_batch(files, FIRST, 2)
    files.flip(FIRST, end - 1)
    storage = opened(files, ROOMY)
    torn = storage.report.torn
    assert log_of(storage) == entries(1, 3)
    assert torn is not None
    assert (torn.file, torn.offset, torn.dropped_bytes, torn.first_index) == (FIRST, start, end - start, 4)
    append(storage, entries(4, 9, size=70))
    files.kill()
    storage = opened(files, ROOMY)
    assert storage.report.torn is None
    assert log_of(storage) == entries(1, 3) + entries(4, 9, size=70)


def test_a_whole_batch_behind_a_torn_one_is_cut_too_if_both_waited_for_the_same_sync() -> None:
    files = SimulatedFiles()
    storage = written(files, (1, 3))
    storage.append(None, entries(4, 5))
    storage.append(None, entries(6, 7))
    files.kill()
    files.flip(FIRST, end_of_batch(files, FIRST, 2) - 1)
    storage = opened(files, ROOMY)
    assert log_of(storage) == entries(1, 3)
    assert storage.report.torn is not None


def test_a_bad_batch_with_a_later_one_behind_it_is_damage() -> None:
    files = SimulatedFiles()
    written(files, (1, 3), (4, 5), (6, 7))
    files.kill()
    start, end = end_of_batch(files, FIRST, 1), end_of_batch(files, FIRST, 2)
    files.flip(FIRST, end - 1)
    with pytest.raises(Damage, match=r"batch 2 of 2 \(from index 4 on\), which was surely written") as refused:
        opened(files, ROOMY)
    assert refused.value.offset == start


def test_a_batch_that_never_reached_the_disk_is_damage_when_a_later_one_did() -> None:
    files = SimulatedFiles()
    written(files, (1, 3), (4, 5), (6, 7))
    files.kill()
    content = files.contents(FIRST)
    start, end = end_of_batch(files, FIRST, 1), end_of_batch(files, FIRST, 2)
    files.replace(FIRST, content[:start] + bytes(end - start) + content[end:])
    with pytest.raises(Damage):
        opened(files, ROOMY)


def test_a_batch_written_over_another_is_damage() -> None:
    files = SimulatedFiles()
    written(files, (1, 2), (3, 4), (5, 6), (7, 8))
    files.kill()
    content = files.contents(FIRST)
    one, two, three = (end_of_batch(files, FIRST, number) for number in (1, 2, 3))
    assert two - one == three - two
    files.replace(FIRST, content[:two] + content[one:two] + content[three:])
    with pytest.raises(Damage, match="batch 2 in a wrong place"):
        opened(files, ROOMY)


def test_an_end_that_is_gone_is_damage_if_the_marker_knows_of_it() -> None:
    files = SimulatedFiles()
    written(files, (1, 3), (4, 5)).close()
    content = files.contents(FIRST)
    start = end_of_batch(files, FIRST, 1)
    files.replace(FIRST, content[:start] + bytes(len(content) - start))
    with pytest.raises(Damage, match="found nothing, expected batch 2 of 2"):
        opened(files, ROOMY)


@pytest.mark.parametrize("name", [FIRST, SECOND, THIRD])
def test_a_missing_segment_is_damage(name: str) -> None:
    files = SimulatedFiles()
    written(files, (1, 10), (11, 20), (21, 30), options=SMALL).close()
    files.remove(name)
    with pytest.raises(Damage):
        opened(files)


def test_two_segments_that_changed_names_are_damage() -> None:
    files = SimulatedFiles()
    written(files, (1, 10), (11, 20), (21, 30), options=SMALL).close()
    first, second = files.contents(FIRST), files.contents(SECOND)
    files.replace(FIRST, second)
    files.replace(SECOND, first)
    with pytest.raises(Damage):
        opened(files)


def test_a_segment_of_another_directory_is_damage() -> None:
    files, other = SimulatedFiles(), SimulatedFiles()
    written(files, (1, 8)).close()
    storage = Storage.open(other, "f" * 32, ROOMY)
    storage.write_hard_state(state(1))
    append(storage, entries(1, 8))
    files.replace(FIRST, other.contents(FIRST))
    with pytest.raises(Damage):
        opened(files, ROOMY)


def test_a_payload_cannot_imitate_a_batch() -> None:
    imitation = bytearray()
    batch.encode(imitation, b"a guessed key", entries(5, 6), first=5, number=9, synced=8, previous=batch.NO_CHECKSUM)
    files = SimulatedFiles()
    storage = written(files, (1, 2))
    append(storage, [Entry(Index(3), Term(1), EntryKind.RECORD, bytes(imitation))])
    files.kill()
    files.flip(FIRST, end_of_batch(files, FIRST, 1))
    assert opened(files, ROOMY).last_index == 2  # a torn tail; were the imitation believed, it would prove damage


def test_a_missing_identity_beside_a_log_is_damage_not_a_new_directory() -> None:
    files = SimulatedFiles()
    written(files, (1, 3)).close()
    files.remove("identity")
    with pytest.raises(Damage, match="identity is damaged at byte 0: found no file, although there is a log"):
        opened(files)


def test_a_suffix_is_cut_durably_with_or_without_new_entries() -> None:
    files = SimulatedFiles()
    storage = written(files, (1, 6))
    append(storage, [], truncate_after=4)
    files.kill()
    storage = opened(files, ROOMY)
    assert log_of(storage) == entries(1, 4)
    append(storage, [entry(3)], truncate_after=2)
    append(storage, entries(4, 5, size=9))
    assert log_of(storage) == [*entries(1, 3), *entries(4, 5, size=9)]
    assert storage.load(Index(2), Index(4), 10_000) == [*entries(2, 3), entry(4, size=9)]
    files.kill()
    assert log_of(opened(files, ROOMY)) == [*entries(1, 3), *entries(4, 5, size=9)]


def test_a_damaged_newest_snapshot_is_done_without_while_the_log_reaches_back() -> None:
    files = SimulatedFiles()
    storage = written(files, (1, 8))
    for index in (3, 6):
        snapshot(storage, index)
        storage.publish(Index(index))
    storage.close()
    files.flip("snapshot-00000000000000000006.snap", 40)
    storage = opened(files, ROOMY)
    assert storage.snapshot == header(3)
    assert list(storage.snapshot_frames()) == frames_of(3)
    assert log_of(storage) == entries(4, 8)
    (report,) = storage.report.damaged_snapshots
    assert "snapshot-00000000000000000006.snap is damaged" in report
    snapshot(storage, 8)
    storage.publish(Index(8))
    assert [name for name in files.names() if "snapshot" in name] == [
        "snapshot-00000000000000000003.snap",
        "snapshot-00000000000000000008.snap",
    ]


def test_a_damaged_snapshot_that_the_log_cannot_replace_is_damage() -> None:
    files = SimulatedFiles()
    options = StorageOptions(segment_bytes=900, retention=Retention(bytes=0))
    storage = written(files, (1, 8), (9, 16), (17, 24), options=options)
    for index in (18, 20):
        snapshot(storage, index)
        storage.publish(Index(index))
    storage.close()
    assert FIRST not in files.names()
    for index in (18, 20):
        files.flip(f"snapshot-{index:020}.snap", 40)
    with pytest.raises(Damage, match=r"snapshot-00000000000000000020.snap is damaged"):
        opened(files, options)
