"""The state as bytes, and back. Equal states give equal bytes, on every node: a checkpoint's hash compares them.

The bytes are a stream of rows, each a length and a MessagePack array `[table, columns...]`, tables in a fixed order and
rows in the order in which the log made them; the stream is cut into frames of at most 64 KiB without regard to rows.
Indexes over the tables are not in it: they are built anew by the functions that the fold itself uses.
"""

from __future__ import annotations

import enum
import hashlib
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import msgspec

from slimjobs.eventlog.events.definitions import Definition, Source
from slimjobs.eventlog.events.runs import RunId
from slimjobs.eventlog.raft.types import Index, NodeId
from slimjobs.projections import fold
from slimjobs.projections.state import (
    DeletedRun,
    Dependency,
    Key,
    Queue,
    State,
    Version,
    decode_run,
    encode_run,
    unpack_queued,
)

FRAME_BYTES = 64 * 1024
_LENGTH_BYTES = 4
_RUN_BYTES = 10
_KEY_BYTES = 16


class _Table(enum.IntEnum):
    """What a row is of. Numbers are for ever."""

    COUNTERS = 0
    VERSION = 1
    DEPENDENCY = 2
    QUEUE = 3
    QUEUED = 4
    ACTIVE = 5
    FINISHED = 6
    DELETED = 7
    DEPARTURE = 8
    KEY = 9


class _Counters(msgspec.Struct, array_like=True):
    index: int
    at: int
    chain: bytes
    cluster: str
    configured: bool
    next_version: int
    next_admission: int
    level: int
    members: list[tuple[str, NodeId]]


class _VersionRow(msgspec.Struct, array_like=True):
    number: int
    name: str
    source: Source
    definition: Definition
    current: bool


class _DependencyRow(msgspec.Struct, array_like=True):
    name: str
    dependency: Dependency


class _QueueRow(msgspec.Struct, array_like=True):
    name: str
    slots: int
    limit: int | None
    first_ordinal: int
    next_ordinal: int


class UnreadableSnapshot(Exception):
    """The frames are not a state that this code understands."""


_encode = msgspec.msgpack.Encoder().encode


def snapshot_frames(state: State) -> Iterator[bytes]:
    """The state in frames. Drain it before the state changes again."""
    pending = bytearray()
    for table, row in _rows(state):
        pending += (len(row) + 1).to_bytes(_LENGTH_BYTES, "little")
        pending.append(table)
        pending += row
        while len(pending) >= FRAME_BYTES:
            yield bytes(pending[:FRAME_BYTES])
            del pending[:FRAME_BYTES]
    if pending:
        yield bytes(pending)


def state_hash(state: State) -> bytes:
    """What two nodes compare to know that they are in the same state: the hash (32 bytes) of the snapshot's bytes."""
    digest = hashlib.blake2b(digest_size=32)
    for frame in snapshot_frames(state):
        digest.update(frame)
    return digest.digest()


def _rows(state: State) -> Iterator[tuple[_Table, bytes]]:
    yield (
        _Table.COUNTERS,
        _encode(
            _Counters(
                state.index,
                state.at,
                state.chain,
                state.cluster,
                state.configured,
                state.next_version,
                state.next_admission,
                state.level,
                sorted(state.members.items()),
            )
        ),
    )
    for number in sorted(state.versions):
        version = state.versions[number]
        current = state.current.get(version.name) == number
        yield _Table.VERSION, _encode(_VersionRow(number, version.name, version.source, version.definition, current))
    for name in sorted(state.dependencies):
        yield _Table.DEPENDENCY, _encode(_DependencyRow(name, state.dependencies[name]))
    for name in sorted(state.queues):
        queue, order = state.queues[name], state.queues[name].order
        first = next(order.after(-1), order.next_ordinal)
        yield _Table.QUEUE, _encode(_QueueRow(name, queue.slots, queue.limit, first, order.next_ordinal))
    for name in sorted(state.queues):
        order = state.queues[name].order
        for ordinal in order.after(-1):
            run = order.run_at(ordinal)
            yield _Table.QUEUED, run + state.queued[run]
    yield from ((_Table.ACTIVE, encode_run(run)) for run in state.active.values())
    yield from ((_Table.FINISHED, packed) for packed in state.finished.values())
    yield from ((_Table.DELETED, _encode(deleted)) for deleted in state.deleted.values())
    yield from ((_Table.DEPARTURE, run + packed) for run, packed in state.departures.items())
    yield from ((_Table.KEY, key + _encode(use)) for key, use in state.keys.items())


def restore(frames: Iterable[bytes]) -> State:
    """The state that these frames were made of. Raises `UnreadableSnapshot`."""
    state = State()
    try:
        for table, row in _split(frames):
            _RESTORES[table](state, row)
    except (msgspec.MsgspecError, LookupError, ValueError, struct.error) as error:
        raise UnreadableSnapshot(f"{type(error).__name__}: {error}") from error
    # Those that hold a slot come before those that ended: only here admissions are not entered in their order.
    for job in state.jobs.values():
        job.admitted = dict(sorted(job.admitted.items()))
    return state


def _split(frames: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    pending = bytearray()
    for frame in frames:
        pending += frame
        start = 0
        while len(pending) - start >= _LENGTH_BYTES:
            end = start + _LENGTH_BYTES + int.from_bytes(pending[start : start + _LENGTH_BYTES], "little")
            if len(pending) < end:
                break
            yield pending[start + _LENGTH_BYTES], bytes(pending[start + _LENGTH_BYTES + 1 : end])
            start = end
        del pending[:start]
    if pending:
        raise ValueError(f"the last row is cut: {len(pending)} bytes are left over")


def _counters(state: State, row: bytes) -> None:
    counters = msgspec.msgpack.decode(row, type=_Counters)
    state.index = Index(counters.index)
    state.at, state.chain, state.cluster = counters.at, counters.chain, counters.cluster
    state.configured = counters.configured
    state.next_version, state.next_admission = counters.next_version, counters.next_admission
    state.level, state.members = counters.level, dict(counters.members)


def _version(state: State, row: bytes) -> None:
    version = msgspec.msgpack.decode(row, type=_VersionRow)
    state.versions[version.number] = Version(version.number, version.name, version.source, version.definition)
    if version.current:
        state.current[version.name] = version.number


def _dependency(state: State, row: bytes) -> None:
    dependency = msgspec.msgpack.decode(row, type=_DependencyRow)
    state.dependencies[dependency.name] = dependency.dependency


def _queue(state: State, row: bytes) -> None:
    saved = msgspec.msgpack.decode(row, type=_QueueRow)
    queue = state.queues[saved.name] = Queue(saved.name, saved.first_ordinal)
    queue.slots, queue.limit = saved.slots, saved.limit
    queue.order.next_ordinal = saved.next_ordinal


def _queued(state: State, row: bytes) -> None:
    packed = row[_RUN_BYTES:]
    fold.enter_queue(state, RunId(row[:_RUN_BYTES]), packed, unpack_queued(packed))


def _active(state: State, row: bytes) -> None:
    run = decode_run(row)
    state.versions[run.definition].runs += 1
    fold.enter_active(state, run)


def _finished(state: State, row: bytes) -> None:
    run = decode_run(row)
    state.versions[run.definition].runs += 1
    fold.enter_finished(state, run)


def _deleted(state: State, row: bytes) -> None:
    fold.enter_deleted(state, msgspec.msgpack.decode(row, type=DeletedRun))


def _departure(state: State, row: bytes) -> None:
    state.departures[RunId(row[:_RUN_BYTES])] = row[_RUN_BYTES:]


def _key(state: State, row: bytes) -> None:
    state.keys[row[:_KEY_BYTES]] = msgspec.msgpack.decode(row[_KEY_BYTES:], type=Key)


_RESTORES: Final[Mapping[int, Callable[[State, bytes], None]]] = {
    _Table.COUNTERS: _counters,
    _Table.VERSION: _version,
    _Table.DEPENDENCY: _dependency,
    _Table.QUEUE: _queue,
    _Table.QUEUED: _queued,
    _Table.ACTIVE: _active,
    _Table.FINISHED: _finished,
    _Table.DELETED: _deleted,
    _Table.DEPARTURE: _departure,
    _Table.KEY: _key,
}
