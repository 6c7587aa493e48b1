"""How much of the past is kept behind the snapshots, for audits: by age and by size, whole segments, oldest first."""

from __future__ import annotations

from typing import Final

import msgspec

from slimjobs.eventlog.storage.files import Files
from slimjobs.eventlog.storage.segments import Segments
from slimjobs.eventlog.storage.snapshots import remove_older_snapshots, snapshot_indices

SNAPSHOTS_KEPT: Final = 2
"""Were the newest unreadable, the one before and the log from there on say the same."""

_DAY_SECONDS: Final = 86_400


class Retention(msgspec.Struct, frozen=True):
    """`SlimData__RetentionDays` and `SlimData__RetentionBytes`."""

    days: float = 30
    bytes: int = 1024**3


def first_index_for_replication(files: Files, segments: Segments) -> int:
    """The first index that no retention takes away: the one after the oldest snapshot kept, if there are enough."""
    indices = snapshot_indices(files)
    if len(indices) < SNAPSHOTS_KEPT:
        return segments.first_index or 1
    return indices[SNAPSHOTS_KEPT - 1] + 1


def remove_history(files: Files, segments: Segments, retention: Retention) -> None:
    """Remove older snapshots, and the segments behind those kept that are too old or too many.

    Not made durable: whatever of it a crash undoes is removed again the next time.
    """
    remove_older_snapshots(files, SNAPSHOTS_KEPT)
    history = segments.behind(first_index_for_replication(files, segments))
    size = sum(segment.size for segment in history)
    for segment in history:
        if size <= retention.bytes and files.age_seconds(segment.name) <= retention.days * _DAY_SECONDS:
            return
        files.remove(segment.name)
        segments.forget(segment)
        size -= segment.size
