"""Small facts that are rewritten in place: the hard state, and the marker of how far fsync had surely got.

A file has two slots, a page apart so that no torn write touches both, each numbered and checksummed. The space is
written when the directory is made, so a full disk never stops a rewrite. The higher number wins.

**The hard state is written to one slot, synced, written to the other, synced, and only then acknowledged.** So when
one slot cannot be read, the other is never older than what was acknowledged: either the unreadable one was being
written, then what it should have said was not acknowledged yet; or it rotted, then the other says the same. A slot
that a crash left behind is repaired when the file is opened. Both unreadable is nothing that a crash leaves.

The marker may be old, that only weakens what it proves: its slots are written in turn, one sync each.

A sync that fails ends the process, and the next one still reads what was written, although it is not on the disk and no
later sync puts it there. So the slot that was written last is written once more when the file is opened, unless the
other one cannot be read.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final, NamedTuple

from slimjobs.eventlog.raft.types import HardState, NodeId, Term
from slimjobs.eventlog.storage.errors import Damage
from slimjobs.eventlog.storage.files import Files

HARD_STATE: Final = "hard-state"
MARKER: Final = "marker"

SLOT_OFFSETS: Final = (0, 4096)
_SLOT: Final = struct.Struct("<8sQQQ")
_CHECKSUM_BYTES: Final = 8


class Slot(NamedTuple):
    """A numbered pair of values."""

    number: int
    one: int
    two: int


class Slots:
    """The two slots of one file; `newest` is what counts."""

    def __init__(self, files: Files, name: str, key: bytes, file: int) -> None:
        self._files, self._name, self._key, self._file = files, name, key, file
        self._slots = [self._read(offset) for offset in SLOT_OFFSETS]

    def check(self) -> None:
        """`Damage` unless there is a newest."""
        if self._slots == [None, None]:
            raise Damage(f"{self._files.location}/{self._name}", 0, "two slots that cannot be read", "at least one")

    @property
    def newest(self) -> Slot:
        self.check()
        return max(slot for slot in self._slots if slot is not None)

    @property
    def behind(self) -> int:
        """Which slot is older than the other, or unreadable; the first if both are the same."""
        return 1 if self._slots[0] == self.newest and self._slots[1] != self.newest else 0

    @property
    def differ(self) -> bool:
        return self._slots[0] != self._slots[1]

    @property
    def both_readable(self) -> bool:
        return None not in self._slots

    def write(self, position: int, slot: Slot) -> None:
        """Make one slot say this, durably."""
        self._slots[position] = None
        self._files.write(self._file, self._packed(slot), SLOT_OFFSETS[position])
        self._files.sync(self._file)
        self._slots[position] = slot

    def close(self) -> None:
        self._files.close(self._file)

    def _packed(self, slot: Slot) -> bytes:
        content = _SLOT.pack(bytes(_CHECKSUM_BYTES), *slot)[_CHECKSUM_BYTES:]
        return self._checksum(content) + content

    def _read(self, offset: int) -> Slot | None:
        raw = self._files.read(self._file, _SLOT.size, offset)
        if len(raw) < _SLOT.size or raw[:_CHECKSUM_BYTES] != self._checksum(raw[_CHECKSUM_BYTES:]):
            return None
        _, number, one, two = _SLOT.unpack(raw)
        return Slot(number, one, two)

    def _checksum(self, content: bytes) -> bytes:
        # The name keeps one file's slot from passing in another.
        person = self._name.encode()
        return hashlib.blake2b(content, digest_size=_CHECKSUM_BYTES, key=self._key, person=person).digest()


def create_slots(files: Files, name: str, key: bytes) -> None:
    """Make the file with both slots saying zeros, durably but for its name, and take the space for good."""
    file = files.open_writable(name)
    try:
        files.write(file, bytes(SLOT_OFFSETS[1] + _SLOT.size), 0)
        slots = Slots(files, name, key, file)
        for position in range(len(SLOT_OFFSETS)):
            slots.write(position, Slot(0, 0, 0))
    finally:
        files.close(file)


def open_slots(files: Files, name: str, key: bytes) -> Slots:
    """The slots of an existing file, to be rewritten; `Damage` if it is missing.

    Synced first: a killed process may have left one slot unsynced, and a write to the other would put both at risk.
    """
    if name not in files.names():
        raise Damage(f"{files.location}/{name}", 0, "no file", "two slots")
    file = files.open_writable(name)
    files.sync(file)
    slots = Slots(files, name, key, file)
    try:
        slots.check()
    except Damage:
        files.close(file)
        raise
    return slots


def read_slots(files: Files, name: str, key: bytes) -> Slot:
    """What counts in a file that belongs to somebody else's running node; `Damage` if nothing can be read."""
    file = files.open(name)
    try:
        return Slots(files, name, key, file).newest
    finally:
        files.close(file)


class HardStateFile:
    """Term and vote; `state` is what was last acknowledged, or later."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        newest = slots.newest
        self._number = newest.number
        self.state = HardState(Term(newest.one), NodeId(newest.two))

    # The second slot is written last; the first one only where the second is still behind.
    def repair(self) -> None:
        """Have both slots say what counts, durably: a crash, a failed sync, or rot, left one behind."""
        newest, behind = self._slots.newest, self._slots.behind if self._slots.differ else 1
        if self._slots.differ and behind == 1 and self._slots.both_readable:
            self._slots.write(0, newest)
        self._slots.write(behind, newest)

    def write(self, state: HardState) -> None:
        """Make the state durable in both slots (see above why both)."""
        self._number += 1
        for position in range(len(SLOT_OFFSETS)):
            self._slots.write(position, Slot(self._number, state.term, state.vote))
        self.state = state

    def close(self) -> None:
        self._slots.close()


class MarkerFile:
    """How far fsync had surely got: up to the batch with this `number`, when `index` was the last."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots
        self._written, self.number, self.index = slots.newest

    def repair(self) -> None:
        """Have what counts durable: a failed sync, or rot, left a slot behind."""
        behind = self._slots.behind
        self._slots.write(1 - behind if self._slots.both_readable else behind, self._slots.newest)

    def write(self, number: int, index: int) -> None:
        self._written += 1
        self._slots.write(self._slots.behind, Slot(self._written, number, index))
        self.number, self.index = number, index

    def close(self) -> None:
        self._slots.close()
