"""Snapshots: the state at one index, written beside the log and published by renaming.

    magic 8 | block | block ... | 0xFFFFFFFF, count 8, digest 32
    block: length 4, checksum 32, frames           frame: length 4, payload           the first frame is the header

A block is as many frames as fit 256 KiB. Its checksum is keyed with the checksum of the block before, so the last one,
and the digest made of it and the number of frames, covers every byte: each is hashed once. One write and one hash for
many frames: both let go of the interpreter, and a busy disk thread may take its time to give it back.

The writer runs where the frames are made (the loop, between two batches) and only fills a temporary file; the disk
thread makes it durable and publishes it. Nothing in a file is the node's own, so nodes that agree write the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import struct
from collections.abc import Generator, Iterator
from typing import Final

import msgspec

from slimjobs.eventlog.raft.types import Index
from slimjobs.eventlog.storage.errors import Damage, DiskFailed
from slimjobs.eventlog.storage.files import OUT_OF_DESCRIPTORS, OUT_OF_SPACE, Buffer, Files
from slimjobs.eventlog.storage.identity import TEMPORARY
from slimjobs.eventlog.storage.requests import PieceLoaded, SnapshotHeader, SnapshotRefused

FRAME_BYTES: Final = 64 * 1024

_MAGIC: Final = b"SJsnap1\n"
_BLOCK_BYTES: Final = 256 * 1024
_BLOCK: Final = struct.Struct("<I32s")
_FRAME: Final = struct.Struct("<I")
_FOOTER: Final = struct.Struct("<IQ32s")
_FOOTER_MARK: Final = 0xFFFFFFFF
_NAME: Final = re.compile(r"snapshot-(\d{20})\.snap")
_WRITING: Final = ".writing" + TEMPORARY
_DAMAGED: Final = ".damaged"

REMEDY: Final = (
    "Nothing was changed. A node of a cluster: move the directory aside (keep it) and start again, it will be caught"
    " up by the others. A lone node: the log no longer reaches back to an older state; restore the"
    " directory from a copy."
)


def snapshot_name(index: int) -> str:
    return f"snapshot-{index:020}.snap"


def snapshot_indices(files: Files) -> list[Index]:
    """The indices of all published snapshots, newest first."""
    return sorted((Index(int(match[1])) for match in map(_NAME.fullmatch, files.names()) if match), reverse=True)


def holds_snapshots(files: Files) -> bool:
    """Whether there is any snapshot that was published once, readable or not."""
    return any(name.startswith("snapshot-") and not name.endswith(TEMPORARY) for name in files.names())


class SnapshotWriter:
    """Fills the temporary file of one snapshot. A full disk ends it quietly: `finish` says so, nothing else fails."""

    def __init__(self, files: Files, header: SnapshotHeader) -> None:
        self._files = files
        self._index = header.index
        self._name = snapshot_name(header.index) + _WRITING
        self._block = bytearray(_BLOCK.size + _BLOCK_BYTES)
        self._filled = _BLOCK.size
        self._count = 0
        self._checksum = _MAGIC
        self._offset = 0
        self._refused: SnapshotRefused | None = None
        self._file: int | None = None
        with self._refusing():
            self._file = files.open_writable(self._name)
            files.truncate(self._file, 0)
        self._put(_MAGIC)
        self.write(msgspec.msgpack.encode(header))

    @property
    def digest(self) -> bytes:
        """The hash of header and frames after `finish`: the same on every node that agrees."""
        return _digest(self._checksum, self._count)

    def write(self, frame: bytes) -> None:
        """Add a frame of at most 64 KiB."""
        if len(frame) > FRAME_BYTES:
            raise ValueError(f"a frame of {len(frame)} bytes, at most {FRAME_BYTES}")
        if self._file is None:
            return
        if self._filled + _FRAME.size + len(frame) > len(self._block):
            self._write_block()
        start = self._filled + _FRAME.size
        _FRAME.pack_into(self._block, self._filled, len(frame))
        self._block[start : start + len(frame)] = frame
        self._filled = start + len(frame)
        self._count += 1

    def finish(self) -> SnapshotRefused | None:
        """Complete the file (it is not durable yet, `PublishSnapshot` makes it so), or say why there is none."""
        self._write_block()
        self._put(_FOOTER.pack(_FOOTER_MARK, self._count, self.digest))
        self._close()
        if self._refused is None:
            with self._refusing():
                self._files.rename(self._name, snapshot_name(self._index) + TEMPORARY)
        return self._refused

    def discard(self) -> None:
        """Forget it, finished or not."""
        self._close()
        discard_snapshot(self._files, self._index)

    def _write_block(self) -> None:
        with memoryview(self._block)[: self._filled] as block:
            frames = block[_BLOCK.size :]
            self._checksum = _chained(self._checksum, frames)
            _BLOCK.pack_into(block, 0, len(frames), self._checksum)
            self._put(block)
        self._filled = _BLOCK.size

    def _put(self, content: Buffer) -> None:
        if self._file is None:
            return
        with self._refusing():
            self._files.write(self._file, content, self._offset)
        self._offset += len(content)

    @contextlib.contextmanager
    def _refusing(self) -> Iterator[None]:
        """What may pass, a full disk or no descriptor left, only costs this snapshot; anything else is the end."""
        try:
            yield
        except OSError as error:
            if error.errno not in OUT_OF_SPACE | OUT_OF_DESCRIPTORS:
                raise DiskFailed(f"{self._name} could not be written: {error}") from error
            self._refused = SnapshotRefused(self._index, f"the snapshot could not be written: {error.strerror}")
            with contextlib.suppress(OSError):  # what is left behind goes at the next start
                self.discard()

    def _close(self) -> None:
        if self._file is not None:
            self._files.close(self._file)
            self._file = None


class SnapshotReader:
    """A snapshot, published or in the file of that name: its header, and its frames as they are verified.

    `Damage` where anything does not match.
    """

    def __init__(self, files: Files, index: Index, name: str | None = None) -> None:
        self._files = files
        self._name = name or snapshot_name(index)
        frames = self._frames()
        try:
            self.header = self._decoded(next(frames), index)
        finally:
            frames.close()

    def frames(self) -> Iterator[bytes]:
        """All frames of the state. Only after the last one is the whole known to be right.

        The file is open from now on, until they are exhausted or dropped: it may be removed meanwhile, and the frames
        taken in another thread.
        """
        frames = self._frames()
        next(frames)
        return frames

    def verify(self) -> None:
        """Read it all; `Damage` if any byte is not as it was written."""
        for _ in self.frames():
            pass

    def _frames(self) -> Generator[bytes, None, None]:
        file = self._files.open(self._name)
        try:
            yield from self._verified_frames(file, self._files.size(file))
        finally:
            self._files.close(file)

    def _verified_frames(self, file: int, size: int) -> Iterator[bytes]:
        checksum = self._files.read(file, len(_MAGIC), 0)
        if checksum != _MAGIC:
            raise self._damage(0, "other bytes", "the mark of a snapshot")
        offset, count = len(_MAGIC), 0
        while (left := size - offset) >= _FOOTER.size:
            content = self._files.read(file, _BLOCK.size + _BLOCK_BYTES, offset)
            length, expected = _BLOCK.unpack_from(content)
            if length == _FOOTER_MARK:
                footer = _FOOTER.pack(_FOOTER_MARK, count, _digest(checksum, count))
                if count == 0 or left != _FOOTER.size or content != footer:
                    raise self._damage(offset, "a footer that does not match", f"the hash of {count} frames")
                return
            block = memoryview(content)[_BLOCK.size : _BLOCK.size + length]
            checksum = _chained(checksum, block)
            if len(block) < length or checksum != expected:
                raise self._damage(offset, "bytes that do not match their checksum", f"a block from frame {count} on")
            for frame in self._frames_in(block, offset):
                count += 1
                yield frame
            offset += _BLOCK.size + length
        raise self._damage(offset, "the end of the file", "more frames and a footer")

    def _frames_in(self, block: memoryview, offset: int) -> Iterator[bytes]:
        at = 0
        while at < len(block):
            length = int.from_bytes(block[at : at + _FRAME.size], "little")
            frame = bytes(block[at + _FRAME.size : at + _FRAME.size + length])
            if len(frame) < length:
                raise self._damage(offset, "a block that ends within a frame", "whole frames")
            at += _FRAME.size + length
            yield frame

    def _decoded(self, frame: bytes, index: Index) -> SnapshotHeader:
        try:
            header = msgspec.msgpack.decode(frame, type=SnapshotHeader)
        except msgspec.DecodeError as error:
            raise self._damage(len(_MAGIC), f"a header that cannot be decoded ({error})", "a header") from error
        if header.index != index:
            raise self._damage(len(_MAGIC), f"a snapshot of index {header.index}", f"one of index {index}")
        return header

    def _damage(self, offset: int, found: str, expected: str) -> Damage:
        return Damage(f"{self._files.location}/{self._name}", offset, found, expected, REMEDY)


def publish_snapshot(files: Files, index: Index) -> SnapshotRefused | None:
    """Make the finished snapshot of `index` durable under its name; again is harmless. Else why there is none."""
    name = snapshot_name(index)
    if name in (names := files.names()):
        return None
    if name + TEMPORARY not in names:
        return SnapshotRefused(index, "no snapshot was written for this index")
    return publish_file(files, name + TEMPORARY, index)


def publish_file(files: Files, name: str, index: Index) -> SnapshotRefused | None:
    """Make this file, a whole one, durable as the snapshot of `index`; or remove it and say why it cannot be."""
    try:
        _sync(files, name)
    except OSError as error:
        if error.errno not in OUT_OF_SPACE | OUT_OF_DESCRIPTORS:
            raise
        files.remove(name)
        return SnapshotRefused(index, f"the snapshot could not be made durable: {error.strerror}")
    files.rename(name, snapshot_name(index))
    files.sync_names()
    return None


def load_piece(files: Files, index: Index, offset: int, max_bytes: int) -> PieceLoaded:
    """Up to `max_bytes` of the file of a published snapshot, unverified: who gets all pieces verifies the whole."""
    try:
        file = files.open(snapshot_name(index))
    except FileNotFoundError:
        return PieceLoaded(index, offset, 0, b"")
    try:
        return PieceLoaded(index, offset, files.size(file), files.read(file, max_bytes, offset))
    finally:
        files.close(file)


def _sync(files: Files, name: str) -> None:
    file = files.open_writable(name)
    try:
        files.sync(file)
    finally:
        files.close(file)


def discard_snapshot(files: Files, index: Index) -> None:
    """Forget the snapshot of `index` that was not published, if there is one."""
    name = snapshot_name(index)
    for unpublished in {name + TEMPORARY, name + _WRITING}.intersection(files.names()):
        files.remove(unpublished)


def mark_damaged(files: Files, index: Index) -> None:
    """Keep a damaged snapshot from being taken for one; it goes when the next one is published."""
    files.rename(snapshot_name(index), snapshot_name(index) + _DAMAGED)


def remove_older_snapshots(files: Files, keep: int) -> None:
    """Remove all but the newest `keep` published snapshots, and damaged ones."""
    old = [snapshot_name(index) for index in snapshot_indices(files)[keep:]]
    for name in old + [name for name in files.names() if name.endswith(_DAMAGED)]:
        files.remove(name)


def _chained(before: bytes, block: Buffer) -> bytes:
    return hashlib.blake2b(block, digest_size=32, key=before).digest()


def _digest(checksum: bytes, frames: int) -> bytes:
    return _chained(checksum, frames.to_bytes(8, "little"))
