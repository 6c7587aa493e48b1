"""How entries lie on disk: a batch is a header and the entries that were written together. Pure; no I/O.

    checksum 8 | magic 4 | body length 4 | count 4 | first index 8 | number 8 | synced 8 | previous 8 | body

The checksum covers all that follows it, keyed with the incarnation of the directory, so that no payload can imitate a
batch and no batch of another directory passes. `previous` is the checksum of the batch written before: a batch that
was lost, repeated or put elsewhere breaks the chain. `number` counts the batches of a directory; `synced` is the
number of the newest one known to be durable when this one was written. The body is the entries in MessagePack.

Numbers, not indices, say what is durable: an index can be written twice (a suffix was cut), a number never.

A batch without a body, not even of no entries, says that the log begins anew at its first index: a snapshot stands for
everything before, and no older batch counts any more, whatever its indices are.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from slimjobs.eventlog.raft.types import Entry

MAGIC: Final = b"SJb1"
CHECKSUM_BYTES: Final = 8
MAGIC_AT: Final = CHECKSUM_BYTES
NO_CHECKSUM: Final = bytes(CHECKSUM_BYTES)
"""What the first batch of a directory has for its previous."""

BATCH_BYTES: Final = 256 * 1024
"""A batch is about this long at most, unless one entry alone is longer: what a reader holds at a time."""

ENTRY_OVERHEAD: Final = 32
"""The most an entry takes beside its payload: index, term, kind and lengths in MessagePack are at most 26 bytes."""

_HEADER: Final = struct.Struct("<8s4sIIQQQ8s")
HEADER_BYTES: Final = _HEADER.size
BATCH_OVERHEAD: Final = HEADER_BYTES + 8

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(list[Entry])


class BatchHeader(NamedTuple):
    checksum: bytes
    magic: bytes
    length: int
    entries: int
    first: int
    number: int
    synced: int
    previous: bytes

    @property
    def restarts(self) -> bool:
        """Whether the log begins anew here."""
        return self.length == 0


def footprint(payload_bytes: int, entries: int) -> int:
    """The most that so many entries with so many bytes of payload together take on disk if written in one request."""
    batches = 1 + 2 * (payload_bytes + entries * ENTRY_OVERHEAD) // BATCH_BYTES
    return payload_bytes + entries * ENTRY_OVERHEAD + batches * BATCH_OVERHEAD


def footprint_of(entries: Iterable[Entry]) -> int:
    """`footprint` of these entries."""
    lengths = [len(entry.payload) for entry in entries]
    return footprint(sum(lengths), len(lengths))


def split(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """The entries in runs that each fit a batch, at least one run; a longer entry is alone in one."""
    start, size = 0, 0
    for position, entry in enumerate(entries):
        entry_bytes = len(entry.payload) + ENTRY_OVERHEAD
        if position > start and size + entry_bytes > BATCH_BYTES:
            yield entries[start:position]
            start, size = position, 0
        size += entry_bytes
    yield entries[start:] if start else entries


def encode(
    buffer: bytearray,
    key: bytes,
    entries: Sequence[Entry] | None,
    first: int,
    number: int,
    synced: int,
    previous: bytes,
) -> bytes:
    """Put a batch into `buffer`, which becomes exactly as long; gives its checksum. None: the log begins anew."""
    if len(buffer) < HEADER_BYTES:
        buffer.extend(bytes(HEADER_BYTES - len(buffer)))
    if entries is None:
        del buffer[HEADER_BYTES:]
    else:
        _encoder.encode_into(entries, buffer, HEADER_BYTES)
    length, count = len(buffer) - HEADER_BYTES, len(entries or ())
    _HEADER.pack_into(buffer, 0, NO_CHECKSUM, MAGIC, length, count, first, number, synced, previous)
    with memoryview(buffer) as view:
        checksum = _checksum(view[CHECKSUM_BYTES:], key)
    buffer[:CHECKSUM_BYTES] = checksum
    return checksum


def header_at(block: bytes, offset: int) -> BatchHeader:
    """The header that should start at `offset`, as it stands there, verified or not."""
    return BatchHeader._make(_HEADER.unpack_from(block, offset))


def verified(view: memoryview, key: bytes, checksum: bytes) -> bool:
    """Whether these bytes, a batch from its checksum to its end, are what was written."""
    return _checksum(view[CHECKSUM_BYTES:], key) == checksum


def decode(view: memoryview) -> list[Entry]:
    """The entries of a verified batch."""
    return _decoder.decode(view[HEADER_BYTES:]) if len(view) > HEADER_BYTES else []


def _checksum(content: memoryview, key: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=CHECKSUM_BYTES, key=key).digest()
