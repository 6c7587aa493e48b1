"""What is done about the backup that a folder has, when the schedules are looked at: written, left, or set aside.

    the folder has                                the log has schedules          the log has none
    nothing                                       written                        left
    one of this cluster, of a later index         left: this node is behind      left
    one of this cluster                           written if it differs          the same: the log has removed them
    the one that this cluster was restored from   written                        the same
    another's, or what cannot be read             set aside, then written        left, and told

While the log waits for the backup that it was founded with, all are left.
"""

from __future__ import annotations

import enum

from slimjobs.core.backups.document import Head
from slimjobs.eventlog.events.schedules import BackupRestored


class Step(enum.Enum):
    """What is to be done about the backup in a folder."""

    LEAVE = "leave it"
    WRITE = "write"
    SET_ASIDE = "keep it under another name, and write"
    REFUSE = "leave what is not ours"


def next_step(own: Head, restored: BackupRestored | None, found: Head | None, *, is_there: bool) -> Step:
    """What to do with the log's own schedules, seeing this backup in the folder; None for what cannot be read."""
    if not is_there:
        return Step.WRITE if own.schedules else Step.LEAVE
    if found is None or not (found.cluster == own.cluster or _is_continued(found, restored)):
        return Step.SET_ASIDE if own.schedules else Step.REFUSE
    if found.cluster == own.cluster and (found.index > own.index or found.sha256 == own.sha256):
        return Step.LEAVE
    return Step.WRITE


def _is_continued(found: Head, restored: BackupRestored | None) -> bool:
    return restored is not None and found.cluster == restored.cluster and found.index <= restored.index
