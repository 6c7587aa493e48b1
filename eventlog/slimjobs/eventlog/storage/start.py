"""What a node starts from: the newest snapshot that can be read, and the log behind it. Reads only, changes nothing.

A snapshot of another node is installed first, then the log begins anew behind it (Raft figure 13). A crash between the
two leaves the snapshot with the old log, and then the same becomes of it as without the crash:

- the log ends before the snapshot's index: it begins anew.
- it holds that index with the snapshot's term: it is equal up to there (log matching, Raft §5.3) and goes on.
- it holds that index with another term: it is of another branch, and so is all that follows: it begins anew.

Once it has begun anew on disk, it says so itself and holds nothing of that index, so this is never asked twice.
"""

from __future__ import annotations

from typing import NamedTuple

from slimjobs.eventlog.raft.types import HardState, Index
from slimjobs.eventlog.storage.errors import Damage
from slimjobs.eventlog.storage.files import Files
from slimjobs.eventlog.storage.recovery import ScannedLog, scan_log
from slimjobs.eventlog.storage.requests import SnapshotHeader
from slimjobs.eventlog.storage.segments import read_entries
from slimjobs.eventlog.storage.slots import HARD_STATE
from slimjobs.eventlog.storage.snapshots import SnapshotReader, snapshot_indices


class Start(NamedTuple):
    """The snapshot to start from, the log behind it, and newer snapshots that cannot be read.

    `restarts`: the log does not go on from the snapshot and has to begin anew behind it.
    """

    snapshot: SnapshotReader | None
    scanned: ScannedLog
    damaged: list[tuple[Index, Damage]]
    restarts: bool


def find_start(files: Files, key: bytes, proven: int) -> Start:
    """The start; `Damage` if snapshot and log do not make a whole. `proven` is the number that the marker gives."""
    snapshot, damaged = _newest_readable(files)
    low = snapshot.header.index + 1 if snapshot else 1
    scanned = scan_log(files, key, low, proven)
    if scanned.damage is not None:
        raise scanned.damage
    _check_reach(files, scanned, low, damaged)
    restarts = snapshot is not None and _goes_astray(files, key, scanned, snapshot.header)
    return Start(snapshot, scanned, damaged, restarts)


def _newest_readable(files: Files) -> tuple[SnapshotReader | None, list[tuple[Index, Damage]]]:
    damaged = []
    for index in snapshot_indices(files):
        try:
            snapshot = SnapshotReader(files, index)
            snapshot.verify()
        except Damage as damage:
            damaged.append((index, damage))
        else:
            return snapshot, damaged
    return None, damaged


def _check_reach(files: Files, scanned: ScannedLog, low: int, damaged: list[tuple[Index, Damage]]) -> None:
    """A damaged snapshot is done without only where the log says the same: from `low` on, to beyond its index."""
    holds_low = scanned.segments.holding(low) is not None
    if damaged and not (holds_low and scanned.chain.next_index > damaged[0][0]):
        raise damaged[0][1]
    if scanned.chain.next_index > low and not holds_low:
        oldest = next(iter(scanned.segments))
        found = f"a log that begins with index {oldest.first}"
        raise Damage(f"{files.location}/{oldest.name}", 0, found, f"index {low}, the first that no snapshot holds")


def _goes_astray(files: Files, key: bytes, scanned: ScannedLog, snapshot: SnapshotHeader) -> bool:
    if scanned.chain.next_index <= snapshot.index:
        return True
    entry = next(read_entries(files, key, scanned.segments, snapshot.index), None)
    return entry is not None and entry.term != snapshot.term


def check_terms(files: Files, key: bytes, scanned: ScannedLog, state: HardState) -> None:
    """An entry is written only after its term: a hard state that does not know the term is an old copy."""
    last = next(read_entries(files, key, scanned.segments, scanned.chain.next_index - 1), None)
    if last is not None and last.term > state.term:
        found, expected = f"term {state.term}", f"at least term {last.term}, which the log has"
        raise Damage(f"{files.location}/{HARD_STATE}", 0, found, expected)
