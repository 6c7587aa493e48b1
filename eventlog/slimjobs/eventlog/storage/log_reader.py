"""Reading a directory that may belong to a running node, without its lock: what `log cat|verify|stat` show.

Nothing is written. The node may append, begin and remove segments meanwhile, so what looks like damage is believed only
if it is found at the same place again: what was written between two reads looks different at every look, and real
damage stays where it is. A tail that is being written is a tail that is not there yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from slimjobs.eventlog.raft.types import Entry, HardState, Index, NodeId, Term
from slimjobs.eventlog.storage.errors import Damage, NotALog
from slimjobs.eventlog.storage.files import DirectoryOnDisk, Files
from slimjobs.eventlog.storage.identity import IDENTITY, read_identity
from slimjobs.eventlog.storage.recovery import ScannedLog, TornTail, scan_log
from slimjobs.eventlog.storage.segments import read_entries
from slimjobs.eventlog.storage.slots import HARD_STATE, MARKER, read_slots
from slimjobs.eventlog.storage.snapshots import SnapshotReader, snapshot_indices
from slimjobs.eventlog.storage.start import find_start

LOOKS: Final = 3
"""How often is looked, while what looks like damage is at another place each time."""


class LogStat(msgspec.Struct, frozen=True):
    """What a directory holds; `first_index` is greater than `last_index` if there is no entry."""

    incarnation: str
    hard_state: HardState
    first_index: Index
    last_index: Index
    batches: int
    segments: int
    log_bytes: int
    snapshots: tuple[Index, ...]


class Verdict(msgspec.Struct, frozen=True):
    """All damage that was found, and what a node would cut from the end when it starts."""

    damage: tuple[Damage, ...]
    torn: TornTail | None
    last_index: Index

    @property
    def usable(self) -> bool:
        """Whether all of it can be used, history included."""
        return not self.damage


class LogReader:
    """One directory, read only."""

    def __init__(self, files: Files) -> None:
        self._files = files
        if IDENTITY not in files.names():
            raise NotALog(files.location)
        self._identity = read_identity(files)

    def stat(self) -> LogStat:
        """What the directory holds, as far as it can be read."""
        state = read_slots(self._files, HARD_STATE, self._identity.key)
        scanned = self._scan()
        return LogStat(
            incarnation=self._identity.incarnation,
            hard_state=HardState(Term(state.one), NodeId(state.two)),
            first_index=Index(scanned.segments.first_index or scanned.chain.next_index),
            last_index=Index(scanned.chain.next_index - 1),
            batches=scanned.chain.number,
            segments=len(list(scanned.segments)),
            log_bytes=sum(segment.size for segment in scanned.segments),
            snapshots=tuple(snapshot_indices(self._files)),
        )

    def entries(self, low: Index | None = None) -> Iterator[Entry]:
        """The entries from `low` (else the oldest) on, streamed, as far as they can be read; then `Damage` if any."""
        scanned = self._scan()
        yield from read_entries(
            self._files, self._identity.key, scanned.segments, low or scanned.segments.first_index or 1
        )
        if scanned.damage is not None:
            raise scanned.damage

    def verify(self) -> Verdict:
        """Every byte that a node may read: all segments with their history, all snapshots, hard state and marker."""
        damage = [found for name in (HARD_STATE, MARKER) if (found := self._slot_damage(name))]
        damage += [found for index in snapshot_indices(self._files) if (found := self._snapshot_damage(index))]
        scanned = self._scan()
        if scanned.damage is not None:
            damage.append(scanned.damage)
        if not damage and (found := self._start_damage()):
            damage.append(found)
        return Verdict(tuple(damage), scanned.torn, Index(scanned.chain.next_index - 1))

    def _scan(self) -> ScannedLog:
        scanned = self._look()
        for _ in range(LOOKS - 1):
            if scanned.damage is None:
                break
            before, scanned = scanned.damage, self._look()
            if _is_same(before, scanned.damage):
                return scanned
        return scanned._replace(damage=None)

    def _look(self) -> ScannedLog:
        for _ in range(LOOKS - 1):
            with suppress(FileNotFoundError):  # retention took a segment between its listing and its reading
                return scan_log(self._files, self._identity.key, 0, self._proven())
        return scan_log(self._files, self._identity.key, 0, self._proven())

    def _proven(self) -> int:
        """What the marker proves; read before the log, which then reaches at least as far."""
        try:
            return read_slots(self._files, MARKER, self._identity.key).one
        except (Damage, FileNotFoundError):
            return 0

    def _slot_damage(self, name: str) -> Damage | None:
        if name not in self._files.names():
            return Damage(f"{self._files.location}/{name}", 0, "no file", "two slots")
        return _lasting_damage(lambda: read_slots(self._files, name, self._identity.key))

    def _snapshot_damage(self, index: Index) -> Damage | None:
        return _lasting_damage(lambda: SnapshotReader(self._files, index).verify())

    def _start_damage(self) -> Damage | None:
        return _lasting_damage(lambda: find_start(self._files, self._identity.key, 0))


def _lasting_damage(look: Callable[[], object]) -> Damage | None:
    """The damage that two looks find at one place. A file that is gone by then was taken by retention."""
    before: Damage | None = None
    for _ in range(LOOKS):
        try:
            look()
        except Damage as damage:
            if _is_same(before, damage):
                return damage
            before = damage
        except FileNotFoundError:
            before = None
        else:
            return None
    return None


def _is_same(before: Damage | None, now: Damage | None) -> bool:
    return before is not None and now is not None and (before.file, before.offset) == (now.file, now.offset)


def read_log(directory: Path) -> LogReader:
    """The log in this directory, for reading beside the node; `NotALog` if there is none, else as `read_identity`."""
    if not directory.is_dir():
        raise NotALog(str(directory))
    return LogReader(DirectoryOnDisk(directory))
