"""The folder of backups: what is written over, what is kept, and that nothing is ever lost in it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from slimjobs.core.backups.document import Head, UnusableBackup, document, head_of
from slimjobs.core.backups.folder import NAME, BackupFolder
from slimjobs.core.backups.keeping import Step, next_step
from slimjobs.eventlog.events.schedules import BackupRestored, Plan, ScheduleId
from slimjobs.projections.backups import BackedSchedule, Backup


def backed(*due: int, cluster: str = "ours", index: int = 10) -> Head:
    daily = Plan("@daily", "UTC")
    schedules = tuple(BackedSchedule(ScheduleId(bytes([each]) * 10), "fib", daily, each) for each in due)
    return head_of(Backup(cluster, index, 1000 * index, schedules))


NOTHING, SOME, OTHERS = backed(), backed(1, 2), backed(3)
RESTORED = BackupRestored("older", 10, 1)


@pytest.mark.parametrize(
    ("own", "restored", "found", "step"),
    [
        (SOME, None, None, Step.WRITE),
        (NOTHING, None, None, Step.LEAVE),
        (SOME, None, backed(3, index=9), Step.WRITE),
        (NOTHING, None, backed(3, index=9), Step.WRITE),  # this very log removed it
        (SOME, None, backed(1, 2, index=9), Step.LEAVE),  # the same
        (SOME, None, backed(3, index=11), Step.LEAVE),  # this node is behind
        (NOTHING, None, backed(3, index=11), Step.LEAVE),
        (SOME, RESTORED, backed(3, cluster="older"), Step.WRITE),
        (SOME, RESTORED, backed(1, 2, cluster="older"), Step.WRITE),  # the same, but it is this cluster's now
        (NOTHING, RESTORED, backed(3, cluster="older"), Step.WRITE),
        (SOME, RESTORED, backed(3, cluster="older", index=11), Step.SET_ASIDE),  # newer than what was restored
        (NOTHING, RESTORED, backed(3, cluster="older", index=11), Step.REFUSE),
        (SOME, None, backed(3, cluster="another"), Step.SET_ASIDE),
        (NOTHING, None, backed(3, cluster="another"), Step.REFUSE),
    ],
)
def test_what_is_done(own: Head, restored: BackupRestored | None, found: Head | None, step: Step) -> None:
    assert next_step(own, restored, found, is_there=found is not None) is step


def test_what_cannot_be_read_is_never_written_over() -> None:
    assert next_step(SOME, None, None, is_there=True) is Step.SET_ASIDE
    assert next_step(NOTHING, None, None, is_there=True) is Step.REFUSE


def test_a_backup_is_found_as_it_was_written_and_only_when_it_changed(tmp_path: Path) -> None:
    folder = BackupFolder(tmp_path / "made" / "when needed")
    assert folder.found() is None
    assert folder.keep(SOME, None) == ""
    assert folder.found() == SOME
    before = folder.file.stat()
    assert folder.keep(backed(1, 2, index=20), None) == ""
    assert folder.file.stat() == before
    assert folder.keep(backed(1, index=30), None) == ""
    assert folder.found() == backed(1, index=30)
    assert [each.name for each in folder.file.parent.iterdir()] == [NAME]


def test_only_its_owner_may_read_it(tmp_path: Path) -> None:
    BackupFolder(tmp_path).keep(SOME, None)
    assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600


def test_what_a_crash_left_half_written_is_no_backup(tmp_path: Path) -> None:
    folder = BackupFolder(tmp_path)
    (tmp_path / f".{NAME}.new").write_bytes(document(SOME)[:100])
    assert folder.found() is None
    assert folder.keep(SOME, None) == ""
    assert folder.found() == SOME


@pytest.mark.parametrize("content", [document(backed(7, cluster="another")), b'{"some other":"service"}', b""])
def test_what_is_not_ours_is_kept_under_another_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    folder = BackupFolder(tmp_path)
    assert "is kept as it is" in folder.keep(NOTHING, None)
    assert (tmp_path / NAME).read_bytes() == content
    assert folder.keep(SOME, None) == ""
    [kept] = tmp_path.glob(f"{NAME}.kept-*")
    assert kept.read_bytes() == content
    assert folder.found() == SOME


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    folder = BackupFolder(tmp_path / "a file")
    with pytest.raises(UnusableBackup, match="it cannot be read: Not a directory"):
        folder.found()
    assert "cannot be backed up" in folder.keep(SOME, None)


def test_a_damaged_one_is_refused_with_what_is_wrong_with_it(tmp_path: Path) -> None:
    folder = BackupFolder(tmp_path)
    damaged = msgspec.structs.replace(SOME, sha256=OTHERS.sha256)
    (tmp_path / NAME).write_bytes(document(damaged))
    with pytest.raises(UnusableBackup, match="do not match its Sha256"):
        folder.found()
