"""What attempts wrote: a file each, which its keeper writes (`guard.py`, KeptOutput) and this reads, live or later.

Stands behind the port's `output`. A position is the number of a byte in all that the attempt ever wrote, kept or not.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import AsyncIterator, Container, Iterable
from pathlib import Path
from typing import Final, NamedTuple

import trio

from slimjobs.core.orchestrators.ports import OutputMissing
from slimjobs.core.orchestrators.process.attempts import Attempt
from slimjobs.core.orchestrators.process.guard import OUTPUT_HEADER_BYTES

_PIECE_BYTES: Final = 65536


class Extent(NamedTuple):
    """How far an output goes: sizes of head and ring, and how many bytes are or will be written."""

    head: int
    ring: int
    reserved: int
    written: int

    @property
    def oldest(self) -> int:
        """The first position behind the head that is still there."""
        return max(self.head, self.reserved - self.ring)


class OutputFile:
    """An open output: it can be read to its end even if it is removed meanwhile, and closes with its last reference."""

    def __init__(self, path: Path) -> None:
        """FileNotFoundError if there is no such output."""
        self._fd = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._fd)

    def extent(self) -> Extent:
        """How far it goes now; empty before its keeper has written the first bytes."""
        header = os.pread(self._fd, OUTPUT_HEADER_BYTES, 0).ljust(OUTPUT_HEADER_BYTES, b"\0")
        return Extent(*(int.from_bytes(header[place : place + 8], "big") for place in range(0, OUTPUT_HEADER_BYTES, 8)))

    def piece(self, position: int) -> tuple[bytes, int]:
        """Some bytes from this position, and the position behind them; none at the end.

        Where bytes were left out, a line that says how many stands for them.
        """
        extent = self.extent()
        if position < min(extent.head, extent.written):
            return self._read(position, min(extent.head, extent.written) - position, position)
        if position >= extent.written:
            return b"", position
        if position < extent.oldest:
            return _left_out(extent.oldest - position), extent.oldest
        turn = (position - extent.head) % extent.ring
        size = min(extent.ring - turn, extent.written - position)
        found = self._read(position, size, extent.head + turn)
        after = self.extent()
        if position < after.oldest:  # it was overwritten under our hands; leave some way before that happens again
            ahead = after.reserved - after.ring // 2
            return _left_out(ahead - position), ahead
        return found

    def tail(self, lines: int) -> int:
        """The position where the last so many lines begin."""
        extent = self.extent()
        # A line feed that ends the last line begins no other.
        wanted = lines
        if wanted == 0:
            return extent.written
        for low, high in _windows_backwards(extent, max(0, extent.written - 1)):
            text = self._between(low, high)
            place = len(text)
            while (place := text.rfind(b"\n", 0, place)) >= 0:
                wanted -= 1
                if wanted == 0:
                    return low + place + 1
        return 0

    def _between(self, low: int, high: int) -> bytes:
        text = b""
        while low < high:
            piece, low = self.piece(low)
            if not piece:
                break
            text += piece
        return text[: len(text) - max(0, low - high)]

    def _read(self, position: int, size: int, place: int) -> tuple[bytes, int]:
        found = os.pread(self._fd, min(size, _PIECE_BYTES), OUTPUT_HEADER_BYTES + place)
        return found, position + len(found)


class Outputs:
    """The outputs of all attempts, by the object's uid and the attempt's number."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory.absolute()
        self.max_bytes = max_bytes

    def prepare(self, uids: Container[str]) -> None:
        """Make the directory; remove the outputs of objects that are gone. Blocks. OSError if the disk refuses."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self._directory.iterdir():
            if path.stem not in uids:
                path.unlink()

    def path(self, uid: str, attempt: int) -> Path:
        """Where the output of this attempt is, if it is."""
        return self._directory / f"{uid}.{attempt}"

    def remove(self, uid: str, attempts: Iterable[int]) -> None:
        """Remove what there is of these attempts. Blocks."""
        for attempt in attempts:
            self.path(uid, attempt).unlink(missing_ok=True)


class OutputStream(AsyncIterator[bytes]):
    """One reader of an output: of what there is now, or, following a live attempt, until that ends.

    Nothing has to be closed: it ends with its last reference.
    """

    def __init__(self, path: Path, tail_lines: int | None, live: Attempt | None, follow: bool) -> None:
        self._path = path
        self._tail_lines = tail_lines
        self._live = live
        self._follow = follow
        self._file: OutputFile | None = None
        self._position = 0
        self._end = 0

    async def __anext__(self) -> bytes:
        while True:
            # Asked before reading, so that what was written in between is not missed.
            ended = self._live is None or self._live.ended
            piece = await trio.to_thread.run_sync(self._read)
            if piece:
                return piece
            if ended or self._live is None or not self._follow:
                raise StopAsyncIteration
            await self._live.grown()

    def _read(self) -> bytes:
        if self._file is None and not self._open():
            return b""
        assert self._file is not None
        if not self._follow and self._position >= self._end:
            return b""
        piece, self._position = self._file.piece(self._position)
        return piece

    def _open(self) -> bool:
        """Open at the first read; False if the attempt has only just begun and wrote nothing yet."""
        try:
            self._file = OutputFile(self._path)
        except FileNotFoundError:
            if self._live is not None and not self._live.ended:
                return False
            raise OutputMissing("the output of this attempt is not there: it never started, or is gone") from None
        self._position = 0 if self._tail_lines is None else self._file.tail(self._tail_lines)
        self._end = self._file.extent().written
        return True


def _left_out(count: int) -> bytes:
    return b"\n[... %d bytes left out ...]\n" % count


def _windows_backwards(extent: Extent, end: int) -> list[tuple[int, int]]:
    """What is kept of the bytes before `end`, in windows, the last first."""
    windows = []
    for low, high in ((extent.oldest, end), (0, min(extent.head, end))):
        for edge in range(high, low, -_PIECE_BYTES):
            windows.append((max(low, edge - _PIECE_BYTES), edge))
    return windows
