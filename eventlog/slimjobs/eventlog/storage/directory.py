"""A data directory as a whole: made, swept after a crash, moved out of the way when it is damaged.

A node that is one of several goes on without what its damaged directory held: the others have it. Everything is kept
for whoever wants to look, in a folder inside the directory (which may be a mount point), and the directory is made anew
with another incarnation. A node whose directory ever held anything, even damaged, never founds a cluster.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Final

from slimjobs.eventlog.storage.errors import Damage
from slimjobs.eventlog.storage.files import LOCK, Files
from slimjobs.eventlog.storage.identity import IDENTITY, TEMPORARY, Identity, write_identity
from slimjobs.eventlog.storage.recovery import cut
from slimjobs.eventlog.storage.segments import segment_names
from slimjobs.eventlog.storage.slots import HARD_STATE, MARKER, HardStateFile, MarkerFile, create_slots
from slimjobs.eventlog.storage.snapshots import mark_damaged, snapshot_indices
from slimjobs.eventlog.storage.start import Start

_ASIDE: Final = re.compile(r"damaged-(\d+)")


@contextlib.contextmanager
def taken(files: Files, wait_seconds: float) -> Iterator[int]:
    """Hold the directory; let go of it only where the block does not succeed. Raises `DirectoryTaken`."""
    files.prepare()
    lock = files.lock(wait_seconds)
    try:
        yield lock
    except BaseException:
        files.unlock(lock)
        raise


def create_if_missing(files: Files, new_incarnation: str) -> bool:
    """Make a directory that was never made; whether it was. A crash on the way leaves one that is made again."""
    if IDENTITY in files.names():
        return False
    if segment_names(files) or snapshot_indices(files):
        at = f"{files.location}/{IDENTITY}"
        raise Damage(at, 0, "no file, although there is a log", "the line that names format and incarnation")
    identity = Identity(new_incarnation)
    create_slots(files, HARD_STATE, identity.key)
    create_slots(files, MARKER, identity.key)
    files.sync_names()
    write_identity(files, identity)
    return True


def settle(files: Files, start: Start, hard_state: HardStateFile, marker: MarkerFile) -> None:
    """Leave nothing of the crash behind, now that all was judged: only from here on is anything changed."""
    hard_state.repair()
    marker.repair()
    for index, _ in start.damaged:
        mark_damaged(files, index)
    for name in files.names():
        if name.endswith(TEMPORARY):
            files.remove(name)
    cut(files, start.scanned)


def folders_aside(files: Files) -> list[str]:
    """Where damaged directories were set aside."""
    return [name for name in files.folders() if _ASIDE.fullmatch(name)]


# Interrupted by a crash, this leaves an identity without a hard state, which is damage: what is left is set aside at
# the next start. Were the log moved first, what is left could pass for a directory that never had one.
def set_aside(files: Files) -> str:
    """Move every file of a damaged directory that this process holds into a new folder of it, whose name this gives.

    Nothing is deleted. The lock stays, for it is held; so do folders, which are not the log's.
    """
    number = max((int(folder.removeprefix("damaged-")) for folder in folders_aside(files)), default=0) + 1
    folder = f"damaged-{number}"
    names = [name for name in files.names() if name not in {LOCK, HARD_STATE, IDENTITY}]
    present = set(files.names())
    for name in (HARD_STATE, *names, IDENTITY):
        if name in present:
            files.move_into(folder, name)
    return folder
