"""A disk in memory that may do whatever a real one may: lose and tear what was not synced, rot, be full, fail, stall.

Deterministic: chance comes from the `random.Random` that `crash` is given. Directory operations become durable in
their order or not at all (a journal); of each unsynced write any sectors may have arrived, or a beginning, or noise in
its place; sizes may or may not have changed.
"""

from __future__ import annotations

import errno
import itertools
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from slimjobs.eventlog.storage.errors import DirectoryTaken
from slimjobs.eventlog.storage.files import Buffer

SECTOR = 512


class PowerLost(BaseException):
    """The machine stopped in the middle of an operation. No program catches this."""


class _Write(NamedTuple):
    offset: int
    content: bytes


class _Resize(NamedTuple):
    size: int


class _Contents:
    """One file: what a reader sees, what is durable, and what lies between."""

    def __init__(self) -> None:
        self.seen = bytearray()
        self.durable = bytearray()
        self.unsynced: list[_Write | _Resize] = []

    def change(self, change: _Write | _Resize) -> None:
        _apply(self.seen, change)
        self.unsynced.append(change)

    def sync(self) -> None:
        for change in self.unsynced:
            _apply(self.durable, change)
        self.unsynced.clear()

    def lose(self, chance: Random) -> None:
        for change in self.unsynced:
            for part in _survivors(change, chance):
                _apply(self.durable, part)
        self.unsynced.clear()

    def crash(self, chance: Random) -> None:
        self.lose(chance)
        self.seen = bytearray(self.durable)


class _Link(NamedTuple):
    name: str
    contents: _Contents


class _Unlink(NamedTuple):
    name: str


class _Rename(NamedTuple):
    name: str
    to: str


Names = dict[str, _Contents]


class SimulatedFiles:
    """`Files` of one directory that outlives crashes; open files and the lock do not."""

    def __init__(self, capacity: int | None = None) -> None:
        self.capacity = capacity
        """How many bytes all files may have together; None for no limit."""
        self.steps_to_power_loss: int | None = None
        """After so many more changing operations `PowerLost` is raised, the last of them half done."""
        self.syncs_to_failure: int | None = None
        """The last of so many more syncs fails, and so do those after it."""
        self.sync_error: OSError | None = None
        """What every sync raises from now on."""
        self.on_sync: Callable[[], None] = lambda: None
        """Called at the start of every sync: a place to stall, or to count."""
        self.age = 0.0
        self._seen: Names = {}
        self._durable: Names = {}
        self._unsynced: list[_Link | _Unlink | _Rename] = []
        self._open: dict[int, _Contents] = {}
        self._handles = self._last_of_the_dead = 0
        self._lock: int | None = None

    # What the world does to a disk.

    def crash(self, chance: Random) -> None:
        """Power is lost and comes back: what was not synced survives in parts, chosen by `chance`."""
        for change in self._unsynced[: chance.randint(0, len(self._unsynced))]:
            _apply_name(self._durable, change)
        self._unsynced.clear()
        self._seen = dict(self._durable)
        for contents in self._seen.values():
            contents.crash(chance)
        self.kill()

    def kill(self) -> None:
        """The process ends; the operating system still has everything that was written."""
        self.steps_to_power_loss = None
        self._open.clear()
        self._last_of_the_dead = self._handles
        self._lock = None

    def forget_unsynced(self, chance: Random) -> None:
        """A sync has failed: what was not synced is seen as before, but it is on the disk in parts at best, and no
        later sync knows of it, for the operating system takes it for clean."""
        for contents in self._seen.values():
            contents.lose(chance)

    @property
    def used(self) -> int:
        """How many bytes all files have together."""
        return sum(len(contents.seen) for contents in self._seen.values())

    def contents(self, name: str) -> bytes:
        return bytes(self._seen[name].seen)

    def paths(self, folder: str) -> list[str]:
        """What was moved into a folder, each with its name as `contents` takes it."""
        return sorted(name for name in self._seen if name.startswith(f"{folder}/"))

    def replace(self, name: str, content: bytes) -> None:
        """Bit rot, a hand, a misdirected write: the file durably has other bytes."""
        contents = self._seen.setdefault(name, _Contents())
        self._durable[name] = contents
        contents.seen, contents.durable = bytearray(content), bytearray(content)
        contents.unsynced.clear()

    def flip(self, name: str, offset: int, mask: int = 0x01) -> None:
        """One byte rots."""
        content = bytearray(self.contents(name))
        content[offset] ^= mask
        self.replace(name, bytes(content))

    def copy(self) -> SimulatedFiles:
        """Another disk with the same files, all durable."""
        other = SimulatedFiles(self.capacity)
        for name in self._seen:
            other.replace(name, self.contents(name))
        return other

    # The port.

    @property
    def location(self) -> str:
        return "simulated"

    def prepare(self) -> None: ...

    def lock(self, wait_seconds: float) -> int:
        if self._lock is not None:
            raise DirectoryTaken(self.location, None)
        self._handles += 1
        self._lock = self._handles
        return self._handles

    def unlock(self, descriptor: int) -> None:
        if descriptor == self._lock:
            self._lock = None

    def names(self) -> list[str]:
        return sorted(name for name in self._seen if "/" not in name)

    def folders(self) -> list[str]:
        return sorted({name.partition("/")[0] for name in self._seen if "/" in name})

    def open(self, name: str) -> int:
        if name not in self._seen:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", name)
        return self._opened(self._seen[name])

    def open_writable(self, name: str) -> int:
        if name not in self._seen:
            self._change_names(_Link(name, _Contents()))
        return self._opened(self._seen[name])

    def close(self, file: int) -> None:
        if file > self._last_of_the_dead:
            del self._open[file]

    def size(self, file: int) -> int:
        return len(self._open[file].seen)

    def read(self, file: int, length: int, offset: int) -> bytes:
        return bytes(self._open[file].seen[offset : offset + length])

    def write(self, file: int, content: Buffer, offset: int) -> None:
        self._make_room(file, offset + len(content))
        self._change(file, _Write(offset, bytes(content)))

    def allocate(self, file: int, size: int) -> None:
        self._make_room(file, size)
        if size > self.size(file):
            self._change(file, _Resize(size))

    def truncate(self, file: int, size: int) -> None:
        self._make_room(file, size)
        self._change(file, _Resize(size))

    def sync(self, file: int) -> None:
        self._before_sync()
        self._open[file].sync()

    def sync_names(self) -> None:
        self._before_sync()
        for change in self._unsynced:
            _apply_name(self._durable, change)
        self._unsynced.clear()

    def move_into(self, folder: str, name: str) -> None:
        self.rename(name, f"{folder}/{name}")
        self.sync_names()

    def rename(self, name: str, to: str) -> None:
        self._change_names(_Rename(name, to))

    def remove(self, name: str) -> None:
        self._change_names(_Unlink(name))

    def age_seconds(self, name: str) -> float:
        return self.age

    def _opened(self, contents: _Contents) -> int:
        self._handles += 1
        self._open[self._handles] = contents
        return self._handles

    def _change(self, file: int, change: _Write | _Resize) -> None:
        # A change that power loss interrupts was not synced: `crash` chooses which of its sectors arrived.
        self._open[file].change(change)
        self._step()

    def _change_names(self, change: _Link | _Unlink | _Rename) -> None:
        _apply_name(self._seen, change)
        self._unsynced.append(change)
        self._step()

    def _before_sync(self) -> None:
        self.on_sync()
        if self.syncs_to_failure is not None:
            self.syncs_to_failure -= 1
            if self.syncs_to_failure <= 0:
                raise OSError(errno.EIO, "Input/output error")
        if self.sync_error is not None:
            raise self.sync_error
        self._step()

    def _step(self) -> None:
        if self.steps_to_power_loss is not None:
            self.steps_to_power_loss -= 1
            if self.steps_to_power_loss <= 0:
                raise PowerLost

    def _make_room(self, file: int, size: int) -> None:
        if self.capacity is None or size <= self.size(file):
            return
        if self.used + size - self.size(file) > self.capacity:
            raise OSError(errno.ENOSPC, "No space left on device")


def _apply(content: bytearray, change: _Write | _Resize) -> None:
    match change:
        case _Write(offset, written):
            if len(content) < offset:
                content.extend(bytes(offset - len(content)))
            content[offset : offset + len(written)] = written
        case _Resize(size) if size < len(content):
            del content[size:]
        case _Resize(size):
            content.extend(bytes(size - len(content)))


def _apply_name(names: Names, change: _Link | _Unlink | _Rename) -> None:
    match change:
        case _Link(name, contents):
            names[name] = contents
        case _Unlink(name):
            del names[name]
        case _Rename(name, to):
            names[to] = names.pop(name)


def _survivors(change: _Write | _Resize, chance: Random) -> list[_Write | _Resize]:
    fate = chance.choice(("all", "none", "some sectors", "a beginning", "noise"))
    if fate == "none":
        return []
    if fate == "all" or isinstance(change, _Resize):
        return [change]
    if fate == "a beginning":
        return [_Write(change.offset, change.content[: chance.randint(0, len(change.content))])]
    if fate == "noise":
        return [_Write(change.offset, chance.randbytes(len(change.content)))]
    return [part for part in _sectors(change) if chance.random() < 0.5]


def _sectors(write: _Write) -> list[_Write]:
    start, end = write.offset, write.offset + len(write.content)
    edges = [start, *range((start // SECTOR + 1) * SECTOR, end, SECTOR), end]
    return [_Write(at, write.content[at - start : to - start]) for at, to in itertools.pairwise(edges)]
